"""ENVI headers: of ENVI images, and beside images of other formats."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from sslhsi.errors import InputError
from sslhsi.scenes.notes import note
from sslhsi.scenes.raw import BandInfo, Centres, check_file, decoded, reading
from sslhsi.scenes.scaling import Scaling
from sslhsi.scenes.wavelengths import centres_in_names

_FIELD = re.compile(r"^[ \t]*([^={}\n;]+?)[ \t]*=[ \t]*(\{[^}]*\}|[^\n]*)", re.MULTILINE)
LARGEST = 64 * 2**20
_SCALINGS = {
    "data gain values", "data offset values", "data reflectance gain values", "data reflectance offset values",
    "reflectance scale factor",
}  # fmt: skip
# What headers call the time that the shutter was open: Specim, Headwall, Resonon, HySpex.
_TIMES = ("tint", "integration time", "exposure time", "exposure", "shutter", "integrationtime", "tint (ms)")


def headers_beside(path: Path) -> list[Path]:
    """Headers that bear the name of an image: ``name.ext.hdr``, ``name.hdr``, in either case of letters."""
    names = [f"{base}{suffix}" for suffix in (".hdr", ".HDR") for base in (path.name, path.stem)]
    beside = (path.with_name(name) for name in dict.fromkeys(names))
    return [candidate for candidate in beside if candidate.is_file() and candidate != path]


def header_beside(path: Path) -> Path | None:
    """The header of a data file, None where there is none."""
    return next(iter(headers_beside(path)), None)


def numbers_in(text: str) -> list[float]:
    """The numbers of a header's list: "{400, 410.5}".

    Raises:
        ValueError: A word is no number.
    """
    return [float(word) for word in re.split(r"[\s,]+", text.strip("{} \t\r\n")) if word]


class Header:
    """A parsed header.

    Args:
        path: The file, for messages.
        content: Its bytes; read from the file when None.
        beside: Bands of the image of another format that the header stands beside: what doesn't fit it is passed
            over with a note. None: the header of ENVI data, where it is refused.

    Raises:
        InputError: It isn't one.
    """

    def __init__(self, path: Path, content: bytes | None = None, beside: int | None = None) -> None:
        self.path, self.beside = path, beside
        if content is None:
            check_file(path)
            if path.stat().st_size > LARGEST:
                raise InputError(f"{path}: is too large to be an ENVI header")
            with reading(path, "an ENVI header"):
                content = path.read_bytes()
        text = re.sub(r"\r\n?", "\n", decoded(content).lstrip())
        if "\0" in text or len(content) > LARGEST or not text.upper().startswith("ENVI"):
            raise InputError(f"{path}: isn't an ENVI header (its first line isn't ENVI)")
        text = re.sub(r"^;.*\n?", "", text, flags=re.MULTILINE)
        self.fields = {key.lower(): value.strip() for key, value in _FIELD.findall(text)}
        if cut := [key for key, value in self.fields.items() if value[:1] == "{" and value[-1:] != "}"]:
            raise InputError(f"{path}: can't be read as an ENVI header, the list of {cut[0]} has no end")

    @property
    def library(self) -> bool:
        """Whether the data are spectra without a place."""
        return "spectral library" in self.fields.get("file type", "").lower()

    def listed(self, key: str) -> list[str]:
        """The words of a list, or the one value of a field; none without it."""
        value = self.fields.get(key, "")
        words = value[1:-1].split(",") if value.startswith("{") else [value] if value else []
        return [word.strip() for word in words]

    def numbers(self, key: str, count: int | None = None) -> list[float]:
        """The numbers of a field, one for each band or as many as ``count``; none without it."""
        count = count or self.beside
        try:
            values = numbers_in(self.fields.get(key, ""))
        except ValueError as error:
            if self.beside is None:
                raise InputError(f"{self.path}: {key} must hold numbers ({error})") from error
            note(self.path, f"{key} holds text where numbers belong and is not used")
            return []
        if self.beside is not None and len(values) not in (0, count):
            note(self.path, f"{key} has {len(values)} entries for {count} bands and is not used")
            return []
        return values

    def number(self, key: str) -> float | None:
        """The number of a field; None without it."""
        return next(iter(self.numbers(key, 1)), None)

    def bands(self) -> BandInfo:
        """All that the header says about bands."""
        bad = self.numbers("bbl")
        return BandInfo(
            wavelengths=self._wavelengths(),
            bad=np.array(bad) == 0 if bad else None,
            nodata=self.number("data ignore value"),
            scaling=self._scaling(),
        )

    def _wavelengths(self) -> Centres | None:
        """As they are written, from ``wavelength`` or else from the names of the bands."""
        units = self.fields.get("wavelength units", "")
        if not units and "wavenumber" in self.fields.get("z plot titles", "").lower():
            units = "wavenumber"
        written = [word for word in self.listed("wavelength") if word]
        values = written if self.beside is None else self.numbers("wavelength")
        if values:
            return Centres(values, units, str(self.path))
        names = [word for word in self.listed("band names") if word]
        return None if self.beside is not None else centres_in_names(names, str(self.path))

    def _scaling(self) -> Scaling:
        """Gains and offsets where the header has any, else the reflectance scale factor."""
        for kind in ("data", "data reflectance"):
            keys = [f"{kind} gain values", f"{kind} offset values"]
            gain, offset = (self.numbers(key) for key in keys)
            origin = ", ".join(key for key, values in zip(keys, (gain, offset), strict=True) if values)
            others = ", ".join(sorted(_SCALINGS & self.fields.keys() - set(keys)))
            scaling = Scaling(origin, gain or 1.0, offset or 0.0, others=others)
            if not scaling.identity:
                return scaling
        factor = self.number("reflectance scale factor")
        return Scaling("reflectance scale factor", divisor=1.0 if factor is None else factor)


def integration_time(path: Path) -> float | None:
    """The time that the shutter was open, in the unit of an image's header; None without a header or its word.

    Args:
        path: The header or the data file beside it.
    """
    header = path if path.suffix.lower() == ".hdr" else header_beside(path)
    if header is not None and header.is_file():
        fields = Header(header).fields
        for key in _TIMES:
            if match := re.match(r"\s*{?\s*([0-9.eE+-]+)", fields.get(key, "")):
                return float(match[1])
    return None


def is_library(path: Path) -> bool:
    """Whether a file is the header of an ENVI spectral library."""
    try:
        return Header(path).library
    except InputError:
        return False
