"""Charts of multitask learning: accuracy over the samples per class, and seconds together against separately."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from matplotlib.figure import Figure

from sslhsi.report.bars import grouped_bars
from sslhsi.report.chart import Chart, figure_chart
from sslhsi.report.plots import legend_below, short
from sslhsi.report.scores import KINDS
from sslhsi.report.tables import Row, number
from sslhsi.studies.multitask.settings import METHODS

# Methods in a legend: what becomes of the first convolution.
_LEGEND = {
    METHODS["single"]: "single task",
    METHODS["shared"]: "shared",
    METHODS["shared_wavelength"]: "shared, by wavelength",
    METHODS["own"]: "own",
    METHODS["inverse"]: "shared, inverted bands",
}
_FIRST = "Shared, own: the tasks' first convolution."
Points = Mapping[int, Sequence[float]]  # values over seeds by samples per class


def charts(rows: Sequence[Row], history: Sequence[Row] = ()) -> list[Chart]:
    """Every target's accuracy by network and split, then what joint and separate trainings cost.

    Rows of a self-supervised backbone stand in the charts of both networks. Only rows with figures count.

    Args:
        rows: As :func:`sslhsi.studies.experiment.run_experiment` gives them.
        history: Not drawn.
    """
    scored = [row for row in rows if number(row.get("oa")) is not None and number(row.get("per_class")) is not None]
    ours = [row for row in scored if row["method"] in METHODS.values()]
    places = dict.fromkeys(
        (row["kind"], row["target"], row["split"], row["network"]) for row in ours
    ) or dict.fromkeys((row["kind"], row["target"], row["split"], "") for row in scored)
    order = sorted(places, key=lambda place: [*KINDS, place[0]].index(place[0]))
    pictures = [_accuracy(place, [row for row in scored if _belongs(row, place)]) for place in order]
    for network, names, split in dict.fromkeys(
        (row["network"], _together(row), row["split"]) for row in ours if row.get("source")
    ):
        mine = [row for row in ours if row["network"] == network and row["split"] == split]
        pictures += _seconds(network, names, mine)
    return pictures


def _belongs(row: Row, place: tuple[str, ...]) -> bool:
    kind, target, split, network = place
    here = (row["kind"], row["target"], row["split"]) == (kind, target, split)
    return here and (row["network"] == network or row["method"] not in METHODS.values())


def _together(row: Row) -> tuple[str, ...]:
    """Names of the scenes that trained together, the same whichever of them is the target."""
    return tuple(sorted((row["target"], *(name for name in str(row["source"]).split(" + ") if name))))


def _accuracy(place: tuple[str, ...], rows: Sequence[Row]) -> Chart:
    kind, target, split, network = place
    lines: dict[tuple[str, str], dict[int, list[float]]] = {}
    for row in rows:
        source = str(row.get("source", "")) if row["method"] in METHODS.values() else ""
        points = lines.setdefault((row["method"], source), {})
        points.setdefault(int(row["per_class"]), []).append(float(row["oa"]))
    several = len({source for _, source in lines if source}) > 1
    named = {
        _LEGEND.get(method, method) + (f": {source}" if several and source else ""): points
        for (method, source), points in lines.items()
    }
    title = ", ".join(filter(None, (target, network, f"{split} pixels")))
    figure = _figure(named, title, "overall accuracy (%), not from 0")
    seeds = len({row["seed"] for row in rows})
    caption = (
        f"{KINDS.get(kind, kind)}: mean and standard deviation over {seeds} seed{'s' if seeds > 1 else ''}. {_FIRST}"
    )
    return figure_chart(figure, f"Overall accuracy, {title}. {_words(named)}", caption)


def _seconds(network: str, names: tuple[str, ...], rows: Sequence[Row]) -> list[Chart]:
    """Seconds of a joint training beside those of its tasks' own; nothing where one of them was not measured."""
    single = {
        (row["target"], row["per_class"], row["seed"]): float(row["seconds"]) for row in rows if not row.get("source")
    }
    methods = dict.fromkeys(row["method"] for row in rows if row.get("source") and _together(row) == names)
    apart: dict[int, dict[str, float]] = {}
    joint: dict[str, dict[int, list[float]]] = {}
    for method in methods:
        mine = [row for row in rows if row["method"] == method and row.get("source") and _together(row) == names]
        for n, seed in dict.fromkeys((row["per_class"], row["seed"]) for row in mine):
            alone = [single.get((name, n, seed)) for name in names]
            here = [row for row in mine if (row["per_class"], row["seed"]) == (n, seed)]
            if None in alone or {row["target"] for row in here} != set(names):
                continue
            # Targets of two cameras need two trainings, which the bands in the settings tell apart.
            trainings = {row["settings"]: float(row["seconds"]) for row in here}
            apart.setdefault(int(n), {})[seed] = sum(s for s in alone if s is not None)
            joint.setdefault(method, {}).setdefault(int(n), []).append(sum(trainings.values()))
    if not joint:
        return []
    drawn: dict[str, Points] = {
        "separate trainings": {n: list(by_seed.values()) for n, by_seed in apart.items()},
        **{_LEGEND[method]: points for method, points in joint.items()},
    }
    title = f"Training time, {network}: {' + '.join(short(name, 24) for name in names)}"
    figure = _figure(drawn, f"Training time, {network}", "seconds for all of them", zero=True)
    caption = (
        f"{title}. Separate trainings added up against joint training for all of them, without predictions. {_FIRST}"
    )
    return [figure_chart(figure, f"{title}. {_words(drawn, ' s')}", caption)]


def _words(lines: Mapping[str, Points], suffix: str = "") -> str:
    """Means of every line, ``shared: 81.0 at 5, 90.2 at 10``."""
    return "; ".join(
        f"{name}: " + ", ".join(f"{fmean(values):.1f}{suffix} at {n}" for n, values in sorted(points.items()))
        for name, points in lines.items()
    )


def _figure(lines: Mapping[str, Points], title: str, label: str, *, zero: bool = False) -> Figure:
    """Bars side by side at each number of samples per class; names of methods are long, so each has its own line."""
    sizes = sorted({size for points in lines.values() for size in points})
    groups = {str(n): {name: points[n] for name, points in lines.items() if n in points} for n in sizes}
    figure = grouped_bars(groups, short(title, 64), label)
    axis = figure.axes[0]
    axis.set_xlabel("training samples per class")
    if zero:
        axis.set_ylim(bottom=0)
    figure.legends[0].remove()
    figure.set_figheight(3.2 + 0.2 * len(lines))
    legend_below(figure, 1, loc="outside lower left")
    return figure
