"""Charts of a freezing study: accuracies of the policies, losses over the epochs, what a step costs."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from sslhsi.report.bars import bars
from sslhsi.report.chart import Chart, figure_chart
from sslhsi.report.plots import domain_style, legend_below, new_figure, short
from sslhsi.report.tables import Row, number
from sslhsi.studies.grouping import epochs, means, methods, places, title_of
from sslhsi.studies.table import KEY

# Loss and training accuracy of a policy over the epochs, as the study's figure 3.
LINES = {"loss": "training loss (cross-entropy)", "accuracy": "training accuracy (%)"}


def charts(rows: Sequence[Row], history: Sequence[Row]) -> list[Chart]:
    """For every target, split and number of samples: accuracy and losses; whatever the split: cost of a step."""
    pictures = []
    for place, mine in places(rows).items():
        title = title_of(place)
        accuracy = methods(mine, "oa")
        pictures.append(_bars(accuracy, "Overall accuracy by what trains", "overall accuracy (%)", title))
        trained = {_training(row) for row in mine}
        losses = [row for row in history if row["phase"] == "target" and _training(row) in trained]
        for column, label in LINES.items():
            if figure := _curves(losses, column, label, list(accuracy)):
                alt = f"{label} over the epochs for each policy, {title}"
                pictures.append(figure_chart(figure, alt, f"{title}. Means over seeds, while training."))
    for (kind, target, per_class), mine in places(rows, ("kind", "target", "per_class")).items():
        title = title_of((kind, target, "", per_class))
        share = methods(mine, _share)
        pictures.append(_bars(share, "Share of the parameters that trains", "% of all, logarithmic", title, log=True))
        for column, head, label, scale in (
            ("macs", "Multiply-adds of a training step", "10⁹ multiply-adds", 1e-9),
            ("seconds_per_step", "Seconds of a training step", "milliseconds", 1e3),
        ):
            cost = {name: [scale * value for value in some] for name, some in methods(mine, column).items()}
            pictures.append(_bars(cost, head, label, title))
    return pictures


def _bars(values: dict[str, list[float]], head: str, label: str, title: str, log: bool = False) -> Chart:
    alt = f"{head}, {title}: {means(values, '.3g')}"
    return figure_chart(bars(values, head, label, log=log), alt, f"{title}.")


def _share(row: Row) -> float | None:
    part, whole = number(row["trainable"]), number(row["parameters"])
    return 100 * part / whole if part and whole else None


def _curves(history: Sequence[Row], column: str, label: str, order: Sequence[str]) -> Figure | None:
    lines = {name: epochs([row for row in history if row["method"] == name], column) for name in order}
    if not any(lines.values()):
        return None
    title = label[0].upper() + label[1:].partition(" (")[0]
    figure, axis = new_figure(height=3.1 + 0.19 * -(-len(order) // 2), title=title, x="epoch", y=label)
    for place, (name, line) in enumerate(lines.items()):
        if line:
            style, colour = ("-", "--")[place // 7 % 2], domain_style(place)[0]
            axis.plot(list(line), list(line.values()), style, color=colour, linewidth=1.3, label=short(name, 30))
    legend_below(figure, 2, fontsize=8)
    return figure


def _training(row: Row) -> tuple[str, ...]:
    """What a row and the history of its training have in common."""
    return tuple(str(row.get(column, "")) for column in KEY)
