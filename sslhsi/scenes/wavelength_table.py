"""Band centres from text as people have it: a list, or a table with a heading and more than one column."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from sslhsi.errors import InputError

_CENTRE = re.compile(r"wave|lambda|λ|cent(er|re)|\bwl\b|\bnm\b", re.IGNORECASE)
_WITH_UNIT = re.compile(
    r"([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*(nm|nanomet\w+|um|µm|μm|micromet\w+|microns?|å|angstroms?|cm-1|1/cm)?",
    re.IGNORECASE,
)


def parse_table(text: str, path: Path) -> tuple[np.ndarray, str]:
    """Band centres of a text, and the words that stand above them.

    Taken are: numbers separated by white space, commas or semicolons, with or without braces; one number a line;
    a table whose heading names the column, or whose columns are band number and centre, or centre and width.
    A unit may stand in the heading or behind every number; decimal commas are known by semicolons or tabs
    between the columns; lines that begin with "#" or "%" are comments.

    Args:
        text: Of the file.
        path: For messages.

    Raises:
        InputError: The text holds words among its numbers, or which column holds the centres is unclear.
    """
    lines = [line.strip() for line in text.splitlines()]
    comments = " ".join(line for line in lines if line[:1] in "#%" and line)
    rows = [_words(line) for line in lines if line and line[0] not in "#%"]
    heading: list[str] = []
    while rows and not any(_value(word) is not None for word in rows[0]):
        heading = rows.pop(0)
    numbers = [[_value(word) for word in row] for row in rows]
    if not numbers or any(value is None for row in numbers for value in row):
        raise InputError(
            f"{path}: a text file of wavelengths must hold numbers, one per line, or a table with a column of them"
        )
    units = " ".join(match.group(2) or "" for word in rows[0] if (match := _WITH_UNIT.fullmatch(word)))
    if all(re.fullmatch(r"\d+,\d+", line) for line in lines if line) and len({row[1] for row in numbers}) > 1:
        raise InputError(
            f"{path}: whether the commas part columns or decimals is unclear; write decimals with points, or "
            "part columns by semicolons"
        )
    flat = np.array([value for row in numbers for value in row], dtype=np.float64)
    widths = {len(row) for row in numbers}
    columns = widths.pop() if len(widths) == 1 else 1
    rising = flat.size > 2 and bool((np.diff(flat) > 0).all() or (np.diff(flat) < 0).all())
    if columns == 1 or len(numbers) == 1 or rising:
        return flat, " ".join([*heading, units, comments])
    table = flat.reshape(len(numbers), columns)
    column = _column(table, heading, path)
    above = heading[column] if len(heading) == columns else " ".join(heading)
    return table[:, column], " ".join([above, units, comments])


def _words(line: str) -> list[str]:
    """The cells of a line; a unit behind a number belongs to its cell."""
    mark = next((mark for mark in ";\t" if mark in line), None)
    if mark is not None:
        line = re.sub(r"(?<=\d),(?=\d)", ".", line)  # decimal commas
        cells = line.split(mark)
    elif "," in line:
        cells = line.strip("{}[]").split(",")
    else:
        cells = []
        for word in line.strip("{}[]").split():
            if cells and (word[0] in "([" or _WITH_UNIT.fullmatch(f"1 {word}")):
                cells[-1] += f" {word}"
            else:
                cells.append(word)
    return [cell.strip().strip("{}[]\"'").strip() for cell in cells if cell.strip().strip("{}[]\"'").strip()]


def _value(word: str) -> float | None:
    """A number, with or without a unit behind."""
    match = _WITH_UNIT.fullmatch(word)
    return float(match.group(1)) if match else None


def _column(table: np.ndarray, heading: list[str], path: Path) -> int:
    """Which column holds the centres: the one that the heading names, else the one that isn't number or width."""
    columns = range(table.shape[1])
    if len(heading) == table.shape[1]:
        named = [c for c in columns if _CENTRE.search(heading[c]) and not re.search("fwhm|width", heading[c], re.I)]
        if len(named) == 1:
            return named[0]
    rest = [c for c in columns if not _counts(table[:, c])]
    steps = [np.diff(table[:, c]) for c in rest]
    ordered = [c for c, step in zip(rest, steps, strict=True) if (step > 0).all() or (step < 0).all()]
    if len(ordered) == 1:
        return ordered[0]
    # A width is smaller than the centre that it belongs to.
    if len(ordered) == 2 and (table[:, ordered[0]] > table[:, ordered[1]]).all():
        return ordered[0]
    raise InputError(
        f"{path}: which of {table.shape[1]} columns holds the wavelengths is unclear; keep that column alone, or "
        "name it 'wavelength' in a heading"
    )


def _counts(column: np.ndarray) -> bool:
    """True for band numbers: 0, 1, 2, ... or 1, 2, 3, ..."""
    return column[0] in (0, 1) and bool((np.diff(column) == 1).all())
