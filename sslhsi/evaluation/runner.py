"""The one runner: labelled scenes x protocols x seeds x networks x probes -> rows, into a CSV that can be resumed."""

from __future__ import annotations

import csv
import functools
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from sslhsi.errors import InputError
from sslhsi.evaluation.labelled_scene import LabelledScene, Protocol
from sslhsi.evaluation.labelled_windows import LabelledWindows
from sslhsi.evaluation.measure import score_columns
from sslhsi.evaluation.network import PRETRAINED, SCRATCH, Method, Network
from sslhsi.evaluation.rows import COLUMNS, KEY, RENAMED, ResultRow
from sslhsi.evaluation.smoothed import SMOOTHED, smoothable, smoothed_labels, surroundings
from sslhsi.evaluation.window_means import WindowMeans
from sslhsi.finetune.finetune import fine_tune
from sslhsi.finetune.samples import Remembered
from sslhsi.finetune.settings import FineTuning, described
from sslhsi.probes.context import WINDOW
from sslhsi.probes.fit import NEIGHBOURS, PROBES, fit_best
from sslhsi.splits.split import Split
from sslhsi.training.progress import progress
from sslhsi.training.provenance import git_revision, machine
from sslhsi.training.row_file import RowFile

TUNE = "fine-tune"
READ_OUTS = (*PROBES, *SMOOTHED, TUNE)
DEFAULTS = FineTuning()
Labelled = LabelledScene | LabelledWindows


@dataclass(frozen=True)
class ProbeSettings:
    """How probes are fitted: settings of the fine-tuning, neighbours of k-NN, and whether its vote is weighted."""

    tuning: FineTuning = DEFAULTS
    k: int = NEIGHBOURS
    weighted: bool = True

    def of(self, probe: str) -> str:
        """In words, as rows give them."""
        if probe == "k-NN":
            return f"k {self.k}, {'weighted' if self.weighted else 'plain'} vote"
        return described(self.tuning) if probe == TUNE else ""


USUAL = ProbeSettings()


@dataclass(frozen=True)
class Job:
    """One row to be measured."""

    labelled: Labelled
    protocol: Protocol[Any]
    seed: int
    network: Method | None
    probe: str
    settings: str

    @cached_property
    def row(self) -> ResultRow:
        """All that is known beforehand."""
        labelled, protocol, network = self.labelled, self.protocol, self.network
        row = ResultRow(
            task=labelled.task,
            scene=labelled.name,
            kind=labelled.kind,
            data=labelled.digest,
            protocol=protocol.title or protocol.split,
            split=protocol.split,
            per_class="all" if protocol.per_class is None else protocol.per_class,
            seed=self.seed,
            window=labelled.window,
            method=labelled.baseline,
            probe=self.probe,
            settings=self.settings,
            pretraining="none",
            pretraining_saw_pixels="no",
            projection_saw_pixels="no",
            projection_scope="none",
            note=labelled.note,
        )
        if network is None:
            return row
        row = replace(row, **network.columns)
        scratch = self.probe == TUNE and network.method != PRETRAINED
        return replace(row, method=SCRATCH) if scratch else row


