"""Count, mean and covariance of a scene's spectra, in one pass and constant memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

# Working memory of one block of pixels; large enough for BLAS, small beside any cube.
BLOCK_BYTES = 16 << 20


@dataclass(frozen=True)
class Moments:
    """Number of pixels, mean (B,) and covariance (B, B, divided by the number of pixels), float64."""

    count: int
    mean: np.ndarray
    covariance: np.ndarray

    @property
    def spread(self) -> np.ndarray:
        """(B,) standard deviations."""
        return np.sqrt(np.clip(np.diag(self.covariance), 0.0, None))


def blocks(cube: np.ndarray, bytes_per_block: int = BLOCK_BYTES) -> Iterator[slice]:
    """Row slices of a cube whose float32 copies fit the given number of bytes."""
    rows = max(1, bytes_per_block // (4 * cube.shape[1] * cube.shape[2]))
    for start in range(0, cube.shape[0], rows):
        yield slice(start, min(start + rows, cube.shape[0]))


def moments(cube: np.ndarray, mask: np.ndarray | None = None) -> Moments:
    """Stream over an (H, W, B) cube; peak extra memory does not depend on H and W.

    Pixels are centred on the first block's mean before the Gram matrix is formed in float64: nearly equal
    variances deep in the spectrum of the covariance are told apart only by its last digits.
    """
    bands = cube.shape[2]
    count, total, gram = 0, np.zeros(bands), np.zeros((bands, bands))
    shift: np.ndarray | None = None
    for rows in blocks(cube):
        pixels = np.asarray(cube[rows]).reshape(-1, bands)
        if mask is not None:
            pixels = pixels[mask[rows].ravel()]
        if not len(pixels):
            continue
        if shift is None:
            shift = pixels.mean(axis=0, dtype=np.float64)
        centred = np.subtract(pixels, shift, dtype=np.float64)
        count += len(centred)
        total += centred.sum(axis=0)
        gram += centred.T @ centred
    if shift is None:
        return Moments(0, np.zeros(bands), np.zeros((bands, bands)))
    offset = total / count
    return Moments(count, shift + offset, gram / count - np.outer(offset, offset))


def pool(parts: list[Moments]) -> Moments:
    """Moments of the union (Chan, Golub and LeVeque 1979)."""
    count = sum(p.count for p in parts)
    mean = sum((p.count / count) * p.mean for p in parts)
    covariance = sum((p.count / count) * (p.covariance + np.outer(p.mean - mean, p.mean - mean)) for p in parts)
    return Moments(count, np.asarray(mean), np.asarray(covariance))
