"""Multitask learning: one feature extractor trained for several labelled scenes at once.

After Liu and Shi, "Multitask Deep Learning With Spectral Knowledge for Hyperspectral Image Classification", IEEE
GRSL 17(12), 2020 (arXiv:1905.04535): window 9 (HResNet) or 5 (CCNN), edge-replicated borders, N(0, 0.01) weights,
every sample mirrored three ways, AdaDelta at 1.0 for 100 epochs and at 0.1 for 30, batches of 20, and the mode of
five predictions, one every two further epochs.

What the letter leaves open, and what is done here: in every step the largest task brings a batch of 20 and the
others as many fewer as they have fewer samples, so that an epoch is one pass over every task; the losses of the
tasks are added; batch normalisation takes its statistics from each task alone; each cube is divided by its largest
value.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import torch

from sslhsi.studies.multitask.network import WINDOWS
from sslhsi.studies.multitask.plan import Plan, Training
from sslhsi.studies.multitask.settings import Settings
from sslhsi.studies.multitask.training import make_task, train_jointly
from sslhsi.studies.rows import Made, tested_columns
from sslhsi.studies.self_supervised import self_supervised_jobs
from sslhsi.studies.table import Job, Table, run_jobs


def run(settings: Settings, table: Table, show: bool = True) -> None:
    """Add the rows that a table lacks: one per method, network, target, split and seed.

    A joint training fills the rows of all its targets; where some of them are missing it is trained again.
    ``seconds`` are those of the whole training, for all its tasks; ``macs`` those of a step of all tasks.

    Args:
        settings: What to compare.
        table: Where rows go.
        show: Show progress.

    Raises:
        InputError: Scenes, names or bands don't fit together; nothing is trained then. What stops a single
            training (a split that can't be drawn, a loss that is not finite) leaves rows whose ``note`` says so.
    """
    plan = Plan(settings)
    jobs = [
        Job([plan.row(one, k) for k in one.layout.targets], functools.partial(_trained, plan, one))
        for one in plan.trainings()
    ]
    if settings.self_supervised is not None:
        jobs += _self_supervised(plan, settings.self_supervised)
    run_jobs("multitask: row", jobs, table, show)


def _trained(plan: Plan, training: Training) -> Iterator[Made]:
    """The row of each of a training's targets, with its history."""
    layout, schedule = training.layout, plan.settings.schedule
    window, device = WINDOWS[training.network], torch.device("cuda" if torch.cuda.is_available() else "cpu")
    drawn = [plan.draw(i, training.scheme, training.per_class, training.seed, window) for i in layout.scenes]
    tasks = [
        make_task(plan.scenes[i], matrix / plan.scales[i], one, window, device)
        for i, matrix, one in zip(layout.scenes, layout.matrices, drawn, strict=True)
    ]
    joint = train_jointly(
        training.network,
        tasks,
        schedule,
        targets=layout.targets,
        separate_first=layout.method == "separate",
        seed=training.seed,
        device=device,
    )
    for k in layout.targets:
        truth = plan.labelled[layout.scenes[k]].label_map[tuple(drawn[k].test.T)]
        row = replace(
            plan.row(training, k),
            **tested_columns(drawn[k], truth, joint.predicted[k]),
            epochs=schedule.total,
            trainable=joint.parameters,
            parameters=joint.parameters,
            macs=joint.macs,
            seconds_per_step=round(joint.seconds / joint.steps, 6),
            seconds=round(joint.seconds, 3),
        )
        yield row, joint.history[k]


def _self_supervised(plan: Plan, folder: str) -> list[Job]:
    """A self-supervised backbone on the same splits, and the same network from scratch."""
    settings = plan.settings
    window = max(WINDOWS[name] for name in settings.networks)
    jobs = []
    for seed, scheme, n, i in product(range(settings.seeds), settings.schemes, settings.per_class, plan.targets):
        row = plan.target_row(i, scheme, n, seed)
        draw = functools.partial(plan.draw, i, scheme, n, seed, window)
        jobs += self_supervised_jobs(folder, plan.scenes[i], row, draw, phase="fine-tuning", its_window=True)
    return jobs
