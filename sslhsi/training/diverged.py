"""A loss that is not finite: at which step it first was, and on which windows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sslhsi.corpus.corpus import Corpus
from sslhsi.corpus.reader import PatchReader
from sslhsi.errors import InputError
from sslhsi.files import write_rows


class LossWatch:
    """The first step whose loss was not finite, noted on the device, so that no step waits for it."""

    def __init__(self, device: torch.device) -> None:
        self._first = torch.tensor(-1, device=device)

    def note(self, loss: Tensor, step: int) -> None:
        bad = ~torch.isfinite(loss) & (self._first < 0)
        self._first = torch.where(bad, step, self._first)

    @property
    def first(self) -> int | None:
        """The step, counted from 0; None while all is well."""
        step = int(self._first)
        return None if step < 0 else step


def diverged(
    run: Path, corpus: Corpus, reader: PatchReader, batch: np.ndarray, step: int, *, write: bool = True
) -> InputError:
    """The error to raise, naming the batch; its windows are written to a table in the run directory.

    Args:
        run: Run directory.
        corpus: What the windows are cut from.
        reader: Reads them.
        batch: (n, 3) scene number, row and column of the windows of the global batch.
        step: The step, counted from 0.
        write: Write the table; one process does.
    """
    parts = np.split(batch, range(256, len(batch), 256))
    finite = torch.cat([torch.isfinite(reader.without_margin(part)).flatten(1).all(1) for part in parts])
    rows = [
        {"scene": corpus.scenes[scene].name, "row": row, "column": column, "finite": "yes" if good else "no"}
        for (scene, row, column), good in zip(batch.tolist(), finite.tolist(), strict=True)
    ]
    table = run / f"not_finite_step_{step + 1:06d}.csv"
    if write:
        write_rows(table, rows)
    wild = [row for row in rows if row["finite"] == "no"]
    cause, way_out = "all values of its batch are finite", "lower training.lr or raise training.warmup"
    if wild:
        cause = "of its batch these windows hold values that are not finite"
        way_out = "mask those pixels or leave the scene out, and start with another output="
    shown = "; ".join(f"{row['scene']} at row {row['row']}, column {row['column']}" for row in (wild or rows)[:3])
    more = f" and {len(wild or rows) - 3} more" if len(wild or rows) > 3 else ""
    return InputError(
        f"{run}: the loss is not finite from step {step + 1} on; {cause}: {shown}{more} (all in {table.name}); "
        f"{way_out}; the last checkpoint is kept"
    )
