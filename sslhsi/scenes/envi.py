"""ENVI images: a raw data file and a text header, also inside a .zip."""

from __future__ import annotations

import math
import re
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from spectral.io import envi

from sslhsi.errors import InputError
from sslhsi.scenes.bits import ON_DISK, doubts_about
from sslhsi.scenes.notes import note
from sslhsi.scenes.raw import Centres, Raw, Variable, check_file, check_memory, reading
from sslhsi.scenes.scaling import Scaling
from sslhsi.scenes.wavelengths import centres_in_names

_LARGEST_HEADER = 64 * 2**20
_SCALINGS = {
    "data gain values", "data offset values", "data reflectance gain values", "data reflectance offset values",
    "reflectance scale factor",
}  # fmt: skip
_DATA_SUFFIXES = ["", *(f".{suffix}" for suffix in (*envi.KNOWN_EXTS, *ON_DISK))]


def header_beside(path: Path) -> Path | None:
    """The header of a data file: ``name.ext.hdr`` or ``name.hdr`` in the same folder."""
    for suffix in (".hdr", ".HDR"):
        for candidate in (path.with_name(path.name + suffix), path.with_suffix(suffix)):
            if candidate.is_file() and candidate != path:
                return candidate
    return None


def is_envi_data(path: Path) -> bool:
    """True for the names that the data beside a header may bear."""
    return path.suffix.lower() in _DATA_SUFFIXES


def open_envi(path: Path) -> Raw | list[Variable]:
    """An ENVI image, memory-mapped, from its header or its data file.

    Read from the header: shape, data type, interleave, byte order (little-endian when absent), offset,
    wavelengths and their unit (also from band names), ``bbl``, ``data ignore value``, gains and offsets or the
    ``reflectance scale factor``, class names of classification maps, map information (through GDAL).

    Args:
        path: The .hdr, the data file beside it, or a .zip that holds one of each.

    Returns:
        The image; of a spectral library the variables ``spectral library`` (n, B), with ``names`` among its
        attributes, and ``wavelengths``.

    Raises:
        InputError: A part is missing, is of another size than the header says, or isn't ENVI.
    """
    if path.suffix.lower() == ".zip":
        return _open_zip(path)
    if path.suffix.lower() == ".hdr":
        header_path = path
    elif (beside := header_beside(path)) is not None:
        header_path = beside
    else:
        raise InputError(f"{path}: no ENVI header beside it ({path.name}.hdr or {path.stem}.hdr)")
    header = read_header(header_path)
    data = _data_file(header_path, header) if path == header_path else path
    size = data.stat().st_size
    header.check_size(data, size)
    with reading(data, "ENVI data"):
        flat = np.memmap(data, header.dtype, "r", header.offset, header.on_disk)
    if header.library:
        return header.spectra(flat)
    return header.image(flat, data, _georeference(data) if "map info" in header.fields else None)


# What headers call the time that the shutter was open: Specim, Headwall, Resonon, HySpex.
_TIMES = ("tint", "integration time", "exposure time", "exposure", "shutter", "integrationtime", "tint (ms)")


def integration_time(path: Path) -> float | None:
    """The integration time that an ENVI header tells, in the unit of the header; None for other files or silence.

    Args:
        path: The header or the data file beside it.
    """
    header = path if path.suffix.lower() == ".hdr" else header_beside(path)
    if header is None or not header.is_file():
        return None
    with reading(header, "an ENVI header"):
        fields = _Header(header.read_bytes(), header).fields
    for key in _TIMES:
        if match := re.match(r"\s*{?\s*([0-9.eE+-]+)", str(fields.get(key, ""))):
            return float(match[1])
    return None


def read_header(path: Path) -> _Header:
    """What an ENVI header says.

    Raises:
        InputError: It isn't one.
    """
    check_file(path)
    if path.stat().st_size > _LARGEST_HEADER:
        raise InputError(f"{path}: is too large to be an ENVI header")
    with reading(path, "an ENVI header"):
        return _Header(path.read_bytes(), path)


