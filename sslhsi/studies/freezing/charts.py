"""Charts of a freezing study: accuracies of the policies, losses over the epochs, what a step costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sslhsi.report.bars import Values, bars
from sslhsi.report.chart import Chart, figure_chart
from sslhsi.studies.charts import curves, epochs, means, places, title_of, values_of
from sslhsi.studies.rows import History, StudyRow

# Loss and training accuracy of a policy over the epochs, as the study's figure 3.
LINES = {"loss": "training loss (cross-entropy)", "accuracy": "training accuracy (%)"}


def _scaled(amount: float | None, factor: float) -> float | None:
    return None if amount is None else factor * amount


def _share(row: StudyRow) -> float | None:
    return 100 * row.trainable / row.parameters if row.trainable and row.parameters else None


# What a policy costs, whatever the split: heading, axis, value, whether the axis is logarithmic.
COSTS: list[tuple[str, str, Callable[[StudyRow], float | None], bool]] = [
    ("Share of the parameters that trains", "% of all, logarithmic", _share, True),
    ("Multiply-adds of a training step", "10⁹ multiply-adds", lambda row: _scaled(row.macs, 1e-9), False),
    ("Seconds of a training step", "milliseconds", lambda row: _scaled(row.seconds_per_step, 1e3), False),
]


def charts(rows: Sequence[StudyRow], history: History) -> list[Chart]:
    """For every target, split and number of samples: accuracy and losses; whatever the split: cost of a step."""
    pictures = []
    for place, mine in places(rows).items():
        title, keys = title_of(*place), {row.key for row in mine}
        accuracy = values_of(mine, lambda row: row.oa)
        pictures.append(_bars(accuracy, "Overall accuracy by what trains", "overall accuracy (%)", title))
        losses = [(row, epoch) for row, epoch in history if epoch.phase == "target" and row.key in keys]
        for column, label in LINES.items():
            lines = {name: epochs([one for one in losses if one[0].method == name], column) for name in accuracy}
            if any(lines.values()):
                head = label[0].upper() + label[1:].partition(" (")[0]
                alt = f"{label} over the epochs for each policy, {title}"
                caption = f"{title}. Means over seeds, while training."
                pictures.append(figure_chart(curves(lines, head, "epoch", label), alt, caption))
    for (kind, target, size), mine in places(rows, ("kind", "target", "per_class")).items():
        title = title_of(kind, target, size=size)
        pictures += [_bars(values_of(mine, value), head, label, title, log) for head, label, value, log in COSTS]
    return pictures


def _bars(values: Values, head: str, label: str, title: str, log: bool = False) -> Chart:
    return figure_chart(bars(values, head, label, log=log), f"{head}, {title}: {means(values, '.3g')}", f"{title}.")
