"""Count, mean and covariance of a scene's spectra, in one pass and constant memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sslhsi.bands.gram import Code, band_steps, float_sums, integer_sums, is_short
from sslhsi.bands.stripes import over_stripes


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

    Pixels are centred on the mean of some rows from all over the scene before the Gram matrix is formed, in float64:
    nearly equal variances deep in the spectrum of the covariance are separated only by its last digits. Integers of
    at most 16 bits, as cameras deliver them, take float32 and half the time, to the same last bit: see
    :mod:`sslhsi.bands.gram`.
    """
    bands = cube.shape[2]
    shift, code = _sample(cube, mask)
    if shift is None:
        return Moments(0, np.zeros(bands), np.zeros((bands, bands)))

    def sums(part: Sequence[slice]) -> np.ndarray:
        most = max(rows.stop - rows.start for rows in part) * cube.shape[1]
        if code is None:
            return float_sums(map(pixels, part), shift, most)
        step = code.pixels
        pieces = (some[at : at + step] for some in map(pixels, part) for at in range(0, len(some), step))
        return integer_sums(pieces, code)

    def pixels(rows: slice) -> np.ndarray:
        spectra = np.asarray(cube[rows]).reshape(-1, bands)
        return spectra if mask is None else spectra[mask[rows].ravel()]

    gram = np.sum(over_stripes(cube, sums), axis=0)
    gram = code.decoded(gram) if code else gram
    count, offset = int(gram[0, 0]), gram[0, 1:] / gram[0, 0]
    covariance = gram[1:, 1:] / count - np.outer(offset, offset)
    measured = Moments(count, shift + offset, covariance)
    return replace(measured, noise=_noise(cube, mask, measured.spread, noise)) if noise else measured


def _sample(cube: np.ndarray, mask: np.ndarray | None) -> tuple[np.ndarray | None, Code | None]:
    """From the pixels that count in up to 16 rows from all over a cube: their mean, and how to write short integers.

    Returns:
        (B,) float64, rounded where the cube holds short integers, or None where no pixel counts; and the code, or
        None where float64 is the better way.
    """
    rows = np.arange(cube.shape[0]) if mask is None else np.flatnonzero(mask.any(axis=1))
    if not rows.size:
        return None, None
    picked = np.unique(rows[np.linspace(0, rows.size - 1, 16).astype(int)])
    spectra = [np.asarray(cube[row] if mask is None else cube[row][mask[row]]) for row in picked]
    count = sum(map(len, spectra))
    mean = sum(some.sum(axis=0, dtype=np.float64) for some in spectra) / count
    if not is_short(cube.dtype):
        return mean, None
    mean = np.rint(mean)
    squares = np.zeros(len(mean))
    for some in spectra:
        room, out = np.empty((2, *some.shape), np.float32)
        band_steps(some, mean, room, out)
        squares += np.square(out).sum(axis=0, dtype=np.float64)
    return mean, Code.of(squares / count, mean)


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
