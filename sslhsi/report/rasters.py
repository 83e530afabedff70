"""Arrays as rasters that QGIS and ENVI open, with their place: features strip by strip, class maps with names."""

from __future__ import annotations

import re
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window
from spectral.io import envi

from sslhsi.errors import InputError
from sslhsi.files import MADE_BY, atomic
from sslhsi.report.pictures import class_colours

DRIVERS = {".tif": "GTiff", ".tiff": "GTiff", ".img": "ENVI", ".npy": "NumPy"}
Georeference = dict[str, Any] | None
_MAP_FIELDS = ("map info", "projection info", "coordinate system string")


def write_raster(
    path: str | Path,
    strips: Iterable[tuple[slice, np.ndarray]],
    shape: tuple[int, int, int],
    dtype: str = "float32",
    georeference: Georeference = None,
    *,
    first: int = 0,
    stride: int = 1,
    names: Sequence[str] = (),
) -> list[Path]:
    """Write a raster whole or not at all, without ever holding it whole.

    Args:
        path: ``.tif`` for GeoTIFF, ``.img`` for ENVI (its header goes beside it, as ``.hdr``), or ``.npy``.
        strips: Rows and their (rows, W, D) values, as ``Encoder.strips`` gives them.
        shape: (H, W, D) of all.
        dtype: Of the values.
        georeference: ``{"crs": ..., "transform": ...}`` of the cube that the values were made from; None: none.
        first: Row and column of the cube's pixel that the first value belongs to.
        stride: Pixels of the cube between values.
        names: (D,) of the bands.

    Returns:
        The files.

    Raises:
        InputError: An unknown suffix, or the disk can't take it.
    """
    files = _files(path)
    with _raster(files) as (part, driver):
        if driver == "NumPy":
            whole = np.lib.format.open_memmap(part, mode="w+", dtype=dtype, shape=shape)
            for rows, values in strips:
                whole[rows] = values
            whole.flush()
            return files
        more: dict[str, Any] = {}
        if driver == "GTiff":
            predictor = 3 if np.dtype(dtype).kind == "f" else 1
            more = {"compress": "deflate", "predictor": predictor, "interleave": "band", "bigtiff": "if_safer"}
        place = _place(georeference, first, stride)
        with rasterio.open(part, "w", **_profile(driver, shape, dtype), **more, **place) as file:
            _sign(file)
            for number, name in enumerate(names, start=1):
                file.set_band_description(number, name)
            for rows, values in strips:
                window = Window(0, rows.start, shape[1], rows.stop - rows.start)
                file.write(np.moveaxis(values, 2, 0).astype(dtype, copy=False), window=window)
        if driver == "ENVI":
            _sign_header(part.with_suffix(".hdr"))
    return files


def write_class_map(
    path: str | Path, classes: np.ndarray, names: Sequence[str], georeference: Georeference = None
) -> list[Path]:
    """Write a class map whole or not at all.

    Values are the labels, 0 = unclassified. GeoTIFF: one band with a colour table, 0 as its no-data value and
    a tag ``class_N`` per name. ENVI: an "ENVI Classification" with class names and colours, place as
    ``map info`` and ``coordinate system string``.

    Args:
        path: ``.tif``, ``.img`` (ENVI; its header goes beside it, as ``.hdr``) or ``.npy``.
        classes: (H, W) labels.
        names: Names of labels 1, 2, ...
        georeference: ``{"crs": ..., "transform": ...}`` of the scene; None: none.

    Returns:
        The files.

    Raises:
        InputError: Another suffix, or the disk can't take it.
    """
    files = _files(path)
    values = classes.astype(np.uint8 if max(len(names), int(classes.max(initial=0))) < 256 else np.uint16)
    with _raster(files) as (part, driver):
        if driver == "NumPy":
            np.save(part, values, allow_pickle=False)
        elif driver == "GTiff":
            _write_geotiff(part, values, names, georeference)
        else:
            _write_envi(part, values, names, georeference)
    return files


