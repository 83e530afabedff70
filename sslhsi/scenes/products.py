"""Images of known products among the arrays of a file, of one detector or of several as one cube."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from sslhsi.errors import InputError
from sslhsi.read_options import ReadOptions
from sslhsi.scenes.bad_bands import row_blocks
from sslhsi.scenes.labels import named
from sslhsi.scenes.notes import note
from sslhsi.scenes.raw import Raw, Variable, check_memory
from sslhsi.scenes.scaling import NO_SCALING, Scaling

JOINED = "made of several arrays"
IN_SWATH = "not on a map grid: the file gives latitudes and longitudes of pixels only"


@dataclass(frozen=True)
class Detector:
    """The cube of one detector as a file stores it.

    Args:
        name: Of the detector, for messages.
        stored: The array.
        axes: Its axes, a permutation of "hwb".
        wavelengths: (B,) nanometres; 0, NaN or negative where a band is dead.
        scaling: From stored numbers to physical values, one for all bands; None: nothing is known.
    """

    name: str
    stored: Variable
    axes: str
    wavelengths: np.ndarray
    scaling: Scaling | None = None

    @property
    def size(self) -> tuple[int, int, int]:
        """(H, W, B)."""
        return size_of(self.stored, self.axes)


def size_of(stored: Variable, axes: str) -> tuple[int, int, int]:
    """(H, W, B) of an array whose axes are a permutation of "hwb"."""
    height, width, bands = (stored.shape[axes.index(axis)] for axis in "hwb")
    return height, width, bands


def join(detectors: Sequence[Detector], path: Path, *, padding: float | None = None) -> Raw:
    """The cubes of several detectors as one image, by ascending wavelength.

    Dead bands are left out. Where detectors overlap, the first in the list is kept and the others begin or end where
    it ends: two detectors differ by some percent, and their bands in turn would make every spectrum jagged.

    Args:
        detectors: In order of preference.
        path: File, for messages.
        padding: Stored number that all bands hold outside of what was measured; such pixels are masked.

    Returns:
        Stored numbers, wavelengths, scaling of each band and mask. Where a detector has no scale, none is used: one
        scale must hold for one scene.

    Raises:
        InputError: The detectors differ in height or width, wavelengths don't fit, or no band is left.
    """
    chosen: list[tuple[float, int, int]] = []
    spans: list[tuple[float, float]] = []
    height, width, _ = detectors[0].size
    for number, detector in enumerate(detectors):
        if detector.size[:2] != (height, width):
            raise InputError(
                f"{path}: {detectors[0].name} is {height} x {width} pixels and {detector.name} is "
                f"{detector.size[0]} x {detector.size[1]}; they make no one scene, name one with cube="
            )
        if len(detector.wavelengths) != detector.size[2]:
            raise InputError(
                f"{path}: {len(detector.wavelengths)} wavelengths for the {detector.size[2]} bands of {detector.name}"
            )
        alive = np.isfinite(detector.wavelengths) & (detector.wavelengths > 0)
        within = np.zeros_like(alive)
        for low, high in spans:
            within |= alive & (detector.wavelengths >= low) & (detector.wavelengths <= high)
        if not alive.all():
            note(path, f"{detector.name}: {np.sum(~alive)} bands without a wavelength (dead) left out")
        if within.any():
            note(
                path,
                f"{detector.name}: {within.sum()} bands left out, at wavelengths where another detector measures too "
                "(name the detector with cube= to have all of its bands)",
            )
        kept = np.flatnonzero(alive & ~within)
        chosen += [(float(detector.wavelengths[band]), number, int(band)) for band in kept]
        if alive.any():
            spans.append((detector.wavelengths[alive].min(), detector.wavelengths[alive].max()))
    if not chosen:
        raise InputError(f"{path}: no band has a wavelength")
    chosen.sort()
    raw = Raw(_filled(detectors, chosen, path), path, wavelengths=np.array([centre for centre, _, _ in chosen]))
    raw.scaling = _scaling(detectors, [number for _, number, _ in chosen], path)
    if padding is not None:
        _mask_padding(raw, padding)
    return raw


def _scaling(detectors: Sequence[Detector], owners: Sequence[int], path: Path) -> Scaling:
    known = {d.name: d.scaling for d in detectors if d.scaling is not None}
    if len(known) == len(detectors):
        scalings = [known[detectors[number].name] for number in owners]
        gains, offsets = ([float(np.ravel(getattr(s, part))[0]) for s in scalings] for part in ("gain", "offset"))
        return Scaling(f"scale of {' and '.join(known)}", gains, offsets)
    if known:
        without = " and ".join(d.name for d in detectors if d.name not in known)
        note(path, f"stored numbers kept, the file has no scale for {without}")
    return NO_SCALING


def _mask_padding(raw: Raw, padding: float) -> None:
    mask = np.zeros(raw.cube.shape[:2], dtype=bool)
    for rows in row_blocks(raw.cube):
        mask[rows] = (raw.cube[rows] != padding).any(axis=2)
    if not mask.all():
        note(raw.source, f"{np.sum(~mask)} pixels masked that hold {padding:g} in every band")
        raw.mask = mask


def _filled(detectors: Sequence[Detector], chosen: Sequence[tuple[float, int, int]], path: Path) -> np.ndarray:
    dtype = np.result_type(*(d.stored.dtype for d in detectors))
    shape = (*detectors[0].size[:2], len(chosen))
    check_memory(path, shape, dtype.itemsize)
    cube = np.empty(shape, dtype.newbyteorder("="))
    for number, detector in enumerate(detectors):
        array = np.asarray(detector.stored.load()).transpose([detector.axes.index(axis) for axis in "hwb"])
        for position, (_, owner, band) in enumerate(chosen):
            if owner == number:
                cube[:, :, position] = array[:, :, band]
    return cube


def images_of(
    cubes: Mapping[str, Variable], axes: str, read: Callable[[Sequence[Variable]], Raw], together: str | None
) -> list[Variable]:
    """The images of a product: the arrays of all detectors as one, then each by itself.

    Args:
        cubes: By the names that each has as an image, its own among them.
        axes: Of the arrays, a permutation of "hwb".
        read: Makes one image of one array or several.
        together: Name of the image of all arrays; None: they make none.
    """
    images = []
    parts = [cube for name, cube in cubes.items() if name == cube.name]
    if together is not None and len(parts) > 1:
        sizes = [size_of(part, axes) for part in parts]
        shape = (*sizes[0][:2], sum(size[2] for size in sizes))
        whole = Variable(together, shape, np.dtype(np.float32), lambda: read(parts).cube, {JOINED: True})
        images.append(replace(whole, image=lambda: read(parts)))
    for name, cube in cubes.items():
        images.append(replace(cube, name=name, image=partial(read, [cube])))
    return images


def chosen_image(variables: Sequence[Variable], path: Path, options: ReadOptions) -> Raw | None:
    """The image of a known product, or None where the file is none or the caller wants another array of it.

    Args:
        variables: All arrays of the file.
        path: The file.
        options: ``cube`` names an image or another array; ``layout``, ``shape`` and ``order`` overrule what is known
            of one array.

    Raises:
        InputError: Axes are given for an image of several arrays.
    """
    images = [v for v in variables if v.image is not None]
    if not images:
        return None
    image = images[0] if options.cube is None else named(variables, options.cube, path)
    given = [key for key in ("layout", "shape", "order") if getattr(options, key) is not None]
    if given and JOINED in image.attributes:
        arrays = ", ".join(v.name for v in images if JOINED not in v.attributes)
        raise InputError(
            f"{path}: {given[0]}= is for one array, {image.name} is made of several; pass cube= ({arrays})"
        )
    return None if given or image.image is None else image.image()
