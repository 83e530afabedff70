"""Bar charts of experiments: means over seeds with their spread."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from sslhsi.evaluation.summary import summarise
from sslhsi.report.plots import INK, domain_style, legend_below, new_figure, short

Values = Mapping[str, Sequence[float]]


def bars(values: Values, title: str, x_label: str, *, log: bool = False) -> Figure:
    """One horizontal bar per name, its mean beside it, a whisker of one standard deviation from two values on.

    Args:
        values: Name -> one value per seed.
        title: Of the figure.
        x_label: What the values are.
        log: Whether the axis is logarithmic; otherwise it starts at 0.
    """
    figure, axis = new_figure(5.6, 0.9 + 0.3 * len(values), title=title, x=x_label)
    places = np.arange(len(values))[::-1]
    means, spreads = _means(values.values())
    axis.barh(places, means, xerr=spreads if any(spreads) else None, color=domain_style(0)[0], ecolor=INK, height=0.7)
    for place, mean, spread in zip(places, means, spreads, strict=True):
        axis.annotate(
            f"{mean:.3g}" if mean < 1000 else f"{mean:,.0f}", (mean + spread, place), (4, 0), color=INK, fontsize=8,
            textcoords="offset points", va="center",
        )  # fmt: skip
    axis.set_yticks(places, [short(name, 30) for name in values])
    axis.grid(axis="y", visible=False)
    axis.margins(x=0.14)
    if log:
        axis.set_xscale("log")
    elif min(means, default=0.0) >= 0:
        axis.set_xlim(left=0.0)
    return figure


def grouped_bars(groups: Mapping[str, Values], title: str, y_label: str) -> Figure:
    """Groups of upright bars, one colour per name, whiskers of one standard deviation.

    Args:
        groups: Group -> name -> one value per seed; names that a group lacks leave a gap.
        title: Of the figure.
        y_label: What the values are; the axis starts a little below the lowest.
    """
    names = list(dict.fromkeys(name for group in groups.values() for name in group))
    across, down = max(4.6, 1.6 + 0.28 * len(names) * len(groups)), 3.2 + 0.19 * -(-len(names) // 3)
    figure, axis = new_figure(across, down, title=title, y=y_label)
    width = 0.84 / max(1, len(names))
    lowest, highest = 100.0, 0.0
    for number, name in enumerate(names):
        there = [(place, group[name]) for place, group in enumerate(groups.values()) if name in group]
        x = [place + (number - (len(names) - 1) / 2) * width for place, _ in there]
        means, spreads = _means(values for _, values in there)
        axis.bar(
            x, means, width * 0.92, yerr=spreads if any(spreads) else None, color=domain_style(number)[0], ecolor=INK,
            error_kw={"elinewidth": 0.9}, label=short(name, 34),
        )  # fmt: skip
        lowest = min([lowest, *(m - s for m, s in zip(means, spreads, strict=True))])
        highest = max([highest, *(m + s for m, s in zip(means, spreads, strict=True))])
    room = max(1.0, 0.12 * (highest - lowest))
    axis.set_ylim(lowest - room if lowest < 0 else max(0.0, lowest - room), highest + room / 2)
    axis.set_xticks(range(len(groups)), list(groups))
    axis.grid(axis="x", visible=False)
    legend_below(figure, 3)
    return figure


def _means(values: Iterable[Sequence[float]]) -> tuple[list[float], list[float]]:
    summaries = [summarise(some) for some in values]
    return [one.mean for one in summaries], [one.std or 0.0 for one in summaries]
