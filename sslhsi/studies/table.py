"""The table of a study: rows that are added one by one, each with the losses that led to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, Self, TypeVar

from sslhsi.errors import InputError
from sslhsi.studies.rows import Epoch, Made, StudyRow
from sslhsi.training.progress import progress
from sslhsi.training.provenance import git_revision, machine
from sslhsi.training.row_file import RowFile

R = TypeVar("R", bound=StudyRow)


class Table(ExitStack, Generic[R]):
    """The rows of an experiment with the losses of every epoch, in a folder; each row is kept as soon as it is there.

    Args:
        folder: Gets ``rows.csv`` and ``history.csv``.
        row: Kind of the rows.

    Raises:
        InputError: As for :class:`sslhsi.training.row_file.RowFile`, or a number can't be read.
    """

    def __init__(self, folder: Path, row: type[R]) -> None:
        super().__init__()
        self._made = {"git": git_revision(), "machine": machine()["cpu"]}
        with ExitStack() as opened:
            self._rows = opened.enter_context(RowFile(folder / "rows.csv", row.COLUMNS))
            self._history = opened.enter_context(RowFile(folder / "history.csv", (*row.KEY, *Epoch._fields)))
            self.rows = [row.from_csv(line) for line in self._rows.rows]
            self._losses = [(row.from_csv(line).key, Epoch.of(line)) for line in self._history.rows]
            self._there = {one.key: one for one in self.rows}
            self.push(opened.pop_all())

    def __enter__(self) -> Self:
        return self

    @property
    def history(self) -> list[tuple[R, Epoch]]:
        """Losses of finished rows; of a training that was begun twice, the last."""
        known = {(key, e.phase, e.epoch): e for key, e in self._losses if key in self._there}
        return [(self._there[key], epoch) for (key, _, _), epoch in known.items()]

    def has(self, row: StudyRow) -> bool:
        """Whether a row with the same key is there."""
        return row.key in self._there

    def add(self, row: R, history: Iterable[Epoch] = ()) -> None:
        """Append a row, with the losses that led to it, and the code and machine that made it."""
        row = replace(row, **self._made)
        texts = row.to_csv()
        for epoch in history:
            losses = {name: "" if value is None else value for name, value in epoch._asdict().items()}
            self._history.add({**{column: texts[column] for column in row.KEY}, **losses})
            self._losses.append((row.key, epoch))
        self._rows.add(texts)
        self.rows.append(row)
        self._there[row.key] = row


@dataclass(frozen=True)
class Job:
    """Rows to be measured together.

    Args:
        rows: All that is known of them beforehand.
        make: Gives them whole, each with the history of its training.
        needed: Others build on it: a failure ends the experiment, where otherwise the rows' ``note`` says so.
    """

    rows: Sequence[StudyRow]
    make: Callable[[], Iterable[Made]]
    needed: bool = False


def run_jobs(title: str, jobs: Sequence[Job], table: Table, show: bool) -> None:
    """Make the rows that a table lacks, one job after the other.

    Args:
        title: Of the progress.
        jobs: In order; what makes several rows is run again where one of them is missing.
        table: Gets the rows.
        show: Show progress, rate and time left.

    Raises:
        InputError: A job that others build on fails.
    """
    missing = [job for job in jobs if not all(map(table.has, job.rows))]
    total = sum(len(job.rows) for job in jobs)
    done = total - sum(len(job.rows) for job in missing)
    with progress(title, total, done, show=show) as advance:
        for job in missing:
            try:
                made = list(job.make())
            except InputError as error:
                if job.needed:
                    raise
                made = [(replace(row, note=str(error)), ()) for row in job.rows]
            for row, history in made:
                if not table.has(row):
                    table.add(row, history)
            done += len(job.rows)
            first = job.rows[0]
            advance(done, ", ".join(filter(None, (first.source, first.target, first.split, first.method))))
