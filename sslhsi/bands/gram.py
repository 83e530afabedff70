"""Count, sum and Gram matrix of spectra about a shift: in float64, or of integers in float32 to the same last bit.

Float32 multiplies twice as fast and holds every integer up to 2^24. Differences between neighbouring bands of an
integer cube are small integers; where the sum of their squares over some hundred pixels stays below 2^24, so does, by
Cauchy and Schwarz, every sum of their products, in whatever order it is formed, and nothing is ever rounded. The
diagonal of each product tells; the few that fail are formed again in float64.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

EXACT = 1 << 24
# Pixels of a float32 product: more are no faster, and with fewer float64 is as fast.
MOST, FEWEST = 1024, 256
# A difference that is too large is written as 64 a + b.
HIGH = 64


@dataclass(frozen=True)
class Code:
    """How integer spectra are written for a product in float32: steps from band to band, the large ones split.

    Args:
        shift: (B,) integers near the mean.
        split: (S,) numbers of the differences that are written as two numbers.
        pixels: How many a product should hold.
    """

    shift: np.ndarray
    split: np.ndarray
    pixels: int

    @classmethod
    def of(cls, squares: np.ndarray, shift: np.ndarray) -> Code | None:
        """The code for differences of these mean squares (B,); None where float64 is the better way."""
        split = np.flatnonzero(squares > EXACT / 2 / MOST)
        after = np.concatenate([[1.0], np.where(np.isin(np.arange(len(squares)), split), HIGH**2 / 12, squares)])
        largest = max(after.max(), squares.max() / HIGH**2)
        pixels = min(MOST, int(EXACT / 2 / largest))
        return cls(shift, split, pixels) if pixels >= FEWEST and 4 * len(split) <= len(squares) else None

    @property
    def width(self) -> int:
        """Columns of a code: 1, the differences, what was split off."""
        return 1 + len(self.shift) + len(self.split)

    def encode(self, spectra: np.ndarray, room: np.ndarray, out: np.ndarray) -> None:
        """Write (n, B) integers as (n, ``width``) integers; ``room`` (n, B) and ``out`` are float32."""
        bands = len(self.shift)
        out[:, 0] = 1
        band_steps(spectra, self.shift, room, out[:, 1 : 1 + bands])
        high = out[:, 1 + bands :]
        np.rint(out[:, 1 + self.split] / HIGH, out=high)
        out[:, 1 + self.split] -= HIGH * high

    def decoded(self, gram: np.ndarray) -> np.ndarray:
        """The Gram matrix of codes -> (1 + B, 1 + B) of spectra about the shift with a 1 before them."""
        back = np.zeros((1 + len(self.shift), self.width))
        back[0, 0] = 1
        sums = np.tri(len(self.shift))
        back[1:, 1:] = np.hstack([sums, HIGH * sums[:, self.split]])
        return back @ gram @ back.T


def is_short(dtype: np.dtype) -> bool:
    """Whether values are integers of at most 16 bits."""
    return dtype.kind in "iu" and dtype.itemsize <= 2


def band_steps(spectra: np.ndarray, shift: np.ndarray, room: np.ndarray, out: np.ndarray) -> np.ndarray:
    """(n, B) short integers about a shift, each band less the one before it; ``room``, ``out`` are alike, float32."""
    # Converted first: NumPy subtracts numbers of two kinds piece by piece.
    np.copyto(room, spectra)
    np.subtract(room, shift, out=room, dtype=np.float32)
    out[:, 0] = room[:, 0]
    return np.subtract(room[:, 1:], room[:, :-1], out=out[:, 1:])


def integer_sums(pieces: Iterable[np.ndarray], code: Code) -> np.ndarray:
    """Gram matrix (W, W) of the codes of (n, B) spectra, n up to ``code.pixels``."""
    bands = len(code.shift)
    room, codes = np.empty((code.pixels, bands), np.float32), np.empty((code.pixels, code.width), np.float32)
    product, gram = np.empty((code.width,) * 2, np.float32), np.zeros((code.width,) * 2)
    for some in pieces:
        part = codes[: len(some)]
        code.encode(some, room[: len(some)], part)
        np.matmul(part.T, part, out=product)
        if product.diagonal().max() < EXACT:
            gram += product
        else:
            whole = part.astype(np.float64)
            gram += whole.T @ whole
    return gram


def float_sums(pieces: Iterable[np.ndarray], shift: np.ndarray, most: int) -> np.ndarray:
    """Gram matrix (1 + B, 1 + B) of (n, B) spectra about a shift with a 1 before them, n up to ``most``."""
    # Fresh memory for every piece would cost more than the arithmetic.
    room, product = np.ones((most, 1 + len(shift))), np.empty((1 + len(shift),) * 2)
    gram = np.zeros_like(product)
    for some in pieces:
        part = room[: len(some)]
        np.subtract(some, shift, out=part[:, 1:], dtype=np.float64)
        gram += np.matmul(part.T, part, out=product)
    return gram
