"""ESRI's headers of band files (.hdr beside .bil, .bip, .bsq, .flt), read by GDAL."""

from __future__ import annotations

import re
from pathlib import Path

from sslhsi.errors import InputError
from sslhsi.scenes.geotiff import open_raster
from sslhsi.scenes.notes import note
from sslhsi.scenes.raw import Raw, reading

_SUFFIXES = (".bil", ".bip", ".bsq", ".flt", ".dem", ".raw", ".img", ".dat", "")
_LARGEST = 2**20


def esri_fields(header: Path) -> dict[str, str]:
    """The fields of an ESRI header, keys in lower case; none when the file is no such header.

    It is one when it counts rows and columns in lines of a word and a value, without ENVI in its first line.
    """
    with reading(header, "an image header"):
        if header.stat().st_size > _LARGEST:
            return {}
        text = header.read_bytes().decode("latin-1")
    if text.lstrip("\xef\xbb\xbf \t\r\n").upper().startswith("ENVI"):
        return {}
    fields = {
        key.lower(): value for key, value in re.findall(r"^[ \t]*(\w+)[ \t]+(\S+)[ \t]*\r?$", text, re.MULTILINE)
    }
    return fields if {"nrows", "ncols"} <= fields.keys() else {}


def open_esri(header: Path, fields: dict[str, str], data: Path | None) -> Raw:
    """The image that an ESRI header describes.

    Args:
        header: The .hdr file.
        fields: Its fields.
        data: The data file, None to look for it.

    Raises:
        InputError: No data file, one of another size than the header says, or GDAL can't read it.
    """
    if data is None:
        with reading(header, "an image header"):
            beside = sorted(p for p in header.parent.iterdir() if p.stem == header.stem and p.is_file())
        candidates = [p for p in beside if p.suffix.lower() in _SUFFIXES]
        if len(candidates) != 1:
            names = ", ".join(p.name for p in candidates) or "none"
            raise InputError(
                f"{header}: ESRI header; which data file belongs to it is unclear ({names}); give that file"
            )
        data = candidates[0]
    _check_size(header, fields, data)
    driver = "EHdr" if data.suffix.lower() != ".flt" or "nbits" in fields else None
    note(data, f"described by the ESRI header {header.name}")
    return open_raster(data, driver)


def _check_size(header: Path, fields: dict[str, str], data: Path) -> None:
    """GDAL reads what a short file lacks as zeros."""
    try:
        rows, columns = int(fields["nrows"]), int(fields["ncols"])
        bands = int(fields.get("nbands", "1"))
        bits = int(fields.get("nbits", "32" if data.suffix.lower() == ".flt" else "8"))
        skip = int(fields.get("skipbytes", "0"))
        band_row = int(fields.get("bandrowbytes", "0")) or (columns * bits + 7) // 8
        total_row = int(fields.get("totalrowbytes", "0"))
        gap = int(fields.get("bandgapbytes", "0"))
    except ValueError as error:
        raise InputError(f"{header}: {error}, where a whole number belongs") from error
    layout = fields.get("layout", "bil").lower()
    if layout == "bsq":
        needed = skip + bands * rows * band_row + (bands - 1) * gap
    elif layout == "bip":
        needed = skip + rows * (total_row or (columns * bands * bits + 7) // 8)
    else:
        needed = skip + rows * (total_row or bands * band_row)
    size = data.stat().st_size
    if min(rows, columns, bands) < 1 or size < needed:
        raise InputError(
            f"{data}: holds {size:,} bytes but {header.name} claims {needed:,}; it is truncated, or nrows, ncols, "
            "nbands or nbits are wrong"
        )
    if size > needed:
        note(data, f"is {size - needed:,} bytes longer than {header.name} says")