def _open_zip(path: Path) -> Raw | list[Variable]:
    """Header and data are looked up by name inside the archive; the data is unpacked into memory."""
    with reading(path, "a zip archive with an ENVI image"), zipfile.ZipFile(path) as archive:
        files = {i.filename: i for i in archive.infolist() if not i.is_dir() and "__MACOSX" not in i.filename}
        headers = [name for name in files if name.lower().endswith(".hdr")]
        if len(headers) != 1:
            listed = ", ".join(files) or "nothing"
            raise InputError(f"{path}: needs exactly one .hdr inside, not {len(headers)} among {listed}")
        if files[headers[0]].file_size > _LARGEST_HEADER:
            raise InputError(f"{path}: {headers[0]} is too large to be an ENVI header")
        header = _Header(archive.read(headers[0]), path)
        base = headers[0][:-4]
        data = [name for name in files if name != headers[0] and name.lower() in _data_names(base)]
        if len(data) != 1:
            raise InputError(f"{path}: {len(data)} data files belong to {headers[0]}, one is needed")
        header.check_size(path, files[data[0]].file_size)
        check_memory(path, header.on_disk, header.dtype.itemsize)
        with archive.open(data[0]) as member:
            member.read(header.offset)
            content = member.read(math.prod(header.on_disk) * header.dtype.itemsize)
        flat = np.frombuffer(content, header.dtype).reshape(header.on_disk)
    return header.spectra(flat) if header.library else header.image(flat, path, None)


def _data_names(base: str) -> set[str]:
    return {(base + suffix).lower() for suffix in _DATA_SUFFIXES}


def _data_file(header_path: Path, header: _Header) -> Path:
    """The data file that a header describes; of several, the one of exactly the right size."""
    base = header_path.with_suffix("")
    names = _data_names(base.name)
    with reading(header_path, "an ENVI header"):
        files = [p for p in header_path.parent.iterdir() if p.name.lower() in names and p.is_file()]
    if len(files) > 1:
        files = [p for p in files if p.stat().st_size == header.size] or files
    if len(files) == 1:
        return files[0]
    if files:
        listed = ", ".join(sorted(p.name for p in files))
        raise InputError(f"{header_path}: several data files beside it ({listed}); give the data file itself")
    raise InputError(
        f"{header_path}: header without data, looked for {base.name} with no suffix or "
        f"{', '.join(_DATA_SUFFIXES[1:])}; if the data has another name, give the data file itself"
    )


def _georeference(data: Path) -> dict[str, Any] | None:
    try:
        with reading(data, "ENVI data"), rasterio.open(data, driver="ENVI") as file:
            return {"crs": file.crs, "transform": file.transform}
    except InputError:  # map information is a bonus: GDAL wants more of a header than the pixels need
        return None


