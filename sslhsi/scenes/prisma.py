"""PRISMA products (HDF-EOS5, .he5): two cubes, VNIR and SWIR, as one scene."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from rasterio.crs import CRS
from rasterio.transform import from_origin

from sslhsi.errors import InputError
from sslhsi.scenes.notes import note
from sslhsi.scenes.products import IN_SWATH, Detector, images_of, join
from sslhsi.scenes.raw import Raw, Variable, reading
from sslhsi.scenes.scaling import Scaling

_FULL = 65535.0  # L2: reflectance = Min + number * (Max - Min) / 65535


def prisma_images(path: Path, variables: Sequence[Variable]) -> list[Variable]:
    """The images of a PRISMA product: both detectors as ``PRISMA``, and each by itself as ``VNIR`` and ``SWIR``.

    After ASI's "PRISMA Products Specification" (issue 2.3): "HDFEOS/SWATHS/PRS_L.../Data Fields" holds VNIR_Cube and
    SWIR_Cube as (lines, bands, samples), "Global attributes" the band centres (List_Cw_Vnir, List_Cw_Swir: from long
    to short, 0 for dead bands), the scale of level 2 (L2ScaleVnirMin, L2ScaleVnirMax ...) and of level 1
    (ScaleFactor_Vnir, Offset_Vnir ...), and the map corners of level 2D. Of two swaths with cubes the coregistered
    (HCO) one is taken. Pixels that are 0 in every band are padding, without data.

    Args:
        path: The file.
        variables: Its arrays.

    Returns:
        The images; none when the file is no PRISMA product.
    """
    cubes = [v for v in variables if v.name.endswith(("/VNIR_Cube", "/SWIR_Cube")) and len(v.shape) == 3]
    if not cubes:
        return []
    swaths = sorted({v.name.rsplit("/", 1)[0] for v in cubes}, key=lambda name: ("_HCO" not in name, name))
    with reading(path, "a PRISMA product"), h5py.File(path, "r") as file:
        attributes = {key: file.attrs[key] for key in file.attrs if file.attrs.get_id(key).dtype.kind in "iufSO"}
    cubes = [v for v in cubes if v.name.rsplit("/", 1)[0] == swaths[0]]
    cubes.sort(key=_word, reverse=True)  # VNIR first: it is the less noisy where both measure
    both = all(f"List_Cw_{_word(cube)}" in attributes for cube in cubes)

    def read(parts: Sequence[Variable]) -> Raw:
        detectors = [_detector(part, attributes, path) for part in parts]
        raw = join(detectors, path, padding=0)
        if f"List_Cw_{_word(parts[0])}" not in attributes:
            raw.wavelengths = None
            note(path, "the file lists no band centres (List_Cw_Vnir, List_Cw_Swir): bands in the file's order")
        swath, *others = (name.split("/")[-2] for name in swaths)
        names = " and ".join(d.name for d in detectors)
        note(path, f"PRISMA product: {names} of {swath}, read as (lines, bands, samples)")
        for name in others:
            note(path, f"swath {name} passed over")
        raw.georeference = _place(attributes, raw.size, path)
        if raw.georeference is None:
            note(path, IN_SWATH)
        return raw

    names = {name: cube for cube in cubes for name in (cube.name, _word(cube).upper())}
    return images_of(names, "hbw", read, "PRISMA" if both else None)


def _word(cube: Variable) -> str:
    """The detector as the attributes spell it: "Vnir" or "Swir"."""
    return cube.name.rsplit("/", 1)[1].split("_")[0].capitalize()


def _detector(part: Variable, attributes: Mapping[str, Any], path: Path) -> Detector:
    word = _word(part)
    centres = np.asarray(attributes.get(f"List_Cw_{word}", 1 + np.arange(part.shape[1])), dtype=np.float64).ravel()
    flags = np.asarray(attributes.get(f"List_Cw_{word}_Flags", np.ones(len(centres)))).ravel()
    if flags.shape == centres.shape:
        centres = np.where(flags == 0, 0.0, centres)
    low, high = (_number(attributes, f"L2Scale{word}{end}", path) for end in ("Min", "Max"))
    factor, subtracted = (_number(attributes, f"{key}_{word}", path) for key in ("ScaleFactor", "Offset"))
    scaling = None
    if low is not None and high is not None:
        if not high > low:
            raise InputError(f"{path}: L2Scale{word}Max is {high}, L2Scale{word}Min is {low}: no scale")
        scaling = Scaling(gain=(high - low) / _FULL, offset=low)
    elif factor is not None:
        if not factor > 0:
            raise InputError(f"{path}: ScaleFactor_{word} is {factor}: no scale")
        scaling = Scaling(gain=1 / factor, offset=-(subtracted or 0.0))
    return Detector(word.upper(), part, "hbw", centres, scaling)


def _number(attributes: Mapping[str, Any], key: str, path: Path) -> float | None:
    if key not in attributes:
        return None
    try:
        value = float(np.asarray(attributes[key]).ravel()[0])
    except (TypeError, ValueError, IndexError) as error:
        raise InputError(f"{path}: attribute {key} is no number") from error
    if not np.isfinite(value):
        raise InputError(f"{path}: attribute {key} is {value}")
    return value


def _place(attributes: Mapping[str, Any], shape: tuple[int, int], path: Path) -> dict[str, Any] | None:
    """Level 2D: the corners are centres of pixels of a north-up map grid."""
    keys = ("Epsg_Code", *(f"Product_{c}_{a}" for c in ("ULcorner", "LRcorner") for a in ("easting", "northing")))
    numbers = [_number(attributes, key, path) for key in keys]
    code, west, north, east, south = numbers
    if code is None or west is None or north is None or east is None or south is None or min(shape) < 2:
        return None
    x, y = (east - west) / (shape[1] - 1), (north - south) / (shape[0] - 1)
    if not (x > 0 and y > 0):
        return None
    try:
        crs = CRS.from_epsg(int(code))
    except Exception as error:  # rasterio raises its own and GDAL's kinds
        raise InputError(f"{path}: Epsg_Code {code:g} is no known coordinate system") from error
    return {"crs": crs, "transform": from_origin(west - x / 2, north + y / 2, x, y)}
