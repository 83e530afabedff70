"""Frozen features of patches."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

Advance = Callable[[int], None]


@torch.inference_mode()
def features(
    backbone: nn.Module,
    reader: Callable[[np.ndarray], Tensor],
    windows: np.ndarray,
    batch_size: int = 512,
    advance: Advance = lambda windows: None,
) -> np.ndarray:
    """(n, D) float32 features of (n, 3) windows, with the backbone in evaluation mode; (0, D) of no windows.

    ``advance`` is called with the number of windows in each batch.
    """
    if not len(windows):
        return np.zeros((0, int(backbone.num_features)), dtype=np.float32)  # type: ignore[arg-type]
    training = backbone.training
    backbone.eval()
    parts = []
    try:
        for start in range(0, len(windows), batch_size):
            parts.append(backbone(reader(windows[start : start + batch_size])).float().cpu())
            advance(len(parts[-1]))
    finally:
        backbone.train(training)
    return torch.cat(parts).numpy()


def mean_spectra(reader: Callable[[np.ndarray], Tensor], windows: np.ndarray, batch_size: int = 512) -> np.ndarray:
    """(n, K) average of each window's components: what a patch is without any network."""
    starts = range(0, max(1, len(windows)), batch_size)
    parts = [reader(windows[i : i + batch_size]).mean((2, 3)).cpu() for i in starts]
    return torch.cat(parts).numpy()
