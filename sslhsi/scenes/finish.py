"""From what a file holds to a scene: pixels masked, bands chosen, values scaled."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from sslhsi.errors import InputError
from sslhsi.read_options import ReadOptions
from sslhsi.scenes.bad_bands import band_statistics, equals, row_blocks
from sslhsi.scenes.notes import note
from sslhsi.scenes.raw import Centres, Raw, check_memory
from sslhsi.scenes.scaling import Scaling
from sslhsi.scenes.scene import Scene
from sslhsi.scenes.wavelengths import to_nanometres

# Classes whose pixels are counted in a note one by one.
MOST_LISTED = 40
# What software writes where there are no data.
SENTINELS = (-9999.0, -999.0, -32768.0, -99.0, -1e34)
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
            if len(raw.bad) != bands:
                raise InputError(
                    f"{raw.source}: its list of bad bands (bbl) has {len(raw.bad)} entries for {bands} bands; "
                    "pass drop_bands= the bands to drop, or an empty list"
                )
            keep = ~raw.bad
    elif max(drop_bands, default=0) >= bands:
        raise InputError(f"{raw.source}: drop_bands must be numbers from 0 to {bands - 1}, not {drop_bands}")
    else:
        keep[drop_bands] = False
    if not keep.any():
        raise InputError(f"{raw.source}: no band is left of {bands}; pass drop_bands=() to keep all")
    return keep


def finish(raw: Raw, options: ReadOptions, mask: np.ndarray | None) -> Scene:
    """Mask pixels, choose and order bands and scale what a reader opened; the cube is passed over in blocks of rows.

    Integer cubes without a no-data value are not passed over at all.

    Args:
        raw: What the file holds.
        options: What the caller says: drop_bands, nodata, unit, scale, name, domain, sensor.
        mask: (H, W) booleans from the caller, or None.

    Raises:
        InputError: No band or no pixel is left, or a band holds no finite value.
    """
    bands = raw.cube.shape[2]
    nodata = raw.nodata if options.nodata is None else options.nodata_value
    keep = _kept_bands(raw, options.drop_bands)
    if raw.cube.dtype.kind == "f" or (nodata is not None and not np.isnan(nodata)) or options.drop_bands == "bad":
        keep, valid = _examine(raw, keep, options.drop_bands, nodata)
        mask = _joined(mask, valid)
    mask = _joined(mask, raw.mask if options.nodata is None else None)
    if nodata is None:
        _note_sentinels(raw)
    if mask is not None and not mask.any():
        raise InputError(f"{raw.source}: no pixel is left: all are non-finite, no-data or masked")
    if not keep.all():
        gone = _listed(np.flatnonzero(~keep))
        note(raw.source, f"{bands - keep.sum()} of {bands} bands dropped: {gone} (0-based)")
    numbers, wavelengths = _ordered(raw, np.flatnonzero(keep), options.unit)
    if raw.labels is not None:
        _note_classes(raw.source, raw.labels, raw.classes)
    return Scene(
        name=options.name if options.name is not None else raw.source.stem,
        cube=_selected(raw, numbers, _scaling(raw, options, numbers)),
        wavelengths=wavelengths,
        labels=raw.labels,
        classes=tuple(raw.classes),
        mask=mask,
        domain=options.domain or "",
        sensor=options.sensor,
        georeference=raw.georeference,
        source=raw.source,
    )


def _note_sentinels(raw: Raw) -> None:
    """Tell where pixels of a file without a no-data value hold one all the same; a grid of pixels is looked at."""
    rows, columns = (np.unique(np.linspace(0, side - 1, 64).astype(int)) for side in raw.cube.shape[:2])
    pixels = np.asarray(raw.cube[rows[:, None], columns[None]])
    first = pixels[..., :1]
    same = first[(pixels == first).all(axis=2)].astype(np.float64) if pixels.shape[2] > 1 else np.empty(0)
    for value in SENTINELS:
        if count := int((same == value).sum()):
            note(
                raw.source,
                f"{value:g} stands in every band of pixels ({count} of {rows.size * columns.size} looked at), which "
                f"looks like no data; if so, pass nodata={value:g}",
            )


def _note_classes(source: Path, labels: np.ndarray, names: Sequence[str]) -> None:
    """Tell how many pixels bear each label: what is no class, or a class too many, shows at a glance."""
    ids, counts = np.unique(labels[labels > 0], return_counts=True)
    shown = [
        f"{label} {names[label - 1]} {count}" if label <= len(names) else f"{label}: {count}"
        for label, count in zip(ids[:MOST_LISTED], counts[:MOST_LISTED], strict=True)
    ]
    more = f", and {ids.size - MOST_LISTED} more" if ids.size > MOST_LISTED else ""
    text = f"{ids.size} classes, pixels by label {', '.join(shown)}{more}; " if ids.size else "no class, "
    note(source, f"labels: {text}{labels.size - counts.sum()} of {labels.size} pixels unlabelled")


def _joined(mask: np.ndarray | None, other: np.ndarray | None) -> np.ndarray | None:
    """Two masks as one; None where none takes out a pixel."""
    if other is None or other.all():
        return mask
    return other if mask is None else mask & other


def _examine(
    raw: Raw, keep: np.ndarray, drop_bands: DropBands, nodata: float | None
) -> tuple[np.ndarray, np.ndarray]:
    """Bands to keep and (H, W) booleans of pixels with data in all of them."""
    statistics = band_statistics(raw.cube, bands=keep, nodata=nodata)
    numbers = np.flatnonzero(keep)
    if not statistics.pixels:
        raise InputError(f"{raw.source}: no pixel is left: all are non-finite or no-data")
    if drop_bands != "bad" and statistics.dead.any():
        dead = _listed(numbers[statistics.dead])
        raise InputError(
            f"{raw.source}: bands {dead} (0-based) hold no finite value; "
            'pass drop_bands="bad" or a list of bands to drop'
        )
    without = statistics.missing >= statistics.pixels  # no-data in every pixel
    chosen = ~statistics.bad if drop_bands == "bad" else np.ones(len(numbers), dtype=bool)
    if drop_bands is None and without.any() and not without.all():
        note(raw.source, f"bands {_listed(numbers[without])} (0-based) hold the no-data value alone")
        chosen = ~without
    if not chosen.any():
        raise InputError(f"{raw.source}: every band is constant or non-finite, none is left")
    keep = keep.copy()
    keep[numbers[~chosen]] = False
    valid = ~statistics.empty
    if statistics.empty.any():
        note(raw.source, f"{np.count_nonzero(~valid)} of {valid.size} pixels hold no data in any band and are masked")
    lacking = chosen & ~without & (statistics.missing > 0)
    if statistics.nonfinite[chosen].any() or lacking.any():
        whole = _whole_pixels(raw.cube, keep, numbers[chosen & ~without], nodata)
        _tell_masked(raw, valid & ~whole, numbers[lacking & (statistics.missing > statistics.pixels / 2)], nodata)
        valid &= whole
    return keep, valid


def _whole_pixels(cube: np.ndarray, finite_in: np.ndarray, data_in: np.ndarray, nodata: float | None) -> np.ndarray:
    """(H, W) booleans: finite in all bands of one choice, and not no-data in any of the other."""
    whole = np.ones(cube.shape[:2], dtype=bool)
    for rows in row_blocks(cube):
        block = np.asarray(cube[rows])
        if block.dtype.kind == "f":
            whole[rows] &= np.isfinite(block[:, :, finite_in]).all(axis=2)
        if (same := equals(block[:, :, data_in], nodata)) is not None:
            whole[rows] &= ~same.any(axis=2)
    return whole


def _tell_masked(raw: Raw, masked: np.ndarray, worst: np.ndarray, nodata: float | None) -> None:
    count = int(masked.sum())
    if not count:
        return
    what = "without a finite value" if nodata is None else f"without a finite value, or with no-data ({nodata:g}),"
    most = f"; most lack bands {_listed(worst)} (0-based), which drop_bands= can leave out" if worst.size else ""
    overrule = "" if nodata is None else " (nodata= overrules)"
    note(raw.source, f"{count} of {masked.size} pixels {what} in some band are masked{overrule}{most}")


def _ordered(raw: Raw, numbers: np.ndarray, unit: str | None) -> tuple[np.ndarray, np.ndarray | None]:
    """The kept bands from short to long wavelengths, and these in nanometres; in the file's order without any."""
    centres, bands = raw.wavelengths, raw.cube.shape[2]
    if isinstance(centres, Centres):
        centres = to_nanometres(centres.values, unit or centres.unit, centres.where)
    if centres is None:
        return numbers, None
    if len(centres) not in (bands, len(numbers)):
        where = raw.wavelengths.where if isinstance(raw.wavelengths, Centres) else raw.source
        raise InputError(f"{where}: {len(centres)} wavelengths for {bands} bands; pass wavelengths= as many as bands")
    if len(centres) == bands:
        centres = centres[numbers]
    order = np.argsort(centres, kind="stable")
    if (np.diff(order) == 1).all():
        return numbers, centres
    if (np.diff(centres) < 0).all():
        note(raw.source, "bands stored from long to short wavelengths are read from short to long")
        order = np.arange(len(numbers))[::-1]
    else:
        moved = int(np.count_nonzero(order != np.arange(len(order))))
        note(raw.source, f"{moved} of {len(order)} bands are not stored by wavelength and are read in its order")
    return numbers[order], centres[order]


