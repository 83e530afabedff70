"""Decisions in context: class probabilities averaged over the pixels around each pixel."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import uniform_filter

from sslhsi.errors import InputError

WINDOW = 9
"""Side in pixels of the square that is averaged over, unless said otherwise."""


def smooth(
    probabilities: np.ndarray,
    window: int = WINDOW,
    valid: np.ndarray | None = None,
    guide: np.ndarray | None = None,
) -> np.ndarray:
    """Average class probabilities over the window around each pixel, mirrored at the border of the scene.

    With a guide, spectra say, a pixel counts the less the more it differs from the one in the middle: by
    ``exp(-d / 2m)`` with d its mean squared difference over the guide's channels and m the median of d over pixels
    side by side, so that averages stop at edges (a bilateral filter: Tomasi and Manduchi, ICCV 1998).

    Args:
        probabilities: (H, W, C).
        window: Odd side of the window in pixels.
        valid: (H, W) pixels that count; all when None. Where none does, the pixel's own values stay.
        guide: (H, W, K), finite where valid.

    Returns:
        (H, W, C) float64.

    Raises:
        InputError: The window is even, or shapes don't fit.

    Examples:
        >>> speckled = np.zeros((9, 9, 2))
        >>> speckled[..., 0] = 1
        >>> speckled[4, 4] = [0, 1]
        >>> int(smooth(speckled, 3).argmax(axis=2).sum())
        0
    """
    values = np.asarray(probabilities, dtype=np.float64)
    shapes = [values.shape[:2], *(one.shape[:2] for one in (valid, guide) if one is not None)]
    if values.ndim != 3 or window < 1 or window % 2 == 0 or len(set(shapes)) > 1:
        raise InputError(
            f"smoothing needs an odd window and maps of one shape, not window {window} and {[*map(str, shapes)]}"
        )
    weight = np.ones(values.shape[:2]) if valid is None else np.asarray(valid, dtype=np.float64)
    counted = np.where(weight[..., None] > 0, values, 0)
    if guide is None:
        total = uniform_filter(counted, (window, window, 1), mode="mirror")
        share = uniform_filter(weight, window, mode="mirror")
        # Less than half a pixel is rounding.
        enough = share > 0.5 / window**2
    else:
        total, share = _by_likeness(counted, weight, np.asarray(guide, dtype=np.float64), window)
        enough = share > 0
    return np.where(enough[..., None], total / np.where(enough, share, 1)[..., None], values)


def _by_likeness(
    values: np.ndarray, weight: np.ndarray, guide: np.ndarray, window: int
) -> tuple[np.ndarray, np.ndarray]:
    """Sums of values and of weights over the window, weighted by how like the middle pixel the guide is."""
    guide = np.where(weight[..., None] > 0, guide, 0)
    pairs = [
        np.square(guide[1:] - guide[:-1]).mean(axis=2)[(weight[1:] > 0) & (weight[:-1] > 0)],
        np.square(guide[:, 1:] - guide[:, :-1]).mean(axis=2)[(weight[:, 1:] > 0) & (weight[:, :-1] > 0)],
    ]
    beside = np.concatenate(pairs)
    middle = float(np.median(beside)) if beside.size else 0.0
    reach = window // 2
    frame = ((reach, reach), (reach, reach))
    around, known, likeness = (
        np.pad(one, (*frame, (0, 0))[: one.ndim], mode="reflect") for one in (values, weight, guide)
    )
    height, width = weight.shape
    total, share = np.zeros_like(values), np.zeros_like(weight)
    for row in range(window):
        for column in range(window):
            at = slice(row, row + height), slice(column, column + width)
            distance = np.square(likeness[at] - guide).mean(axis=2)
            w = known[at] * np.exp(-distance / (2 * max(middle, np.finfo(float).tiny)))
            total += w[..., None] * around[at]
            share += w
    return total, share
