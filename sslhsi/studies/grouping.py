"""Rows of a study grouped as its charts draw them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean

from sslhsi.evaluation import summary
from sslhsi.report.scores import KINDS
from sslhsi.report.tables import Row, number

# What is drawn together: rows of one scene, of one kind, on one split.
PLACE = ("kind", "target", "split", "per_class")
# The row that says how well a network learned its source, on pixels of the source that it didn't train on.
PRETRAINING = "pretraining"


def grouped(rows: Sequence[Row], columns: Sequence[str]) -> dict[tuple[str, ...], list[Row]]:
    """Rows by the texts of some columns, in the order of the rows; empty texts where a row lacks them.

    Examples:
        >>> grouped([{"method": "T1", "oa": 70}, {"method": "T2"}, {"method": "T1", "oa": 80}], ["method"])
        {('T1',): [{'method': 'T1', 'oa': 70}, {'method': 'T1', 'oa': 80}], ('T2',): [{'method': 'T2'}]}
    """
    return summary.grouped(rows, lambda row: tuple(str(row.get(column, "")) for column in columns))


def places(rows: Sequence[Row], columns: Sequence[str] = PLACE) -> dict[tuple[str, ...], list[Row]]:
    """Rows with an accuracy by what is drawn together, without those of the sources."""
    scored = [row for row in rows if number(row.get("oa")) is not None and row["method"] != PRETRAINING]
    return grouped(scored, columns)


def methods(rows: Sequence[Row], value: str | Callable[[Row], float | None]) -> dict[str, list[float]]:
    """Numbers of a column, or made of rows, by method in their order; methods without any are left out.

    Examples:
        >>> methods([{"method": "T1", "oa": 70.0}, {"method": "T2", "oa": ""}], "oa")
        {'T1': [70.0]}
    """
    of = value if callable(value) else lambda row: number(row[value])
    values = {
        method: [amount for row in same if (amount := of(row)) is not None]
        for (method,), same in grouped(rows, ["method"]).items()
    }
    return {method: some for method, some in values.items() if some}


def epochs(history: Sequence[Row], column: str) -> dict[int, float]:
    """Means of a column by epoch, in rising order; entries without a number are left out."""
    entries = [row for row in history if number(row[column]) is not None]
    by_epoch = summary.grouped(entries, lambda row: int(row["epoch"]))
    return {epoch: fmean(float(row[column]) for row in by_epoch[epoch]) for epoch in sorted(by_epoch)}


def means(values: Mapping[str, Sequence[float]], spec: str = ".1f") -> str:
    """Means by name in words: ``from scratch 70.5; T1 75.5``."""
    return "; ".join(f"{name} {fmean(some):{spec}}" for name, some in values.items())


def over_seeds(rows: Sequence[Row]) -> str:
    """What a chart's means are over: ``Means over 2 seeds``."""
    seeds = len({row["seed"] for row in rows})
    return f"Means over {seeds} seed{'' if seeds == 1 else 's'}"


def title_of(place: Sequence[str]) -> str:
    """A place in words, in the order of ``PLACE``; its kind is named unless the scene is plainly real."""
    kind, target, split, per_class = place
    words = [target, "" if kind == "real" else KINDS.get(kind, kind).lower(), split and f"{split} split"]
    return ", ".join(filter(None, [*words, per_class and f"{per_class} per class"]))
