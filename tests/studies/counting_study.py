"""A study that measures nothing: it counts its seeds."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from sslhsi.studies.rows import Epoch, StudyRow
from sslhsi.studies.study import Experiment, Study
from sslhsi.studies.table import Job, run_jobs

measured: list[int] = []


class Settings(Experiment):
    experiment: Literal["counting"]
    last: int = 3


def run(settings, table, show):
    def job(seed):
        row = StudyRow(experiment="counting", method=f"m{seed % 2}", target="here", kind="real", seed=seed)

        def make():
            measured.append(seed)
            history = [Epoch(n, "target", 1 / n) for n in range(1, settings.last + 1)]
            return [(replace(row, oa=50.0 + seed, trainable=10, macs=5_000_000_000), history)]

        return Job([row], make)

    run_jobs("counting", [job(seed) for seed in range(settings.seeds)], table, show)


STUDY = Study("counting", "Counting", Settings, run, lambda rows, history: [])