def class_palette(names: Sequence[str]) -> np.ndarray:
    """(C + 1, 3) colours in 0..255 of labels 0 (black, as ENVI has it), 1, 2, ..."""
    colours = np.round(255 * class_colours(max(1, len(names)))[: len(names), :3]).astype(int)
    return np.vstack([np.zeros((1, 3), dtype=int), colours])


def _files(path: str | Path) -> list[Path]:
    """The files of a raster, itself first; ENVI has a header beside it."""
    path = Path(path)
    if path.suffix.lower() not in DRIVERS:
        raise InputError(f"{path}: end the name in {', '.join(DRIVERS)}")
    return [path, path.with_suffix(".hdr")] if DRIVERS[path.suffix.lower()] == "ENVI" else [path]


@contextmanager
def _raster(files: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    """What to write in place of the first file, and its driver; a raster without a place is no reason to warn."""
    path, *beside = files
    refusals = (RasterioError, envi.EnviException)
    with atomic(path, also=refusals, beside=[file.suffix for file in beside]) as part, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield part, DRIVERS[path.suffix.lower()]


def _profile(driver: str, shape: tuple[int, int, int], dtype: str) -> dict[str, Any]:
    return {"driver": driver, "height": shape[0], "width": shape[1], "count": shape[2], "dtype": dtype}


def _place(georeference: Georeference, first: int, stride: int) -> dict[str, Any]:
    """Where the raster lies: the centre of a value is that of its pixel, and with a stride it covers more."""
    if not georeference:
        return {}
    shift = first + 0.5 - stride / 2
    transform = georeference["transform"] * Affine.translation(shift, shift) * Affine.scale(stride)
    return {"crs": georeference["crs"], "transform": transform}


def _write_geotiff(path: Path, values: np.ndarray, names: Sequence[str], georeference: Georeference) -> None:
    profile = _profile("GTiff", (*values.shape, 1), values.dtype.name)
    with rasterio.open(path, "w", **profile, nodata=0, compress="deflate", **(georeference or {})) as file:
        file.write(values, 1)
        _sign(file)
        file.set_band_description(1, "class")
        file.write_colormap(1, {label: tuple(colour) for label, colour in enumerate(class_palette(names).tolist())})
        file.update_tags(1, **{f"class_{label}": name for label, name in enumerate(names, start=1)})


def _write_envi(path: Path, values: np.ndarray, names: Sequence[str], georeference: Georeference) -> None:
    # A header's lists end at a brace; their commas spectral replaces by itself.
    plain = [" ".join(name.translate({ord(c): " " for c in "{}"}).split()) for name in names]
    envi.save_classification(
        str(path.with_suffix(".hdr")),
        values,
        force=True,
        ext=path.suffix,
        metadata={"description": MADE_BY, **_map_fields(georeference)},
        class_names=["Unclassified", *plain],
        class_colors=class_palette(names).tolist(),
    )


def _sign(file: rasterio.io.DatasetWriter) -> None:
    """Say who made a GeoTIFF."""
    if file.driver == "GTiff":
        file.update_tags(TIFFTAG_SOFTWARE=MADE_BY)


def _sign_header(header: Path) -> None:
    """Say who made an ENVI raster, where GDAL writes the file's name of the moment."""
    text = header.read_text(encoding="utf-8")
    description = "description = {" + MADE_BY + "}"
    header.write_text(re.sub(r"description = \{.*?\}", description, text, count=1, flags=re.DOTALL), encoding="utf-8")


def _map_fields(georeference: Georeference) -> dict[str, str]:
    """What an ENVI header says about the place, in GDAL's words."""
    if not georeference:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        pixel = Path(folder) / "pixel.img"
        with rasterio.open(pixel, "w", **_profile("ENVI", (1, 1, 1), "uint8"), **georeference):
            pass
        header = envi.read_envi_header(str(pixel.with_suffix(".hdr")))
    # As text: of a list spectral would write the commas differently.
    return {key: "{" + ",".join(header[key]) + "}" for key in _MAP_FIELDS if key in header}
