"""Multi-band GeoTIFF through rasterio."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import rasterio
from rasterio.windows import Window

from sslhsi.errors import InputError
from sslhsi.scenes.bad_bands import row_blocks
from sslhsi.scenes.raw import Raw, check_memory, reading
from sslhsi.scenes.wavelengths import to_nanometres

_NUMBER_UNIT = re.compile(
    r"([0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?)\s*(nm|nanomet\w+|um|µm|μm|micromet\w+|microns?|cm-1|1/cm)(?![a-z0-9])",
    re.IGNORECASE,
)


def open_geotiff(path: Path) -> Raw:
    """A GeoTIFF as a cube in the dtype of the file, with no-data, wavelengths and georeference.

    Wavelengths come from each band's tags (``wavelength``, ``CENTRAL_WAVELENGTH_UM``) or its
    description ("450.3 nm"), when every band has one.

    Args:
        path: The file.

    Raises:
        InputError: Not a TIFF, truncated, or complex numbers.
    """
    with reading(path, "a GeoTIFF"), rasterio.open(path, driver="GTiff") as file:
        dtype = np.dtype(file.dtypes[0])
        if dtype.kind not in "iuf":
            raise InputError(f"{path}: a cube must hold real numbers, not {dtype}")
        shape = (file.height, file.width, file.count)
        check_memory(path, shape, dtype.itemsize)
        cube = np.empty(shape, dtype)
        for rows in row_blocks(cube):
            window = Window(0, rows.start, file.width, rows.stop - rows.start)
            cube[rows] = np.moveaxis(file.read(window=window), 0, 2)
        georeference = None
        if file.crs is not None or not file.transform.is_identity:
            georeference = {"crs": file.crs, "transform": file.transform}
        return Raw(cube, path, wavelengths=_wavelengths(file), nodata=file.nodata, georeference=georeference)


def _wavelengths(file: rasterio.DatasetReader) -> np.ndarray | None:
    centres: list[np.ndarray] = []
    for band in range(1, file.count + 1):
        tags = {key.lower(): value for key, value in file.tags(band).items()}
        imagery = {key.lower(): value for key, value in file.tags(band, ns="IMAGERY").items()}
        micrometres = imagery.get("central_wavelength_um", tags.get("central_wavelength_um"))
        described = _NUMBER_UNIT.search(file.descriptions[band - 1] or "")
        value: str | None
        if micrometres is not None:
            value, unit = micrometres, "um"
        elif "wavelength" in tags:
            value = tags["wavelength"]
            unit = tags.get("wavelength_units", tags.get("wavelength_unit", ""))
            if match := _NUMBER_UNIT.fullmatch(value.strip()):
                value, unit = match.groups()
        elif described:
            value, unit = described.groups()
        else:
            return None
        converted = to_nanometres([value], unit, f"{file.name}: band {band}")  # type: ignore[list-item]
        if converted is None:
            return None
        centres.append(converted)
    return np.concatenate(centres) if centres else None
