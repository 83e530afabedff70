"""Charts of domain-adaptive pretraining: initialisations under each readout, and the second round's loss."""

from __future__ import annotations

from collections.abc import Sequence

from sslhsi.evaluation.summary import grouped
from sslhsi.report.chart import Chart, figure_chart
from sslhsi.studies.adaptation.bench import AdaptationRow
from sslhsi.studies.adaptation.contrast import SECOND
from sslhsi.studies.charts import by_size, curves, epochs, group_chart, over_seeds, title_of
from sslhsi.studies.rows import History, StudyRow


def charts(rows: Sequence[AdaptationRow], history: History) -> list[Chart]:
    """Per target, split and readout a chart with the initialisations side by side; then the losses of rounds."""
    pictures = []
    scored = [row for row in rows if row.score is not None]
    for (kind, target, split), of_place in grouped(scored, lambda row: (row.kind, row.target, row.split)).items():
        for readout, mine in grouped(of_place, lambda row: _parts(row)[1]).items():
            label = "overall accuracy (%)" if mine[0].oa is not None else "micro F1 × 100"
            groups = by_size(mine, lambda row: row.score, lambda row: _parts(row)[0], "training images")
            head = f"{readout[0].upper()}{readout[1:]}"
            pictures.append(group_chart(groups, head, label, title_of(kind, target, split), over_seeds(mine)))
    return pictures + _losses(history)


def _parts(row: StudyRow) -> tuple[str, str]:
    """Initialisation and readout."""
    name, _, readout = row.method.rpartition(", ")
    return name, readout


def _losses(history: History) -> list[Chart]:
    """Loss over the second round, with and without given weights."""
    rounds = [one for one in history if one[1].phase == SECOND and "contrast" in one[0].method]
    pictures = []
    for target, mine in grouped(rounds, lambda one: one[0].target).items():
        lines = {name: epochs(same, "loss") for name, same in grouped(mine, lambda one: _parts(one[0])[0]).items()}
        if max(map(len, lines.values()), default=0) > 1:
            done = {name: {100 * e / max(line): loss for e, loss in line.items()} for name, line in lines.items()}
            said = "; ".join(f"{name}: last {line[max(line)]:.3f}" for name, line in lines.items())
            figure = curves(done, "Loss of the second round", "part of the round (%)", "NT-Xent (nats)")
            caption = f"{target}: the second round by contrast, from given weights and from random ones."
            pictures.append(figure_chart(figure, f"NT-Xent loss over the second round, {target}. {said}", caption))
    return pictures
