"""A self-supervised backbone fine-tuned on the splits of the other methods, for the same tables."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch

from sslhsi.encoder.encoder import Encoder, untrained
from sslhsi.encoder.load import load_backbone
from sslhsi.errors import InputError
from sslhsi.evaluation.network import Network
from sslhsi.evaluation.pretraining_scenes import pretraining_of
from sslhsi.finetune.finetune import DEFAULT, FineTuned, fine_tune_pixels
from sslhsi.finetune.settings import FineTuning, described
from sslhsi.scenes.scene import Scene
from sslhsi.splits.split import Split

SELF_SUPERVISED = "self-supervised, fine-tuned"
UNTRAINED = "its network, from scratch"


@functools.lru_cache(maxsize=2)
def opened(folder: str) -> Encoder:
    """A backbone by folder or hub id, on the accelerator where there is one; opened once.

    Raises:
        InputError: As for :func:`sslhsi.encoder.load.load_backbone`.
    """
    return load_backbone(folder).to("cuda" if torch.cuda.is_available() else "cpu")


def self_supervised_columns(
    folder: str, scene: Scene, settings: FineTuning = DEFAULT, *, pretrained: bool = True
) -> dict[str, Any]:
    """The columns ``method``, ``network``, ``source`` and ``settings`` of such a row.

    ``source`` says what the backbone was pretrained on, ``settings`` which backbone it is, and whether its
    pretraining saw the scene's pixels (without labels).
    """
    encoder = opened(folder)
    pretraining, pretraining_saw, _ = pretraining_of(folder, scene.source) if pretrained else ("", "no", "no")
    digest = Network("pretrained", encoder).digest
    return {
        "method": SELF_SUPERVISED if pretrained else UNTRAINED,
        "network": encoder.name,
        "source": pretraining,
        "settings": f"window {encoder.window}; {described(settings)}; backbone {digest}; "
        f"pretraining saw the target's pixels: {pretraining_saw}",
    }


def self_supervised_rows(
    folder: str,
    scene: Scene,
    split: Split,
    seed: int,
    settings: FineTuning = DEFAULT,
    *,
    pretrained: bool = True,
) -> tuple[np.ndarray, FineTuned]:
    """Fine-tune a backbone on a split.

    Args:
        folder: A backbone/ folder, a run that holds one, or a hub id.
        scene: A labelled scene, as it came.
        split: Training and test pixels, the same as for the other methods.
        seed: Of the fine-tuning; with ``pretrained=False`` of the weights, too.
        settings: How to fine-tune.
        pretrained: False: the same network behind the same projection, with random weights.

    Returns:
        (m,) labels of the test pixels, in the order of ``split.test``, and the network.

    Raises:
        InputError: As for :func:`opened` and :func:`sslhsi.finetune.finetune.fine_tune_pixels`; or the split is
            spatially disjoint for windows smaller than the backbone's only.
    """
    encoder = opened(folder)
    if split.scheme == "blocks" and encoder.window > split.window:
        raise InputError(
            f"{folder}: looks at windows of {encoder.window} pixels, and the blocks are apart for windows of "
            f"{split.window}; give a window of {encoder.window} or more, or leave blocks out"
        )
    used = encoder if pretrained else untrained(encoder, seed)
    return fine_tune_pixels(used, scene, split, settings, seed=seed)
