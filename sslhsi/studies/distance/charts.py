"""Charts of distances between domains: a matrix over all of them, and for every target its nearest sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sslhsi.evaluation.summary import grouped
from sslhsi.report import plots
from sslhsi.report.chart import Chart, dense_chart
from sslhsi.report.tables import Row
from sslhsi.studies.distance.study import DistanceRow, Pair, averaged, nearest
from sslhsi.studies.rows import History

# Columns of the ordered lists.
NEAREST = 5
_COLOURS = "cividis_r"
# Distances up to which dark ink reads better on the colour.
_BRIGHT = 1.1


def charts(rows: Sequence[DistanceRow], history: History = ()) -> list[Chart]:
    """A matrix and an ordered list for every representation and number of axes.

    Args:
        rows: Of :func:`sslhsi.studies.distance.study.run`.
        history: Nothing is trained over epochs.
    """
    names = list(dict.fromkeys(name for row in rows for name in (row.source, row.target)))
    pairs = averaged(rows)
    ordered = nearest(rows)
    pictures = []
    for view in dict.fromkeys(key[:3] for key in pairs):
        mine = {(key[3], key[4]): pair for key, pair in pairs.items() if key[:3] == view}
        inputs = _inputs(*view)
        pictures.append(
            dense_chart(
                matrix(names, mine, inputs),
                f"Matrix of distances on {inputs}: " + "; ".join(_words(*pair, mine[pair]) for pair in mine),
                "Below the diagonal distances, 0 to 2 (apart), above it their standard errors. On the diagonal, "
                "one half of a domain's tiles against the other. " + _draws(mine),
            )
        )
        of_view = [row for row in ordered if (row["method"], row["network"], row["axes"]) == view]
        lists = grouped(of_view, lambda row: str(row["target"]))
        if lists:
            pictures.append(
                dense_chart(
                    nearest_sources(lists, inputs),
                    f"Nearest sources on {inputs}: " + "; ".join(f"{t}: {_first(s)}" for t, s in lists.items()),
                    "The whole lists are in nearest.csv. Sources whose distances lie within their standard errors of "
                    "each other are equally near.",
                )
            )
    return pictures


def matrix(names: Sequence[str], pairs: Mapping[tuple[str, str], Pair], inputs: str) -> Figure:
    """Distances below and on the diagonal, standard errors above it.

    Args:
        names: Of the domains, in order.
        pairs: By two names, in either order; what is not there stays empty.
        inputs: What the distances were measured on.
    """
    both = dict(pairs) | {(b, a): pair for (a, b), pair in pairs.items()}
    side = 1.9 + 0.42 * max(len(names), 4)
    figure, axis = plots.new_figure(side + 0.7, side, title=f"Proxy A-distance, {inputs}")
    values = np.full((len(names), len(names)), np.nan)
    for i, j in np.ndindex(values.shape):
        pair = both.get((names[i], names[j]))
        if pair is None:
            _write(axis, i, j, "–", color=plots.INK)
        elif j <= i:
            values[i, j] = pair.distance
            _write(axis, i, j, f"{pair.distance:.2f}", color=_ink(pair.distance))
        else:
            _write(axis, i, j, f"± {pair.standard_error:.2f}", fontsize=6.5, color=plots.INK, alpha=0.8)
    _grid(axis, values, names, [plots.short(name, 18) for name in names], rotation=90)
    bar = figure.colorbar(axis.images[0], ax=axis, shrink=0.7, pad=0.02)
    bar.set_label("distance (0 to 2, no unit)", color=plots.INK, fontsize=9)
    bar.ax.tick_params(colors=plots.INK, labelsize=8)
    bar.outline.set_edgecolor(plots.INK)
    return figure


def nearest_sources(lists: Mapping[str, Sequence[Row]], inputs: str) -> Figure:
    """A line per target: its nearest sources with distance and standard error, coloured by distance.

    Args:
        lists: By target, rows of :func:`sslhsi.studies.distance.study.nearest`, the nearest first.
        inputs: What the distances were measured on.
    """
    across = min(NEAREST, max(map(len, lists.values())))
    size = 2.0 + 1.35 * across, 1.1 + 0.42 * len(lists)
    figure, axis = plots.new_figure(*size, title=f"Nearest sources, {inputs}", x="rank", y="target")
    values = np.full((len(lists), across), np.nan)
    for i, sources in enumerate(lists.values()):
        for j, row in enumerate(sources[:across]):
            values[i, j] = row["distance"]
            words = f"{plots.short(str(row['source']), 18)}\n{row['distance']:.2f} ± {row['standard_error']:.2f}"
            _write(axis, i, j, words, fontsize=7.5, color=_ink(row["distance"]))
    _grid(axis, values, list(lists), [f"{rank}." for rank in range(1, across + 1)], aspect="auto")
    return figure


def _grid(
    axis: Axes,
    values: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    aspect: Any = "equal",
    rotation: int = 0,
) -> None:
    """Colour the cells and name rows and columns."""
    axis.grid(False)
    axis.imshow(values, cmap=_COLOURS, vmin=0, vmax=2, aspect=aspect)
    axis.spines[:].set_visible(False)
    axis.set_xticks(range(len(columns)), columns, rotation=rotation)
    axis.set_yticks(range(len(rows)), [plots.short(name, 18) for name in rows])


def _write(axis: Axes, row: int, column: int, words: str, **look: Any) -> None:
    axis.text(column, row, words, **{"ha": "center", "va": "center", "fontsize": 8, **look})


def _ink(distance: float) -> str:
    return "#111111" if distance < _BRIGHT else "#ffffff"


def _inputs(method: str, network: str, axes: str) -> str:
    what = f"{method} of {network}" if network else method
    return f"{what}, all axes" if axes == "all" else f"{what}, {axes} principal {'axis' if axes == '1' else 'axes'}"


def _words(source: str, target: str, pair: Pair) -> str:
    return f"{source} and {target} {pair.distance:.2f} ± {pair.standard_error:.2f}"


def _first(sources: Sequence[Row]) -> str:
    return ", ".join(f"{row['source']} {row['distance']:.2f}" for row in sources[:NEAREST])


def _draws(pairs: Mapping[tuple[str, str], Pair]) -> str:
    draws = max(pair.draws for pair in pairs.values())
    return f"Means over {draws} draws of pixels and folds." if draws > 1 else "One draw of pixels and folds."
