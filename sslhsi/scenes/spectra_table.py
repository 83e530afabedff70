"""Tables of spectra as people keep them: a spectrum a line or a column, with headings, names and classes."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from sslhsi.scenes.wavelengths import CENTRES_HEADING, UNIT, are_centres, monotonic

# "450", "450.5 nm", "X450", "wl_450.2", "R450", "band_12": a word, a number, a units.
_NUMBER_HEADING = re.compile(rf"([A-Za-z_. ]{{0,12}}?)(\d+(?:[.]\d+)?)\s*({UNIT})?", re.IGNORECASE)
#: A number with or without a unit behind.
WITH_UNIT = re.compile(rf"([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*({UNIT})?", re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+(e[+-]?\d+)?", re.IGNORECASE)


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
    first = next((n for n, row in enumerate(rows) if sum(is_number(cell) for cell in row) * 2 > width), None)
    if first is None or first > 5:
        return None
    headings, body = rows[first - 1] if first else None, rows[first:]
    worded = headings is not None and bool(CENTRES_HEADING.search(headings[0]))
    if headings is not None and not worded and _numbered(headings)[0]:
        return _by_lines(headings, body)
    if columns := _by_columns(headings, body):
        return columns
    row = [float(cell) if is_number(cell) else np.nan for cell in body[0]]
    known = np.array([value for value in row if np.isfinite(value)])
    counted = len(known) >= 3 and bool((np.diff(known) == 1).all()) and known[0] in (0, 1, 2)
    looks = len(known) >= 3 and len(body) > 1 and (are_centres(known) or counted)
    if heading is not False and (heading or looks):
        names = [h if not is_number(c) else c for h, c in zip(headings or [""] * width, body[0], strict=True)]
        names = [name or cell for name, cell in zip(names, body[0], strict=True)]
        table = _by_lines(names, body[1:], units=body[0][0] if not is_number(body[0][0]) else "")
        if table is not None:
            table.notes.append("first line of numbers read as a heading (with heading False it is a spectrum)")
        return table
    if headings is None and width >= 5:
        numbers = _numbers(body, range(width))
        return None if numbers is None else SpectraTable(numbers)
    return None


def is_number(cell: str) -> bool:
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
