"""Count, mean and covariance of a scene's spectra, in one pass and constant memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sslhsi.bands.stripes import blocks, over_stripes


@dataclass(frozen=True)
class Moments:
    """Number of pixels, mean (B,), covariance and noise covariance (B, B, divided by counts), float64.

    The noise is what neighbouring pixels don't share: half the covariance of the differences between
    pixels side by side (Green et al. 1988, IEEE TGRS 26(1), the shift difference of MNF). None unless asked.
    """

    count: int
    mean: np.ndarray
    covariance: np.ndarray
    noise: np.ndarray | None = None

    @property
    def spread(self) -> np.ndarray:
        """(B,) standard deviations."""
        return np.sqrt(np.clip(np.diag(self.covariance), 0.0, None))


def moments(cube: np.ndarray, mask: np.ndarray | None = None, noise: float = 0.0) -> Moments:
    """Stream over an (H, W, B) cube; peak extra memory does not depend on H and W.

    Args:
        cube: Any real dtype.
        mask: (H, W) pixels to count; all when None.
        noise: Also take the noise covariance, over this share of the pairs, the quietest; 0 = don't.

    Pixels are centred on the first block's mean before the Gram matrix is formed in float64: nearly equal
    variances deep in the spectrum of the covariance are separated only by its last digits.
    """
    bands = cube.shape[2]

    def pixels(rows: slice) -> np.ndarray:
        spectra = np.asarray(cube[rows]).reshape(-1, bands)
        return spectra if mask is None else spectra[mask[rows].ravel()]

    first = next((some for rows in blocks(cube) if len(some := pixels(rows))), None)
    if first is None:
        return Moments(0, np.zeros(bands), np.zeros((bands, bands)))
    shift = first.mean(axis=0, dtype=np.float64)

    def sums(part: Sequence[slice]) -> tuple[int, np.ndarray, np.ndarray]:
        count, total, gram = 0, np.zeros(bands), np.zeros((bands, bands))
        # Fresh memory for every block would cost more than the arithmetic.
        room = np.empty((max(rows.stop - rows.start for rows in part) * cube.shape[1], bands))
        ones, product = np.ones(len(room)), np.empty((bands, bands))
        for rows in part:
            some = pixels(rows)
            centred = np.subtract(some, shift, out=room[: len(some)], dtype=np.float64)
            count += len(centred)
            total += ones[: len(centred)] @ centred
            gram += np.matmul(centred.T, centred, out=product)
        return count, total, gram

    parts = over_stripes(cube, sums)
    count = sum(part[0] for part in parts)
    total = np.sum([part[1] for part in parts], axis=0)
    gram = np.sum([part[2] for part in parts], axis=0)
    offset = total / count
    covariance = gram / count - np.outer(offset, offset)
    measured = Moments(count, shift + offset, covariance)
    return replace(measured, noise=_noise(cube, mask, measured.spread, noise)) if noise else measured


def _noise(cube: np.ndarray, mask: np.ndarray | None, spread: np.ndarray, share: float) -> np.ndarray:
    """Half the covariance of neighbours' differences, over the quietest pairs: few of those cross an edge."""
    bands = cube.shape[2]
    weight = np.divide(1.0, spread, out=np.zeros(bands), where=spread > 0)

    def pairs(rows: slice) -> Iterator[np.ndarray]:
        # One row of the next block, so that no pair across the boundary is lost.
        part = np.asarray(cube[rows.start : rows.stop + 1], dtype=np.float64)
        inside = np.ones(part.shape[:2], bool) if mask is None else mask[rows.start : rows.stop + 1]
        count = rows.stop - rows.start
        yield (part[1:] - part[:-1])[inside[1:] & inside[:-1]]
        yield (part[:count, 1:] - part[:count, :-1])[inside[:count, 1:] & inside[:count, :-1]]

    # The loudest that counts, from rows all over the scene.
    some = np.unique(np.linspace(0, max(0, cube.shape[0] - 2), 256).astype(int))
    loudness = [np.square(d * weight).sum(axis=1) for row in some for d in pairs(slice(row, row + 1))]
    loud = np.concatenate(loudness)
    limit = np.quantile(loud, share) if share < 1 and loud.size else np.inf

    def sums(part: Sequence[slice]) -> tuple[int, np.ndarray]:
        count, gram = 0, np.zeros((bands, bands))
        for rows in part:
            for differences in pairs(rows):
                differences = differences[np.square(differences * weight).sum(axis=1) <= limit]
                count += len(differences)
                gram += differences.T @ differences
        return count, gram

    parts = over_stripes(cube, sums)
    return np.sum([part[1] for part in parts], axis=0) / (2 * max(1, sum(part[0] for part in parts)))


def pool(parts: list[Moments]) -> Moments:
    """Moments of the union (Chan, Golub and LeVeque 1979)."""
    count = sum(p.count for p in parts)
    mean = sum((p.count / count) * p.mean for p in parts)
    covariance = sum((p.count / count) * (p.covariance + np.outer(p.mean - mean, p.mean - mean)) for p in parts)
    return Moments(count, np.asarray(mean), np.asarray(covariance))