def _scaling(raw: Raw, options: ReadOptions, numbers: np.ndarray) -> Scaling:
    """The caller's scaling, or the file's, for the chosen bands."""
    if options.scale is not None:
        scaling = Scaling() if options.scale == "none" else Scaling("as scale= says", divisor=float(options.scale))
        if not raw.scaling.identity:
            note(raw.source, f"{raw.scaling.origin} not used, scale={options.scale} is given")
    else:
        scaling = raw.scaling
    scaling = scaling.of_bands(raw.cube.shape[2], numbers, str(raw.source))
    if not scaling.identity:
        note(raw.source, str(scaling))
    return scaling


def _selected(raw: Raw, numbers: np.ndarray, scaling: Scaling) -> np.ndarray:
    """Chosen bands, scaled; a view of the file when they are evenly spaced and need no scaling."""
    steps = np.unique(np.diff(numbers))
    if scaling.identity and len(steps) <= 1:
        step = int(steps[0]) if len(steps) else 1
        if step == 1 and len(numbers) == raw.cube.shape[2]:
            return raw.cube
        stop = int(numbers[-1]) + (1 if step > 0 else -1)
        return raw.cube[:, :, int(numbers[0]) : stop if stop >= 0 else None : step]
    shape = (*raw.cube.shape[:2], len(numbers))
    dtype = raw.cube.dtype if scaling.identity else np.dtype(np.float32)
    check_memory(raw.source, shape, dtype.itemsize)
    selected = np.empty(shape, dtype.newbyteorder("="))
    for rows in row_blocks(raw.cube):
        selected[rows] = scaling.apply(np.asarray(raw.cube[rows])[:, :, numbers])
    return selected
