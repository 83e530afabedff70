"""From stored numbers to what they stand for: gains, offsets and divisors, one rule for all formats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sslhsi.errors import InputError

_NODATA = {"_fillvalue", "data_ignore_value", "missing_value", "nodata", "no_data", "nodata_value", "no_data_value"}
_DIVISORS = {"scale_factor", "reflectance_scale_factor", "scalefactor"}  # in any spelling but CF's


@dataclass(frozen=True)
class Scaling:
    """What a file says about its stored numbers: value = (stored * gain + offset) / divisor.

    Nothing is checked before it is used: what the caller gives may overrule it.

    Args:
        origin: What the file calls it, for the note; empty when it says nothing.
        gain: One factor, or one per band.
        offset: One summand, or one per band.
        divisor: 10,000 where reflectance is stored as whole numbers.
        others: What else the file says and isn't used.
    """

    origin: str = ""
    gain: Any = 1.0
    offset: Any = 0.0
    divisor: float = 1.0
    others: str = ""

    @property
    def identity(self) -> bool:
        """True when stored numbers are values."""
        return self.divisor == 1 and bool(np.all(np.asarray(self.gain) == 1) and np.all(np.asarray(self.offset) == 0))

    def of_bands(self, bands: int, numbers: np.ndarray, where: str) -> Scaling:
        """The same for some bands of a file.

        Args:
            bands: How many bands the file has.
            numbers: The chosen ones, 0-based.
            where: File, for messages.

        Raises:
            InputError: Gains, offsets or the divisor can't be used.
        """
        if not (np.isfinite(self.divisor) and self.divisor > 0):
            raise InputError(
                f"{where}: {self.origin} must be positive, not {self.divisor:g}; pass scale= a number, or none"
            )
        parts = []
        for value in (self.gain, self.offset):
            array = np.asarray(value, dtype=np.float64).ravel()
            if array.size not in (1, bands) or not np.isfinite(array).all():
                raise InputError(
                    f"{where}: {self.origin} must be finite, one number or one for each of {bands} bands; "
                    "pass scale= a number, or none"
                )
            parts.append(float(array[0]) if array.size == 1 else array[numbers])
        return replace(self, gain=parts[0], offset=parts[1])

    def apply(self, block: np.ndarray) -> np.ndarray:
        """Values of a block (..., B) of stored numbers of the chosen bands."""
        if not (np.all(np.asarray(self.gain) == 1) and np.all(np.asarray(self.offset) == 0)):
            block = block * np.asarray(self.gain, dtype=np.float64) + self.offset
        return block if self.divisor == 1 else block / self.divisor

    def __str__(self) -> str:
        steps = []
        if np.any(np.asarray(self.gain) != 1):
            steps.append(f"multiplied by {_range(self.gain)}")
        if np.any(np.asarray(self.offset) != 0):
            steps.append(f"added {_range(self.offset)}")
        if self.divisor != 1:
            steps.append(f"divided by {self.divisor:g}")
        others = f"; {self.others} not used" if self.others else ""
        return f"stored numbers {' and '.join(steps)} ({self.origin}{others}; scale= overrules)"


#: Of files that say nothing.
NO_SCALING = Scaling()


def _range(value: Any) -> str:
    low, high = float(np.min(value)), float(np.max(value))
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def scaling_of(attributes: Mapping[str, Any]) -> Scaling:
    """What metadata beside an array say, by the names that formats have for it.

    ``scale_factor`` and ``add_offset`` are those of the CF conventions (section 8.1): value = stored *
    scale_factor + add_offset. Any other spelling (``Scale_Factor`` of NEON, say, or ENVI's reflectance
    scale factor) is a divisor when it exceeds 1, else a factor.

    Args:
        attributes: Numbers by name; others are passed over.

    Examples:
        >>> str(scaling_of({"Scale_Factor": 10000.0}))
        'stored numbers divided by 10000 (Scale_Factor; scale= overrules)'
        >>> str(scaling_of({"scale_factor": 0.5, "add_offset": -1}))
        'stored numbers multiplied by 0.5 and added -1 (scale_factor, add_offset; scale= overrules)'
    """
    numbers = {key: array for key, value in attributes.items() if (array := _numbers(value)) is not None}
    if "scale_factor" in numbers or "add_offset" in numbers:
        origin = ", ".join(key for key in ("scale_factor", "add_offset") if key in numbers)
        return Scaling(origin, numbers.get("scale_factor", 1.0), numbers.get("add_offset", 0.0))
    for key, value in numbers.items():
        if key.lower().replace(" ", "_") in _DIVISORS and value.size == 1:
            number = float(value[0])
            return Scaling(key, gain=number) if 0 < number < 1 else Scaling(key, divisor=number)
    return Scaling()


def nodata_of(attributes: Mapping[str, Any]) -> float | None:
    """The no-data value that metadata beside an array name; None when they name none."""
    for key, value in attributes.items():
        if key.lower().replace(" ", "_") in _NODATA:
            array = np.asarray(value).ravel()
            if array.size == 1 and array.dtype.kind in "biuf":
                return float(array[0])
    return None


def _numbers(value: Any) -> np.ndarray | None:
    try:
        return np.asarray(value, dtype=np.float64).ravel()
    except (TypeError, ValueError):
        return None
