"""Spectra without a place, and what is known about them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Spectra:
    """Spectra without a place; an array of (n, B) to whatever takes arrays.

    Args:
        name: Of the set.
        spectra: (n, B), any real dtype.
        wavelengths: (B,) nanometres, or None.
        labels: (n,) integers, -1 = no class, or None. Words in a file become 0, 1, ... in the order of the alphabet.
        classes: What labels 0, 1, ... are called, where the file has words.
        names: Of the spectra, n or none.
        notes: What was assumed or converted, a sentence each.
        source: The file.

    Examples:
        >>> spectra = Spectra("two", np.ones((2, 5)))
        >>> len(spectra), np.asarray(spectra).shape
        (2, (2, 5))
    """

    name: str
    spectra: np.ndarray
    wavelengths: np.ndarray | None = None
    labels: np.ndarray | None = None
    classes: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    source: Path | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.spectra)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.spectra, dtype=dtype, copy=copy)
