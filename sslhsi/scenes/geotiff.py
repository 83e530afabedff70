"""GeoTIFF and every other raster that GDAL knows, through rasterio."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import rasterio
from rasterio.windows import Window

from sslhsi.errors import InputError
from sslhsi.scenes.bad_bands import row_blocks
from sslhsi.scenes.envi_header import numbers_in
from sslhsi.scenes.notes import note
from sslhsi.scenes.raw import Centres, Raw, check_memory, reading
from sslhsi.scenes.scaling import Scaling
from sslhsi.scenes.sidecar import take_from_beside
from sslhsi.scenes.stack import joined_bands
from sslhsi.scenes.wavelengths import NUMBER_UNIT, joined

# Files with blocks left out are smaller than what they hold, but not without measure.
_MOST_PER_BYTE = 1000


def open_geotiff(path: Path) -> Raw:
    """A TIFF as a cube in the dtype of the file, with no-data, wavelengths and georeference.

    Wavelengths come from each band's tags (``wavelength``, ``CENTRAL_WAVELENGTH_UM``; GDAL reads them from
    ``name.tif.aux.xml`` too) or its description ("450.3 nm") when every band has one, else from the file's tags, else
    from product metadata or an ENVI header beside. Pages of one band and one size are bands.

    Args:
        path: The file.

    Raises:
        InputError: Not a TIFF, truncated, or complex numbers.
    """
    return _open(path, "GTiff", "a GeoTIFF")


def open_raster(path: Path, driver: str | None = None) -> Raw:
    """Any raster that GDAL reads: Erdas .img, JPEG 2000, .vrt, ESRI .bil ...; else as ``open_geotiff``.

    Args:
        path: The file.
        driver: GDAL's name of the format; GDAL decides when None.

    Raises:
        InputError: GDAL can't read it, it holds several images, or complex numbers.
    """
    return _open(path, driver, f"a raster of the {driver} format" if driver else "a raster")


def _open(path: Path, driver: str | None, what: str) -> Raw:
    with reading(path, what), rasterio.open(path, driver=driver) as file:
        pages = sorted(file.subdatasets, key=_page) if file.driver == "GTiff" else []
        if file.subdatasets and not pages:
            raise InputError(f"{path}: holds {len(file.subdatasets)} images ({file.driver}); save the one you need")
        if len(pages) > 1 and file.count == 1:
            raw = _stacked(path, file, pages)
        else:
            raw = _image(path, file)
            if len(pages) > 1:
                note(path, f"{len(pages) - 1} further pages passed over, the first has {file.count} bands")
    take_from_beside(raw)
    return raw


def _page(name: str) -> int:
    """The number in "GTIFF_DIR:10:file.tif"; rasterio lists pages in the order of the alphabet."""
    match = re.match(r"GTIFF_DIR:(\d+):", name)
    return int(match.group(1)) if match else 0


def _image(path: Path, file: rasterio.DatasetReader) -> Raw:
    dtype = np.result_type(*(np.dtype(name) for name in file.dtypes))
    if dtype.kind not in "iuf":
        raise InputError(f"{path}: a cube must hold real numbers, not {dtype}")
    shape = (file.height, file.width, file.count)
    check_memory(path, shape, dtype.itemsize)
    claimed = file.height * file.width * file.count * dtype.itemsize
    if file.driver == "GTiff" and file.compression is None and claimed > _MOST_PER_BYTE * path.stat().st_size:
        raise InputError(f"{path}: claims {shape} {dtype}, far more than the file holds; it is truncated or corrupt")
    cube = np.empty(shape, dtype)
    for rows in row_blocks(cube):
        window = Window(0, rows.start, file.width, rows.stop - rows.start)
        cube[rows] = np.moveaxis(file.read(window=window), 0, 2)
    georeference = None
    if file.crs is not None or not file.transform.is_identity:
        georeference = {"crs": file.crs, "transform": file.transform}
    scaling = Scaling("scales and offsets of the file", file.scales, file.offsets)
    return Raw(
        cube, path, wavelengths=_wavelengths(file), nodata=file.nodata, scaling=scaling, georeference=georeference
    )


def _stacked(path: Path, first: rasterio.DatasetReader, pages: list[str]) -> Raw:
    """Pages of one band each as the bands of one cube; pages of another size or type are passed over."""
    bands = [_image(path, first)]
    for page in pages[1:]:
        with rasterio.open(page) as file:
            if (file.height, file.width, file.count, file.dtypes) == (first.height, first.width, 1, first.dtypes):
                bands.append(_image(path, file))
                check_memory(path, (*bands[0].size, len(bands)), bands[0].cube.itemsize)
    if len(bands) > 1:
        note(path, f"{len(bands)} pages read as the bands of one image")
    if others := len(pages) - len(bands):
        note(path, f"{others} pages of another size, type or number of bands passed over")
    return joined_bands(bands, path)


def _wavelengths(file: rasterio.DatasetReader) -> Centres | None:
    centres: list[Centres | np.ndarray | None] = []
    for band in range(1, file.count + 1):
        tags = {**_lower(file.tags(band)), **_lower(file.tags(band, ns="IMAGERY"))}
        centre = _band_centre(tags, file.descriptions[band - 1] or "")
        centres.append(None if centre is None else Centres([centre[0]], centre[1], file.name))
    return joined(centres) or _of_file(file)


def _lower(tags: Mapping[str, str]) -> dict[str, str]:
    return {key.lower(): value for key, value in tags.items()}


def _band_centre(tags: Mapping[str, str], description: str) -> tuple[str, str] | None:
    """A band's centre and its unit, as text, from its tags or its description."""
    if (micrometres := tags.get("central_wavelength_um")) is not None:
        return micrometres, "um"
    if (value := next((tags[key] for key in ("wavelength", "wavelengths") if key in tags), None)) is not None:
        if match := NUMBER_UNIT.fullmatch(value.strip()):
            return match.group(1), match.group(2)
        return value, tags.get("wavelength_units", tags.get("wavelength_unit", ""))
    match = NUMBER_UNIT.search(description)
    return (match.group(1), match.group(2)) if match else None


def _of_file(file: rasterio.DatasetReader) -> Centres | None:
    """A list of all bands' centres in the file's tags, as GDAL carries it over from ENVI headers."""
    tags = {**_lower(file.tags()), **_lower(file.tags(ns="ENVI"))}
    for key in ("wavelength", "wavelengths"):
        try:
            values = numbers_in(tags.get(key, ""))
        except ValueError:
            continue
        if len(values) == file.count:
            return Centres(values, tags.get("wavelength_units", tags.get("wavelength_unit", "")), file.name)
    return None
