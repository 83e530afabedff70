"""What stands beside an image file: ENVI headers and product metadata with wavelengths, scales and bad bands."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sslhsi.errors import InputError
from sslhsi.scenes.notes import note
from sslhsi.scenes.raw import Centres, reading
from sslhsi.scenes.scaling import NO_SCALING, Scaling

_FIELD = re.compile(r"^[ \t]*([^={}\n;]+?)[ \t]*=[ \t]*(\{[^}]*\}|[^\n]*)", re.MULTILINE)
_IMAGE = re.compile(r"[-_]SPECTRAL_IMAGE(_\w+)?\.(tiff?|bsq|bil|bip)$", re.IGNORECASE)
_LARGEST = 64 * 2**20
_LARGEST_XML = 256 * 2**20


@dataclass
class Sidecar:
    """What one file says about the bands of another.

    Args:
        path: The file that says so.
        wavelengths: (B,) band centres, or None.
        bad: (B,) booleans, True = bad band; or None.
        scaling: From stored numbers to values.
        nodata: Value that stands for "no data", or None.
    """

    path: Path
    wavelengths: Centres | None = None
    bad: np.ndarray | None = None
    scaling: Scaling = NO_SCALING
    nodata: float | None = None


def header_fields(path: Path) -> dict[str, str]:
    """The fields of an ENVI header as text, keys in lower case; none when the file is no such header."""
    with reading(path, "an ENVI header"):
        if path.stat().st_size > _LARGEST:
            return {}
        content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    if not text.lstrip().upper().startswith("ENVI"):
        return {}
    return {key.strip().lower(): value.strip() for key, value in _FIELD.findall(text)}


def listed(text: str) -> list[float]:
    """The numbers of a header's list: "{400, 410.5}".

    Raises:
        ValueError: A word is no number.
    """
    return [float(word) for word in re.split(r"[\s,]+", text.strip("{} \t\r\n")) if word]


def headers_beside(path: Path) -> list[Path]:
    """ENVI headers that bear an image's name: ``name.tif.hdr``, ``name.hdr``, in either case of letters."""
    names = [f"{base}{suffix}" for suffix in (".hdr", ".HDR") for base in (path.name, path.stem)]
    return [candidate for name in dict.fromkeys(names) if (candidate := path.with_name(name)).is_file()]


def tiff_of(header: Path) -> Path | None:
    """The TIFF beside a header: ``name.tif`` of ``name.tif.hdr``, or of ``name.hdr`` where there is no other data."""
    inner = header.with_suffix("")
    if inner.suffix.lower() in (".tif", ".tiff"):
        return inner if inner.is_file() else None
    with reading(header, "a header's folder"):
        data = [p for p in header.parent.iterdir() if p.stem == header.stem and p != header and p.is_file()]
    tiffs = [p for p in data if p.suffix.lower() in (".tif", ".tiff")]
    raw = inner.is_file() or any(p.suffix.lower() in (".img", ".raw", ".dat", ".bil", ".bip", ".bsq") for p in data)
    return tiffs[0] if tiffs and not raw else None


def beside(path: Path, size: tuple[int, int, int]) -> list[Sidecar]:
    """What stands beside an image of (H, W, B): product metadata first, then headers.

    A header of another height, width or number of bands is not used, and a note says so.
    """
    documents = [from_metadata(document, path, size[2]) for document in metadata_beside(path)]
    return [d for d in documents if d is not None] + [from_header(header, size) for header in headers_beside(path)]


