"""Rows of studies: one training, tested once; and the losses that led to it, epoch by epoch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np

from sslhsi.evaluation.measure import score_columns, split_columns
from sslhsi.evaluation.rows import Measured
from sslhsi.finetune.finetune import FineTuned
from sslhsi.splits.split import Split

# The row that says how well a network learned its source, on pixels of the source that it didn't train on.
PRETRAINING = "pretraining"


@dataclass(frozen=True, kw_only=True)
class StudyRow(Measured):
    """A row of labelled transfer; see :class:`~sslhsi.evaluation.rows.Measured` for the columns of all rows.

    Args:
        experiment: Name of the study.
        network: Name of the network.
        source: What it was trained on before, in order.
        target: The scene that it is trained and tested on.
        epochs: Of the training.
        trainable, parameters: Numbers that train, and all of them.
        macs: Multiply-adds of a training step of a full batch.
        seconds_per_step: Of the training.

    Examples:
        >>> row = StudyRow(experiment="fusion", method="T1", target="salinas_a", seed=0, oa=90.5, macs=10)
        >>> StudyRow.from_csv(row.to_csv()) == row
        True
    """

    COLUMNS: ClassVar[tuple[str, ...]] = (
        "experiment", "method", "network", "source", "target", "kind", "data", "split", "per_class", "train", "test",
        "seed", "settings", "epochs", "oa", "aa", "kappa", "f1_macro", "oa_low", "oa_high", "leak", "leak_overlap",
        "left_out", "short", "trainable", "parameters", "macs", "seconds_per_step", "seconds", "note", "git",
        "machine",
    )  # fmt: skip
    KEY: ClassVar[tuple[str, ...]] = (
        "experiment", "method", "network", "source", "target", "data", "split", "per_class", "seed", "settings",
    )  # fmt: skip

    experiment: str = ""
    network: str = ""
    source: str = ""
    target: str = ""
    epochs: int | None = None
    trainable: int | None = None
    parameters: int | None = None
    macs: int | None = None
    seconds_per_step: float | None = None


class Epoch(NamedTuple):
    """Mean loss and training accuracy (percent) of an epoch of a training's phase; None where there is none."""

    epoch: int
    phase: str
    loss: float | None
    accuracy: float | None = None

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Self:
        """From numbers or their texts by name."""
        loss, accuracy = (None if entry.get(key) in (None, "") else float(entry[key]) for key in cls._fields[2:])
        return cls(int(entry["epoch"]), entry["phase"], loss, accuracy)


# A whole row with the losses that led to it.
Made = tuple[StudyRow, Iterable[Epoch]]
# The losses of all rows.
History = Sequence[tuple[StudyRow, Epoch]]


def tested_columns(drawn: Split, truth: np.ndarray, predicted: np.ndarray) -> dict[str, Any]:
    """``train`` and ``test``, the scores, and what the split is worth."""
    counts = {"train": len(drawn.train), "test": len(drawn.test)}
    return counts | score_columns(truth, predicted) | split_columns(drawn)


def cost_columns(tuned: FineTuned, macs: int) -> dict[str, Any]:
    """``epochs``, ``trainable``, ``parameters``, ``macs`` and ``seconds_per_step`` of a training."""
    record = tuned.record
    return {
        "epochs": record["epochs"],
        "trainable": record["trainable_parameters"],
        "parameters": record["parameters"],
        "macs": macs,
        "seconds_per_step": round(record["seconds_per_step"], 6),
    }


def epochs_of(tuned: FineTuned, phase: str) -> list[Epoch]:
    """The history of a training."""
    return [
        Epoch(e["epoch"], phase, round(e["loss"], 6), round(100 * e["accuracy"], 3))
        for e in tuned.history
        if e["loss"] is not None
    ]
