"""Charts of data-fusion transfer: bars of the methods, as figures 6 and 7 of AINet's paper."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from sslhsi.report.bars import grouped_bars
from sslhsi.report.chart import Chart, figure_chart
from sslhsi.report.scores import KINDS, METRICS
from sslhsi.report.tables import Row, number

# What is drawn together: rows of one scene, of one kind, on one split.
PLACE = ("kind", "target", "split", "per_class")
# The row of a source: how well it was learned, not a method.
SOURCE_ROW = "pretraining"
SHOWN = ("oa", "aa", "kappa")


def charts(rows: Sequence[Row], history: Sequence[Row]) -> list[Chart]:
    """A chart per target, split and number of samples that has two methods or more: OA, AA and kappa of each."""
    found = []
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
        found.append(figure_chart(figure, f"Accuracies by method, {title}; overall accuracy: {said}", caption))
    return found


def places(rows: Sequence[Row], without: Sequence[str] = ()) -> dict[tuple[str, ...], list[Row]]:
    """Scored rows by ``PLACE``; columns under ``without`` don't tell places apart. Sources' own rows are left out."""
    found: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        if number(row.get("oa")) is not None and row["method"] != SOURCE_ROW:
            key = tuple("" if column in without else str(row.get(column, "")) for column in PLACE)
            found.setdefault(key, []).append(row)
    return found


def methods(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows by method, in their order."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(str(row["method"]), []).append(row)
    return found


def title_of(place: Sequence[str]) -> str:
    """A place in words, its kind named unless the scene is plainly real."""
    kind, target, split, per_class = place
    words = [target, "" if kind == "real" else KINDS.get(kind, kind).lower(), split and f"{split} split"]
    return ", ".join(filter(None, [*words, per_class and f"{per_class} per class"]))
