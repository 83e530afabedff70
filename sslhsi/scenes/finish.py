"""From what a file holds to a scene: pixels masked, bands chosen, values scaled."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from sslhsi.errors import InputError
from sslhsi.read_options import ReadOptions
from sslhsi.scenes.bad_bands import band_statistics, row_blocks
from sslhsi.scenes.notes import note
from sslhsi.scenes.raw import Raw, check_memory
from sslhsi.scenes.scene import Scene

# Classes whose pixels are counted in a note one by one.
MOST_LISTED = 40
DropBands = Literal["bad"] | list[int] | None


def _listed(bands: np.ndarray) -> str:
    """Numbers as runs: "0-3, 107, 150-162"."""
    runs = np.split(bands, np.flatnonzero(np.diff(bands) != 1) + 1) if len(bands) else []
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def _kept_bands(raw: Raw, drop_bands: DropBands) -> np.ndarray:
    """(B,) booleans after the caller's list, or those that the file calls bad."""
    bands = raw.cube.shape[2]
    keep = np.ones(bands, dtype=bool)
    if drop_bands is None or isinstance(drop_bands, str):
        if raw.bad is not None:
            keep = ~raw.bad
    elif max(drop_bands, default=0) >= bands:
        raise InputError(f"{raw.source}: drop_bands must be numbers from 0 to {bands - 1}, not {drop_bands}")
    else:
        keep[drop_bands] = False
    if not keep.any():
        raise InputError(f"{raw.source}: no band is left of {bands}; pass drop_bands=() to keep all")
    return keep


def finish(raw: Raw, options: ReadOptions, mask: np.ndarray | None) -> Scene:
    """Mask pixels, choose bands and scale what a reader opened; the cube is passed over in blocks of rows.

    Integer cubes without a no-data value are not passed over at all.

    Args:
        raw: What the file holds.
        options: What the caller says: drop_bands, nodata, name, domain, sensor.
        mask: (H, W) booleans from the caller, or None.

    Raises:
        InputError: No band or no pixel is left, or a band holds no finite value.
    """
    drop_bands = options.drop_bands
    nodata = options.nodata if options.nodata is not None else raw.nodata
    bands = raw.cube.shape[2]
    keep = _kept_bands(raw, drop_bands)
    if raw.cube.dtype.kind == "f" or nodata is not None or drop_bands == "bad":
        keep, valid = _examine(raw, keep, drop_bands, nodata)
        if not valid.all():
            mask = valid if mask is None else mask & valid
    if mask is not None and not mask.any():
        raise InputError(f"{raw.source}: no pixel is left: all are non-finite, no-data or masked")
    if not keep.all():
        gone = _listed(np.flatnonzero(~keep))
        note(raw.source, f"{bands - keep.sum()} of {bands} bands dropped: {gone} (0-based)")
    wavelengths = raw.wavelengths
    if wavelengths is not None and len(wavelengths) == bands:
        wavelengths = wavelengths[keep]
    if raw.labels is not None:
        _note_classes(raw.source, raw.labels, raw.classes)
    return Scene(
        name=options.name if options.name is not None else raw.source.stem,
        cube=_selected(raw, keep),
        wavelengths=wavelengths,
        labels=raw.labels,
        classes=tuple(raw.classes),
        mask=mask,
        domain=options.domain or "",
        sensor=options.sensor,
        georeference=raw.georeference,
        source=raw.source,
    )


def _note_classes(source: Path, labels: np.ndarray, names: Sequence[str]) -> None:
    """Tell how many pixels bear each label: what is no class, or a class too many, is seen at a glance."""
    ids, counts = np.unique(labels[labels > 0], return_counts=True)
    shown = [
        f"{label} {names[label - 1]} {count}" if label <= len(names) else f"{label}: {count}"
        for label, count in zip(ids[:MOST_LISTED], counts[:MOST_LISTED], strict=True)
    ]
    more = f", and {ids.size - MOST_LISTED} more" if ids.size > MOST_LISTED else ""
    text = f"{ids.size} classes, pixels by label {', '.join(shown)}{more}; " if ids.size else "no class, "
    note(source, f"labels: {text}{labels.size - counts.sum()} of {labels.size} pixels unlabelled")


def _examine(
    raw: Raw, keep: np.ndarray, drop_bands: DropBands, nodata: float | None
) -> tuple[np.ndarray, np.ndarray]:
    """Bands to keep and (H, W) booleans of pixels with data."""
    statistics = band_statistics(raw.cube, bands=keep, nodata=nodata)
    numbers = np.flatnonzero(keep)
    chosen = ~statistics.bad if drop_bands == "bad" else np.ones(len(numbers), dtype=bool)
    if not statistics.pixels:
        raise InputError(f"{raw.source}: no pixel is left: all are non-finite or no-data")
    if drop_bands != "bad" and statistics.dead.any():
        dead = _listed(numbers[statistics.dead])
        raise InputError(
            f"{raw.source}: bands {dead} (0-based) hold no finite value; "
            'pass drop_bands="bad" or a list of bands to drop'
        )
    if not chosen.any():
        raise InputError(f"{raw.source}: every band is constant or non-finite, none is left")
    if statistics.partial:
        note(
            raw.source,
            f"{statistics.partial} pixels hold the no-data value {nodata} in some bands only and are kept",
        )
    keep = keep.copy()
    keep[numbers[~chosen]] = False
    valid = ~statistics.empty
    if statistics.nonfinite[chosen].any():
        for rows in row_blocks(raw.cube):
            valid[rows] &= np.isfinite(np.asarray(raw.cube[rows])[:, :, keep]).all(axis=2)
    return keep, valid


def _selected(raw: Raw, keep: np.ndarray) -> np.ndarray:
    """The kept bands, scaled; a view of the file when they are evenly spaced and need no scaling."""
    if raw.scale == 1.0 and keep.all():
        return raw.cube
    numbers = np.flatnonzero(keep)
    steps = np.unique(np.diff(numbers))
    if raw.scale == 1.0 and len(steps) <= 1:
        return raw.cube[:, :, numbers[0] : numbers[-1] + 1 : int(steps[0]) if len(steps) else 1]
    shape = (*raw.cube.shape[:2], len(numbers))
    dtype = raw.cube.dtype if raw.scale == 1.0 else np.dtype(np.float32)
    check_memory(raw.source, shape, dtype.itemsize)
    selected = np.empty(shape, dtype.newbyteorder("="))
    for rows in row_blocks(raw.cube):
        block = np.asarray(raw.cube[rows])[:, :, keep]
        selected[rows] = block if raw.scale == 1.0 else block / raw.scale
    if raw.scale != 1.0:
        note(raw.source, f"divided by the reflectance scale factor {raw.scale:g}")
    return selected
