"""Label-efficiency curves: overall accuracy over the training samples per class, with the spread over seeds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sslhsi.probes.metrics import bootstrap_interval
from sslhsi.report.plots import INK, method_style, new_figure, save_png, short
from sslhsi.report.scores import Score, methods_of, probe_order, read_scores, sizes_of
from sslhsi.report.tables import Row, probe_title

Styles = Mapping[str, tuple[str, str, str]]


def method_styles(scores: Sequence[Score]) -> dict[str, tuple[str, str, str]]:
    """Colour, marker and line style of every method, so that it looks the same in all curves."""
    plain = {score.method: score.family for score in scores}
    return {name: method_style(n, plain[name]) for n, name in enumerate(methods_of(scores))}


def curve_figures(scores: Sequence[Score], styles: Styles) -> list[tuple[str, Figure]]:
    """Curves of one scene and split: a figure per probe, all on the same axis of scores.

    Args:
        scores: Of one scene and one split.
        styles: As ``method_styles`` gives them.

    Returns:
        (probe, figure); only probes with a method measured at two sizes or more.
    """
    drawn = _drawn(scores)
    bounds = _bounds([score for mine in drawn.values() for score in mine])
    figures = []
    for probe, mine in drawn.items():
        count = len(methods_of(mine))
        figure, axis = new_figure(height=2.9 + 0.2 * count)
        _draw(axis, mine, styles)
        axis.set_ylim(*bounds)
        axis.set_title(probe_title(probe))
        figure.legend(loc="outside lower left", ncols=1, frameon=False, labelcolor=INK, fontsize=9, handlelength=2.6)
        figures.append((probe, figure))
    return figures


def write_curves(rows: Iterable[Row], folder: Path) -> list[Path]:
    """Write KIND-SCENE-SPLIT.png for every scene and split that was measured at two sizes or more.

    Args:
        rows: Result rows.
        folder: Made if need be.

    Returns:
        The files, each a row of panels, one per probe.
    """
    scores, _ = read_scores(rows)
    styles = method_styles(scores)
    groups: dict[tuple[str, str, str], list[Score]] = {}
    for score in scores:
        groups.setdefault((score.kind, score.scene, score.split), []).append(score)
    files = []
    for place, mine in groups.items():
        drawn = _drawn(mine)
        if not drawn:
            continue
        figure, first = new_figure(4.2 * len(drawn), 3.9)
        first.remove()
        for n, (probe, some) in enumerate(drawn.items()):
            axis = figure.add_subplot(1, len(drawn), n + 1)
            _draw(axis, some, styles)
            axis.set_ylim(*_bounds([s for part in drawn.values() for s in part]))
            axis.set_title(probe_title(probe))
            axis.legend(fontsize=7, frameon=False)
            axis.grid(alpha=0.2)
        figure.suptitle(", ".join(part for part in place if part))
        path = folder / (re.sub(r"[^A-Za-z0-9]+", "-", "-".join(place)).strip("-").lower() + ".png")
        save_png(figure, path)
        files.append(path)
    return files


def _drawn(scores: Sequence[Score]) -> dict[str, list[Score]]:
    """Scores at numbered sizes by probe; only methods with two sizes or more."""
    found = {}
    for probe in sorted({score.probe for score in scores}, key=probe_order):
        mine = [s for s in scores if s.probe == probe and isinstance(s.size, int)]
        mine = [s for s in mine if len(sizes_of(o for o in mine if o.method == s.method)) > 1]
        if mine:
            found[probe] = mine
    return found


def _bounds(scores: Sequence[Score]) -> tuple[float, float]:
    values = [score.values["oa"] for score in scores]
    low, high = min(values, default=0.0), max(values, default=100.0)
    room = max(1.0, 0.06 * (high - low))
    return low - room, min(100.5, high + room)


def _draw(axis: Axes, scores: Sequence[Score], styles: Styles) -> None:
    sizes = [size for size in sizes_of(scores) if isinstance(size, int)]
    for name in methods_of(scores):
        colour, marker, line = styles[name]
        points = []
        for size in sizes:
            values = [s.values["oa"] for s in scores if s.method == name and s.size == size]
            if values:
                band = bootstrap_interval(values) if len(values) >= 3 else (np.nan, np.nan)
                points.append((size, float(np.mean(values)), *band))
        x, mean, low, high = np.array(points).T
        look: dict[str, Any] = {
            "color": colour,
            "marker": marker,
            "linestyle": line,
            "markersize": 4,
            "linewidth": 1.5,
        }
        axis.plot(x, mean, **look, label=short(name, 44))
        axis.fill_between(x, low, high, color=colour, alpha=0.16, linewidth=0)
    axis.set_xticks(sizes)
    axis.set_xlabel("training samples per class")
    axis.set_ylabel("overall accuracy (%)")
