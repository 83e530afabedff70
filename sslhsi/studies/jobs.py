"""Lists of trainings: what the table lacks is trained, tested and added, one row after the other."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from sslhsi.errors import InputError
from sslhsi.finetune.settings import FineTuning
from sslhsi.scenes.scene import Scene
from sslhsi.splits.split import Split
from sslhsi.studies.rows import data_columns, epoch_entries, macs_of_step, protocol_columns, test_row, training_row
from sslhsi.studies.self_supervised import opened, self_supervised_columns, self_supervised_rows
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
            advance(done, ", ".join(str(job.columns[key]) for key in ("target", "split", "method")))


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


def self_supervised_jobs(
    folder: str, target: TrainingScene, experiment: str, *, protocol: str, scheme: str, seed: int
) -> list[Job]:
    """A self-supervised backbone fine-tuned on a target's split, and its network from random weights."""
    jobs = []
    for pretrained in (True, False):
        columns = {
            "experiment": experiment,
            **data_columns(target),
            **self_supervised_columns(folder, target.scene, pretrained=pretrained),
            **protocol_columns(protocol, scheme),
            "seed": seed,
        }
        columns["settings"] = f"{protocol}; {columns['settings']}"
        draw = functools.partial(target.draw, protocol, scheme, seed)
        jobs.append(self_supervised_job(columns, folder, target.scene, draw, pretrained=pretrained))
    return jobs


def self_supervised_job(
    columns: dict[str, Any],
    folder: str,
    scene: Scene,
    draw: Callable[[], Split],
    *,
    pretrained: bool,
    phase: str = "target",
    its_window: bool = False,
) -> Job:
    """A backbone's fine-tuning as a job.

    Args:
        columns: All that names it, ``seed`` among them.
        folder: Of the backbone, or a hub id.
        scene: A labelled scene.
        draw: Gives the split.
        pretrained: False: its network with random weights.
        phase: As the history calls the training.
        its_window: The row's leak is that of the windows that this backbone takes in, not that of the split's.
    """

    def make() -> Made:
        drawn, encoder = draw(), opened(folder)
        predicted, tuned = self_supervised_rows(folder, scene, drawn, columns["seed"], pretrained=pretrained)
        assert scene.labels is not None
        truth = scene.labels[tuple(drawn.test.T)]
        macs = macs_of_step(tuned, encoder, len(drawn.train))
        if its_window:
            drawn = replace(drawn, window=encoder.window)
        return training_row(columns, drawn, truth, predicted, tuned, macs), epoch_entries(tuned, phase)

    return Job(columns, make)
