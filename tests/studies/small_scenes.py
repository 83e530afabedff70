"""Small labelled scenes in files, as recipes name them; and what experiments on them give."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np


def write_scene(folder: Path, name: str, *, classes: int, bands: int = 16, side: int = 20, seed: int = 0) -> str:
    """Write a cube with its labels; gives the recipe's entry for it."""
    rng = np.random.default_rng(seed)
    height = np.sort(rng.random(classes - 1) * (side - 2 * classes)) + 2 * np.arange(1, classes)
    labels = 1 + (np.arange(side)[:, None] >= height[None]).sum(axis=1)[:, None] * np.ones(side, int)
    labels[:, side // 2 : side // 2 + 2] = 0
    spectra = 100 * (1 + rng.random((classes + 1, bands)))
    cube = spectra[labels] + 4 * rng.normal(size=(side, side, bands))
    np.save(folder / f"{name}.npy", cube.astype(np.float32))
    np.save(folder / f"{name}_gt.npy", labels.astype(np.uint8))
    return f"{{path: {folder}/{name}.npy, labels: {folder}/{name}_gt.npy, name: {name}}}"


def untimed(rows):
    """Rows without what differs from one measurement of the same to the next."""
    return [replace(row, seconds=None, seconds_per_step=None) for row in rows]
