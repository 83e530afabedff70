"""Folds of whole tiles: held-out pixels that don't touch those that are trained on."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import maximum_filter

# Tiles per fold: several, so that a fold isn't one corner of the scene, and few, so that buffers leave something.
PER_FOLD = 3


def tile_numbers(shape: tuple[int, int], count: int) -> np.ndarray:
    """(H, W) numbers of about ``count`` equal, nearly square tiles."""
    side = (shape[0] * shape[1] / count) ** 0.5
    rows, columns = (np.arange(n) * max(1, min(n, round(n / side))) // n for n in shape)
    return rows[:, None] * (int(columns[-1]) + 1) + columns


def tile_folds(mask: np.ndarray, folds: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Deal the tiles of a scene into folds of nearly as many pixels, and each fold's tiles into two halves.

    Args:
        mask: (H, W) pixels that count.
        folds: Number of folds.
        rng: Deals tiles of one size.

    Returns:
        (H, W) fold of every pixel of the mask, -1 elsewhere; (H, W) half of every pixel, 0 or 1. A fold without
        any pixel is possible where the mask covers few tiles.
    """
    tiles = tile_numbers(mask.shape, PER_FOLD * folds)
    size = np.bincount(tiles[mask], minlength=int(tiles.max()) + 1)
    order = rng.permutation(size.size)
    order = order[np.argsort(-size[order], kind="stable")]
    fold_of, half_of = np.zeros(size.size, np.int64), np.zeros(size.size, np.int64)
    load, halves = np.zeros(folds), np.zeros((folds, 2))
    for tile in order[size[order] > 0]:
        fold = int(load.argmin())
        half = int(halves[fold].argmin())
        fold_of[tile], half_of[tile] = fold, half
        load[fold] += size[tile]
        halves[fold, half] += size[tile]
    return np.where(mask, fold_of[tiles], -1), half_of[tiles]


def apart(fold: np.ndarray, number: int, gap: int) -> np.ndarray:
    """(H, W) pixels of other folds, more than ``gap`` pixels (Chebyshev) off every pixel of fold ``number``."""
    held = fold == number
    return (fold >= 0) & ~maximum_filter(held, size=2 * gap + 1, mode="constant", cval=0)
