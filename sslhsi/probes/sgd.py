"""Linear probe by stochastic gradient descent: for large sets, and where every epoch augments anew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from sslhsi.errors import InputError

Encode = Callable[[torch.Tensor], torch.Tensor]
Augment = Callable[[torch.Tensor, torch.Generator], torch.Tensor]


@dataclass(frozen=True)
class SgdProbe:
    """A fitted probe.

    Args:
        classes: (C,) labels, ascending.
        layer: The linear layer on standardised features.
        encode: Samples to features.
        mean: (D,) of the training features.
        scale: (D,) standard deviation of the training features, 1 where it was 0.
        batch: Samples per batch when predicting.
    """

    classes: np.ndarray
    layer: nn.Linear
    encode: Encode
    mean: torch.Tensor
    scale: torch.Tensor
    batch: int

    @torch.no_grad()
    def predict_proba(self, x: torch.Tensor | np.ndarray) -> np.ndarray:
        """(n, C) probabilities of (n, ...) samples, columns in the order of ``classes``."""
        device = self.mean.device
        parts = [
            self.layer((self.encode(part.to(device)).float() - self.mean) / self.scale).softmax(dim=1).cpu()
            for part in torch.as_tensor(x).split(self.batch)
        ]
        return torch.cat(parts).numpy()

    def predict(self, x: torch.Tensor | np.ndarray) -> np.ndarray:
        """(n,) labels."""
        return self.classes[self.predict_proba(x).argmax(axis=1)]


def sgd_probe(
    train_x: torch.Tensor | np.ndarray,
    train_y: torch.Tensor | np.ndarray,
    *,
    encode: Encode = torch.Tensor.float,
    augment: Augment | None = None,
    epochs: int = 100,
    batch: int = 256,
    lr: float = 2.0,
    weight_decay: float = 0.0,
    seed: int = 0,
    device: str | torch.device = "cpu",
) -> SgdProbe:
    """Train one linear layer on frozen features of samples that are augmented anew in every epoch.

    SGD with momentum 0.9; the rate is proportional to the batch (Goyal et al., 2017) and falls to 0 along
    a half cosine. Features are standardised with the mean and spread of the training samples as they
    are. The rate is counted in units of 1 / the largest variance in any direction of feature space, so
    that one default serves 10 independent features and 300 neighbouring bands, which all say the same.
    Nothing is chosen on any test sample: the last epoch is the result. It takes thousands of steps: for few
    samples :func:`sslhsi.probes.linear.linear_probe` is better and faster.

    Args:
        train_x: (n, ...) samples: windows, or features already.
        train_y: (n,) integer labels, gaps allowed.
        encode: (b, ...) samples on the device to (b, D) features, the frozen backbone in evaluation mode;
            by default the samples are the features.
        augment: (b, ...) samples and a generator on the device to (b, ...) samples.
        epochs: Passes over the samples.
        batch: Samples per step.
        lr: Learning rate at batch 256, over the largest variance.
        weight_decay: Of the layer's weights and intercept.
        seed: Of the order, the augmentations and the start.
        device: Where to train.

    Returns:
        The probe.

    Raises:
        InputError: Samples and labels don't fit, there is one class only, or training went astray.
    """
    labels = np.asarray(train_y.cpu() if isinstance(train_y, torch.Tensor) else train_y).ravel()
    x = torch.as_tensor(train_x)
    if len(x) != labels.size:
        raise InputError(f"SGD probe: {len(x)} samples and {labels.size} labels don't fit")
    classes, number = np.unique(labels, return_inverse=True)
    if classes.size < 2:
        raise InputError(f"SGD probe: training holds {classes.size} class, and two are needed")
    device = torch.device(device)
    target = torch.as_tensor(number, device=device)
    order = torch.Generator().manual_seed(seed)
    noise = torch.Generator(device).manual_seed(seed)
    with torch.no_grad():
        known = torch.cat([encode(part.to(device)).float() for part in x.split(batch)])
    mean, scale = known.mean(dim=0), known.std(dim=0, correction=0)
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    standard = (known - mean) / scale
    largest = torch.linalg.eigvalsh(standard.T @ standard / len(standard))[-1].item()
    layer = nn.Linear(known.shape[1], classes.size, device=device)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    steps = epochs * -(-len(x) // batch)
    rate = lr * batch / 256 / max(largest, 1.0)
    optimiser = torch.optim.SGD(layer.parameters(), rate, momentum=0.9, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(epochs):
        for chosen in torch.randperm(len(x), generator=order).split(batch):
            with torch.no_grad():
                if augment is None:
                    features = standard[chosen.to(device)]
                else:
                    features = (encode(augment(x[chosen].to(device), noise)).float() - mean) / scale
            logits = layer(features)
            loss = nn.functional.cross_entropy(logits, target[chosen.to(device)])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    if not all(torch.isfinite(p).all() for p in layer.parameters()):
        raise InputError("SGD probe: training went astray: check the features for NaN, or lower lr")
    return SgdProbe(classes, layer.requires_grad_(False), encode, mean, scale, batch)