class _Header:
    """A parsed header: a class, because shape, dtype and size are asked for in several places."""

    def __init__(self, content: bytes, path: Path) -> None:
        self.path = path
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = content.decode("latin-1")  # older software writes the micro sign so
        if "\0" in text or not text.lstrip().upper().startswith("ENVI"):
            raise InputError(f"{path}: isn't an ENVI header (its first line isn't ENVI)")
        with tempfile.TemporaryDirectory() as folder:  # spectral's parser takes a path
            copy = Path(folder) / "header.hdr"
            copy.write_text(text.lstrip(), encoding="utf-8")
            self.fields: dict[str, Any] = {
                key.lower(): value for key, value in envi.read_envi_header(str(copy)).items()
            }
        if "byte order" not in self.fields:
            note(path, "no byte order, little-endian assumed")
            self.fields["byte order"] = "0"
        if self.fields.get("file compression", "0") not in ("", "0"):
            raise InputError(f"{path}: compressed ENVI data; save it uncompressed first")
        envi.check_compatibility(self.fields)
        if str(self.fields["data type"]) not in envi.envi_to_dtype:
            raise InputError(f"{path}: unknown data type {self.fields['data type']}")
        if str(self.fields["byte order"]) not in ("0", "1"):
            raise InputError(f"{path}: byte order must be 0 or 1, not {self.fields['byte order']}")
        params = envi.gen_params(self.fields)
        self.dtype = np.dtype(params.dtype)
        if self.dtype.kind == "c":
            raise InputError(f"{path}: a cube must hold real numbers, not {self.dtype}")
        self.interleave = str(self.fields["interleave"]).lower()
        if self.interleave not in ON_DISK:
            raise InputError(f"{path}: interleave must be bsq, bil or bip, not {self.fields['interleave']}")
        sizes = {"h": params.nrows, "w": params.ncols, "b": params.nbands}
        if min(sizes.values()) < 1 or params.offset < 0:
            raise InputError(
                f"{path}: lines, samples and bands must be at least 1 and the offset at least 0, "
                f"not {params.nrows}, {params.ncols}, {params.nbands} and {params.offset}"
            )
        self.library = "spectral library" in str(self.fields.get("file type", "")).lower()
        self.bands = params.ncols if self.library else params.nbands
        self.offset = params.offset
        self.on_disk = tuple(sizes[axis] for axis in ON_DISK[self.interleave])

    @property
    def size(self) -> int:
        """Bytes that the data file must have."""
        return self.offset + self.bands * self.size_of_band

    @property
    def size_of_band(self) -> int:
        """Bytes of one band."""
        return math.prod(self.on_disk) // self.bands * self.dtype.itemsize

    def check_size(self, data: Path, size: int) -> None:
        if size == self.size:
            return
        band = self.size_of_band
        whole_bands = (size - self.offset) % band == 0 and size > self.offset
        hint = f", {(size - self.offset) // band} bands would fit" if whole_bands else ""
        problem = "it is truncated" if size < self.size else "its end would be left out"
        raise InputError(
            f"{data}: holds {size:,} bytes but its header claims {self.size:,}; {problem}, or "
            f"lines, samples, bands, data type or header offset are wrong{hint}; correct {self.path.name}"
        )

    def _numbers(self, key: str) -> list[float] | None:
        value = self.fields.get(key)
        if value is None:
            return None
        words = [word for word in (value if isinstance(value, list) else [value]) if word]
        try:
            return [float(word) for word in words]
        except ValueError as error:
            raise InputError(f"{self.path}: {key} must hold numbers ({error})") from error

    def _number(self, key: str) -> float | None:
        values = self._numbers(key)
        return values[0] if values else None

    def _words(self, key: str) -> list[str]:
        value = self.fields.get(key, [])
        return [word for word in (value if isinstance(value, list) else [value]) if word]

    def wavelengths(self) -> Centres | None:
        """Band centres as the header writes them, from ``wavelength`` or else from the names of the bands."""
        if values := self._words("wavelength"):
            unit = str(self.fields.get("wavelength units", ""))
            if not unit and "wavenumber" in str(self.fields.get("z plot titles", "")).lower():
                unit = "wavenumber"
            return Centres(values, unit, str(self.path))
        return centres_in_names(self._words("band names"), str(self.path))

    def bad_bands(self) -> np.ndarray | None:
        """True where ``bbl`` is 0; None without one."""
        bad = self._numbers("bbl")
        return np.array(bad) == 0 if bad else None

    def scaling(self) -> Scaling:
        """Gains and offsets where the header has any, else the reflectance scale factor."""
        for kind in ("data", "data reflectance"):
            keys = [f"{kind} gain values", f"{kind} offset values"]
            gain, offset = (self._numbers(key) for key in keys)
            origin = ", ".join(key for key, values in zip(keys, (gain, offset), strict=True) if values)
            others = ", ".join(sorted(_SCALINGS & self.fields.keys() - set(keys)))
            scaling = Scaling(origin, gain or 1.0, offset or 0.0, others=others)
            if not scaling.identity:
                return scaling
        factor = self._number("reflectance scale factor")
        return Scaling("reflectance scale factor", divisor=1.0 if factor is None else factor)

    def spectra(self, flat: np.ndarray) -> list[Variable]:
        """A spectral library: its lines are spectra, its samples bands."""
        matrix = flat.transpose([ON_DISK[self.interleave].index(axis) for axis in "hwb"])[:, :, 0]
        names = self.fields.get("spectra names", [])
        names = tuple(names) if isinstance(names, list) and len(names) == len(matrix) else ()
        variables = [Variable("spectral library", matrix.shape, matrix.dtype, lambda: matrix, {"names": names})]
        if (written := self.wavelengths()) is not None:
            try:
                values = np.asarray(written.values, dtype=np.float64)
            except ValueError as error:
                raise InputError(f"{self.path}: wavelength must hold numbers ({error})") from error
            units = {"units": written.unit}
            variables.append(Variable("wavelengths", values.shape, values.dtype, lambda: values, units))
        return variables

    def image(self, flat: np.ndarray, data: Path, georeference: dict[str, Any] | None) -> Raw:
        cube = flat.transpose([ON_DISK[self.interleave].index(axis) for axis in "hwb"])
        for doubt in doubts_about(flat, self.interleave):
            note(data, f"{doubt}; if so, correct the header {self.path.name}")
        names = self.fields.get("class names", [])
        return Raw(
            cube,
            data,
            wavelengths=self.wavelengths(),
            classes=tuple(names) if isinstance(names, list) else (),
            bad=self.bad_bands(),
            nodata=self._number("data ignore value"),
            scaling=self.scaling(),
            georeference=georeference,
        )
