"""Cubes as files that others open: ENVI or GeoTIFF, with wavelengths and place, strip by strip."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window
from spectral.io import envi

from sslhsi.files import MADE_BY, atomic, check_replaceable


def write_cube(
    path: Path,
    strips: Iterable[tuple[slice, np.ndarray]],
    shape: tuple[int, ...],
    *,
    wavelengths: np.ndarray | None = None,
    georeference: dict[str, Any] | None = None,
) -> list[Path]:
    """Write a float32 cube whole or not at all, without ever holding it whole.

    Args:
        path: ``.img`` for ENVI (band-interleaved by line; its header goes beside it as ``.hdr``), ``.tif`` for
            GeoTIFF (band descriptions say the wavelengths).
        strips: Rows and their (rows, W, B) values, NaN where there are no data.
        shape: (H, W, B) of all.
        wavelengths: (B,) nm.
        georeference: ``{"crs": ..., "transform": ...}``.

    Returns:
        The files.

    Raises:
        InputError: A file of that name was not written by sslhsi, or the disk can't take it.
    """
    beside = [".hdr"] if path.suffix == ".img" else []
    names = [path, *(path.with_suffix(suffix) for suffix in beside)]
    for name in names:
        check_replaceable(name)
    write = _write_envi if beside else _write_geotiff
    with atomic(path, also=(RasterioError, envi.EnviException), beside=beside) as part:
        write(part, strips, shape, wavelengths, georeference or {})
    return names


def _write_envi(
    part: Path,
    strips: Iterable[tuple[slice, np.ndarray]],
    shape: tuple[int, ...],
    wavelengths: np.ndarray | None,
    georeference: dict[str, Any],
) -> None:
    fields: dict[str, Any] = {
        "description": MADE_BY, "samples": shape[1], "lines": shape[0], "bands": shape[2], "header offset": 0,
        "file type": "ENVI Standard", "data type": 4, "interleave": "bil", "byte order": 0,
        "data ignore value": "nan",
    }  # fmt: skip
    if wavelengths is not None:
        fields |= {"wavelength units": "Nanometers", "wavelength": [f"{value:.4f}" for value in wavelengths]}
    transform = georeference.get("transform")
    if transform is not None and transform.b == transform.d == 0:
        fields["map info"] = [
            "Arbitrary", 1, 1, transform.c, transform.f, transform.a, -transform.e,
        ]  # fmt: skip
        if georeference.get("crs") is not None:
            fields["coordinate system string"] = "{" + georeference["crs"].to_wkt(version="WKT1_ESRI") + "}"
    out = np.memmap(part, "<f4", "w+", shape=(shape[0], shape[2], shape[1]))
    for rows, values in strips:
        out[rows] = np.moveaxis(values, 2, 1)
    out.flush()
    envi.write_envi_header(str(part.with_suffix(".hdr")), fields)


def _write_geotiff(
    part: Path,
    strips: Iterable[tuple[slice, np.ndarray]],
    shape: tuple[int, ...],
    wavelengths: np.ndarray | None,
    georeference: dict[str, Any],
) -> None:
    place = {key: value for key, value in georeference.items() if value is not None}
    profile: dict[str, Any] = {
        "driver": "GTiff", "height": shape[0], "width": shape[1], "count": shape[2], "dtype": "float32",
        "nodata": float("nan"), "compress": "deflate", "predictor": 3, "interleave": "band", "bigtiff": "if_safer",
    }  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(part, "w", **profile, **place) as file:
            file.update_tags(TIFFTAG_SOFTWARE=MADE_BY)
            for number, value in enumerate(() if wavelengths is None else wavelengths, start=1):
                file.set_band_description(number, f"{value:.4f} nm")
            for rows, values in strips:
                window = Window(0, rows.start, shape[1], rows.stop - rows.start)
                file.write(np.moveaxis(values, 2, 0), window=window)
