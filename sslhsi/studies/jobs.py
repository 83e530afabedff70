"""Lists of trainings: what the table lacks is trained, tested and added, one row after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from sslhsi.errors import InputError
from sslhsi.finetune.settings import FineTuning
from sslhsi.studies.rows import data_columns, epoch_entries, protocol_columns, test_row
from sslhsi.studies.table import Table
from sslhsi.studies.training_scene import TrainingScene
from sslhsi.training.progress import progress

Made = tuple[dict[str, Any], list[dict[str, Any]]]


@dataclass(frozen=True)
class Job:
    """A row to be measured.

    Args:
        columns: All that names it.
        make: Gives the whole row, and the history of its training.
        needed: Others build on it: a failure ends the experiment, where otherwise the row's ``note`` says so.
    """

    columns: dict[str, Any]
    make: Callable[[], Made]
    needed: bool = False


def run_jobs(title: str, jobs: Sequence[Job], table: Table, show: bool) -> None:
    """Make the rows that a table lacks.

    Args:
        title: Of the progress.
        jobs: In order.
        table: Gets the rows.
        show: Show progress, rate and time left.

    Raises:
        InputError: A job that others build on fails.
    """
    missing = [job for job in jobs if not table.has(job.columns)]
    done = len(jobs) - len(missing)
    with progress(title, len(jobs), done, show=show) as advance:
        for job in missing:
            try:
                row, history = job.make()
            except InputError as error:
                if job.needed:
                    raise
                row, history = {**job.columns, "note": str(error)}, []
            table.add(row, history)
            done += 1
            named = (str(job.columns.get(key, "")) for key in ("source", "target", "split", "method"))
            advance(done, ", ".join(filter(None, named)))


def target_job(
    target: TrainingScene,
    method: Mapping[str, Any],
    tuning: FineTuning,
    *,
    protocol: str,
    scheme: str,
    seed: int,
    sources: Sequence[TrainingScene] = (),
    weights: Callable[[], Mapping[str, Tensor]] | None = None,
) -> Job:
    """Train on a target's split and test on the rest.

    Args:
        target: The scene.
        method: Columns ``experiment``, ``method`` and ``settings``.
        tuning: How to train.
        protocol: How many pixels train, see :mod:`sslhsi.splits.protocols`.
        scheme: Of the split.
        seed: Of split, weights and order.
        sources: What the weights were pretrained on, in order.
        weights: Called for the weights to start from; None: random ones.
    """
    columns = {
        **method,
        "network": target.network.name,
        **data_columns(target, sources),
        **protocol_columns(protocol, scheme),
        "seed": seed,
    }

    def make() -> Made:
        drawn = target.draw(protocol, scheme, seed)
        tuned = target.train(drawn, tuning, seed, weights() if weights else None)
        return test_row(target, drawn, tuned, columns), epoch_entries(tuned, "target")

    return Job(columns, make)
