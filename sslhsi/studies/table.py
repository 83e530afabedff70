"""The table of a study: rows that are added one by one, each with the losses that led to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from sslhsi.training.provenance import git_revision, machine
from sslhsi.training.row_file import RowFile

# What a row of labelled transfer holds. A row is one training, judged once.
COLUMNS = (
    "experiment", "method", "network", "source", "target", "kind", "data", "split", "per_class", "train", "test",
    "seed", "settings", "epochs", "oa", "aa", "kappa", "f1_macro", "oa_low", "oa_high", "leak", "leak_overlap",
    "left_out", "short", "trainable", "parameters", "macs", "seconds_per_step", "seconds", "note", "git", "machine",
)  # fmt: skip
KEY = ("experiment", "method", "network", "source", "target", "data", "split", "per_class", "seed", "settings")
HISTORY = ("epoch", "phase", "loss", "accuracy")


class Table:
    """The rows of an experiment with the losses of every epoch, in a folder; each row is kept as soon as it is there.

    Args:
        folder: Gets ``rows.csv`` and ``history.csv``; None keeps both in memory.
        columns: Of the rows.
        key: The columns by which a row that is there already is known again.

    Raises:
        InputError: As for :class:`sslhsi.training.row_file.RowFile`.
    """

    def __init__(self, folder: Path | None, columns: Sequence[str] = COLUMNS, key: Sequence[str] = KEY) -> None:
        self.key = tuple(key)
        self._rows = RowFile(None if folder is None else folder / "rows.csv", columns)
        self._there = {self._of(row): row for row in self._rows.rows}
        try:
            self._history = RowFile(None if folder is None else folder / "history.csv", (*self.key, *HISTORY))
        except BaseException:
            self._rows.close()
            raise
        self._made = {"git": git_revision(), "machine": machine()["cpu"]}

    def __enter__(self) -> Table:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._rows.close()
        self._history.close()

    @property
    def rows(self) -> list[dict[str, str]]:
        return self._rows.rows

    @property
    def history(self) -> list[dict[str, str]]:
        """Rows of ``history.csv``, of finished rows only; of a training that was begun twice, the last."""
        entries: dict[tuple[str, ...], dict[str, str]] = {}
        for row in self._history.rows:
            if self._of(row) in self._there:
                entries[*self._of(row), row["phase"], row["epoch"]] = row
        return list(entries.values())

    def has(self, row: Mapping[str, Any]) -> bool:
        """Whether a row with the same key is there."""
        return self._of(row) in self._there

    def add(self, row: Mapping[str, Any], history: Iterable[Mapping[str, Any]] = ()) -> None:
        """Append a row, with the losses that led to it (see ``HISTORY``), and the code and machine that made it."""
        columns = {column: row.get(column, "") for column in self.key}
        for epoch in history:
            self._history.add({**columns, **{k: epoch.get(k, "") for k in HISTORY}})
        self._rows.add({**row, **self._made})
        self._there[self._of(self._rows.rows[-1])] = self._rows.rows[-1]

    def _of(self, row: Mapping[str, Any]) -> tuple[str, ...]:
        return tuple(str(row.get(column, "")) for column in self.key)
