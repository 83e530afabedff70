"""Frozen features of patches."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn


@torch.inference_mode()
def features(
    backbone: nn.Module,
    reader: Callable[[np.ndarray], Tensor],
    windows: np.ndarray,
    batch_size: int = 512,
) -> np.ndarray:
    """(n, D) float32 features of (n, 3) windows, with the backbone in evaluation mode."""
    training = backbone.training
    backbone.eval()
    try:
        parts = [
            backbone(reader(windows[i : i + batch_size])).float().cpu() for i in range(0, len(windows), batch_size)
        ]
    finally:
        backbone.train(training)
    return torch.cat(parts).numpy()


def mean_spectra(reader: Callable[[np.ndarray], Tensor], windows: np.ndarray, batch_size: int = 512) -> np.ndarray:
    """(n, K) average of each window's components: what a patch is without any network."""
    parts = [reader(windows[i : i + batch_size]).mean((2, 3)).cpu() for i in range(0, len(windows), batch_size)]
    return torch.cat(parts).numpy()
