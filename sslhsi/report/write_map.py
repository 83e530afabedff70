"""Class maps as files that a GIS opens: GeoTIFF and ENVI with colours, names and place, or .npy."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from spectral.io import envi

from sslhsi.errors import InputError
from sslhsi.files import atomic
from sslhsi.report.pictures import class_colours

Georeference = dict[str, Any] | None
_MAP_FIELDS = ("map info", "projection info", "coordinate system string")


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
    path = Path(path)
    writer = _WRITERS.get(path.suffix.lower())
    if writer is None:
        raise InputError(f"{path}: end the name in {', '.join(_WRITERS)}")
    values = classes.astype(np.uint8 if max(len(names), int(classes.max(initial=0))) < 256 else np.uint16)
    beside = [".hdr"] if path.suffix.lower() == ".img" else []
    with atomic(path, also=(RasterioError, envi.EnviException), beside=beside) as part:
        writer(part, values, names, georeference)
    return [path, *(path.with_suffix(suffix) for suffix in beside)]


def class_palette(names: Sequence[str]) -> np.ndarray:
    """(C + 1, 3) colours in 0..255 of labels 0 (black, as ENVI has it), 1, 2, ..."""
    colours = np.round(255 * class_colours(max(1, len(names)))[: len(names), :3]).astype(int)
    return np.vstack([np.zeros((1, 3), dtype=int), colours])


def _write_npy(path: Path, values: np.ndarray, names: Sequence[str], georeference: Georeference) -> None:
    np.save(path, values, allow_pickle=False)


def _write_geotiff(path: Path, values: np.ndarray, names: Sequence[str], georeference: Georeference) -> None:
    height, width = values.shape
    profile = {"driver": "GTiff", "height": height, "width": width, "count": 1, "dtype": values.dtype.name}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "w", **profile, nodata=0, compress="deflate", **(georeference or {})) as file:
            file.write(values, 1)
            file.set_band_description(1, "class")
            file.write_colormap(
                1, {label: tuple(colour) for label, colour in enumerate(class_palette(names).tolist())}
            )
            file.update_tags(1, **{f"class_{label}": name for label, name in enumerate(names, start=1)})


def _write_envi(path: Path, values: np.ndarray, names: Sequence[str], georeference: Georeference) -> None:
    # A header's lists end at a brace; their commas spectral replaces by itself.
    plain = [" ".join(name.translate({ord(c): " " for c in "{}"}).split()) for name in names]
    envi.save_classification(
        str(path.with_suffix(".hdr")),
        values,
        force=True,
        ext=path.suffix,
        metadata=_map_fields(georeference),
        class_names=["Unclassified", *plain],
        class_colors=class_palette(names).tolist(),
    )


def _map_fields(georeference: Georeference) -> dict[str, str]:
    """What an ENVI header says about the place, in GDAL's words."""
    if not georeference:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        pixel = Path(folder) / "pixel.img"
        profile = {"driver": "ENVI", "height": 1, "width": 1, "count": 1, "dtype": "uint8"}
        with rasterio.open(pixel, "w", **profile, **georeference):
            pass
        header = envi.read_envi_header(str(pixel.with_suffix(".hdr")))
    # As text: of a list spectral would write the commas differently.
    return {key: "{" + ",".join(header[key]) + "}" for key in _MAP_FIELDS if key in header}


_WRITERS: dict[str, Callable[[Path, np.ndarray, Sequence[str], Georeference], None]] = {
    ".tif": _write_geotiff,
    ".img": _write_envi,
    ".npy": _write_npy,
}
