"""What stands beside an image file: ENVI headers, and the metadata and layers of a product (EnMAP, DESIS)."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sslhsi.errors import InputError
from sslhsi.scenes.envi_header import Header, headers_beside
from sslhsi.scenes.notes import note
from sslhsi.scenes.raw import BandInfo, Centres, Raw, reading
from sslhsi.scenes.scaling import Scaling

_IMAGE = re.compile(r"[-_]SPECTRAL_IMAGE(_\w+)?\.(tiff?|bsq|bil|bip)$", re.IGNORECASE)
_LARGEST_XML = 256 * 2**20
TIFFS = (".tif", ".tiff")


def tiff_of(header: Path) -> Path | None:
    """The TIFF beside a header: ``name.tif`` of ``name.tif.hdr``, or of ``name.hdr`` where there is no other data."""
    inner = header.with_suffix("")
    if inner.suffix.lower() in TIFFS:
        return inner if inner.is_file() else None
    with reading(header, "a header's folder"):
        data = [p for p in header.parent.iterdir() if p.stem == header.stem and p != header and p.is_file()]
    tiffs = [p for p in data if p.suffix.lower() in TIFFS]
    raw = inner.is_file() or any(p.suffix.lower() in (".img", ".raw", ".dat", ".bil", ".bip", ".bsq") for p in data)
    return tiffs[0] if tiffs and not raw else None


def take_from_beside(raw: Raw) -> None:
    """Fill in what an image file itself leaves open: from product metadata first, then from headers.

    A header of another height, width or number of bands is not used, and a note says so.
    """
    path, bands = raw.source, raw.cube.shape[2]
    for document in metadata_beside(path):
        if (info := from_metadata(document, path, bands)) is not None:
            raw.complete(info, document.name)
    for beside in headers_beside(path):
        try:
            header = Header(beside, beside=bands)
        except InputError:  # another format's, or none
            continue
        sizes = {"lines": raw.cube.shape[0], "samples": raw.cube.shape[1], "bands": bands}
        wrong = [key for key, length in sizes.items() if header.fields.get(key, str(length)) != str(length)]
        if wrong:
            said, size = header.fields[wrong[0]], sizes[wrong[0]]
            note(beside, f"is not used: it says {wrong[0]} = {said}, the image has {size}")
        else:
            raw.complete(header.bands(), beside.name)
    layers = _of_product(path, "SPECTRAL_IMAGE", r"[-_]QL_|QUALITY")
    if layers:
        start = re.split(r"[-_]SPECTRAL_IMAGE", path.name, maxsplit=1, flags=re.IGNORECASE)[0]
        names = ", ".join(p.name[len(start) + 1 :] for p in layers)
        note(path, f"quality layers and quick looks passed over: {names}")


def _of_product(path: Path, part: str, wanted: str | re.Pattern[str]) -> list[Path]:
    """Other files of the product that ``path`` is a part of, those whose names go on as wanted."""
    start = re.split(rf"[-_]{part}", path.name, maxsplit=1, flags=re.IGNORECASE)
    if len(start) != 2:
        return []
    pattern, length = re.compile(wanted, re.IGNORECASE), len(start[0])
    with reading(path, "a product's folder"):
        beside = [p for p in path.parent.iterdir() if p.name[:length].lower() == start[0].lower() and p.is_file()]
    return sorted(p for p in beside if pattern.search(p.name[length:]))


def metadata_beside(path: Path) -> list[Path]:
    """METADATA.XML of the product that an image file belongs to (EnMAP, DESIS), by its name."""
    return _of_product(path, "SPECTRAL_IMAGE", r"^[-_]METADATA\.XML$")


def product_layer(path: Path) -> bool:
    """True for a quality layer or a quick look of a product, beside its image."""
    return bool(_of_product(path, "QL_", _IMAGE.pattern))


def from_metadata(document: Path, image: Path, bands: int) -> BandInfo | None:
    """What METADATA.XML of EnMAP or DESIS says about the bands of ``image``.

    After the "EnMAP HSI Product Specification" (EN-PCV-ICD-2009, section on metadata) and the "DESIS Products
    Specification": specific/bandCharacterisation has for each band wavelengthCenterOfBand (nm), a width, GainOfBand
    and OffsetOfBand; physical values are stored number x gain + offset. Level 1B keeps VNIR and SWIR in two files:
    the first and the last bands of the list are theirs. backgroundValue is EnMAP's number for "no data".

    Returns:
        None when the document has no such list.
    """
    with reading(document, "a product's metadata"):
        if document.stat().st_size > _LARGEST_XML:
            raise InputError(f"{document}: is too large to be a product's metadata")
        root = ElementTree.parse(document).getroot()
    entries = [element for element in root.iter() if _child(element, "wavelengthCenterOfBand") is not None]
    if not entries:
        return None
    if len(entries) > bands and (detector := re.search(r"SPECTRAL_IMAGE_(VNIR|SWIR)", image.name, re.IGNORECASE)):
        vnir = detector[1].upper() == "VNIR"
        entries = entries[:bands] if vnir else entries[-bands:]
        note(document, f"its {'first' if vnir else 'last'} {bands} bands are those of {image.name}")
    if len(entries) != bands:
        note(document, f"describes {len(entries)} bands, the image has {bands}: it is not used")
        return None
    centres = _column(entries, "wavelengthCenterOfBand", math.nan)
    known = bool(np.isfinite(centres).all())
    if not known:
        note(document, "wavelengthCenterOfBand holds text where numbers belong and is not used")
    gains, offsets = _column(entries, "GainOfBand", 1.0), _column(entries, "OffsetOfBand", 0.0)
    return BandInfo(
        wavelengths=Centres(centres, "nm", str(document)) if known else None,
        nodata=_number(next((e.text for e in root.iter() if _tag(e) == "backgroundvalue" and e.text), None)),
        scaling=Scaling(f"GainOfBand, OffsetOfBand of {document.name}", gains, offsets),
    )


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "nan")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _tag(element: ElementTree.Element) -> str:
    return element.tag.rsplit("}", 1)[-1].lower() if isinstance(element.tag, str) else ""


def _child(element: ElementTree.Element, name: str) -> str | None:
    return next((child.text for child in element if _tag(child) == name.lower()), None)


def _column(entries: Sequence[ElementTree.Element], name: str, default: float) -> np.ndarray:
    values = [_number(_child(entry, name)) for entry in entries]
    return np.array([default if value is None else value for value in values])


def spectral_images(folder: Path) -> list[Path]:
    """The images of the products (EnMAP, DESIS) in a folder: files named SPECTRAL_IMAGE beside their METADATA.XML.

    Folders inside are looked into one level deep, as archives unpack.
    """
    with reading(folder, "a folder"):
        files = [p for p in sorted([*folder.glob("*"), *folder.glob("*/*")]) if p.name[0] != "." and p.is_file()]
    return [p for p in files if _IMAGE.search(p.name) and metadata_beside(p)]


def spectral_image(folder: Path) -> Path | None:
    """The image of a product's folder, None when the folder is no product.

    Raises:
        InputError: Several products, or one of level 1B, whose two detectors are two images.
    """
    images = spectral_images(folder)
    if len(images) > 1:
        names = ", ".join(p.name for p in images)
        raise InputError(f"{folder}: holds several images ({names}); give one of them")
    return images[0] if images else None
