"""Charts of domain-adaptive pretraining: initialisations under each readout, and the second round's loss."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from matplotlib.figure import Figure

from sslhsi.report.bars import grouped_bars
from sslhsi.report.chart import Chart, figure_chart
from sslhsi.report.plots import INK, domain_style, new_figure
from sslhsi.report.tables import Row, number
from sslhsi.studies.grouping import PLACE, grouped, methods, title_of

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
                    for name, same in methods([row for row in some if str(row["per_class"]) == size]).items()
                    if (values := [v for row in same if (v := number(row[score])) is not None])
                }
                for size in sizes
            }
            said = "; ".join(
                f"{group}: " + ", ".join(f"{name} {fmean(values):.1f}" for name, values in some_.items())
                for group, some_ in groups.items()
            )
            figure = grouped_bars(groups, f"{readout[0].upper()}{readout[1:]}", f"{_SCORES[score]}, not from 0")
            figure.set_figwidth(max(figure.get_figwidth(), _WIDTH))
            seeds = len({row["seed"] for row in some})
            spread = "; whiskers: one standard deviation over them" if seeds > 1 else ""
            caption = f"{title}: {readout}. Means over {seeds} seed{'' if seeds == 1 else 's'}{spread}."
            pictures.append(figure_chart(figure, f"{_SCORES[score]} by start, {readout}, {title}. {said}", caption))
    return pictures + _losses(history)


def _readout(row: Row) -> str:
    return str(row["method"]).rpartition(", ")[2]


def _losses(history: Sequence[Row]) -> list[Chart]:
    """NT-Xent over the second round, with and without given weights."""
    pictures = []
    for target in dict.fromkeys(str(row["target"]) for row in history):
        lines: dict[str, dict[int, list[float]]] = {}
        for row in history:
            name = str(row["method"]).rpartition(", ")[0]
            ours = str(row["target"]) == target and row["phase"] == _ROUND and "contrast" in name
            if ours and (loss := number(row["loss"])) is not None:
                lines.setdefault(name, {}).setdefault(int(row["epoch"]), []).append(loss)
        if max((len(line) for line in lines.values()), default=0) > 1:
            figure = _curves(lines)
            said = "; ".join(f"{name}: last {fmean(line[max(line)]):.3f}" for name, line in lines.items())
            caption = f"{target}: the second round by contrast, from given weights and from random ones."
            pictures.append(figure_chart(figure, f"NT-Xent loss over the second round, {target}. {said}", caption))
    return pictures


def _curves(lines: dict[str, dict[int, list[float]]]) -> Figure:
    figure, axis = new_figure(height=3.3)
    for place, (name, line) in enumerate(lines.items()):
        epochs = sorted(line)
        colour = domain_style(place)[0]
        done = [100 * epoch / epochs[-1] for epoch in epochs]
        axis.plot(done, [fmean(line[epoch]) for epoch in epochs], color=colour, linewidth=1.4, label=name)
    axis.set_title("Loss of the second round")
    axis.set_xlabel("part of the round (%)")
    axis.set_ylabel("NT-Xent (nats)")
    figure.legend(loc="outside lower center", ncols=2, frameon=False, labelcolor=INK, fontsize=9)
    return figure