def from_header(header: Path, size: tuple[int, int, int]) -> Sidecar:
    """What an ENVI header says about an image of (H, W, B) beside it."""
    sidecar = Sidecar(header)
    fields = header_fields(header)
    for key, length in zip(("lines", "samples", "bands"), size, strict=True):
        if fields.get(key, str(length)).strip() != str(length):
            note(header, f"is not used: it says {key} = {fields[key]}, the image has {length}")
            return sidecar
    vectors: dict[str, np.ndarray] = {}
    for key in ("wavelength", "bbl", "data gain values", "data offset values"):
        if key not in fields:
            continue
        try:
            values = np.array(listed(fields[key]))
        except ValueError:
            note(header, f"{key} holds text where numbers belong and is not used")
            continue
        if len(values) == size[2]:
            vectors[key] = values
        elif len(values):
            note(header, f"{key} has {len(values)} entries for {size[2]} bands and is not used")
    if (centres := vectors.get("wavelength")) is not None:
        sidecar.wavelengths = Centres(centres, fields.get("wavelength units", ""), str(header))
    if (flags := vectors.get("bbl")) is not None:
        sidecar.bad = flags == 0
    gains, offsets = vectors.get("data gain values"), vectors.get("data offset values")
    factor = _number(fields.get("reflectance scale factor"))
    if gains is not None or offsets is not None:
        origin = f"data gain and offset values of {header.name}"
        sidecar.scaling = Scaling(origin, 1.0 if gains is None else gains, 0.0 if offsets is None else offsets)
    if sidecar.scaling.identity and factor:
        sidecar.scaling = Scaling(f"reflectance scale factor of {header.name}", divisor=factor)
    sidecar.nodata = _number(fields.get("data ignore value"))
    return sidecar


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "nan")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def metadata_beside(path: Path) -> list[Path]:
    """METADATA.XML of the product that an image file belongs to (EnMAP, DESIS), by its name."""
    start = re.split(r"[-_]SPECTRAL_IMAGE", path.name, maxsplit=1, flags=re.IGNORECASE)
    if len(start) != 2:
        return []
    wanted = re.compile(re.escape(start[0]) + r"[-_]METADATA\.XML", re.IGNORECASE)
    with reading(path, "a product's folder"):
        return sorted(p for p in path.parent.iterdir() if wanted.fullmatch(p.name) and p.is_file())


def from_metadata(document: Path, image: Path, bands: int) -> Sidecar | None:
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
    sidecar = Sidecar(document)
    if len(entries) > bands and re.search(r"SPECTRAL_IMAGE_(VNIR|SWIR)", image.name, re.IGNORECASE):
        vnir = re.search("SPECTRAL_IMAGE_VNIR", image.name, re.IGNORECASE)
        entries = entries[:bands] if vnir else entries[-bands:]
        end = "first" if vnir else "last"
        note(document, f"its {end} {bands} bands are those of {image.name}")
    if len(entries) != bands:
        note(document, f"describes {len(entries)} bands, the image has {bands}: it is not used")
        return sidecar
    centres = _column(entries, "wavelengthCenterOfBand", math.nan)
    if np.isfinite(centres).all():
        sidecar.wavelengths = Centres(centres, "nm", str(document))
    else:
        note(document, "wavelengthCenterOfBand holds text where numbers belong and is not used")
    gains, offsets = _column(entries, "GainOfBand", 1.0), _column(entries, "OffsetOfBand", 0.0)
    sidecar.scaling = Scaling(f"GainOfBand, OffsetOfBand of {document.name}", gains, offsets)
    background = next((e.text for e in root.iter() if _tag(e) == "backgroundvalue" and e.text), None)
    sidecar.nodata = _number(background)
    return sidecar


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


def product_layer(path: Path) -> bool:
    """True for a quality layer or a quick look of a product, beside its image."""
    start = re.split(r"[-_]QL_", path.name, maxsplit=1, flags=re.IGNORECASE)
    if len(start) != 2:
        return False
    with reading(path, "a product's folder"):
        return any(p.name.startswith(start[0]) and _IMAGE.search(p.name) for p in path.parent.iterdir())


def passed_over(image: Path) -> str | None:
    """A sentence about the quality layers and quick looks of the product that an image belongs to."""
    start = re.split(r"[-_]SPECTRAL_IMAGE", image.name, maxsplit=1, flags=re.IGNORECASE)
    if len(start) != 2:
        return None
    with reading(image, "a product's folder"):
        names = sorted(p.name for p in image.parent.iterdir() if p.name.startswith(start[0]) and p.is_file())
    layers = [name[len(start[0]) + 1 :] for name in names if re.search(r"[-_]QL_|QUALITY", name, re.IGNORECASE)]
    return f"quality layers and quick looks passed over: {', '.join(layers)}" if layers else None
