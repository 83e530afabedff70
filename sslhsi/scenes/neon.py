"""Reflectance tiles and flight lines of the NEON airborne observatory (.h5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
from rasterio.crs import CRS
from rasterio.transform import from_origin

from sslhsi.scenes.notes import note
from sslhsi.scenes.raw import Raw, Variable, as_text, reading
from sslhsi.scenes.scaling import nodata_of, scaling_of
from sslhsi.scenes.wavelengths import centres_of

_CUBES = ("/Reflectance/Reflectance_Data", "/Radiance/Radiance_Data")


def neon_images(path: Path, variables: Sequence[Variable]) -> list[Variable]:
    """The reflectance of a NEON file as an image without labels.

    After NEON's "AOP Imaging Spectrometer Reflectance: HDF5 file structure" (NEON.DP3.30006): SITE/Reflectance holds
    Reflectance_Data (lines, samples, bands) with the attributes Scale_Factor and Data_Ignore_Value,
    Metadata/Spectral_Data/Wavelength, Metadata/Coordinate_System (Map_Info, EPSG Code) and, under
    Metadata/Ancillary_Imagery, layers of quality, terrain and weather, which are no ground truth.

    Args:
        path: The file.
        variables: Its arrays.

    Returns:
        One image for each site in the file; none when it is no NEON file.
    """
    names = {v.name for v in variables}
    images = []
    for cube in variables:
        site = next((cube.name.removesuffix(end) for end in _CUBES if cube.name.endswith(end)), None)
        group = cube.name.rsplit("/", 1)[0]
        if site and len(cube.shape) == 3 and f"{group}/Metadata/Spectral_Data/Wavelength" in names:
            images.append(_image(path, cube, f"{group}/Metadata", variables))
    return images


def _image(path: Path, cube: Variable, metadata: str, variables: Sequence[Variable]) -> Variable:
    centres = next(v for v in variables if v.name == f"{metadata}/Spectral_Data/Wavelength")
    layers = [v.name.rsplit("/", 1)[1] for v in variables if v.name.startswith(f"{metadata}/Ancillary_Imagery/")]

    def read() -> Raw:
        note(path, f"NEON file: {cube.name}, no ground truth in it")
        if layers:
            note(path, f"quality and terrain layers passed over: {', '.join(layers)}")
        return Raw(
            cube.load(),
            path,
            wavelengths=centres_of(centres, str(path)),
            nodata=nodata_of(cube.attributes),
            scaling=scaling_of(cube.attributes),
            georeference=_place(path, metadata),
        )

    return replace(cube, image=read)


def _place(path: Path, metadata: str) -> dict[str, Any] | None:
    """Map_Info as ENVI writes it: projection, reference column and row, easting, northing, pixel sizes, zone ..."""
    with reading(path, "a NEON file"), h5py.File(path, "r") as file:
        group = file.get(f"{metadata}/Coordinate_System")
        if group is None or "Map_Info" not in group:
            return None
        words = [word.strip() for word in as_text(group["Map_Info"][()]).split(",")]
        code = as_text(group["EPSG Code"][()]) if "EPSG Code" in group else ""
    try:
        column, row, east, north, width, height = (float(word) for word in words[1:7])
        crs = CRS.from_epsg(int(float(code))) if code else None
    except Exception:  # place is a bonus: the pixels need none of it
        return None
    if not (width > 0 and height > 0):
        return None
    return {
        "crs": crs,
        "transform": from_origin(east - (column - 1) * width, north + (row - 1) * height, width, height),
    }
