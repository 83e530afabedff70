"""A self-supervised backbone fine-tuned on the splits of the other methods, for the same tables."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch

from sslhsi.encoder.encoder import Encoder, untrained
from sslhsi.encoder.load import load_backbone
from sslhsi.errors import InputError
from sslhsi.evaluation.network import Network
from sslhsi.evaluation.pretraining_scenes import pretraining_of
from sslhsi.finetune.finetune import DEFAULT, fine_tune_pixels
from sslhsi.finetune.settings import described
from sslhsi.scenes.scene import Scene
from sslhsi.splits.split import Split
from sslhsi.studies.jobs import Job, Made
from sslhsi.studies.rows import epoch_entries, macs_of_step, training_row


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
    columns: Mapping[str, Any],
    draw: Callable[[], Split],
    *,
    words: str = "",
    phase: str = "target",
    its_window: bool = False,
) -> list[Job]:
    """A backbone fine-tuned on a split, and its network behind the same projection from random weights.

    The column ``source`` says what the backbone was pretrained on, ``settings`` which backbone it is, and whether its
    pretraining saw the scene's pixels (without labels).

    Args:
        folder: A backbone/ folder, a run that holds one, or a hub id.
        scene: A labelled scene, as it came.
        columns: Those that name experiment, scene, split and ``seed``: of the fine-tuning, and of random weights.
        draw: Gives the split, the same as for the other methods.
        words: What ``settings`` begins with.
        phase: As the history calls the training.
        its_window: The row's leak is that of the windows that this backbone takes in, not that of the split's.

    Raises:
        InputError: As for :func:`opened`.
    """
    encoder, digest = opened(folder)

    def job(method: str, pretrained: bool) -> Job:
        source, pretraining_saw, _ = pretraining_of(folder, scene.source) if pretrained else ("", "no", "no")
        named = {
            **columns,
            "method": method,
            "network": encoder.name,
            "source": source,
            "settings": f"{words}window {encoder.window}; {described(DEFAULT)}; backbone {digest}; "
            f"pretraining saw the target's pixels: {pretraining_saw}",
        }

        def make() -> Made:
            drawn = draw()
            if drawn.scheme == "blocks" and encoder.window > drawn.window:
                raise InputError(
                    f"{folder}: looks at windows of {encoder.window} pixels, and the blocks are apart for windows of "
                    f"{drawn.window}; give a window of {encoder.window} or more, or leave blocks out"
                )
            network = encoder if pretrained else untrained(encoder, named["seed"])
            predicted, tuned = fine_tune_pixels(network, scene, drawn, seed=named["seed"])
            assert scene.labels is not None
            truth = scene.labels[tuple(drawn.test.T)]
            macs = macs_of_step(tuned, encoder, len(drawn.train))
            if its_window:
                drawn = replace(drawn, window=encoder.window)
            return training_row(named, drawn, truth, predicted, tuned, macs), epoch_entries(tuned, phase)

        return Job(named, make)

    return [job("self-supervised, fine-tuned", True), job("its network, from scratch", False)]
