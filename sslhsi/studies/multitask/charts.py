"""Charts of multitask learning: accuracy over the samples per class, and seconds together against separately."""

from __future__ import annotations

from collections.abc import Sequence

from sslhsi.evaluation.summary import grouped
from sslhsi.report.chart import Chart
from sslhsi.report.plots import short
from sslhsi.report.scores import KINDS
from sslhsi.studies.charts import by_size, group_chart, over_seeds, size_words, title_of
from sslhsi.studies.multitask.settings import METHODS
from sslhsi.studies.rows import History, StudyRow

# Methods in a legend: what becomes of the first convolution.
_LEGEND = {
    METHODS["single"]: "single task",
    METHODS["shared"]: "shared",
    METHODS["shared_wavelength"]: "shared, by wavelength",
    METHODS["separate"]: "separate",
    METHODS["inverse"]: "shared, inverted bands",
}
_FIRST = "Shared, separate: the tasks' first convolution"


def charts(rows: Sequence[StudyRow], history: History = ()) -> list[Chart]:
    """Every target's accuracy by network and split, then what joint and separate trainings cost.

    Rows of a self-supervised backbone stand in the charts of both networks. Only rows with figures count.

    Args:
        rows: As :func:`sslhsi.studies.experiment.run_experiment` gives them.
        history: Not drawn.
    """
    scored = [row for row in rows if row.oa is not None and row.per_class is not None]
    ours = [row for row in scored if _is_ours(row)]
    networks = list(dict.fromkeys(row.network for row in ours)) or [""]
    pictures = []
    by_place = grouped(scored, lambda row: (row.kind, row.target, row.split))
    for place in sorted(by_place, key=lambda place: [*KINDS, place[0]].index(place[0])):
        for network in networks:
            mine = [row for row in by_place[place] if row.network == network or not _is_ours(row)]
            if not network or any(_is_ours(row) for row in mine):
                pictures.append(_accuracy(title_of(*place), network, mine))
    for (network, names, split), mine in grouped(
        (row for row in ours if row.source), lambda row: (row.network, _together(row), row.split)
    ).items():
        alone = [row for row in ours if (row.network, row.split) == (network, split) and not row.source]
        pictures += _seconds(network, names, mine, alone)
    return pictures


def _is_ours(row: StudyRow) -> bool:
    return row.method in METHODS.values()


def _together(row: StudyRow) -> tuple[str, ...]:
    """Names of the scenes that trained together, the same whichever of them is the target."""
    return tuple(sorted((row.target, *filter(None, row.source.split(" + ")))))


def _accuracy(title: str, network: str, rows: Sequence[StudyRow]) -> Chart:
    several = len({row.source for row in rows if row.source and _is_ours(row)}) > 1

    def name(row: StudyRow) -> str:
        partners = f": {row.source}" if several and row.source and _is_ours(row) else ""
        return _LEGEND.get(row.method, row.method) + partners

    head = ", ".join(filter(None, ("Overall accuracy", network)))
    groups = by_size(rows, lambda row: row.oa, name)
    return group_chart(groups, head, "overall accuracy (%)", title, f"{over_seeds(rows)}. {_FIRST}")


def _seconds(
    network: str, names: tuple[str, ...], rows: Sequence[StudyRow], alone: Sequence[StudyRow]
) -> list[Chart]:
    """Seconds of joint trainings beside those of each task by itself; nothing where one of them was not measured."""
    single = {(row.target, row.per_class, row.seed): row.seconds for row in alone}
    apart: dict[str, dict[int | None, float]] = {}
    joint: dict[str, dict[str, list[float]]] = {}
    for (method, n, seed), mine in grouped(rows, lambda row: (row.method, row.per_class, row.seed)).items():
        apiece = [single.get((name, n, seed)) for name in names]
        if None in apiece or {row.target for row in mine} != set(names):
            continue
        # Targets of two cameras need two trainings, which the bands in the settings tell apart.
        trainings = {row.settings: row.seconds or 0.0 for row in mine}
        apart.setdefault(size_words(n), {})[seed] = sum(s for s in apiece if s is not None)
        joint.setdefault(size_words(n), {}).setdefault(_LEGEND[method], []).append(sum(trainings.values()))
    if not joint:
        return []
    rising = sorted(joint, key=lambda size: int(size.partition(" ")[0]))
    groups = {size: {"separate trainings": list(apart[size].values()), **joint[size]} for size in rising}
    title = f"{network}: {' + '.join(short(name, 24) for name in names)}"
    caption = f"Separate trainings added up against joint training for all of them, without predictions. {_FIRST}"
    return [group_chart(groups, "Training time", "seconds for all of them", title, caption, zero=True)]
