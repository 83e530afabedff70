"""Do raw data look like what their header takes them for: kind of numbers, order of bytes, lines and samples?"""

from __future__ import annotations

import numpy as np

#: Axes on disk for each interleave: h lines, w samples, b bands.
ON_DISK = {"bsq": "bhw", "bil": "hbw", "bip": "hwb"}
_SAMPLE = 1 << 15
_NANS = {n: np.array([np.nan, -np.nan], dtype=f"f{n}").view(f"u{n}").tolist() for n in (4, 8)}


def doubts_about(flat: np.ndarray, interleave: str) -> list[str]:
    """What the data rather look like than what a header says, in words.

    A few thousand neighbouring values from the middle are read: as the header wants them, with their bytes
    swapped, as floating point or as integers. Numbers of an image vary smoothly and have usual magnitudes;
    misread ones don't.

    Args:
        flat: The data as they lie on disk, in the dtype of the header.
        interleave: bsq, bil or bip.

    Examples:
        >>> values = np.linspace(0.1, 0.9, 4096, dtype=np.float32)
        >>> doubts_about(values.view(np.uint16).reshape(4, 32, 64), "bip")
        ['the numbers look like 32-bit floating point (data type 4), read as uint16']
        >>> doubts_about(values.reshape(4, 16, 64), "bip")
        []
    """
    with np.errstate(all="ignore"):
        doubt = _doubt_about_numbers(flat)
        if doubt is not None:
            return [doubt]
        return ["lines and samples look exchanged"] if _exchanged(flat, interleave) else []


def _doubt_about_numbers(flat: np.ndarray) -> str | None:
    line = flat.reshape(-1)
    start = max(0, (line.size - _SAMPLE) // 2) // 2 * 2
    values = np.array(line[start : start + _SAMPLE])
    values = values[: values.size // 2 * 2]
    if values.size < 64 or values.dtype.itemsize == 1 or not values.any():
        return None
    name = values.dtype.newbyteorder("=").name
    if _swapped(values):
        return f"the bytes of the numbers look swapped ('byte order' is the other), read as {name}"
    if values.dtype.kind in "iu" and values.dtype.itemsize < 8 and _hide_floats(values):
        return f"the numbers look like 32-bit floating point (data type 4), read as {name}"
    if values.dtype.kind == "f" and _hide_integers(values):
        return f"the numbers look like integers (data type 2, 12, 3 or 13), read as {name}"
    return None


def _usual(values: np.ndarray) -> float:
    """Share of the values that are 0, NaN as software writes it, or of a usual magnitude."""
    values = values.astype(values.dtype.newbyteorder("="))
    size = np.abs(values.astype(np.float64))
    plain_nan = np.isnan(size) & np.isin(values.view(f"u{values.dtype.itemsize}"), _NANS[values.dtype.itemsize])
    return float(np.mean((size == 0) | ((size > 1e-12) & (size < 1e12)) | plain_nan | np.isinf(size)))


def _roughness(values: np.ndarray) -> float:
    numbers = values.astype(np.float64)
    spread = numbers.std()
    return float(np.abs(np.diff(numbers)).mean() / spread) if spread > 0 else 0.0


def _swapped(values: np.ndarray) -> bool:
    other = values.byteswap()
    if values.dtype.kind == "f":
        return _usual(values) < 0.5 and _usual(other) > 0.95
    return _roughness(other) < 0.5 * _roughness(values)


def _halves(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper 16 bits of 32-bit numbers, as float64."""
    pair = values.astype(values.dtype.newbyteorder("<")).view("<u2").reshape(-1, 2)
    return pair[:, 0].astype(np.float64), pair[:, 1].astype(np.float64)


def _hide_floats(values: np.ndarray) -> bool:
    floats = values.view(np.dtype("f4").newbyteorder(values.dtype.byteorder))
    if _usual(floats) < 0.98 or not np.any(floats):
        return False
    low, high = _halves(floats)
    return high.std() < low.std() / 3 or (np.mean(low == 0) > 0.5 and np.mean(high == 0) < 0.5)


def _hide_integers(values: np.ndarray) -> bool:
    if _usual(values) < 0.5:
        return True
    if values.dtype.itemsize != 4:
        return False
    low, high = _halves(values)
    if low.std() == 0 or high.std() == 0:
        return False
    same = abs(np.median(low) - np.median(high)) < 0.1 * max(np.median(low), 1.0)
    return bool(same and np.corrcoef(low, high)[0, 1] > 0.9)


def _exchanged(flat: np.ndarray, interleave: str) -> bool:
    """True when the image is much smoother from row to row with lines and samples exchanged."""
    sides = dict(zip(ON_DISK[interleave], flat.shape, strict=True))
    height, width, bands = sides["h"], sides["w"], sides["b"]
    if height == width or min(height, width) < 8:
        return False
    steps = []
    for lines, samples in ((height, width), (width, height)):
        shape = {"h": lines, "w": samples, "b": bands}
        image = flat.reshape([shape[axis] for axis in ON_DISK[interleave]])
        image = image.transpose([ON_DISK[interleave].index(axis) for axis in "hwb"])
        rows = max(8, _SAMPLE // samples)
        part = np.asarray(image[:rows, :, :: max(1, bands // 4)], dtype=np.float64)
        steps.append(np.abs(np.diff(part, axis=0)).mean())
    return bool(steps[1] < 0.6 * steps[0])