def evaluate(
    labelled: Sequence[Labelled],
    path: str | Path | None = None,
    *,
    probes: Mapping[str, int],
    settings: ProbeSettings = USUAL,
    show: bool = True,
) -> list[ResultRow]:
    """Measure what is not measured yet, and append it to a CSV as it comes.

    On every split each method meets each probe: raw spectra and window means (no fine-tuning), and the networks.
    Random weights are drawn anew for each of the first seeds and then again in turn, and so pretrainings of several
    seeds take turns; fine-tuning random weights is training from scratch. All methods see identical splits. Features
    are computed once per labelled scene and method; where a method offers several, those are taken that suit the
    training samples best.

    A split that can't be drawn, and a probe that can't be fitted, leave a row whose ``note`` says why. Rows
    that are there already (see :data:`sslhsi.evaluation.rows.KEY`, which holds hashes of the data and of the
    backbone) are skipped, so the same call goes on after a kill.

    Args:
        labelled: What to evaluate on.
        path: The CSV; None keeps the rows in memory.
        probes: Seeds by probe: ``k-NN``, ``linear``, ``SVM``, one of ``SMOOTHED``, ``fine-tune``. Where a protocol
            leaves nothing to chance, all but the last run once for each of a method's networks. What is smoothed
            needs pixels of a scene, raw spectra of a scene that was read.
        settings: Of the probes.
        show: Show progress, rate and time left.

    Returns:
        The rows that were asked for, in order, wherever they were measured.

    Raises:
        InputError: A probe is not known, the file can't be written or holds another table, or a backbone
            does not fit a camera. Rows measured before that are kept.
    """
    if unknown := sorted(set(probes) - {*READ_OUTS}):
        raise InputError(f"probe {unknown[0]!r} is not known: use one of {'; '.join(READ_OUTS)}")
    columns = _columns(path)
    with RowFile(path, columns) as table:
        measured = {row.key: row for row in map(ResultRow.from_csv, table.rows)}
        jobs = [job for one in labelled for job in _jobs(one, probes, settings)]
        missing = [job for job in jobs if job.row.key not in measured]
        with progress("evaluation: row", len(jobs), len(jobs) - len(missing), show=show) as advance:
            done = len(jobs) - len(missing)
            for one in labelled:
                for row in _measure(one, [job for job in missing if job.labelled is one], settings):
                    texts = row.to_csv()
                    table.add({column: texts[RENAMED.get(column, column)] for column in columns})
                    measured[row.key] = row
                    done += 1
                    advance(done, f"{row.scene}, {row.setting}, {row.method}, {row.probe}")
    return [measured[key] for key in dict.fromkeys(job.row.key for job in jobs)]


def _columns(path: str | Path | None) -> tuple[str, ...]:
    """Columns of a table to append to: those of one that an earlier version began, otherwise all."""
    if path is None or not Path(path).is_file():
        return COLUMNS
    with Path(path).open(newline="", encoding="utf-8", errors="replace") as stream:
        head = tuple(next(csv.reader(stream), ()))
    names = {RENAMED.get(column, column) for column in head}
    return head if set(KEY) <= names <= set(COLUMNS) else COLUMNS


def _jobs(labelled: Labelled, probes: Mapping[str, int], settings: ProbeSettings) -> Iterator[Job]:
    for protocol in labelled.protocols:
        for seed in range(max(probes.values(), default=0)):
            for network in (None, *labelled.networks):
                for probe, seeds in probes.items():
                    if seed < _times(labelled, protocol, network, probe, seeds):
                        taken = network.of(seed) if network else None
                        yield Job(labelled, protocol, seed, taken, probe, settings.of(probe))


def _times(labelled: Labelled, protocol: Protocol[Any], method: Method | None, probe: str, seeds: int) -> int:
    """How often a probe of a method is run on a protocol: without chance once for each of its networks."""
    if probe == TUNE:
        return seeds if isinstance(method, Network) else 0
    if probe in SMOOTHED and not smoothable(labelled, method):
        return 0
    return seeds if protocol.chance else min(seeds, method.count if method else 1)


def _measure(labelled: Labelled, jobs: Iterable[Job], settings: ProbeSettings) -> Iterator[ResultRow]:
    """Rows of jobs on one labelled scene; those of one split share its drawing, those of one network its features."""
    splits: dict[tuple[int, int], list[Job]] = {}
    for job in jobs:
        splits.setdefault((id(job.protocol), job.seed), []).append(job)
    bench = _Bench(labelled, settings)
    for some in splits.values():
        yield from bench.rows(some)


