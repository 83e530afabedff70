"""Text tables as people keep them: maps with a line per pixel and band; spectra with headings, names, classes."""

from __future__ import annotations

import csv
import io
import lzma
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import numpy as np

from sslhsi.errors import InputError
from sslhsi.scenes.raw import Centres, Raw, Variable, check_file, check_memory, decoded, reading, variable_of
from sslhsi.scenes.wavelengths import CENTRES_HEADING, UNIT, are_centres, monotonic, unit_in

_LARGEST = 2**30
# "450", "450.5 nm", "X450", "wl_450.2", "R450", "band_12": a word, a number, a units.
_NUMBER_HEADING = re.compile(rf"([A-Za-z_. ]{{0,12}}?)(\d+(?:[.]\d+)?)\s*({UNIT})?", re.IGNORECASE)
#: A number with or without a unit behind.
WITH_UNIT = re.compile(rf"([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*({UNIT})?", re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+(e[+-]?\d+)?", re.IGNORECASE)


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
        table = np.loadtxt(_with_nan(lines), delimiter=delimiter, ndmin=2)
    return _map(path, table, heading[2] if heading else "wavenumber", bool(heading))


def spectra_variables(path: Path, *, heading: bool | None = None) -> list[Variable]:
    """A table of spectra as variables: ``spectra`` (n, B), and ``wavelengths`` (B,) where the table has them.

    Args:
        path: The file.
        heading: See :func:`parse_spectra`.

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
    numbers = all(map(_is_number, words[:3]))
    return None if numbers else words, delimiter, len(words)


def _holds_cells(line: str) -> bool:
    """False for comments and empty lines."""
    text = line.lstrip("\ufeff \t\r\n,;")
    return bool(text) and text[0] not in "#%"


def _with_nan(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        yield line.replace("NA", "nan") if "NA" in line else line


@dataclass
class SpectraTable:
    """Spectra out of a table.

    Args:
        spectra: (n, B) float64, NaN where a cell is empty.
        centres: (B,) band centres as the headings have them, or None.
        units: Their units in words, "" when the table doesn't say.
        columns: The other columns (of text, numbers of samples, classes), by heading, n entries each.
        notes: What was assumed, in words.
    """

    spectra: np.ndarray
    centres: np.ndarray | None = None
    units: str = ""
    columns: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def rows_of(text: str) -> list[list[str]]:
    """The cells of a table, separated by tabs, semicolons, commas or white space; no comments, no empty lines."""
    lines = [line for line in text.splitlines() if line.strip(" \t\r,;") and line.lstrip()[0] not in "#%"]
    counts = {mark: sum(line.count(mark) for line in lines[:5]) for mark in "\t;,"}
    delimiter = max(counts, key=lambda mark: counts[mark])
    if counts[";"] > len(lines[:5]):
        delimiter = ";"  # and commas are decimal
    if not counts[delimiter]:
        return [_cells(line) for line in lines]
    rows = [[cell.strip() for cell in row] for row in csv.reader(io.StringIO("\n".join(lines)), delimiter=delimiter)]
    if delimiter != ",":
        rows = [[cell.replace(",", ".") if _DECIMAL_COMMA.fullmatch(cell) else cell for cell in row] for row in rows]
    width = max((len(row) for row in rows), default=0)
    while width and not any(len(row) >= width and row[width - 1] for row in rows):
        width -= 1  # delimiters that end every line
    return [row[:width] for row in rows]


def _cells(line: str) -> list[str]:
    """The words of a line; a unit behind a number belongs to it."""
    cells: list[str] = []
    for word in line.split():
        if cells and (word[0] == "(" or WITH_UNIT.fullmatch(f"1 {word}")):
            cells[-1] += f" {word}"
        else:
            cells.append(word)
    return cells


def parse_spectra(text: str, *, heading: bool | None = None) -> SpectraTable | None:
    """A table as spectra.

    One spectrum a line: the first line that holds mostly numbers in ascending or descending order, as band centres
    are, or the headings give the band centres; lines above are headings. Columns whose headings are no numbers are
    names, classes and the like. One spectrum a column: the first column holds band centres.

    Args:
        text: Of the file.
        heading: False: the first line of numbers is a spectrum; True: it is a heading; None: as it looks.

    Returns:
        None when the text is no such table.
    """
    rows = rows_of(text)
    width = max((len(row) for row in rows), default=0)
    if width < 2 or any(len(row) != width for row in rows[1:]):
        return None
    rows[0] += [""] * (width - len(rows[0]))
    first = next((n for n, row in enumerate(rows) if sum(_is_number(cell) for cell in row) * 2 > width), None)
    if first is None or first > 5:
        return None
    headings, body = rows[first - 1] if first else None, rows[first:]
    worded = headings is not None and bool(CENTRES_HEADING.search(headings[0]))
    if headings is not None and not worded and _numbered(headings)[0]:
        return _by_lines(headings, body)
    if columns := _by_columns(headings, body):
        return columns
    row = [float(cell) if _is_number(cell) else np.nan for cell in body[0]]
    known = np.array([value for value in row if np.isfinite(value)])
    counted = len(known) >= 3 and bool((np.diff(known) == 1).all()) and known[0] in (0, 1, 2)
    looks = len(known) >= 3 and len(body) > 1 and (are_centres(known) or counted)
    if heading is not False and (heading or looks):
        names = [h if not _is_number(c) else c for h, c in zip(headings or [""] * width, body[0], strict=True)]
        names = [name or cell for name, cell in zip(names, body[0], strict=True)]
        table = _by_lines(names, body[1:], units=body[0][0] if not _is_number(body[0][0]) else "")
        if table is not None:
            table.notes.append("first line of numbers read as a heading (with heading False it is a spectrum)")
        return table
    if headings is None and width >= 5:
        numbers = _numbers(body, range(width))
        return None if numbers is None else SpectraTable(numbers)
    return None


def _is_number(cell: str) -> bool:
    """Whether a cell holds a number, not counting what is missing."""
    try:
        return bool(cell.upper() != "NA" and [float(cell)])
    except ValueError:
        return False


def _numbered(headings: Sequence[str]) -> tuple[list[int], list[float], str]:
    """Columns whose headings are one word with ascending or descending numbers, the numbers, and their units."""
    words: dict[str, list[tuple[int, float, str]]] = {}
    for column, text in enumerate(headings):
        if match := _NUMBER_HEADING.fullmatch(text):
            words.setdefault(match.group(1).lower(), []).append((column, float(match.group(2)), match.group(3) or ""))
    best = max(words.values(), key=len, default=[])
    if len(best) < 3 or not monotonic(np.array([number for _, number, _ in best])):
        return [], [], ""
    return [c for c, _, _ in best], [n for _, n, _ in best], best[0][2]


def _by_lines(headings: Sequence[str], body: Sequence[Sequence[str]], units: str = "") -> SpectraTable | None:
    columns, numbers, suffix = _numbered(headings)
    spectra = _numbers(body, columns) if columns else None
    if spectra is None:
        return None
    centres = np.array(numbers)
    table = SpectraTable(spectra, units=suffix or units)
    wordy = CENTRES_HEADING.search(" ".join((headings[columns[0]], units)))
    if are_centres(centres) or (wordy and (centres > 0).all()):
        table.centres = centres
    else:
        table.notes.append("headings number the bands, they are no wavelengths")
    for column, name in enumerate(headings):
        if column not in columns:
            key = name or ("name" if column == 0 else f"column {column + 1}")
            table.columns[key] = [row[column] for row in body]
    return table


def _by_columns(headings: Sequence[str] | None, body: Sequence[Sequence[str]]) -> SpectraTable | None:
    """One spectrum a column, band centres in the first: its heading says so, or there are many lines."""
    centres = _numbers(body, [0])
    if centres is None or not are_centres(centres[:, 0]) or len(body) < 3:
        return None
    worded = headings is not None and bool(CENTRES_HEADING.search(headings[0]))
    if not worded and len(body) < 10:
        return None
    spectra = _numbers(body, range(1, len(body[0])))
    if spectra is None:
        return None
    table = SpectraTable(spectra.T, centres[:, 0], headings[0] if headings is not None and worded else "")
    table.notes.append("one spectrum a column, band centres in the first")
    if headings is not None:
        table.columns["name"] = list(headings[1:])
    return table


def _numbers(body: Sequence[Sequence[str]], columns: Sequence[int]) -> np.ndarray | None:
    """(n, columns) numbers, NaN for empty cells and NA; None when a cell holds text, or nothing is there."""
    if not body:
        return None
    try:
        return np.array(
            [[np.nan if row[c] == "" or row[c].upper() == "NA" else float(row[c]) for c in columns] for row in body]
        )
    except ValueError:
        return None
