"""Maps written as a long table: one line per pixel and band, y, x, band centre, value."""

from __future__ import annotations

import lzma
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import numpy as np

from sslhsi.errors import InputError
from sslhsi.scenes.raw import Raw, check_memory, reading
from sslhsi.scenes.wavelengths import is_wavenumber, to_nanometres


def open_text_table(path: Path) -> Raw:
    """A table of four columns - y, x, band centre, value - as a cube (float32).

    The third column holds wavenumbers (1/cm) unless a heading says otherwise: such tables come from
    Raman and infrared microscopes. Missing values (NA, empty combinations) become NaN. Rows and
    columns of the image ascend in y and x; bands keep the order of the file.

    Args:
        path: .csv, .txt or .tsv, or such a table compressed as .xz.

    Raises:
        InputError: Other than four columns, text where numbers belong, or points that form no grid.
    """
    with reading(path, "a table of y, x, wavenumber, value"):
        with _text(path) as file:
            heading, delimiter = _first_line(file.readline(), path)
        with _text(path) as file:
            if heading:
                file.readline()
            table = np.loadtxt(_numbers(file), delimiter=delimiter, ndmin=2)
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
    unit = heading[2] if heading else "wavenumber"
    if heading and not is_wavenumber(unit):
        word = re.search(r"nm|um|µm|nanomet\w+|micromet\w+", unit, re.IGNORECASE)
        unit = word.group() if word else ""
    return Raw(cube, path, wavelengths=to_nanometres(sorted_centres[by_file], unit, str(path)))


def _text(path: Path) -> TextIO:
    if path.suffix.lower() == ".xz":
        return lzma.open(path, "rt", encoding="utf-8")
    return path.open(encoding="utf-8")


def _first_line(line: str, path: Path) -> tuple[list[str] | None, str | None]:
    """The heading (None when the first line holds numbers) and the delimiter (None = white space)."""
    delimiter = next((mark for mark in "\t;," if mark in line), None)
    words = [word.strip().strip('"') for word in line.strip().split(delimiter)]
    if len(words) != 4:
        raise InputError(f"{path}: a table must have 4 columns (y, x, wavenumber, value), not {len(words)}")
    try:
        [float(word) for word in words[:3]]
    except ValueError:
        return words, delimiter
    return None, delimiter


def _numbers(lines: TextIO) -> Iterator[str]:
    for line in lines:
        yield line.replace("NA", "nan") if "NA" in line else line
