"""Charts of data-fusion transfer: bars of the methods, as figures 6 and 7 of AINet's paper."""

from __future__ import annotations

from collections.abc import Sequence

from sslhsi.report.bars import grouped_bars
from sslhsi.report.chart import Chart, figure_chart
from sslhsi.report.scores import METRICS
from sslhsi.report.tables import Row
from sslhsi.studies.grouping import means, methods, over_seeds, places, title_of

SHOWN = ("oa", "aa", "kappa")


def charts(rows: Sequence[Row], history: Sequence[Row]) -> list[Chart]:
    """A chart per target, split and number of samples that has two methods or more: OA, AA and kappa of each."""
    pictures = []
    for place, mine in places(rows).items():
        groups = {METRICS[m]: methods(mine, m) for m in SHOWN}
        accuracy = groups[METRICS["oa"]]
        if len(accuracy) < 2:
            continue
        title = title_of(place)
        figure = grouped_bars(groups, title, "%, the axis doesn't start at 0")
        several = len({row["seed"] for row in mine}) > 1
        spread = "whiskers: one standard deviation over them" if several else "no spread is known"
        alt = f"Accuracies by method, {title}; overall accuracy: {means(accuracy)}"
        pictures.append(figure_chart(figure, alt, f"{title}. {over_seeds(mine)}; {spread}."))
    return pictures
