"""Series of results: targets x protocols x seeds x methods x probes, row by row into one CSV that can be resumed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sslhsi.errors import InputError
from sslhsi.evaluation.measure import NEIGHBOURS, PROBES, Row, predict, projection_saw, score_columns, split_columns
from sslhsi.evaluation.targets import PRETRAINED, RAW, SCRATCH, Network, Protocol, Target
from sslhsi.finetune.finetune import FineTuning, fine_tune_pixels
from sslhsi.finetune.samples import Remembered
from sslhsi.finetune.settings import described
from sslhsi.splits.split import Split
from sslhsi.training.progress import progress
from sslhsi.training.provenance import git_revision, machine
from sslhsi.training.row_file import RowFile

TUNE = "fine-tune"
DEFAULTS = FineTuning()
COLUMNS = (
    "task", "scene", "kind", "protocol", "split", "per_class", "seed", "window", "method", "probe", "settings",
    "oa", "oa_low", "oa_high", "aa", "kappa", "f1_macro", "leak", "leak_overlap", "train", "test", "left_out",
    "short", "pretraining", "pretraining_saw_pixels", "projection_saw_pixels", "projection_scope", "corpus",
    "backbone", "data", "seconds", "git", "machine", "note",
)  # fmt: skip
# What makes a row: a series never measures twice what agrees in all of these.
KEY = ("task", "scene", "data", "protocol", "seed", "window", "method", "probe", "settings", "corpus", "backbone")


@dataclass(frozen=True)
class Job:
    """One row to be measured."""

    target: Target
    protocol: Protocol
    seed: int
    network: Network | None
    probe: str
    settings: str

    @property
    def columns(self) -> Row:
        """All columns that are known beforehand."""
        target, network = self.target, self.network
        row = {
            "task": target.task,
            "scene": target.scene.name,
            "kind": target.kind,
            "data": target.digest,
            "protocol": self.protocol.name,
            "split": self.protocol.split,
            "per_class": "all" if self.protocol.per_class is None else self.protocol.per_class,
            "seed": self.seed,
            "window": target.window,
            "method": RAW,
            "probe": self.probe,
            "settings": self.settings,
            "pretraining": "none",
            "pretraining_saw_pixels": "no",
            "projection_saw_pixels": "no",
            "projection_scope": "none",
            "corpus": "",
            "backbone": "",
            "note": target.note,
        }
        if network:
            projector = network.encoder.projector
            scratch = self.probe == TUNE and network.method != PRETRAINED
            row |= {
                "method": SCRATCH if scratch else network.method,
                "pretraining": network.pretraining,
                "pretraining_saw_pixels": network.saw,
                "projection_saw_pixels": projection_saw(projector, network.fitted),
                "projection_scope": projector.scope,
                "corpus": network.encoder.config.get("corpus", ""),
                "backbone": network.digest,
            }
        return row


def series(
    targets: Sequence[Target],
    path: str | Path | None = None,
    *,
    probes: Mapping[str, int],
    tuning: FineTuning = DEFAULTS,
    k: int = NEIGHBOURS,
    weighted: bool = True,
    show: bool = True,
) -> list[dict[str, str]]:
    """Measure what is not measured yet, and append it to a CSV as it comes.

    On every split of every target each method meets each probe: raw spectra (no fine-tuning), and the
    target's networks. Random weights are drawn anew for each of the first seeds and then again in turn, and so
    pretrainings of several seeds take turns; fine-tuning random weights is training from scratch. All methods
    see identical splits. Features are computed once per target and network.

    A split that can't be drawn, and a probe that can't be fitted, leave a row whose ``note`` says why. Rows
    that are there already (see ``KEY``, which holds hashes of the data and of the backbone) are skipped, so
    the same call goes on after a kill.

    Args:
        targets: What to judge.
        path: The CSV; None keeps the rows in memory.
        probes: Seeds by probe: ``k-NN``, ``linear``, ``SVM``, ``fine-tune``. Where a protocol leaves nothing
            to chance, the first three run once for each of a method's networks.
        tuning: Settings of the fine-tuning.
        k: Neighbours of k-NN.
        weighted: Whether its vote is weighted.
        show: Show progress, rate and time left.

    Returns:
        The rows that were asked for, in order, wherever they were measured; values are texts, as in the CSV.

    Raises:
        InputError: A probe is not known, the file can't be written or holds another table, or a backbone
            does not fit a camera. Rows measured before that are kept.
    """
    if unknown := sorted(set(probes) - {*PROBES, TUNE}):
        raise InputError(f"probe {unknown[0]!r} is not known: use {', '.join((*PROBES, TUNE))}")
    settings = dict.fromkeys(probes, "")
    settings["k-NN"] = f"k {k}, {'weighted' if weighted else 'plain'} vote"
    settings[TUNE] = described(tuning)
    with RowFile(path, COLUMNS) as table:
        there = {_key(row): row for row in table.rows}
        jobs = [job for target in targets for job in _jobs(target, probes, settings)]
        missing = [job for job in jobs if _found(job, there) is None]
        with progress("series: row", len(jobs), len(jobs) - len(missing), show=show) as advance:
            done = len(jobs) - len(missing)
            for target in targets:
                bench = _Bench(target)
                for mine in _by_split(job for job in missing if job.target is target):
                    for row in bench.rows(mine, tuning, k, weighted):
                        table.add(row)
                        there[_key(table.rows[-1])] = table.rows[-1]
                        done += 1
                        advance(done, f"{row['scene']}, {row['protocol']}, {row['method']}, {row['probe']}")
    found = [_found(job, there) for job in jobs]
    return list({_key(row): row for row in found if row}.values())


class _Bench:
    """One target with what is computed once for it."""

    def __init__(self, target: Target) -> None:
        scene = target.scene
        assert scene.labels is not None
        self.target = target
        self.pixels = np.argwhere(scene.labels > 0)
        labels = scene.labels[tuple(self.pixels.T)]
        if target.groups is None:
            self.sample = np.arange(len(self.pixels))
            self.labels = labels
        else:
            _, first, self.sample = np.unique(
                target.groups[tuple(self.pixels.T)], return_index=True, return_inverse=True
            )
            self.labels = labels[first]
        self.place = np.full(scene.labels.shape, -1)
        self.place[tuple(self.pixels.T)] = self.sample
        self.features: dict[int | None, np.ndarray] = {}
        self.made = {"git": git_revision(), "machine": machine()["cpu"]}
        self.readers: dict[tuple[int, int], Remembered] = {}

    def rows(self, jobs: Sequence[Job], tuning: FineTuning, k: int, weighted: bool) -> Any:
        """Measure jobs of one split; one row per job, or one note for all where there is no such split."""
        try:
            drawn = jobs[0].protocol.draw(jobs[0].seed)
        except InputError as error:
            for job in jobs:
                yield {**job.columns, "note": str(error)}
            return
        about = split_columns(drawn)
        if self.target.task == "spectra":
            # Where there are no positions, nobody can tell which spectra were neighbours.
            about |= {"leak": "", "leak_overlap": ""}
        train, test = (np.unique(self.place[tuple(side.T)]) for side in (drawn.train, drawn.test))
        for job in jobs:
            x = None if job.probe == TUNE else self.encoded(job.network)
            began = time.perf_counter()
            row = {**job.columns, **about, "train": len(train), "test": len(test)}
            try:
                if x is None:
                    assert job.network
                    predicted = self.tuned(job.network, drawn, test, tuning, job.seed)
                else:
                    y = self.labels[train]
                    predicted = predict(job.probe, x[train], y, x[test], seed=job.seed, k=k, weighted=weighted)
            except InputError as error:
                yield {**row, "note": str(error)}
                continue
            row |= score_columns(self.labels[test], predicted)
            yield {**row, **self.made, "seconds": round(time.perf_counter() - began, 3)}

    def encoded(self, network: Network | None) -> np.ndarray:
        """(n, D) features of all samples; raw spectra without a network."""
        key = None if network is None else id(network)
        if key not in self.features:
            scene = self.target.scene
            if network is None:
                x = np.asarray(scene.cube[tuple(self.pixels.T)], dtype=np.float32)
            else:
                x = network.encoder.encode_pixels(scene.cube, self.pixels, scene.wavelengths, mask=scene.mask)
            if self.target.groups is not None:
                total = np.zeros((len(self.labels), x.shape[1]))
                np.add.at(total, self.sample, x)
                x = (total / np.bincount(self.sample)[:, None]).astype(np.float32)
            self.features[key] = x
        return self.features[key]

    def tuned(self, network: Network, drawn: Split, test: np.ndarray, tuning: FineTuning, seed: int) -> np.ndarray:
        """Labels of the test samples by a network fine-tuned on the training pixels; pixels of a group vote."""
        scene = self.target.scene
        encoder = network.encoder
        shared = id(encoder.projector), encoder.window
        if shared not in self.readers:
            plain = encoder.reader(scene.cube, scene.wavelengths, mask=scene.mask)
            self.readers[shared] = Remembered(encoder.backbone, plain, encoder.windows(self.pixels))
        found, _ = fine_tune_pixels(encoder, scene, drawn, tuning, seed=seed, reader=self.readers[shared])
        # np.unique sorted the samples; a sample is one of the test side's, so its place is found by halving.
        where = np.searchsorted(test, self.place[tuple(drawn.test.T)])
        classes, number = np.unique(found, return_inverse=True)
        votes = np.zeros((len(test), classes.size), dtype=np.int64)
        np.add.at(votes, (where, number), 1)
        return classes[votes.argmax(axis=1)]


def _jobs(target: Target, probes: Mapping[str, int], settings: Mapping[str, str]) -> list[Job]:
    jobs = []
    for protocol in target.protocols:
        for seed in range(max(probes.values(), default=0)):
            for network in (None, *target.networks):
                for probe, seeds in probes.items():
                    chance = protocol.chance or probe == TUNE
                    drawn = network.count if network else 1
                    if seed < (seeds if chance else min(seeds, drawn)) and not (probe == TUNE and network is None):
                        own = network.of(seed) if network else None
                        jobs.append(Job(target, protocol, seed, own, probe, settings[probe]))
    return jobs


def _by_split(jobs: Any) -> list[list[Job]]:
    """Jobs gathered by protocol and seed, in order."""
    found: dict[tuple[int, int], list[Job]] = {}
    for job in jobs:
        found.setdefault((id(job.protocol), job.seed), []).append(job)
    return list(found.values())


def _found(job: Job, there: Mapping[tuple[str, ...], dict[str, str]]) -> dict[str, str] | None:
    return there.get(_key(job.columns))


def _key(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(row[column]) for column in KEY)
