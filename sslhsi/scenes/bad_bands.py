"""Band statistics in one bounded-memory pass, and the bands that carry no information."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sslhsi.scenes.scene import Scene

BLOCK_BYTES = 32 * 2**20


@dataclass(frozen=True)
class BandStatistics:
    """What one pass over a cube tells about its bands.

    Args:
        pixels: How many pixels were looked at: those of the foreground with some value in some band.
        empty: (H, W) booleans, True where every band is non-finite or every band is no-data.
        nonfinite: (B,) how many of the ``pixels`` have no finite value in a band.
        missing: (B,) how many of the ``pixels`` hold the no-data value in a band.
        minimum: (B,) smallest finite value that isn't no-data, +inf where there is none.
        maximum: (B,) largest such value, -inf where there is none.
    """

    pixels: int
    empty: np.ndarray
    nonfinite: np.ndarray
    missing: np.ndarray
    minimum: np.ndarray
    maximum: np.ndarray

    @property
    def dead(self) -> np.ndarray:
        """(B,) booleans: bands that are finite nowhere."""
        return self.nonfinite >= max(self.pixels, 1)

    @property
    def bad(self) -> np.ndarray:
        """(B,) booleans: constant bands, and those without a value in more than half of the pixels."""
        return ~(self.maximum > self.minimum) | (self.nonfinite + self.missing > self.pixels / 2)


def row_blocks(cube: np.ndarray, most: int | None = None, itemsize: int = 8) -> Iterator[slice]:
    """Slices over the rows of an (H, W, B) cube, each as many as fit, at least one.

    Args:
        cube: The cube.
        most: Bytes of a block; 32 MiB when None.
        itemsize: Bytes of a number as it is worked on; 8 for float64.
    """
    height, width, bands = cube.shape
    step = max(1, (BLOCK_BYTES if most is None else most) // (itemsize * width * bands))
    for start in range(0, height, step):
        yield slice(start, min(start + step, height))


def equals(block: np.ndarray, value: float | None) -> np.ndarray | None:
    """Where a block equals the no-data value in the block's precision; None when it can't."""
    if value is None or np.isnan(value):
        return None
    if block.dtype.kind in "biu":
        limits = (0, 1) if block.dtype.kind == "b" else (np.iinfo(block.dtype).min, np.iinfo(block.dtype).max)
        if value != round(value) or not limits[0] <= value <= limits[1]:
            return None
        return block == block.dtype.type(round(value))
    with np.errstate(over="ignore"):
        return block == block.dtype.type(value)


def band_statistics(
    cube: np.ndarray,
    *,
    bands: np.ndarray | None = None,
    nodata: float | None = None,
    foreground: np.ndarray | None = None,
) -> BandStatistics:
    """Range and non-finite count of every band, block of rows by block of rows.

    Args:
        cube: (H, W, B), possibly memory-mapped; at most a few blocks are in memory at a time.
        bands: Indices or (B,) booleans of the bands to look at; all by default.
        nodata: Value that stands for "no data".
        foreground: (H, W) booleans, the pixels that count; all by default.
    """
    height, width, count = cube.shape
    chosen = slice(None) if bands is None else np.arange(count)[bands]
    count = count if bands is None else len(chosen)  # type: ignore[arg-type]
    nonfinite = np.zeros(count, dtype=np.int64)
    minimum, maximum = np.full(count, np.inf), np.full(count, -np.inf)
    empty = np.zeros((height, width), dtype=bool)
    missing = np.zeros(count, dtype=np.int64)
    pixels = 0
    for rows in row_blocks(cube):
        block = np.asarray(cube[rows])[:, :, chosen]
        finite = np.isfinite(block) if block.dtype.kind == "f" else None
        if finite is not None:
            empty[rows] = ~finite.any(axis=2)
        same = equals(block, nodata)
        if same is not None:
            empty[rows] |= same.all(axis=2)
        used = ~empty[rows] if foreground is None else foreground[rows] & ~empty[rows]
        values = block[used]
        if not len(values):
            continue
        pixels += len(values)
        good = None if finite is None else finite[used]
        if good is not None:
            nonfinite += len(values) - good.sum(axis=0)
        if same is not None:
            lacking = same[used]
            missing += lacking.sum(axis=0)
            good = ~lacking if good is None else good & ~lacking
        low, high = _range(values, good)
        minimum, maximum = np.minimum(minimum, low), np.maximum(maximum, high)
    return BandStatistics(pixels, empty, nonfinite, missing, minimum, maximum)


def _range(values: np.ndarray, good: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """(B,) smallest and largest good value of each band, +inf and -inf where there is none."""
    if good is None:
        return values.min(axis=0), values.max(axis=0)
    if values.dtype.kind != "f":
        values = values.astype(np.float64)
    return (
        np.min(values, axis=0, where=good, initial=np.inf),
        np.max(values, axis=0, where=good, initial=-np.inf),
    )


def bad_bands(scene: Scene) -> np.ndarray:
    """Bands that tell nothing about the foreground of a scene.

    A band is bad when it is constant (zero-padded water bands, dead detectors) or non-finite in more
    than half of the foreground. Pixels without a finite value in any band are not counted.

    Args:
        scene: Any scene; its cube is read in blocks of rows.

    Returns:
        (B,) booleans, True = bad.
    """
    return band_statistics(scene.cube, foreground=scene.mask).bad
