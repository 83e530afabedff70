"""Rows of a study grouped as its charts draw them."""

from __future__ import annotations

from collections.abc import Sequence

from sslhsi.report.scores import KINDS
from sslhsi.report.tables import Row, number

# What is drawn together: rows of one scene, of one kind, on one split.
PLACE = ("kind", "target", "split", "per_class")
# The row that says how well a network learned its source, on pixels of the source that it didn't train on.
PRETRAINING = "pretraining"


def places(rows: Sequence[Row], without: Sequence[str] = ()) -> dict[tuple[str, ...], list[Row]]:
    """Scored rows by ``PLACE``; columns under ``without`` don't tell places apart. Sources' own rows are left out."""
    found: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        if number(row.get("oa")) is not None and row["method"] != PRETRAINING:
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
