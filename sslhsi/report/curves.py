"""Label-efficiency curves: overall accuracy over the training samples per class, with the spread over seeds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sslhsi.evaluation.rows import ResultRow
from sslhsi.evaluation.summary import grouped, tabulate
from sslhsi.files import check_replaceable
from sslhsi.report.plots import legend_below, method_style, new_figure, save_png, short
from sslhsi.report.scores import Score, methods_of, read_scores, sizes_of
from sslhsi.report.tables import probe_order, probe_title

# Training samples per class that a method must have been measured at: fewer make no curve.
LEAST_SIZES = 2
Styles = Mapping[str, tuple[str, str, str]]


def method_styles(scores: Sequence[Score]) -> dict[str, tuple[str, str, str]]:
    """Colour, marker and line style of every method, so that it looks the same in all curves."""
    family = {score.method: score.row.method for score in scores}
    return {name: method_style(n, family[name]) for n, name in enumerate(methods_of(scores))}


def curve_figures(scores: Sequence[Score], styles: Styles) -> list[tuple[str, Figure]]:
    """Curves of one scene and split: a figure per probe, all on the same axis of scores.

    Args:
        scores: Of one scene and one split.
        styles: As ``method_styles`` gives them.

    Returns:
        (probe, figure); only probes with a method measured at two sizes or more.
    """
    drawn = _drawn(scores)
    figures = []
    for probe, mine in drawn.items():
        figure, axis = new_figure(height=2.9 + 0.2 * len(methods_of(mine)))
        _draw(axis, probe, mine, styles, _bounds(drawn))
        legend_below(figure, 1, loc="outside lower left", handlelength=2.6)
        figures.append((probe, figure))
    return figures


def write_curves(rows: Iterable[ResultRow], folder: Path) -> list[Path]:
    """Write KIND-SCENE-SPLIT.png for every scene and split that was measured at two sizes or more.

    Args:
        rows: Result rows.
        folder: Made if need be.

    Returns:
        The files, each a row of panels, one per probe.

    Raises:
        InputError: A picture of that name was not made by sslhsi.
    """
    scores, _ = read_scores(rows)
    styles = method_styles(scores)
    files = []
    for place, mine in grouped(scores, lambda score: score.place).items():
        drawn = _drawn(mine)
        if not drawn:
            continue
        figure, first = new_figure(4.2 * len(drawn), 3.9)
        first.remove()
        for n, (probe, some) in enumerate(drawn.items()):
            axis = figure.add_subplot(1, len(drawn), n + 1)
            _draw(axis, probe, some, styles, _bounds(drawn))
            axis.legend(fontsize=7, frameon=False)
            axis.grid(alpha=0.2)
        figure.suptitle(", ".join(part for part in place if part))
        path = folder / (re.sub(r"[^A-Za-z0-9]+", "-", "-".join(place)).strip("-").lower() + ".png")
        check_replaceable(path)
        save_png(figure, path)
        files.append(path)
    return files


def _drawn(scores: Sequence[Score]) -> dict[str, list[Score]]:
    """Scores at numbered sizes by probe; only methods with two sizes or more."""
    probes: dict[str, list[Score]] = {}
    numbered = [score for score in scores if isinstance(score.row.per_class, int) and not score.row.variant]
    for (probe, _), mine in grouped(numbered, lambda score: (score.row.probe, score.method)).items():
        if len(sizes_of(mine)) >= LEAST_SIZES:
            probes.setdefault(probe, []).extend(mine)
    return {probe: probes[probe] for probe in sorted(probes, key=probe_order)}


def _bounds(drawn: Mapping[str, Sequence[Score]]) -> tuple[float, float]:
    values = [score.oa for mine in drawn.values() for score in mine]
    low, high = min(values), max(values)
    room = max(1.0, 0.06 * (high - low))
    return low - room, min(100.5, high + room)


def _size(score: Score) -> int:
    assert isinstance(score.row.per_class, int)
    return score.row.per_class


def _draw(axis: Axes, probe: str, scores: Sequence[Score], styles: Styles, bounds: tuple[float, float]) -> None:
    cells = tabulate(scores, lambda score: score.method, _size, lambda score: score.oa)
    for name in methods_of(scores):
        colour, marker, line = styles[name]
        sizes = sorted(cells[name])
        means = [cells[name][size].mean for size in sizes]
        low, high = (
            np.array([getattr(cells[name][size], bound) for size in sizes], dtype=float) for bound in ("low", "high")
        )
        axis.plot(
            sizes, means, color=colour, marker=marker, linestyle=line, markersize=4, linewidth=1.5,
            label=short(name, 44),
        )  # fmt: skip
        axis.fill_between(sizes, low, high, color=colour, alpha=0.16, linewidth=0)
    axis.set_xticks(sorted(set(map(_size, scores))))
    axis.set_ylim(*bounds)
    axis.set(title=probe_title(probe), xlabel="training samples per class", ylabel="overall accuracy (%)")
