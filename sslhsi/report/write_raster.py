"""Arrays as rasters that QGIS and ENVI open (GeoTIFF, ENVI with its header), or as .npy, strip by strip."""

from __future__ import annotations

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
from sslhsi.files import atomic

DRIVERS = {".tif": "GTiff", ".tiff": "GTiff", ".img": "ENVI", ".npy": "NumPy"}


def write_raster(
    path: str | Path,
    strips: Iterable[tuple[slice, np.ndarray]],
    shape: tuple[int, int, int],
    dtype: str = "float32",
    georeference: dict[str, Any] | None = None,
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
    path = Path(path)
    driver = DRIVERS.get(path.suffix.lower())
    if driver is None:
        raise InputError(f"{path}: end the name in {', '.join(DRIVERS)}")
    beside = [".hdr"] if driver == "ENVI" else []
    with atomic(path, also=(RasterioError,), beside=beside) as part:
        if driver == "NumPy":
            whole = np.lib.format.open_memmap(part, mode="w+", dtype=dtype, shape=shape)
            for rows, values in strips:
                whole[rows] = values
            whole.flush()
        else:
            _write(part, driver, strips, shape, dtype, _place(georeference, first, stride), names)
    return [path, *(path.with_suffix(suffix) for suffix in beside)]


def _write(
    part: Path,
    driver: str,
    strips: Iterable[tuple[slice, np.ndarray]],
    shape: tuple[int, int, int],
    dtype: str,
    place: dict[str, Any],
    names: Sequence[str],
) -> None:
    height, width, count = shape
    profile: dict[str, Any] = {"driver": driver, "height": height, "width": width, "count": count, "dtype": dtype}
    if driver == "GTiff":
        predictor = 3 if np.dtype(dtype).kind == "f" else 1
        profile |= {"compress": "deflate", "predictor": predictor, "interleave": "band", "bigtiff": "if_safer"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(part, "w", **profile, **place) as file:
            for number, name in enumerate(names, start=1):
                file.set_band_description(number, name)
            for rows, values in strips:
                window = Window(0, rows.start, width, rows.stop - rows.start)
                file.write(np.moveaxis(values, 2, 0).astype(dtype, copy=False), window=window)


def _place(georeference: dict[str, Any] | None, first: int, stride: int) -> dict[str, Any]:
    """Where the raster lies: the centre of a value is that of its pixel, and with a stride it covers more."""
    if not georeference:
        return {}
    shift = first + 0.5 - stride / 2
    transform = georeference["transform"] * Affine.translation(shift, shift) * Affine.scale(stride)
    return {"crs": georeference["crs"], "transform": transform}
