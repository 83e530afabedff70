"""The report's charts: one figure each, as a PNG file and as an SVG that follows the page's light or dark theme."""

from __future__ import annotations

import io
import os
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sslhsi.files import write_atomic

# Okabe and Ito's colours (2008), distinct to any colour vision, without the yellow that vanishes on white.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C8C8C")
_MARKERS = ("o", "s", "^", "D", "v")
# A colour that nothing else uses: replaced by the page's text colour in the SVG.
INK = "#0a0b0c"
_ACCENT = _COLOURS[0]
_THEME = "<style>svg{color:#222}@media(prefers-color-scheme:dark){svg{color:#d5d5d5}}</style>"
MOST_NAMES = 20


def domain_style(number: int) -> tuple[str, str]:
    """Colour and marker of a domain, the same in every plot; 35 pairs differ, neighbours in both parts."""
    return _COLOURS[number % len(_COLOURS)], _MARKERS[number % len(_MARKERS)]


def method_style(number: int, family: str) -> tuple[str, str, str]:
    """Colour, marker and line style of a method: fixed ones for those that nothing pretrained, else by number."""
    fixed = {
        "raw spectra": (_COLOURS[6], "v", ":"),
        "mean spectrum": (_COLOURS[6], "v", ":"),
        "window means": (_COLOURS[6], "P", "-"),
        "random weights": (_COLOURS[4], "s", "--"),
        "from scratch": (_COLOURS[3], "D", "-."),
    }
    free = (0, 1, 2, 5)
    colour, marker = _COLOURS[free[number % len(free)]], ("o", "^", "p", "X", "P")[number % 5]
    return fixed.get(family, (colour, marker, "-"))


def short(name: str, length: int = 22) -> str:
    """A name that fits a legend, with its beginning and end."""
    if len(name) <= length:
        return name
    tail = (length - 1) // 2
    return name[: length - 1 - tail] + "…" + name[-tail:]


def new_figure(
    width: float = 4.6, height: float = 3.1, *, title: str = "", x: str = "", y: str = ""
) -> tuple[Figure, Axes]:
    """A figure with one set of axes, in ink; sizes in inches; ``x`` and ``y`` say what the axes are."""
    figure = Figure(figsize=(width, height), layout="constrained", dpi=130)
    axis = figure.add_subplot()
    axis.set_facecolor("none")
    for spine in axis.spines.values():
        spine.set_color(INK)
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(colors=INK, labelsize=9)
    for label in (axis.xaxis.label, axis.yaxis.label, axis.title):
        label.set_color(INK)
        label.set_fontsize(10)
    axis.grid(color=INK, alpha=0.12, linewidth=0.6)
    axis.set_axisbelow(True)
    axis.set(title=title, xlabel=x, ylabel=y)
    return figure, axis


def legend_below(figure: Figure, columns: int, **look: Any) -> None:
    """Put the legend under the axes, in ink."""
    look = {"loc": "outside lower center", "ncols": columns, "frameon": False, "fontsize": 9, **look}
    figure.legend(labelcolor=INK, **look)


def curve(x: Sequence[float], y: Sequence[float], title: str, y_label: str, *, stairs: bool, zero: bool) -> Figure:
    """A quantity over training steps; values that are not finite leave gaps.

    Args:
        x: Steps.
        y: Values.
        title: Of the figure.
        y_label: What the values are.
        stairs: Whether a value holds until the next one.
        zero: Whether the axis starts at 0.
    """
    figure, axis = new_figure(title=title, x="step", y=y_label)
    marker = "o" if np.isfinite(y).sum() < 30 else ""
    style = "steps-post" if stairs else "default"
    axis.plot(x, y, color=_ACCENT, linewidth=1.4, marker=marker, markersize=3, drawstyle=style)
    if zero:
        axis.set_ylim(bottom=0)
    return figure


def explained_variance(ratio: np.ndarray) -> Figure:
    """(K,) shares of the variance: each, and added up."""
    figure, axis = new_figure(
        title="Variance explained by the components", x="component", y="share of the variance (%)"
    )
    number = np.arange(1, len(ratio) + 1)
    axis.bar(number, 100 * ratio, color=_COLOURS[5], label="each")
    axis.plot(number, 100 * np.cumsum(ratio), color=_COLOURS[1], marker="o", markersize=3, label="added up")
    axis.set_ylim(0, 102)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.legend(frameon=False, labelcolor=INK, fontsize=9)
    return figure


