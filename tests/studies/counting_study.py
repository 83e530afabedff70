"""A study that measures nothing: it counts its seeds."""

from __future__ import annotations

from typing import Literal

from sslhsi.studies.study import Experiment, Study

measured: list[int] = []


class Settings(Experiment):
    experiment: Literal["counting"]
    last: int = 3


def run(settings, table, show):
    for seed in range(settings.seeds):
        job = {"experiment": "counting", "method": f"m{seed % 2}", "target": "here", "kind": "real", "seed": seed}
        if table.has(job):
            continue
        measured.append(seed)
        history = [{"epoch": n, "phase": "target", "loss": 1 / n} for n in range(1, settings.last + 1)]
        table.add({**job, "oa": 50 + seed, "trainable": 10, "macs": 5e9}, history)


STUDY = Study("counting", "Counting", Settings, run, lambda rows, history: [])
