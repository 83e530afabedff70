"""ENVI images: a raw data file and a text header, also inside a .zip."""

from __future__ import annotations

import math
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from spectral.io import envi

from sslhsi.errors import InputError
from sslhsi.scenes.bits import ON_DISK, doubts_about
from sslhsi.scenes.envi_header import LARGEST, Header, header_beside
from sslhsi.scenes.notes import note
from sslhsi.scenes.raw import Centres, Raw, Variable, check_memory, reading, variable_of

_DATA_SUFFIXES = ["", *(f".{suffix}" for suffix in (*envi.KNOWN_EXTS, *ON_DISK))]


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
    header_path = path if path.suffix.lower() == ".hdr" else header_beside(path)
    if header_path is None:
        raise InputError(f"{path}: no ENVI header beside it ({path.name}.hdr or {path.stem}.hdr)")
    image = _Image.of(Header(header_path))
    data = _data_file(image) if path == header_path else path
    image.check_size(data, data.stat().st_size)
    with reading(data, "ENVI data"):
        flat = np.memmap(data, image.dtype, "r", image.offset, image.on_disk)
    return image.opened(flat, data)


def _open_zip(path: Path) -> Raw | list[Variable]:
    """Header and data are looked up by name inside the archive; the data is unpacked into memory."""
    with reading(path, "a zip archive with an ENVI image"), zipfile.ZipFile(path) as archive:
        files = {i.filename: i for i in archive.infolist() if not i.is_dir() and "__MACOSX" not in i.filename}
        headers = [name for name in files if name.lower().endswith(".hdr")]
        if len(headers) != 1:
            listed = ", ".join(files) or "nothing"
            raise InputError(f"{path}: needs exactly one .hdr inside, not {len(headers)} among {listed}")
        with archive.open(headers[0]) as member:
            image = _Image.of(Header(path, member.read(LARGEST + 1)))
        base = headers[0][:-4]
        data = [name for name in files if name != headers[0] and name.lower() in _data_names(base)]
        if len(data) != 1:
            raise InputError(f"{path}: {len(data)} data files belong to {headers[0]}, one is needed")
        image.check_size(path, files[data[0]].file_size)
        check_memory(path, image.on_disk, image.dtype.itemsize)
        with archive.open(data[0]) as member:
            member.read(image.offset)
            content = member.read(image.size - image.offset)
        flat = np.frombuffer(content, image.dtype).reshape(image.on_disk)
    return image.opened(flat, path)


def _data_names(base: str) -> set[str]:
    return {(base + suffix).lower() for suffix in _DATA_SUFFIXES}


def _data_file(image: _Image) -> Path:
    """The data file that a header describes; of several, the one of exactly the right size."""
    path = image.header.path
    base = path.with_suffix("")
    names = _data_names(base.name)
    with reading(path, "an ENVI header"):
        files = [p for p in path.parent.iterdir() if p.name.lower() in names and p.is_file()]
    if len(files) > 1:
        files = [p for p in files if p.stat().st_size == image.size] or files
    if len(files) == 1:
        return files[0]
    if files:
        listed = ", ".join(sorted(p.name for p in files))
        raise InputError(f"{path}: several data files beside it ({listed}); give the data file itself")
    raise InputError(
        f"{path}: header without data, looked for {base.name} with no suffix or "
        f"{', '.join(_DATA_SUFFIXES[1:])}; if the data has another name, give the data file itself"
    )


def _georeference(data: Path) -> dict[str, Any] | None:
    try:
        with reading(data, "ENVI data"), rasterio.open(data, driver="ENVI") as file:
            return {"crs": file.crs, "transform": file.transform}
    except InputError:  # map information is a bonus: GDAL wants more of a header than the pixels need
        return None


