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
    """(n, D) float32 features of (n, 3) windows, with the backbone in evaluation mode; (0, D) of no windows."""
    if not len(windows):
        return np.zeros((0, int(backbone.num_features)), dtype=np.float32)  # type: ignore[arg-type]
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
    starts = range(0, max(1, len(windows)), batch_size)
    parts = [reader(windows[i : i + batch_size]).mean((2, 3)).cpu() for i in starts]
    return torch.cat(parts).numpy()