class _Bench:
    """A labelled scene with what is computed once for it."""

    def __init__(self, labelled: Labelled, settings: ProbeSettings) -> None:
        self.labelled, self.settings = labelled, settings
        self.features: dict[int | None, dict[str, np.ndarray]] = {}
        self.readers: dict[tuple[int, int], Remembered] = {}

    @cached_property
    def made(self) -> dict[str, Any]:
        return {"git": git_revision(), "machine": machine()["cpu"]}

    def rows(self, jobs: Sequence[Job]) -> Iterator[ResultRow]:
        """Measure jobs of one split; a note for each where there is no such split."""
        try:
            drawn = jobs[0].protocol.draw(jobs[0].seed)
        except InputError as error:
            yield from (replace(job.row, note=str(error)) for job in jobs)
            return
        sides = functools.cache(functools.partial(self.labelled.sides, drawn))
        for job in jobs:
            smoothed = job.probe in SMOOTHED
            reach = max(self.labelled.window, job.network.window if job.network else 1)
            train, test, columns = sides(reach + WINDOW - 1 if smoothed else reach)
            row = replace(job.row, **columns, train=len(train), test=len(test))
            x = {} if job.probe == TUNE else (self.wide if smoothed else self).encoded(job.network)
            began = time.perf_counter()
            try:
                if job.probe == TUNE:
                    name, predicted = "", self.fine_tuned(job.network, drawn, job.seed)
                elif smoothed:
                    name, predicted = self.smoothed(job, x, drawn)
                else:
                    name, predicted = self.probed(job, x, train, test)
            except InputError as error:
                yield replace(row, note=str(error))
                continue
            scores = score_columns(self.labelled.labels[test], predicted)
            yield replace(
                row,
                chosen=name if len(x) > 1 else "",
                **scores,
                **self.made,
                seconds=round(time.perf_counter() - began, 3),
            )

    def probed(
        self, job: Job, x: Mapping[str, np.ndarray], train: np.ndarray, test: np.ndarray
    ) -> tuple[str, np.ndarray]:
        """Features that suit the training samples best, and labels of the test samples by a probe on them."""
        known = {name: features[train] for name, features in x.items()}
        k, weighted = self.settings.k, self.settings.weighted
        y = self.labelled.labels[train]
        name, predict = fit_best(job.probe, known, y, seed=job.seed, k=k, weighted=weighted)
        return name, predict(x[name][test])

    @cached_property
    def wide(self) -> _Bench:
        """The same for all pixels that smoothing takes into account."""
        assert isinstance(self.labelled, LabelledScene)
        return _Bench(surroundings(self.labelled), self.settings)

    def smoothed(self, job: Job, x: Mapping[str, np.ndarray], drawn: Split) -> tuple[str, np.ndarray]:
        """As :meth:`probed`, from features of all pixels that smoothing takes into account."""
        wide = self.wide.labelled
        assert isinstance(wide, LabelledScene)
        assert isinstance(self.labelled, LabelledScene)
        known = drawn.train, self.labelled.label_map[tuple(drawn.train.T)]
        return smoothed_labels(wide, x, known, drawn.test, by_likeness=SMOOTHED[job.probe], seed=job.seed)

    def encoded(self, network: Method | None) -> dict[str, np.ndarray]:
        """(n, D) features of all samples; by name where a probe may choose."""
        key = None if network is None else id(network)
        if isinstance(network, WindowMeans):
            # Its variants, and the choice between them, share the work.
            key = id(network.projector)
            if key not in self.features:
                self.features[key] = self.labelled.window_means(network.projector)
            return {name: self.features[key][name] for name in network.variants}
        if key not in self.features:
            self.features[key] = {"": self.labelled.features(network)}
        return self.features[key]

    def fine_tuned(self, network: Method | None, drawn: Split, seed: int) -> np.ndarray:
        """Labels of the test samples by a network fine-tuned on the training pixels; pixels of a sample vote."""
        scene = self.labelled
        if not isinstance(network, Network) or not isinstance(scene, LabelledScene):
            raise InputError("fine-tuning needs a network and a labelled scene")
        encoder = network.encoder
        shared = id(encoder.projector), encoder.window
        if shared not in self.readers:
            self.readers[shared] = Remembered(encoder.backbone, scene.reader(encoder), encoder.windows(scene.pixels))
        reader, labels = self.readers[shared], scene.label_map[tuple(drawn.train.T)]
        tuning = self.settings.tuning
        tuned = fine_tune(encoder.backbone, reader, encoder.windows(drawn.train), labels, tuning, seed=seed)
        return scene.vote(drawn.test, tuned.predict(reader, encoder.windows(drawn.test)))
