"""Charts of domain-adaptive pretraining: initialisations under each readout, and the second round's loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from sslhsi.report.bars import grouped_bars
from sslhsi.report.chart import Chart, figure_chart
from sslhsi.report.plots import domain_style, legend_below, new_figure
from sslhsi.report.tables import Row, number
from sslhsi.studies.grouping import PLACE, epochs, grouped, means, methods, over_seeds, title_of

# What is drawn together: rows of one target, of one kind, on one kind of split.
_PLACE = tuple(column for column in PLACE if column != "per_class")
# The score of a target: the first that its rows have.
_SCORES = {"oa": "overall accuracy (%)", "f1_micro": "micro F1 × 100"}
_ROUND = "second round"
_WIDTH = 7.2  # inches that a legend of six initialisations takes


def charts(rows: Sequence[Row], history: Sequence[Row]) -> list[Chart]:
    """Per target, split and readout a chart with the initialisations side by side; then the losses of rounds."""
    pictures = []
    for place, mine in grouped(rows, _PLACE).items():
        score = next((score for score in _SCORES if any(number(row.get(score)) is not None for row in mine)), None)
        if score is None:
            continue
        title = title_of((*place, ""))
        for readout in dict.fromkeys(_readout(row) for row in mine):
            some = [row for row in mine if _readout(row) == readout]
            sizes = sorted({str(row["per_class"]) for row in some}, key=lambda size: number(size) or 0)
            groups = {
                f"{size} per class" if size else "training images": {
                    name.rpartition(", ")[0]: values
                    for name, values in methods([row for row in some if str(row["per_class"]) == size], score).items()
                }
                for size in sizes
            }
            said = "; ".join(f"{group}: {means(values).replace('; ', ', ')}" for group, values in groups.items())
            figure = grouped_bars(groups, f"{readout[0].upper()}{readout[1:]}", f"{_SCORES[score]}, not from 0")
            figure.set_figwidth(max(figure.get_figwidth(), _WIDTH))
            spread = "; whiskers: one standard deviation over them" if len({row["seed"] for row in some}) > 1 else ""
            alt = f"{_SCORES[score]} by start, {readout}, {title}. {said}"
            pictures.append(figure_chart(figure, alt, f"{title}: {readout}. {over_seeds(some)}{spread}."))
    return pictures + _losses(history)


def _readout(row: Row) -> str:
    return str(row["method"]).rpartition(", ")[2]


def _losses(history: Sequence[Row]) -> list[Chart]:
    """NT-Xent over the second round, with and without given weights."""
    pictures = []
    for target in dict.fromkeys(str(row["target"]) for row in history):
        ours = [
            {**row, "method": str(row["method"]).rpartition(", ")[0]}
            for row in history
            if str(row["target"]) == target and row["phase"] == _ROUND and "contrast" in str(row["method"])
        ]
        by_name = grouped(ours, ["method"])
        lines = {name: line for (name,), mine in by_name.items() if (line := epochs(mine, "loss"))}
        if max(map(len, lines.values()), default=0) > 1:
            said = "; ".join(f"{name}: last {line[max(line)]:.3f}" for name, line in lines.items())
            caption = f"{target}: the second round by contrast, from given weights and from random ones."
            alt = f"NT-Xent loss over the second round, {target}. {said}"
            pictures.append(figure_chart(_curves(lines), alt, caption))
    return pictures


def _curves(lines: Mapping[str, Mapping[int, float]]) -> Figure:
    figure, axis = new_figure(
        height=3.3, title="Loss of the second round", x="part of the round (%)", y="NT-Xent (nats)"
    )
    for place, (name, line) in enumerate(lines.items()):
        done = [100 * epoch / max(line) for epoch in line]
        axis.plot(done, list(line.values()), color=domain_style(place)[0], linewidth=1.4, label=name)
    legend_below(figure, 2)
    return figure
