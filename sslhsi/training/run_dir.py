"""The run directory: one run at a time, and the log of its steps."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

from sslhsi.errors import InputError
from sslhsi.files import cannot_write, exclusive, read_rows, write_rows, writing
from sslhsi.training.row_file import RowFile

AGAIN = "check the folder, then start again: the run goes on from its last checkpoint"


# Files of a run that is under way; its provenance is written before them.
_WRITTEN = ("recipe.yaml", "metrics.csv", "results.csv", "report.html", "backbone")


def claim(folder: Path) -> IO[str]:
    """Make a run directory and lock it until the returned file is closed.

    Raises:
        InputError: It can't be written, another run is at work in it, or it holds files of those names that no run
            wrote.
    """
    if not (folder / "provenance.json").is_file() and (other := [n for n in _WRITTEN if (folder / n).exists()]):
        raise InputError(
            f"{folder / other[0]}: is there already, in no run's folder; move it away or give another output="
        )
    try:
        return exclusive(folder)
    except BlockingIOError:
        raise InputError(f"{folder}: another run is at work here; wait for it or give another output=") from None
    except OSError as error:
        raise cannot_write(folder, error, "give another output=") from None


class Metrics:
    """metrics.csv and TensorBoard's log: one row per logged step, cut back to where a resumed run takes up.

    Args:
        folder: The run directory.
        step: The step that the run takes up at; later rows of metrics.csv go.
        columns: Further columns, those of the method.

    Raises:
        InputError: Here and in every method: the disk is full or the folder can't be written.
    """

    COLUMNS = ("step", "epoch", "loss", "lr", "grad_norm", "patches_per_second", "knn", "knn_class", "rank", "spread")

    def __init__(self, folder: Path, step: int, columns: Sequence[str] = ()) -> None:
        from torch.utils.tensorboard import SummaryWriter

        table = folder / "metrics.csv"
        columns = (*self.COLUMNS, *columns)
        write_rows(table, [row for row in read_rows(table) if int(row["step"]) <= step], columns)
        self.board_folder = folder / "tensorboard"
        self.hook = threading.excepthook
        with ExitStack() as stack:
            self.table = stack.enter_context(RowFile(table, columns))
            # TensorBoard writes in a thread, which hands what stops it to the next call; it need not print it, too.
            stack.callback(setattr, threading, "excepthook", self.hook)
            threading.excepthook = self._quietly
            with writing(self.board_folder, AGAIN):
                self.board = SummaryWriter(str(self.board_folder), purge_step=step + 1 if step else None)
            self.closing = stack.pop_all()

    def add(self, row: Mapping[str, Any]) -> None:
        self.table.add(row)
        with writing(self.board_folder, AGAIN):
            for key, number in row.items():
                if key not in ("step", "epoch") and number != "":
                    self.board.add_scalar(key, number, row["step"])

    def close(self) -> None:
        with self.closing, writing(self.board_folder, AGAIN):
            self.board.close()

    def _quietly(self, problem: threading.ExceptHookArgs) -> None:
        if not (isinstance(problem.exc_value, OSError) and type(problem.thread).__module__.startswith("tensorboard")):
            self.hook(problem)
