"""Charts of data-fusion transfer: bars of the methods, as figures 6 and 7 of AINet's paper."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from sslhsi.report.bars import grouped_bars
from sslhsi.report.chart import Chart, figure_chart
from sslhsi.report.scores import METRICS
from sslhsi.report.tables import Row, number
from sslhsi.studies.grouping import methods, places, title_of

SHOWN = ("oa", "aa", "kappa")


def charts(rows: Sequence[Row], history: Sequence[Row]) -> list[Chart]:
    """A chart per target, split and number of samples that has two methods or more: OA, AA and kappa of each."""
    pictures = []
    for place, mine in places(rows).items():
        by_method = methods(mine)
        if len(by_method) < 2:
            continue
        groups = {
            METRICS[metric]: {
                name: values
                for name, some in by_method.items()
                if (values := [v for row in some if (v := number(row[metric])) is not None])
            }
            for metric in SHOWN
        }
        title = title_of(place)
        said = "; ".join(f"{name} {fmean(values):.1f}" for name, values in groups[METRICS["oa"]].items())
        figure = grouped_bars(groups, title, "%, the axis doesn't start at 0")
        seeds = len({row["seed"] for row in mine})
        spread = "whiskers: one standard deviation over them" if seeds > 1 else "no spread is known"
        caption = f"{title}. Means over {seeds} seed{'' if seeds == 1 else 's'}; {spread}."
        pictures.append(figure_chart(figure, f"Accuracies by method, {title}; overall accuracy: {said}", caption))
    return pictures
