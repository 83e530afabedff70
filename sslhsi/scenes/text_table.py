"""Text tables: maps with one line per pixel and band (y, x, band centre, value), and spectra."""

from __future__ import annotations

import lzma
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO

import numpy as np

from sslhsi.errors import InputError
from sslhsi.scenes.raw import Centres, Raw, Variable, check_file, check_memory, decoded, reading, variable_of
from sslhsi.scenes.spectra_table import is_number, parse_spectra
from sslhsi.scenes.wavelengths import unit_in

_LARGEST = 2**30


def open_text_table(path: Path) -> Raw | list[Variable]:
    """A table of four columns - y, x, band centre, value - as a cube (float32); any other one as spectra.

    The third column holds wavenumbers (1/cm) unless a heading says otherwise: such tables come from
    Raman and infrared microscopes. Missing values (NA, empty combinations) become NaN. Rows and
    columns of the image ascend in y and x; bands keep the order of the file.

    Args:
        path: .csv, .txt or .tsv, or such a table compressed as .xz.

    Returns:
        The map; or, of a table with a spectrum a line or a column, ``spectra`` (n, B) and ``wavelengths``.

    Raises:
        InputError: Neither, text where numbers belong, or points that form no grid.
    """
    with reading(path, "a table of y, x, wavenumber, value"), _text(path) as file:
        heading, delimiter, count = _first_line(next((line for line in file if _holds_cells(line)), ""))
    if count != 4 or (heading and sum(word.replace(".", "", 1).isdigit() for word in heading) > 1):
        return spectra_variables(path)
    with reading(path, "a table of y, x, wavenumber, value"), _text(path) as file:
        lines = (line for line in file if _holds_cells(line))
        if heading:
            next(lines)
        table = np.loadtxt(_numbers(lines), delimiter=delimiter, ndmin=2)
    return _map(path, table, heading[2] if heading else "wavenumber", bool(heading))


def spectra_variables(path: Path, *, heading: bool | None = None) -> list[Variable]:
    """A table of spectra as variables: ``spectra`` (n, B), and ``wavelengths`` (B,) where the table has them.

    Args:
        path: The file.
        heading: See ``sslhsi.scenes.spectra_table.parse_spectra``.

    Returns:
        The attributes of ``spectra`` hold ``names``, ``columns`` and ``notes``.

    Raises:
        InputError: The text is no such table.
    """
    table = parse_spectra(read_text(path), heading=heading)
    if table is None:
        raise InputError(
            f"{path}: a table must have 4 columns (y, x, wavenumber, value), or a spectrum in each line under a "
            "heading of wavelengths"
        )
    names = table.columns.get("name") or next(iter(table.columns.values()), [])
    names = names if len(set(names)) == len(table.spectra) else []
    attributes = {"names": tuple(names), "columns": table.columns, "notes": tuple(table.notes)}
    variables = [variable_of("spectra", table.spectra, attributes)]
    if table.centres is not None:
        variables.append(variable_of("wavelengths", table.centres, {"units": unit_in(table.units)}))
    return variables


def read_text(path: Path) -> str:
    """The text of a table, also of a compressed one.

    Raises:
        InputError: Missing, too large, or no text.
    """
    check_file(path)
    if path.stat().st_size > _LARGEST:
        raise InputError(f"{path}: is too large for a table of spectra; save it as .npy")
    unpack = lzma.open if path.suffix.lower() == ".xz" else open
    with reading(path, "a table of text"), unpack(path, "rb") as file:
        text = decoded(file.read(_LARGEST))
    if "\0" in text[:4096]:
        raise InputError(f"{path}: is no text")
    return text


def is_binary(path: Path) -> bool:
    """Whether a file is no text."""
    with path.open("rb") as file:
        return b"\0" in file.read(4096)


def _map(path: Path, table: np.ndarray, unit: str, worded: bool) -> Raw:
    if table.shape[1] != 4 or not len(table):
        raise InputError(f"{path}: a table must have 4 columns (y, x, wavenumber, value)")
    if not np.isfinite(table[:, :3]).all():
        raise InputError(f"{path}: y, x and wavenumber must be numbers in every line")
    ys, row = np.unique(table[:, 0], return_inverse=True)
    xs, column = np.unique(table[:, 1], return_inverse=True)
    sorted_centres, first, sorted_band = np.unique(table[:, 2], return_index=True, return_inverse=True)
    by_file = np.argsort(first)
    band = np.argsort(by_file)[sorted_band]
    shape = (len(ys), len(xs), len(sorted_centres))
    if len(table) > np.prod(shape, dtype=object) or 4 * len(table) < np.prod(shape, dtype=object):
        raise InputError(f"{path}: {len(table)} lines don't form a grid of y, x, band {shape}")
    check_memory(path, shape, 4)
    cube = np.full(shape, np.nan, dtype=np.float32)
    cube[row, column, band] = table[:, 3]
    if worded:
        unit = unit_in(unit)
    return Raw(cube, path, wavelengths=Centres(sorted_centres[by_file], unit, str(path)))


def _text(path: Path) -> TextIO:
    if path.suffix.lower() == ".xz":
        return lzma.open(path, "rt", encoding="utf-8")
    return path.open(encoding="utf-8")


def _first_line(line: str) -> tuple[list[str] | None, str | None, int]:
    """The heading (None when the first line holds numbers), the delimiter (None = white space) and the columns."""
    delimiter = next((mark for mark in "\t;," if mark in line), None)
    words = [word.strip().strip('"') for word in line.lstrip("\ufeff").strip().split(delimiter)]
    numbers = all(map(is_number, words[:3]))
    return None if numbers else words, delimiter, len(words)


def _holds_cells(line: str) -> bool:
    """False for comments and empty lines."""
    text = line.lstrip("\ufeff \t\r\n,;")
    return bool(text) and text[0] not in "#%"


def _numbers(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        yield line.replace("NA", "nan") if "NA" in line else line
