"""What adaptation does on images and on cubes alike: initialisations of a target, each read out in two ways."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from torch import nn

from sslhsi.evaluation.labelled_scene import Protocol, Sides
from sslhsi.evaluation.measure import score_columns
from sslhsi.finetune.cost import step_macs
from sslhsi.finetune.finetune import fine_tune
from sslhsi.finetune.samples import Reader
from sslhsi.probes.linear import linear_probe
from sslhsi.probes.metrics import multilabel_scores
from sslhsi.studies.adaptation.settings import Settings
from sslhsi.studies.rows import Epoch, Made, StudyRow, cost_columns, epochs_of
from sslhsi.studies.table import Job
from sslhsi.studies.weights_cache import Kept, WeightsCache

PROBE, TUNED = "linear probe", "fine-tuned"
READOUTS = (PROBE, TUNED)
_COMMON = StudyRow.COLUMNS
_AT = _COMMON.index("f1_macro") + 1


@dataclass(frozen=True, kw_only=True)
class AdaptationRow(StudyRow):
    """An initialisation, read out on a target.

    Args:
        f1_micro, map: Micro F1 and mean average precision in percent, for targets of several labels.
        round_seconds: Of the second round.
    """

    COLUMNS = (
        *_COMMON[:_AT], "f1_micro", "map", *_COMMON[_AT:-3], "pretraining_saw_pixels", "round_seconds", *_COMMON[-3:],
    )  # fmt: skip

    f1_micro: float | None = None
    map: float | None = None
    round_seconds: float | None = None

    @property
    def score(self) -> float | None:
        """What initialisations are compared by."""
        return self.f1_micro if self.oa is None else self.oa


@dataclass(frozen=True)
class Initialisation:
    """Weights that a training on the target starts from.

    Args:
        given: Whether they come from the given weights, or from random ones.
        by: The second round, ``contrast`` or ``labels``; None without.
    """

    given: bool
    by: str | None = None

    def method(self, readout: str) -> str:
        """As rows name it: ``adapted by contrast, linear probe``."""
        if self.by is None:
            name = "pretrained" if self.given else "random weights" if readout == PROBE else "from scratch"
        else:
            name = f"adapted by {self.by}" if self.given else f"in-domain {self.by} alone"
        return f"{name}, {readout}"


class Stage(NamedTuple):
    """A network at a stage of adaptation, with a key that stands for it and what is known of its rounds."""

    key: str
    network: nn.Module
    about: Mapping[str, Any]


@dataclass
class Target(ABC):
    """Labelled samples, and a network for them at every stage; what is computed for a row is kept for the others.

    Args:
        settings: The recipe.
        row: With experiment, network, target, kind and data.
        labels: (n,) integers, or (n, L) zeros and ones where samples bear several labels.
        reader: Windows of the samples -> what networks take.
        shape: (K, S, S) of a window.
        divisions: How samples are divided.
        rounds: What second rounds there are, ``contrast`` or ``labels``.
        samples: What they are called.
        needed: A failure ends the experiment: every row would say the same.
    """

    settings: Settings
    row: AdaptationRow
    labels: np.ndarray
    reader: Reader
    shape: Sequence[int]
    divisions: Sequence[Protocol[Sides]]
    rounds: Sequence[str] = ("contrast",)
    needed: bool = False
    samples: str = "pixels"
    features: dict[str, np.ndarray] = field(default_factory=dict)

    @abstractmethod
    def windows(self, numbers: np.ndarray) -> np.ndarray:
        """(n,) numbers of samples -> (n, 3) windows for the reader."""

    @abstractmethod
    def stage(self, init: Initialisation, seed: int, tested: np.ndarray) -> Stage:
        """The network of an initialisation for a seed, trained if need be; ``tested`` numbers never train."""

    @abstractmethod
    def encode(self, network: nn.Module) -> np.ndarray:
        """(n, D) frozen features of all samples."""

    @abstractmethod
    def words(self, init: Initialisation) -> dict[str, Any]:
        """Columns ``source``, ``settings`` and ``pretraining_saw_pixels``; the first two tell what rows depend on."""

    def jobs(self) -> list[Job]:
        """A row per division, seed, initialisation (from scratch, pretrained, each round from either) and readout."""
        inits = [Initialisation(given, by) for by in (None, *self.rounds) for given in (False, True)]
        return [
            self._job(division, seed, init, readout)
            for division, seed, init, readout in product(self.divisions, range(self.settings.seeds), inits, READOUTS)
        ]

    def _job(self, division: Protocol[Sides], seed: int, init: Initialisation, readout: str) -> Job:
        words = self.words(init)
        how = f"C chosen on training {self.samples}" if readout == PROBE else str(self.settings.tuning)
        row = replace(
            self.row,
            **{**words, "settings": f"{words['settings']}; {how}"},
            method=init.method(readout),
            split=division.split,
            per_class=division.per_class,
            seed=seed,
        )
        return Job([row], lambda: [self._measured(row, division.draw(seed), init, readout)], self.needed)

    def _measured(self, row: AdaptationRow, drawn: Sides, init: Initialisation, readout: str) -> Made:
        train, test, columns = drawn
        assert row.seed is not None
        key, network, about = self.stage(init, row.seed, test)
        history = [Epoch.of(entry) for entry in about.get("history", ())]
        began = time.perf_counter()
        if readout == PROBE:
            if key not in self.features:
                self.features[key] = self.encode(network)
            x, y = self.features[key], self.labels[train]
            predicted = linear_probe_scores(x[train], y, x[test], row.seed)
            heads = y.shape[1] if y.ndim == 2 else np.unique(y).size
            cost = {"trainable": (x.shape[1] + 1) * heads, "parameters": sum(p.numel() for p in network.parameters())}
        else:
            tuning = self.settings.tuning.tuning()
            windows = self.windows(train)
            tuned = fine_tune(network, self.reader, windows, self.labels[train], tuning, seed=row.seed)
            predicted = tuned.predict(self.reader, self.windows(test))
            batch = min(tuning.batch_size, len(train))
            cost = cost_columns(tuned, step_macs(tuned.network, tuned.record, self.shape, batch))
            history += epochs_of(tuned, "target")
        row = replace(
            row,
            train=len(train),
            test=len(test),
            round_seconds=about["seconds"] if init.by else None,
            **cost,
            **columns,
            **_scores(self.labels[test], predicted),
            seconds=round(time.perf_counter() - began, 3),
        )
        notes = "; ".join(filter(None, (row.note, *about.get("notes", ()))))
        return replace(row, note=notes), history


def run_round(
    cache: WeightsCache,
    what: Mapping[str, Any],
    train: Callable[[], tuple[nn.Module, Iterable[Epoch]]],
    stage: str = "second",
    notes: Sequence[str] = (),
) -> Kept:
    """The weights of a round, trained and kept if they aren't there yet.

    Args:
        cache: Keeps them.
        what: All that they depend on, as JSON holds it.
        train: Gives the network that was trained, and its losses.
        stage: ``first`` or ``second``.
        notes: What rows shall say of the round.
    """

    def made() -> tuple[Mapping[str, Any], dict[str, Any]]:
        began = time.perf_counter()
        network, history = train()
        seconds = round(time.perf_counter() - began, 3)
        entries = [epoch._asdict() for epoch in history]
        return network.state_dict(), {"history": entries, "seconds": seconds, "notes": list(notes)}

    return cache.get(what, made, f"{stage}-")


def linear_probe_scores(train_x: np.ndarray, train_y: np.ndarray, test_x: np.ndarray, seed: int) -> np.ndarray:
    """(m,) labels by a linear probe; for (n, L) zeros and ones (m, L) probabilities by a probe for each label."""
    if train_y.ndim == 1:
        return linear_probe(train_x, train_y, seed=seed).predict(test_x)
    probabilities = np.empty((len(test_x), train_y.shape[1]))
    for label, marks in enumerate(train_y.T.astype(np.int64)):
        if marks.min() == marks.max():  # one class alone
            probabilities[:, label] = marks[0]
        else:
            probabilities[:, label] = linear_probe(train_x, marks, seed=seed).predict_proba(test_x)[:, 1]
    return probabilities


def _scores(truth: np.ndarray, predicted: np.ndarray) -> dict[str, Any]:
    if truth.ndim == 1:
        return score_columns(truth, predicted)
    measured = multilabel_scores(truth, predicted)
    named = {"f1_macro": "macro_f1", "f1_micro": "micro_f1", "map": "map"}
    return {column: round(measured[key], 3) for column, key in named.items()}
