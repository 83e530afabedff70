"""Trainings as rows of a study's table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sslhsi.encoder.encoder import Encoder
from sslhsi.evaluation.measure import score_columns, split_columns
from sslhsi.finetune.cost import step_macs
from sslhsi.finetune.finetune import FineTuned
from sslhsi.splits.protocols import protocol
from sslhsi.splits.split import Split
from sslhsi.studies.training_scene import TrainingScene


def protocol_columns(name: str, scheme: str) -> dict[str, Any]:
    """The columns ``split`` and ``per_class`` of a protocol under a scheme."""
    asked = protocol(name)
    counted = "counts" in asked
    return {
        "split": ("given counts" if scheme == "random" else f"{scheme}, given counts") if counted else scheme,
        "per_class": asked.get("per_class", ""),
    }


def data_columns(target: TrainingScene, sources: Sequence[TrainingScene] = ()) -> dict[str, Any]:
    """The columns that name the data: ``source``, ``target``, ``kind``, ``data``."""
    return {
        "source": " -> ".join(source.scene.name for source in sources),
        "target": target.scene.name,
        "kind": target.labelled.kind,
        "data": "-".join(s.labelled.digest for s in (target, *sources)),
    }


def training_row(
    job: Mapping[str, Any], drawn: Split, truth: np.ndarray, predicted: np.ndarray, tuned: FineTuned, macs: int
) -> dict[str, Any]:
    """A row of the table: scores, split and cost beside the columns that name the job."""
    cost = {**cost_columns(tuned, macs), "seconds": tuned.record["seconds"]}
    return {**job, **tested_columns(drawn, truth, predicted), **cost}


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


def test_row(scene: TrainingScene, drawn: Split, tuned: FineTuned, job: Mapping[str, Any]) -> dict[str, Any]:
    """The row of a training, tested on the split's test pixels; ``macs`` are per step of a full batch."""
    macs = macs_of_step(tuned, scene.encoder, len(drawn.train))
    return training_row(job, drawn, scene.labels[tuple(drawn.test.T)], scene.predict(tuned, drawn.test), tuned, macs)


def macs_of_step(tuned: FineTuned, encoder: Encoder, samples: int) -> int:
    """Multiply-adds of a training step of a full batch, or of all samples where they are fewer."""
    size = min(tuned.record["settings"]["batch_size"], samples)
    shape = (encoder.projector.channels, encoder.window, encoder.window)
    return step_macs(tuned.network, tuned.record, shape, size)


def epoch_entries(tuned: FineTuned, phase: str) -> list[dict[str, Any]]:
    """Entries of the history: loss and training accuracy in percent of every epoch."""
    return [
        {"epoch": e["epoch"], "phase": phase, "loss": round(e["loss"], 6), "accuracy": round(100 * e["accuracy"], 3)}
        for e in tuned.history
        if e["loss"] is not None
    ]
