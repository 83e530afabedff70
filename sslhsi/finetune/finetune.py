"""Fine-tuning: a backbone and a classifier, trained on labelled windows."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sslhsi.backbones.fast import fastest_safe_setting, set_memory_format
from sslhsi.backbones.transfer_weights import load_weights
from sslhsi.encoder.encoder import Encoder
from sslhsi.errors import InputError
from sslhsi.finetune.classifier import (
    Classifier,
    calibrate,
    features_of,
    standardise,
    start_from_probe,
    start_gaussian,
)
from sslhsi.finetune.freezing import freeze, make_head
from sslhsi.finetune.loop import Labelled, autocast, train
from sslhsi.finetune.samples import Reader, Samples, Targets, at_once, hold_out, read
from sslhsi.finetune.settings import FineTuning
from sslhsi.scenes.scene import Scene
from sslhsi.splits.split import Split
from sslhsi.training.seeded import seeded

DEFAULT = FineTuning()


@dataclass(frozen=True)
class FineTuned:
    """A fine-tuned network.

    Args:
        networks: The voting checkpoints; the last one is the result of training.
        classes: (C,) class ids, ascending; 0..C-1 for multi-label targets.
        multilabel: Whether a sample may bear several labels.
        history: Per epoch: ``epoch`` (0: before training), ``loss`` and ``accuracy`` (means over the training
            samples as they trained; None before training; accuracies from 0 to 1, for multi-label targets
            of the single decisions) and, where samples were held out, ``validation_accuracy`` and
            ``validation_loss``.
        record: Fit for JSON: the settings, what was frozen and carried over, samples, ``epochs`` run,
            ``best_epoch``, ``trainable_parameters``, ``parameters``, ``seconds`` (of everything) and
            ``seconds_per_step`` (of the steps alone: the median over the epochs).
    """

    networks: tuple[Classifier, ...]
    classes: np.ndarray
    multilabel: bool
    history: list[dict[str, Any]]
    record: dict[str, Any]

    @property
    def network(self) -> Classifier:
        """(N, K, S, S) -> (N, C) logits: ``backbone``, standardisation, ``head``; the last checkpoint."""
        return self.networks[-1]

    @torch.inference_mode()
    def probabilities(self, reader: Reader, windows: np.ndarray, batch_size: int | None = None) -> np.ndarray:
        """(n, C) float32 probabilities of (n, 3) windows, columns in the order of ``classes``.

        ``batch_size`` windows at a time; as many as their size allows when None.
        """
        device = self.network.mean.device
        parts = [np.zeros((0, self.classes.size), dtype=np.float32)]
        if batch_size is None and len(windows):
            batch_size = at_once(read(self.network.backbone, reader, windows[:1], device))
        batch_size = batch_size or 1
        for start in range(0, len(windows), batch_size):
            x = read(self.network.backbone, reader, windows[start : start + batch_size], device)
            parts.append(self._vote(x).cpu().numpy())
        return np.concatenate(parts)

    def predict(self, reader: Reader, windows: np.ndarray, batch_size: int | None = None) -> np.ndarray:
        """(n,) class ids of (n, 3) windows; for multi-label targets (n, C) probabilities."""
        probabilities = self.probabilities(reader, windows, batch_size)
        return probabilities if self.multilabel else self.classes[probabilities.argmax(axis=1)]

    def _vote(self, x: Tensor) -> Tensor:
        precision = self.record["settings"]["precision"]
        with autocast(x.device, precision):
            logits = [network(x).float() for network in self.networks]
        votes = [z.sigmoid() if self.multilabel else z.softmax(1) for z in logits]
        return torch.stack(votes).mean(0)


def fine_tune(
    backbone: nn.Module,
    reader: Reader,
    windows: np.ndarray,
    targets: np.ndarray,
    settings: FineTuning = DEFAULT,
    *,
    weights: Mapping[str, Tensor] | None = None,
    seed: int = 0,
    progress: Callable[[dict[str, Any]], None] | None = None,
) -> FineTuned:
    """Train a copy of a backbone, with a classifier, on labelled windows.

    Training from scratch is the same with a network fresh from
    :func:`sslhsi.backbones.registry.create_backbone`. Batch norms without any statistics take their first
    statistics from the training windows.

    Args:
        backbone: On timm's contract, with a classifier or without; it is left as it is.
        reader: (n, 3) windows -> (n, K, S, S) tensor, such as a
            :class:`~sslhsi.corpus.reader.PatchReader`.
        windows: (n, 3) scene, top row and left column of the training windows.
        targets: (n,) integer class ids, gaps allowed, trained with cross-entropy; or (n, C) zeros and ones
            for samples that bear several labels, trained with binary cross-entropy.
        settings: How.
        weights: Tensors to start from, perhaps of another window or number of bands: see
            :func:`~sslhsi.backbones.transfer_weights.load_weights`, whose account goes into the record.
        seed: Of the order of the samples, dropout, and whatever starts at random.
        progress: Called with each entry of the history.

    Returns:
        The network, in evaluation mode.

    Raises:
        InputError: Windows and targets don't fit, there are none, only one class, they are not finite
            numbers, or training went astray.
    """
    began = time.perf_counter()
    goal = Targets.of(targets, len(windows))
    windows = np.asarray(windows)
    held = hold_out(goal, settings.validation, seed)
    device = next(backbone.parameters()).device
    y = torch.as_tensor(goal.coded, device=device)
    with seeded(seed, device):
        model, account = _initialise(backbone, goal.classes.size, settings, weights)
        training = Labelled(Samples(model.backbone, reader, windows[~held], device, settings.mirror), y[~held])
        checks = Labelled(Samples(model.backbone, reader, windows[held], device, False), y[held])
        _prepare(model, account, training, settings, seed)
        trained = train(model, account, training, checks, settings, seed=seed, progress=progress)
    record = {
        **account,
        "settings": settings.model_dump(mode="json"),
        "seed": seed,
        "samples": int((~held).sum()),
        "validation_samples": int(held.sum()),
        "epochs": trained.history[-1]["epoch"],
        "best_epoch": trained.best_epoch,
        "seconds": round(time.perf_counter() - began, 3),
        "seconds_per_step": trained.seconds_per_step,
    }
    return FineTuned(trained.networks, goal.classes, goal.multilabel, trained.history, record)


def fine_tune_pixels(
    encoder: Encoder,
    scene: Scene,
    split: Split,
    settings: FineTuning = DEFAULT,
    *,
    seed: int = 0,
    reader: Reader | None = None,
) -> tuple[np.ndarray, FineTuned]:
    """Fine-tune on a scene's training pixels and classify its test pixels.

    Args:
        encoder: A backbone with its projection; left as it is.
        scene: A labelled scene, as it came.
        split: Training and test pixels.
        settings: How.
        seed: As for :func:`fine_tune`.
        reader: ``encoder.reader(scene.cube, scene.wavelengths, mask=scene.mask)``, or that in a
            :class:`~sslhsi.finetune.samples.Remembered`, to prepare the scene once for many trainings.

    Returns:
        (m,) labels of the test pixels, in the order of ``split.test``, and the network.

    Raises:
        InputError: As for :func:`fine_tune`; or the scene has no labels.
    """
    if scene.labels is None:
        raise InputError(f"{scene.name}: no labels to fine-tune on; give the ground truth")
    if reader is None:
        reader = encoder.reader(scene.cube, scene.wavelengths, mask=scene.mask)
    labels = scene.labels[tuple(split.train.T)]
    tuned = fine_tune(encoder.backbone, reader, encoder.windows(split.train), labels, settings, seed=seed)
    return tuned.predict(reader, encoder.windows(split.test)), tuned


def _initialise(
    backbone: nn.Module, classes: int, settings: FineTuning, weights: Mapping[str, Tensor] | None
) -> tuple[Classifier, dict[str, Any]]:
    """A copy of the backbone, frozen as asked, with a classifier; and the account of it."""
    body = copy.deepcopy(backbone)
    body.reset_classifier(0)  # type: ignore[operator]
    carried = None if weights is None else load_weights(body, weights)
    account = freeze(body, settings.policy)
    if carried is not None:
        stuck = [name for name in carried["not_carried"] if any(_within(name, layer) for layer in account["frozen"])]
        if stuck:
            raise InputError(
                f"fine-tuning: policy {settings.policy!r} freezes {stuck[0]}, which the weights don't fill "
                f"({carried['not_carried'][stuck[0]]}); choose one that trains it"
            )
        account["weights"] = carried
    head = make_head(int(body.num_features), classes, settings.policy)  # type: ignore[arg-type]
    device = next(backbone.parameters()).device
    set_memory_format(body, fastest_safe_setting(body, device)["memory_format"])
    model = Classifier(body, head).to(device)
    head_size = sum(p.numel() for p in head.parameters())
    account["trainable_parameters"] += head_size
    account["parameters"] += head_size
    return model, account


def _within(name: str, layer: str) -> bool:
    return name == layer or name.startswith(f"{layer}.")


def _prepare(model: Classifier, account: dict[str, Any], training: Labelled, settings: FineTuning, seed: int) -> None:
    """Statistics, standardisation, and the classifier's first weights."""
    calibrate(model.backbone, training.samples, account["frozen_norms"])
    if settings.head == "gaussian":
        start_gaussian(model.head)
        return
    features = features_of(model.backbone, training.samples)[: len(training.targets)]
    standardise(model, features)
    if settings.head == "probe" and isinstance(model.head, nn.Linear):
        start_from_probe(model, features, training.targets, seed)
