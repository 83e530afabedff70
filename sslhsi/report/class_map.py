"""A class map as a picture with its legend."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle
from matplotlib.textpath import TextToPath

from sslhsi.report.pictures import class_colours
from sslhsi.report.plots import save_png, short
from sslhsi.report.scene_pictures import UNCLASSIFIED, class_picture

# Pixels of the picture: of the map's longest side, of a line of the legend, and between things.
_SIDE, _LINE, _GAP = 720, 26, 24
_INK, _FAINT = "#1b1f24", "#66707a"
_DPI = 100


def class_map(
    path: str | os.PathLike[str],
    classes: np.ndarray,
    names: Sequence[str],
    *,
    title: str,
    notes: Sequence[str] = (),
) -> Path:
    """Draw a class map with a legend that names every class and its share of the scene, whole or not at all.

    Pixels of the map become squares of whole pixels of the picture; of scenes larger than the picture every
    n-th pixel is shown. The legend stands beside the map, or below a wide one.

    Args:
        path: PNG to write; its folder is made if need be.
        classes: (H, W) labels, 0 = unclassified.
        names: Names of labels 1, 2, ...
        title: Above the map.
        notes: Lines below the title.

    Returns:
        The path.

    Raises:
        InputError: It can't be written.
    """
    path = Path(path)
    height, width = classes.shape
    step = max(1, -(-max(height, width) // (2 * _SIDE)))
    shown = classes[::step, ::step]
    scale = max(1, round(_SIDE / max(shown.shape)))
    map_height, map_width = shown.shape[0] * scale, shown.shape[1] * scale
    colours = class_colours(max(1, len(names)))
    image = class_picture(np.minimum(np.kron(shown, np.ones((scale, scale), shown.dtype)), len(names)), colours)
    entries = _entries(classes, names)
    words = max(_wide(title, 13, "bold"), *(_wide(note, 9.5) for note in notes), 0)
    # A patch, the name, the share, and room around them.
    column = 26 + max(_wide(name, 10) for _, name, _ in entries) + 16 + max(_wide(s, 10) for *_, s in entries) + _GAP
    head = _GAP + 30 + 20 * len(notes) + 10
    beside = map_width <= 1.5 * map_height
    room = max(map_height // _LINE, 1) if beside else -(-len(entries) // max(1, max(map_width, words) // column))
    columns = -(-len(entries) // room)
    legend_width, legend_height = columns * column, min(room, len(entries)) * _LINE
    if beside:
        content, total_height = map_width + _GAP + legend_width, head + max(map_height, legend_height) + _GAP
    else:
        content, total_height = max(map_width, legend_width), head + map_height + _GAP + legend_height + _GAP
    total_width = max(content, words) + 2 * _GAP

    figure = Figure(figsize=(total_width / _DPI, total_height / _DPI), dpi=_DPI)
    figure.figimage((255 * image).astype(np.uint8), xo=_GAP, yo=total_height - head - map_height)
    axis = figure.add_axes((0, 0, 1, 1), facecolor="none")
    axis.set(xlim=(0, total_width), ylim=(total_height, 0))
    axis.set_axis_off()
    axis.text(_GAP, _GAP, title, fontsize=13, fontweight="bold", color=_INK, va="top")
    for number, note in enumerate(notes):
        axis.text(_GAP, _GAP + 30 + 20 * number, note, fontsize=9.5, color=_FAINT, va="top")
    axis.add_patch(Rectangle((_GAP, head), map_width, map_height, fill=False, edgecolor="#c8ced4", linewidth=0.8))
    left, top = (_GAP + map_width + _GAP, head) if beside else (_GAP, head + map_height + _GAP)
    for number, (label, name, share) in enumerate(entries):
        x, y = left + column * (number // room), top + _LINE * (number % room)
        axis.add_patch(
            Rectangle(
                (x, y + 4),
                16,
                16,
                facecolor=colours[label - 1] if label else UNCLASSIFIED,
                edgecolor="#00000040",
                linewidth=0.6,
            )
        )
        axis.text(x + 26, y + 12, name, fontsize=10, color=_INK, va="center")
        axis.text(x + column - _GAP, y + 12, share, fontsize=9.5, color=_FAINT, va="center", ha="right")
    return save_png(figure, path)


def _wide(text: str, size: float, weight: str = "normal") -> int:
    """Pixels that a text takes up."""
    points, _, _ = TextToPath().get_text_width_height_descent(text, FontProperties(size=size, weight=weight), False)
    return round(points * _DPI / 72) + 1


def _entries(classes: np.ndarray, names: Sequence[str]) -> list[tuple[int, str, str]]:
    """Label, name and share of every class, and of pixels without one where there are any."""
    counts = np.bincount(classes.ravel(), minlength=len(names) + 1)
    shares = [f"{100 * count / classes.size:.1f} %" for count in counts]
    entries = [(label, short(name, 30), shares[label]) for label, name in enumerate(names, start=1)]
    return entries + ([(0, "not classified", shares[0])] if counts[0] else [])
