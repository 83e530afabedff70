"""Rows of a study grouped as its charts draw them."""

from __future__ import annotations

from collections.abc import Sequence

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
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(str(row.get(column, "")) for column in columns), []).append(row)
    return groups


def places(rows: Sequence[Row], columns: Sequence[str] = PLACE) -> dict[tuple[str, ...], list[Row]]:
    """Rows with an accuracy by what is drawn together, without those of the sources."""
    scored = [row for row in rows if number(row.get("oa")) is not None and row["method"] != PRETRAINING]
    return grouped(scored, columns)


def methods(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows by method, in their order."""
    return {method: same for (method,), same in grouped(rows, ["method"]).items()}


def title_of(place: Sequence[str]) -> str:
    """A place in words, in the order of ``PLACE``; its kind is named unless the scene is plainly real."""
    kind, target, split, per_class = place
    words = [target, "" if kind == "real" else KINDS.get(kind, kind).lower(), split and f"{split} split"]
    return ", ".join(filter(None, [*words, per_class and f"{per_class} per class"]))
