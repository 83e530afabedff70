"""Where windows may lie in a scene."""

from __future__ import annotations

import numpy as np


def window_sums(values: np.ndarray, window: int) -> np.ndarray:
    """(H - window + 1, W - window + 1) sums over every window, by an integral image."""
    total = np.zeros((values.shape[0] + 1, values.shape[1] + 1), dtype=np.int64)
    np.cumsum(np.cumsum(values, axis=0, dtype=np.int64), axis=1, out=total[1:, 1:])
    return total[window:, window:] - total[:-window, window:] - total[window:, :-window] + total[:-window, :-window]


def window_positions(
    foreground: np.ndarray,
    barred: np.ndarray,
    *,
    window: int,
    stride: int,
    min_foreground: float = 0.0,
    border: str = "inside",
    from_first: bool = False,
) -> np.ndarray:
    """Top-left corners of the windows that a scene offers.

    Args:
        foreground: (H, W) booleans.
        barred: (H, W) booleans; no window touches such a pixel.
        window: Side in pixels.
        stride: Distance between neighbouring corners.
        min_foreground: Least share of foreground pixels.
        border: ``inside``: windows lie within the scene. ``reflect``: one window around every foreground
            pixel (on the stride), reflected where it leaves the scene; corners may then be negative.
        from_first: Count the stride from the first row and column where a window is clear of barred pixels
            rather than from the scene's corner, so that a strip as large as a window always offers one.

    Returns:
        (n, 2) int32 rows and columns.
    """
    if border == "reflect":
        half = window // 2
        padding = (half, window - 1 - half)
        bad = window_sums(np.pad(barred, padding), window) > 0
        free = ~bad
        fit = foreground & free
        offset = half
    else:
        if min(foreground.shape) < window:
            return np.zeros((0, 2), dtype=np.int32)
        free = window_sums(barred, window) == 0
        fit = free & (window_sums(foreground, window) >= max(1, np.ceil(min_foreground * window * window)))
        offset = 0
    row, column = (int(free.any(axis=a).argmax()) if from_first else 0 for a in (1, 0))
    grid = np.zeros_like(fit)
    grid[row::stride, column::stride] = True
    return (np.argwhere(fit & grid) - offset).astype(np.int32)
