"""Raw counts to reflectance, from a white and a dark reference of the same camera."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from sslhsi.errors import InputError
from sslhsi.scenes.bad_bands import row_blocks
from sslhsi.scenes.scene import Scene

# A counter is full at one of these; a raw image whose largest value is one of them is taken to be saturated there.
FULL_SCALES = tuple(2**bits - 1 for bits in (8, 10, 12, 14, 16))
# A detector element whose white signal is below this share of its band's median sees nothing.
DEAD_SHARE = 0.05
WAVELENGTH_TOLERANCE = 0.5  # nm between image and reference


@dataclass(frozen=True)
class Exposure:
    """A capture with what its exposure needs.

    Args:
        scene: Raw counts (H, W, B), every band of the detector.
        time: Integration time, in the unit of the others; None where nothing says it.
    """

    scene: Scene
    time: float | None = None


@dataclass(frozen=True)
class Plan:
    """What turns raw counts into reflectance: ``(raw - dark) * gain``.

    Args:
        dark: (W, B) counts without light; one column where the reference has one spectrum.
        gain: (W, B) reflectance per count, NaN where the detector is dead.
        saturation: Count from which on a raw value is saturated; infinite where nothing says so.
        notes: What was assumed and what was met, for the user.
        record: The same for files, fit for JSON.
    """

    dark: np.ndarray
    gain: np.ndarray
    saturation: float
    notes: tuple[str, ...]
    record: dict[str, Any]


@dataclass
class Counts:
    """How many values were masked (or, of dead elements, filled) while an image was calibrated."""

    values: int = 0
    dead_values: int = 0
    saturated_values: int = 0
    saturated_pixels: int = 0

    def notes(self, dead: str) -> list[str]:
        """The counts in words; ``dead`` says what became of dead elements."""
        notes = []
        if self.dead_values:
            notes.append(f"{self.dead_values:,} of {self.values:,} values of dead elements {dead}")
        if self.saturated_values:
            notes.append(f"{self.saturated_values:,} saturated values masked, in {self.saturated_pixels:,} pixels")
        return notes


def plan_calibration(
    raw: Exposure,
    white: Exposure,
    dark: Exposure | None = None,
    *,
    panel: float = 1.0,
    per_column: bool = True,
    saturation: float | None = None,
) -> Plan:
    """Work out the calibration of an image; nothing of the image but its largest value is looked at.

    Reflectance is ``panel * (raw - dark) / (white - dark) * (white time / raw time)``, detector element by detector
    element (column and band), references averaged over their lines.

    Args:
        raw: The image.
        white: A white panel that fills the camera's line; any number of lines.
        dark: The closed shutter; None takes the dark signal as 0, which is a note.
        panel: Reflectance of the white panel, above 0.
        per_column: One reference spectrum per column of the detector; False averages over columns, too, for
            references of another width.
        saturation: Count from which on a value is saturated. By default the largest count of image and white
            reference, where that is a counter's full scale (255, 1023, 4095, 16383, 65535).

    Raises:
        InputError: Reference and image don't belong together, or the white reference is no brighter than the dark.
    """
    if not (math.isfinite(panel) and panel > 0):
        raise InputError(f"panel: the reflectance of the white panel must be above 0, not {panel}")
    notes: list[str] = []
    for name, reference in (("white", white), ("dark", dark)):
        if reference is not None:
            _check_fit(raw.scene, reference.scene, name, per_column)
    level = _saturation(raw.scene, white.scene, saturation, notes)
    light, white_saturated = _mean_lines(white.scene, per_column, level)
    if dark is None:
        darkness = np.zeros_like(light)
        notes.append("no dark reference: the dark signal is taken as 0")
    else:
        darkness, _ = _mean_lines(dark.scene, per_column, math.inf)
    signal = light - darkness
    typical = np.nanmedian(np.where(signal > 0, signal, np.nan), axis=0) if (signal > 0).any() else np.zeros(1)
    if not (signal > 0).any():
        raise InputError(
            f"{white.scene.source}: the white reference is nowhere brighter than the dark one; are they swapped?"
        )
    dead = ~(signal > DEAD_SHARE * typical)
    if dead.any():
        notes.append(f"{_share(dead)} of the detector are dead (white below {DEAD_SHARE:.0%} of the band's median)")
    if white_saturated.any():
        notes.append(f"{_share(white_saturated)} of the white reference are saturated and calibrate nothing")
    ratio = _time_ratio(raw, white, dark, notes)
    gain = np.full(signal.shape, np.nan)
    usable = ~dead & ~white_saturated
    gain[usable] = panel * ratio / signal[usable]
    record = {
        "formula": "panel * (raw - dark) / (white - dark) * white_time / raw_time",
        "raw": str(raw.scene.source),
        "white": str(white.scene.source),
        "dark": None if dark is None else str(dark.scene.source),
        "times": {"raw": raw.time, "white": white.time, "dark": None if dark is None else dark.time},
        "panel": panel,
        "per_column": per_column,
        "saturation": None if math.isinf(level) else level,
        "dead_elements": int(dead.sum()),
        "white_saturated_elements": int(white_saturated.sum()),
    }
    return Plan(darkness, gain, level, tuple(notes), record)


def calibrated_rows(
    scene: Scene,
    plan: Plan,
    counts: Counts,
    *,
    fill_dead: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[tuple[slice, np.ndarray]]:
    """Reflectance of an image, block of rows by block of rows; memory does not grow with the image.

    Args:
        scene: The raw image.
        plan: As :func:`plan_calibration` gives it.
        counts: Gets how many values were masked.
        fill_dead: Interpolate dead elements between the next bands that see something, instead of masking them.
        progress: Called with the rows done, and of all.

    Yields:
        Rows, and their (rows, W, B) float32 reflectance; NaN where dead or saturated.
    """
    for rows in row_blocks(scene.cube):
        block = np.asarray(scene.cube[rows])
        saturated = block >= plan.saturation
        values = ((block - plan.dark) * plan.gain).astype(np.float32)
        counts.values += values.size
        counts.dead_values += int(np.isnan(values).sum())
        if fill_dead:
            _fill_bands(values, np.isnan(plan.gain))
        counts.saturated_values += int(saturated.sum())
        counts.saturated_pixels += int(saturated.any(axis=2).sum())
        values[saturated] = np.nan
        yield rows, values
        if progress:
            progress(rows.stop, scene.height)


def _fill_bands(values: np.ndarray, dead: np.ndarray) -> None:
    """Interpolate (n, W, B) values along the bands where a (W or 1, B) detector element is dead; in place."""
    bands = np.arange(values.shape[2])
    dead = np.broadcast_to(dead, values.shape[1:])
    for column in np.flatnonzero(dead.any(axis=1) & ~dead.all(axis=1)):
        good = np.flatnonzero(~dead[column])
        for band in np.flatnonzero(dead[column]):
            after = np.searchsorted(good, bands[band])
            low, high = good[max(0, after - 1)], good[min(after, good.size - 1)]
            weight = 0.0 if low == high else (band - low) / (high - low)
            values[:, column, band] = (1 - weight) * values[:, column, low] + weight * values[:, column, high]


def _check_fit(image: Scene, reference: Scene, name: str, per_column: bool) -> None:
    where = f"{reference.source}: the {name} reference"
    if reference.bands != image.bands:
        raise InputError(f"{where} has {reference.bands} bands, the image {image.bands}; take one of the same camera")
    if per_column and reference.width not in (1, image.width):
        raise InputError(
            f"{where} is {reference.width} columns wide, the image {image.width}; take one of the same camera and "
            "binning, or average it over its columns (--mean-spectrum)"
        )
    if image.wavelengths is not None and reference.wavelengths is not None:
        apart = float(np.abs(image.wavelengths - reference.wavelengths).max())
        if apart > WAVELENGTH_TOLERANCE:
            raise InputError(f"{where} has other wavelengths than the image (by up to {apart:.1f} nm)")


def _saturation(image: Scene, white: Scene, given: float | None, notes: list[str]) -> float:
    if given is not None:
        if not given > 0:
            raise InputError(f"saturation: must be a count above 0, not {given}")
        return given
    if image.cube.dtype.kind not in "iu":
        return math.inf
    largest = max(int(cube[rows].max()) for cube in (image.cube, white.cube) for rows in row_blocks(cube))
    if largest not in FULL_SCALES:
        return math.inf
    notes.append(f"values of {largest}, a counter's full scale, are taken as saturated (overrule with saturation)")
    return float(largest)


def _mean_lines(scene: Scene, per_column: bool, saturation: float) -> tuple[np.ndarray, np.ndarray]:
    """(W, B) or (1, B) mean over the lines without saturated values, and where every line is saturated."""
    columns = scene.width if per_column else 1
    total, count = np.zeros((columns, scene.bands)), np.zeros((columns, scene.bands))
    for rows in row_blocks(scene.cube):
        block = np.asarray(scene.cube[rows], dtype=np.float64)
        good = np.isfinite(block) & (block < saturation)
        block = np.where(good, block, 0.0)
        axes = 0 if per_column else (0, 1)
        total += block.sum(axis=axes, keepdims=not per_column).reshape(columns, -1)
        count += good.sum(axis=axes, keepdims=not per_column).reshape(columns, -1)
    return np.divide(total, count, out=np.zeros_like(total), where=count > 0), count == 0


def _time_ratio(raw: Exposure, white: Exposure, dark: Exposure | None, notes: list[str]) -> float:
    """White time over raw time; 1 where neither says any."""
    times = (raw.time, white.time)
    if any(time is not None and not time > 0 for time in times):
        raise InputError(f"integration times must be above 0, not {raw.time} (image) and {white.time} (white)")
    if raw.time is None or white.time is None:
        unknown = [name for name, time in (("image", raw.time), ("white reference", white.time)) if time is None]
        notes.append(f"integration time of {' and '.join(unknown)} not known: taken as equal")
        return 1.0
    ratio = white.time / raw.time
    if ratio != 1:
        notes.append(f"white reference exposed {white.time:g}, image {raw.time:g}: scaled by {ratio:.4g}")
    if dark is not None and dark.time is not None and dark.time != raw.time:
        notes.append(f"dark reference exposed {dark.time:g}, image {raw.time:g}: its counts are used as they are")
    return ratio


def _share(mask: np.ndarray) -> str:
    return f"{int(mask.sum()):,} of {mask.size:,} elements"
