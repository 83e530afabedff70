"""Windows of a made-up task, and small networks to learn it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from sslhsi.backbones.registry import create_backbone


class Windows:
    """Windows by number, in the first column; counts what is read."""

    def __init__(self, x: Tensor) -> None:
        self.x, self.read = x, 0

    def __call__(self, windows: np.ndarray) -> Tensor:
        self.read += len(windows)
        return self.x[torch.from_numpy(np.asarray(windows)[:, 0])].clone()


def numbered(n: int) -> np.ndarray:
    return np.column_stack([np.arange(n), np.zeros((n, 2), np.int64)])


def toy(channels: int = 4, side: int = 5, n: int = 60, classes: int = 3, noise: float = 0.3):
    """Classes that differ in their spectrum."""
    rng = np.random.default_rng(0)
    y = np.arange(n) % classes
    spectra = 2 * np.eye(channels)[:classes]
    x = spectra[y][:, :, None, None] + noise * rng.normal(size=(n, channels, side, side))
    return Windows(torch.tensor(x, dtype=torch.float32)), numbered(n), y


def network(name: str = "pixelnet", channels: int = 4, side: int = 5, seed: int = 0, **options):
    torch.manual_seed(seed)
    options = {"width": 32, "mixed": 32, "radii": [0, 1]} if name == "pixelnet" else options
    return create_backbone(name, channels, side, **options)
