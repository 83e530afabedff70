"""Charts of data-fusion transfer: bars of the methods, as figures 6 and 7 of AINet's paper."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

from sslhsi.report.chart import Chart
from sslhsi.report.scores import METRICS
from sslhsi.studies.charts import group_chart, over_seeds, places, title_of, values_of
from sslhsi.studies.rows import History, StudyRow


def charts(rows: Sequence[StudyRow], history: History) -> list[Chart]:
    """A chart per target, split and number of samples that has two methods or more: OA, AA and kappa of each."""
    pictures = []
    for place, mine in places(rows).items():
        groups = {METRICS[metric]: values_of(mine, attrgetter(metric)) for metric in ("oa", "aa", "kappa")}
        if len(groups[METRICS["oa"]]) > 1:
            pictures.append(group_chart(groups, "Accuracies by method", "%", title_of(*place), over_seeds(mine)))
    return pictures
