"""Arrays as files that QGIS and ENVI open, with their place: cubes and features in strips, label maps with names."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window

from sslhsi.errors import InputError
from sslhsi.files import MADE_BY, atomic

DRIVERS = {".tif": "GTiff", ".tiff": "GTiff", ".img": "ENVI", ".npy": "NumPy"}
Strips = Iterable[tuple[slice, np.ndarray]]
Georeference = dict[str, Any] | None


def raster_files(path: str | Path) -> list[Path]:
    """The files of a raster, itself first: ENVI has a header beside it.

    Raises:
        InputError: The name ends in none of ``DRIVERS``.
    """
    path = Path(path)
    if path.suffix.lower() not in DRIVERS:
        raise InputError(f"{path}: end the name in {', '.join(DRIVERS)}")
    return [path, path.with_suffix(".hdr")] if DRIVERS[path.suffix.lower()] == "ENVI" else [path]


def write_raster(
    path: str | Path,
    strips: Strips,
    shape: tuple[int, ...],
    dtype: str = "float32",
    georeference: Georeference = None,
    *,
    first: int = 0,
    stride: int = 1,
    names: Sequence[str] | np.ndarray = (),
) -> list[Path]:
    """Write a raster whole or not at all, without ever holding it whole; NaN stands for no data.

    Args:
        path: ``.tif`` for GeoTIFF, ``.img`` for ENVI (its header goes beside it, as ``.hdr``), or ``.npy``.
        strips: Rows and their (rows, W, D) values, as ``Encoder.strips`` gives them.
        shape: (H, W, D) of all.
        dtype: Of the values.
        georeference: ``{"crs": ..., "transform": ...}`` of the cube that the values were made from; None: none.
        first: Row and column of the cube's pixel that the first value belongs to.
        stride: Pixels of the cube between values.
        names: (D,) of the bands; an array of numbers is their wavelengths in nm.

    Returns:
        The files.

    Raises:
        InputError: An unknown suffix, or the disk can't take it.
    """
    place = dict(georeference or {})
    if place:
        # The centre of a value is that of its pixel, and with a stride it covers more.
        shift = first + 0.5 - stride / 2
        place["transform"] = place["transform"] * Affine.translation(shift, shift) * Affine.scale(stride)
    header = ""
    if isinstance(names, np.ndarray):
        names = [f"{value:.4f}" for value in names]
        header = f"wavelength units = Nanometers\nwavelength = {{{', '.join(names)}}}\n"
        names = [f"{name} nm" for name in names]
    if np.dtype(dtype).kind == "f":
        place["nodata"] = float("nan")
    return _write(path, strips, shape, dtype, place, names, header)


def write_labels(
    path: str | Path, labels: np.ndarray, names: Sequence[str], colours: np.ndarray, georeference: Georeference = None
) -> list[Path]:
    """Write a label map whole or not at all.

    Values are the labels, 0 = unclassified, which stands for no data. GeoTIFF: one band with a colour table and a
    tag ``class_N`` per name. ENVI: an "ENVI Classification" with class names and colours, place as ``map info``
    and ``coordinate system string``.

    Args:
        path: ``.tif``, ``.img`` (ENVI; its header goes beside it, as ``.hdr``) or ``.npy``.
        labels: (H, W).
        names: Names of labels 1, 2, ...
        colours: (C + 1, 3) in 0..255, of labels 0, 1, ...
        georeference: ``{"crs": ..., "transform": ...}`` of the scene; None: none.

    Returns:
        The files.

    Raises:
        InputError: Another suffix, or the disk can't take it.
    """
    dtype = "uint8" if max(len(names), int(labels.max(initial=0))) < 256 else "uint16"
    # A header's lists end at a brace, and commas divide them.
    plain = [" ".join(re.sub("[{}]", " ", name).replace(",", "-").split()) for name in names]
    header = (
        f"classes = {len(names) + 1}\nclass names = {{{', '.join(['Unclassified', *plain])}}}\n"
        f"class lookup = {{{', '.join(map(str, colours.ravel()))}}}\n"
    )
    place = {"nodata": 0, **(georeference or {})}
    legend = list(zip(["unclassified", *names], map(tuple, colours.tolist()), strict=True))
    return _write(path, [(slice(0, len(labels)), labels)], labels.shape, dtype, place, ["class"], header, legend)


def _write(
    path: str | Path,
    strips: Strips,
    shape: tuple[int, ...],
    dtype: str,
    place: dict[str, Any],
    names: Sequence[str],
    header: str,
    legend: Sequence[tuple[str, tuple[int, ...]]] = (),
) -> list[Path]:
    """Write (H, W) or (H, W, D) values, labels with names and colours from 0 on; a header of ENVI gets ``header``."""
    files = raster_files(path)
    driver = DRIVERS[files[0].suffix.lower()]
    with (
        atomic(path, also=(RasterioError,), beside=[file.suffix for file in files[1:]]) as part,
        warnings.catch_warnings(),
    ):
        # A raster without a place is no reason to warn.
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        if driver == "NumPy":
            whole = np.lib.format.open_memmap(part, mode="w+", dtype=dtype, shape=shape)
            for rows, values in strips:
                whole[rows] = values
            whole.flush()
            return files
        size = {"height": shape[0], "width": shape[1], "count": shape[2] if len(shape) > 2 else 1, "dtype": dtype}
        layout: dict[str, Any] = {"interleave": "bil"}
        if driver == "GTiff":
            predictor = 3 if np.dtype(dtype).kind == "f" else 1
            layout = {"interleave": "band", "compress": "deflate", "predictor": predictor, "bigtiff": "if_safer"}
        with rasterio.open(part, "w", driver=driver, **size, **layout, **place) as file:
            for number, name in enumerate(names, start=1):
                file.set_band_description(number, name)
            if driver == "GTiff":
                file.update_tags(TIFFTAG_SOFTWARE=MADE_BY)
            if driver == "GTiff" and legend:
                file.update_tags(1, **{f"class_{label}": name for label, (name, _) in enumerate(legend) if label})
                file.write_colormap(1, {label: colour for label, (_, colour) in enumerate(legend)})
            for rows, values in strips:
                window = Window(0, rows.start, shape[1], rows.stop - rows.start)
                file.write(np.moveaxis(np.atleast_3d(values), 2, 0).astype(dtype, copy=False), window=window)
        if driver == "ENVI":
            # GDAL describes a raster by its file's name of the moment, and has no words for some of what it is.
            text = part.with_suffix(".hdr").read_text(encoding="utf-8")
            text = re.sub(r"description = \{.*?\}", f"description = {{{MADE_BY}}}", text, count=1, flags=re.DOTALL)
            text = text.replace("ENVI Standard", "ENVI Classification", bool(legend))
            part.with_suffix(".hdr").write_text(text + header, encoding="utf-8")
    return files
