"""A self-supervised backbone fine-tuned on the splits of the other methods, for the same tables."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace

import torch

from sslhsi.encoder.encoder import Encoder, untrained
from sslhsi.encoder.load import load_backbone
from sslhsi.errors import InputError
from sslhsi.evaluation.network import Network
from sslhsi.evaluation.pretraining_scenes import pretraining_of
from sslhsi.finetune.finetune import DEFAULT
from sslhsi.finetune.settings import described
from sslhsi.scenes.scene import Scene
from sslhsi.splits.split import Split
from sslhsi.studies.rows import StudyRow
from sslhsi.studies.table import Job
from sslhsi.studies.training_scene import TrainingScene


@functools.lru_cache(maxsize=2)
def opened(folder: str) -> tuple[Encoder, str]:
    """A backbone by folder or hub id, on the accelerator where there is one, and its digest; opened once.

    Raises:
        InputError: As for :func:`sslhsi.encoder.load.load_backbone`.
    """
    encoder = load_backbone(folder).to("cuda" if torch.cuda.is_available() else "cpu")
    return encoder, Network("pretrained", encoder).digest


def self_supervised_jobs(
    folder: str,
    scene: Scene,
    row: StudyRow,
    draw: Callable[[], Split],
    *,
    words: str = "",
    phase: str = "target",
    its_window: bool = False,
) -> list[Job]:
    """A backbone fine-tuned on a split, and its network behind the same projection from random weights.

    The column ``source`` says what the backbone was pretrained on, ``settings`` which backbone it is, and whether the
    scene's pixels were part of its pretraining (without labels).

    Args:
        folder: A backbone/ folder, a run that holds one, or a hub id.
        scene: A labelled scene, as it came.
        row: With experiment, split and ``seed``: of the fine-tuning, and of random weights.
        draw: Gives the split, the same as for the other methods.
        words: What ``settings`` begins with.
        phase: As the history calls the training.
        its_window: The row's leak is that of the windows that this backbone takes in, not that of the split's.

    Raises:
        InputError: As for :func:`opened`.
    """
    encoder, digest = opened(folder)
    target = TrainingScene(scene, encoder)

    def drawn() -> Split:
        made = draw()
        if made.scheme == "blocks" and encoder.window > made.window:
            raise InputError(
                f"{folder}: looks at windows of {encoder.window} pixels, and the blocks are apart for windows of "
                f"{made.window}; give a window of {encoder.window} or more, or leave blocks out"
            )
        return replace(made, window=encoder.window) if its_window else made

    jobs = []
    for method, pretrained in (("self-supervised, fine-tuned", True), ("its network, from scratch", False)):
        source, pretraining_saw, _ = pretraining_of(folder, scene.source) if pretrained else ("", "no", "no")
        text = (
            f"{words}window {encoder.window}; {described(DEFAULT)}; backbone {digest}; pretraining saw the target's "
            f"pixels: {pretraining_saw}"
        )
        named = replace(row, **{**target.columns(), "source": source}, method=method, settings=text)
        assert row.seed is not None
        network = functools.partial(_network, encoder, None if pretrained else row.seed)
        jobs.append(target.job(named, drawn, DEFAULT, network=network, phase=phase))
    return jobs


def _network(encoder: Encoder, seed: int | None) -> torch.nn.Module:
    """The network as it is, or with random weights of a seed."""
    return (encoder if seed is None else untrained(encoder, seed)).backbone