@dataclass(frozen=True)
class _Image:
    """How data lie, as their header says: shape on disk, element type, bytes to skip."""

    header: Header
    dtype: np.dtype
    interleave: str
    offset: int
    on_disk: tuple[int, ...]

    @classmethod
    def of(cls, header: Header) -> _Image:
        path, fields = header.path, dict(header.fields)
        if "byte order" not in fields:
            note(path, "no byte order, little-endian assumed")
            fields["byte order"] = "0"
        if fields.get("file compression", "0") not in ("", "0"):
            raise InputError(f"{path}: compressed ENVI data; save it uncompressed first")
        if "major frame offsets" in fields:
            fields["major frame offsets"] = header.listed("major frame offsets")
        with reading(path, "an ENVI header"):
            envi.check_compatibility(fields)
            if fields["data type"] not in envi.envi_to_dtype:
                raise InputError(f"{path}: unknown data type {fields['data type']}")
            if fields["byte order"] not in ("0", "1"):
                raise InputError(f"{path}: byte order must be 0 or 1, not {fields['byte order']}")
            params = envi.gen_params(fields)
        dtype = np.dtype(params.dtype)
        if dtype.kind == "c":
            raise InputError(f"{path}: a cube must hold real numbers, not {dtype}")
        interleave = fields["interleave"].lower()
        if interleave not in ON_DISK:
            raise InputError(f"{path}: interleave must be bsq, bil or bip, not {fields['interleave']}")
        sizes = {"h": params.nrows, "w": params.ncols, "b": params.nbands}
        if min(sizes.values()) < 1 or params.offset < 0:
            raise InputError(
                f"{path}: lines, samples and bands must be at least 1 and the offset at least 0, "
                f"not {params.nrows}, {params.ncols}, {params.nbands} and {params.offset}"
            )
        return cls(header, dtype, interleave, params.offset, tuple(sizes[axis] for axis in ON_DISK[interleave]))

    @property
    def size(self) -> int:
        """Bytes that the data file must have."""
        return self.offset + math.prod(self.on_disk) * self.dtype.itemsize

    def check_size(self, data: Path, size: int) -> None:
        if size == self.size:
            return
        along = ON_DISK[self.interleave].index("w" if self.header.library else "b")
        band = (self.size - self.offset) // self.on_disk[along]
        whole_bands = (size - self.offset) % band == 0 and size > self.offset
        hint = f", {(size - self.offset) // band} bands would fit" if whole_bands else ""
        problem = "it is truncated" if size < self.size else "its end would be left out"
        raise InputError(
            f"{data}: holds {size:,} bytes but its header claims {self.size:,}; {problem}, or "
            f"lines, samples, bands, data type or header offset are wrong{hint}; correct {self.header.path.name}"
        )

    def opened(self, flat: np.ndarray, data: Path) -> Raw | list[Variable]:
        """The data as an image, or those of a spectral library, whose lines are spectra and whose samples bands."""
        cube = flat.transpose([ON_DISK[self.interleave].index(axis) for axis in "hwb"])
        info = self.header.bands()
        names = tuple(self.header.listed("spectra names" if self.header.library else "class names"))
        if self.header.library:
            return _spectra(cube[:, :, 0], names, info.wavelengths)
        for doubt in doubts_about(flat, self.interleave):
            note(data, f"{doubt}; if so, correct the header {self.header.path.name}")
        place = _georeference(data) if "map info" in self.header.fields and data.suffix.lower() != ".zip" else None
        return Raw(cube, data, classes=names, georeference=place, **vars(info))


def _spectra(matrix: np.ndarray, names: tuple[str, ...], written: Centres | np.ndarray | None) -> list[Variable]:
    names = names if len(names) == len(matrix) else ()
    variables = [variable_of("spectral library", matrix, {"names": names})]
    if isinstance(written, Centres):
        try:
            values = np.asarray(written.values, dtype=np.float64)
        except ValueError as error:
            raise InputError(f"{written.where}: wavelength must hold numbers ({error})") from error
        variables.append(variable_of("wavelengths", values, {"units": written.unit}))
    return variables