def scatter(
    points: np.ndarray, domain: np.ndarray, names: Sequence[str], title: str, labels: tuple[str, str], size: float = 9
) -> Figure:
    """(n, 2) points coloured by (n,) domain numbers, with a legend below."""
    present = np.unique(domain).tolist()
    columns = 3 if max((len(short(names[d])) for d in present), default=0) <= 14 else 2
    rows = -(-len(present) // columns)
    figure, axis = new_figure(height=3.3 + 0.19 * rows, title=title, x=labels[0], y=labels[1])
    # Mixed, so that no domain covers another; in one layer per domain they would.
    order = np.random.default_rng(0).permutation(len(points))
    for part in np.array_split(order, min(8, max(1, len(order) // 50))):
        for d in present:
            mine = part[domain[part] == d]
            colour, marker = domain_style(d)
            look: dict[str, Any] = {
                "s": size,
                "color": colour,
                "marker": marker,
                "alpha": 0.7,
                "linewidths": 0,
                "rasterized": True,
            }
            axis.scatter(*points[mine].T, **look)
    handles = []
    for d in present:
        colour, marker = domain_style(d)
        handles += axis.plot([], [], linestyle="", color=colour, marker=marker, markersize=5, label=short(names[d]))
    legend_below(figure, columns, handles=handles, handletextpad=0.1, columnspacing=1.0)
    return figure


def confusion(counts: np.ndarray, names: Sequence[str], title: str) -> Figure:
    """(C, C) counts, rows the truth: shares of each row in percent; beyond 20 classes numbers stand for names."""
    n = len(names)
    total = counts.sum(axis=1, keepdims=True)
    share = 100 * np.divide(counts, total, out=np.zeros(counts.shape), where=total > 0)
    side = max(3.6, 1.6 + 0.33 * min(n, MOST_NAMES))
    figure, axis = new_figure(side + 0.6, side, title=title, x="predicted", y="true")
    axis.grid(False)
    axis.spines[["top", "right"]].set_visible(True)
    axis.imshow(share, cmap="cividis", vmin=0, vmax=100)
    if n <= MOST_NAMES:
        axis.set_xticks(range(n), [short(name, 16) for name in names], rotation=90)
        axis.set_yticks(range(n), [short(name, 16) for name in names])
        for i, j in np.argwhere(share >= 0.5):
            ink = "#111111" if share[i, j] > 55 else "#ffffff"
            axis.text(j, i, f"{share[i, j]:.0f}", ha="center", va="center", fontsize=8, color=ink)
    return figure


def contact_sheet(
    tiles: Sequence[Sequence[np.ndarray]], titles: Sequence[Sequence[str]], rows: Sequence[str] = ()
) -> Figure:
    """Images in a grid.

    Args:
        tiles: Rows of (h, w, 3) images; a row may be short.
        titles: Rows of titles, two lines at most, above the images; an empty row for none.
        rows: Names of the rows, at the left, or nothing.
    """
    across, margin = max((len(row) for row in tiles), default=1), 0.9 if rows else 0.1
    tops = np.cumsum([0.4 if any(line) else 0.1 for line in titles]) + 1.1 * np.arange(len(tiles))
    height, width = (float(tops[-1]) if len(tops) else 0.0) + 1.2, 1.2 * across + margin
    figure = Figure(figsize=(width, height), dpi=100)
    # One set of axes in inches: a set for each image costs seconds.
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set_axis_off()
    for i, row in enumerate(tiles):
        top = height - tops[i]
        if rows:
            axis.text(0.08, top - 0.55, "\n".join(textwrap.wrap(rows[i], 11)[:3]), fontsize=8, va="center")
        for j, tile in enumerate(row):
            left, scale = margin + 1.2 * j, 1.1 / max(tile.shape[:2])
            extent = (left, left + scale * tile.shape[1], top - scale * tile.shape[0], top)
            axis.imshow(tile, interpolation="nearest", extent=extent)
            if titles[i]:
                axis.text(left, top + 0.04, titles[i][j], fontsize=7, va="bottom")
    axis.set(xlim=(0, width), ylim=(0, height))
    return figure


def save_png(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Write a figure as PNG on white that says who made it, whole or not at all; its folder is made if need be."""
    look: dict[str, Any] = {"format": "png", "facecolor": "white", "metadata": {"Software": "sslhsi"}}
    written = write_atomic(path, lambda part: figure.savefig(part, **look))
    # Laid out for good: what is saved next need not work it out again.
    figure.set_layout_engine("none")
    return written


def svg(figure: Figure) -> bytes:
    """A figure as SVG without background, in the light or dark text colour of whoever looks at it."""
    stream = io.StringIO()
    # A fixed salt makes the file a function of what it shows.
    with matplotlib.rc_context({"svg.hashsalt": "sslhsi", "svg.fonttype": "path"}):
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(rf"{INK}", "currentColor", text)
    head = text.index(">") + 1
    return (text[:head] + _THEME + text[head:]).encode()
