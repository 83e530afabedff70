"""The run directory: one run at a time, tables written whole."""

from __future__ import annotations

import csv
import errno
import fcntl
import io
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from sslhsi.errors import InputError
from sslhsi.training.row_file import RowFile


def claim(folder: Path) -> IO[str]:
    """Make a run directory and lock it until the returned file is closed.

    Raises:
        InputError: It can't be written, or another run is at work in it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    except OSError as error:
        raise InputError(f"{folder}: can't be written ({error.strerror}); give another output=") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            raise InputError(f"{folder}: another run is at work here; wait for it or give another output=") from None
        # A file system without locks: better to run than to refuse.
        return (folder / ".lock").open("w")
    return lock


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    try:
        # Line ends are the text's own: a table's are those of CSV.
        part.write_text(text, encoding="utf-8", newline="")
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise InputError(
            f"{path}: can't be written ({error.strerror}); free some space or choose another folder"
        ) from None


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = ()) -> None:
    """Write a CSV whole or not at all; with the union of the rows' columns where none are given."""
    columns = list(columns) or list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def read_rows(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV; none when there is no such file."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


class Metrics:
    """metrics.csv and TensorBoard's log: one row per logged step, cut back to where a resumed run takes up.

    Args:
        folder: The run directory.
        step: The step that the run takes up at; later rows of metrics.csv go.

    Raises:
        InputError: Here and in every method: the disk is full or the folder can't be written.
    """

    COLUMNS = ("step", "epoch", "loss", "lr", "grad_norm", "patches_per_second", "knn")

    def __init__(self, folder: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        table = folder / "metrics.csv"
        write_rows(table, [row for row in read_rows(table) if int(row["step"]) <= step], self.COLUMNS)
        self.board_folder = folder / "tensorboard"
        self.table = RowFile(table, self.COLUMNS)
        # TensorBoard writes in a thread, which hands what stops it to the next call; it need not print it, too.
        self.hook = threading.excepthook
        threading.excepthook = self._quietly
        try:
            with self._naming_the_log():
                self.board = SummaryWriter(str(self.board_folder), purge_step=step + 1 if step else None)
        except InputError:
            threading.excepthook = self.hook
            self.table.close()
            raise

    def add(self, row: Mapping[str, Any]) -> None:
        self.table.add(row)
        with self._naming_the_log():
            for key, number in row.items():
                if key not in ("step", "epoch") and number != "":
                    self.board.add_scalar(key, number, row["step"])

    def close(self) -> None:
        self.table.close()
        try:
            with self._naming_the_log():
                self.board.close()
        finally:
            threading.excepthook = self.hook

    def _quietly(self, problem: threading.ExceptHookArgs) -> None:
        if not (isinstance(problem.exc_value, OSError) and type(problem.thread).__module__.startswith("tensorboard")):
            self.hook(problem)

    @contextmanager
    def _naming_the_log(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise InputError(
                f"{self.board_folder}: can't be written ({error.strerror or error}); free some space, then start "
                "again: the run goes on from its last checkpoint"
            ) from None
