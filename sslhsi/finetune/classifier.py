"""A backbone with a well-conditioned classifier behind it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from sslhsi.finetune.samples import Samples
from sslhsi.probes.linear import linear_probe


class Classifier(nn.Module):
    """Backbone, standardisation of its features, classifier.

    The standardisation is fixed: mean and spread of the training features before training. It adds nothing
    that a dense layer can't express, but brings features of very different spread within reach of one
    learning rate.

    Args:
        backbone: (N, K, S, S) -> (N, D), without a classifier of its own.
        head: (N, D) -> (N, C).
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, backbone: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head
        features = int(backbone.num_features)  # type: ignore[arg-type]
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))

    def forward(self, x: Tensor) -> Tensor:
        """(N, K, S, S), or what the backbone precomputed of it -> (N, C) logits."""
        return self.classify(represent(self.backbone, x))

    def classify(self, features: Tensor) -> Tensor:
        """(N, D) features -> (N, C) logits."""
        return self.head((features.float() - self.mean) / self.scale)


def represent(backbone: nn.Module, x: Tensor) -> Tensor:
    """(N, D) features of windows, or of what the backbone precomputed of them."""
    if x.ndim == 4:
        return backbone(x)
    return backbone.forward_head(backbone.forward_features(x), pre_logits=True)  # type: ignore[operator]


@torch.no_grad()
def features_of(backbone: nn.Module, samples: Samples) -> Tensor:
    """(n, D) features in evaluation mode, copies behind one another."""
    backbone.eval()
    numbers = torch.arange(len(samples))
    return torch.cat([represent(backbone, samples(part)).float() for part in numbers.split(samples.at_once)])


@torch.no_grad()
def calibrate(backbone: nn.Module, samples: Samples, frozen: list[str]) -> None:
    """Give batch norms without any statistics those of the training windows.

    Without them a fresh network's features in evaluation mode have nothing to do with those in training.
    """
    fresh = [
        layer
        for name, layer in backbone.named_modules()
        if isinstance(getattr(layer, "num_batches_tracked", None), Tensor)
        and int(layer.num_batches_tracked) == 0
        and name not in frozen
    ]
    if not fresh:
        return
    backbone.eval()
    momenta = [layer.momentum for layer in fresh]
    for layer in fresh:
        layer.train()
        layer.momentum = None
    for part in samples.batches(samples.at_once):
        represent(backbone, samples(part))
    for layer, momentum in zip(fresh, momenta, strict=True):
        layer.momentum = momentum


def standardise(model: Classifier, features: Tensor) -> None:
    """Set the mean and spread from (n, D) training features; a constant feature keeps a spread of 1."""
    mean, scale = features.mean(0), features.std(0, correction=0)
    model.mean.copy_(mean)
    model.scale.copy_(torch.where(scale > 1e-6 * mean.abs().clamp(min=1e-30), scale, torch.ones_like(scale)))


@torch.no_grad()
def start_gaussian(head: nn.Module) -> None:
    """Draw a classifier's dense layers from N(0, 2/D), D their inputs, in place; biases become zero."""
    for layer in head.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=(2 / layer.in_features) ** 0.5)
            nn.init.zeros_(layer.bias)


@torch.no_grad()
def start_from_probe(model: Classifier, features: Tensor, y: Tensor, seed: int) -> None:
    """Set the classifier, one dense layer, to the linear probe of (n, D) features.

    Args:
        model: Standardised by the same features.
        features: (n, D).
        y: (n,) class numbers 0..C-1, each of them present; or (n, C) zeros and ones, a probe per label.
        seed: Of the probe's validation folds.
    """
    z = ((features - model.mean) / model.scale).double().cpu().numpy()
    target = y.cpu().numpy()
    if target.ndim == 1:
        weights, bias = _layer(z, target, seed)
    else:
        columns = [_label(z, column, seed) for column in target.T.astype(np.int64)]
        weights, bias = np.stack([w for w, _ in columns], 1), np.array([b for _, b in columns])
    model.head.weight.copy_(torch.from_numpy(weights.T))  # type: ignore[operator]
    model.head.bias.copy_(torch.from_numpy(bias))  # type: ignore[operator]


def _layer(z: np.ndarray, y: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(D, C) weights and (C,) biases of the probe."""
    probe = linear_probe(z, y, seed=seed)
    weights = probe.weights / probe.scale[:, None]
    return weights, probe.intercept - probe.mean @ weights


def _label(z: np.ndarray, marks: np.ndarray, seed: int) -> tuple[np.ndarray, float]:
    """Weights and bias of one label's log-odds."""
    positive = int(marks.sum())
    if positive in (0, marks.size):  # nothing to tell apart: its frequency, half a sample added on either side
        return np.zeros(z.shape[1]), float(np.log((positive + 0.5) / (marks.size - positive + 0.5)))
    weights, bias = _layer(z, marks, seed)
    return weights[:, 1] - weights[:, 0], float(bias[1] - bias[0])
