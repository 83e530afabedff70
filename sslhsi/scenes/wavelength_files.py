"""Band centres from files of their own: a list or a table of text as people have it, a header, named vectors."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from sslhsi.errors import InputError
from sslhsi.scenes.raw import Centres, Raw, Variable, check_file
from sslhsi.scenes.text_table import WITH_UNIT, is_binary, read_text, rows_of
from sslhsi.scenes.wavelengths import CENTRES_HEADING, TELLING, centres_of, monotonic, plausible, unit_in


def read_wavelengths(path: Path, open_file: Callable[[Path], Raw | list[Variable]]) -> Centres:
    """Band centres from a separate file.

    Args:
        path: .txt or .csv (one number a line, or a table with a column of them; see
            :func:`parse_table`), an ENVI header, a file with named vectors, or an image that
            tells them.
        open_file: Opens a file of any supported format.

    Raises:
        InputError: Nothing in the file can be band centres, or several vectors can.
    """
    check_file(path)
    if path.suffix.lower() in (".txt", ".csv", ".wl", ".tsv", ".dat", ".asc") and not is_binary(path):
        values, heading = parse_table(read_text(path), path)
        return Centres(values, unit_in(heading), str(path))
    opened = open_file(path)
    if not isinstance(opened, list):
        if opened.wavelengths is None:
            raise InputError(f"{path}: tells no wavelengths")
        known = opened.wavelengths
        return known if isinstance(known, Centres) else Centres(known, "nm", str(path))
    vectors = [v for v in opened if v.vector]
    chosen = [v for v in vectors if TELLING.search(v.name) and plausible(v)] if len(vectors) > 1 else vectors
    if len(chosen) != 1:
        listed = ", ".join(map(str, vectors)) or "no vector"
        raise InputError(f"{path}: which variable holds the wavelengths is unclear ({listed})")
    return centres_of(chosen[0], str(path))


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
    text = re.sub(r"[{}\[\]]", " ", text)
    if ";" in text or "\t" in text:
        text = re.sub(r"(?<=\d),(?=\d)", ".", text)  # decimal commas
    rows = [[cell for cell in row if cell] for row in rows_of(text)]
    heading: list[str] = []
    while rows and not any(_value(word) is not None for word in rows[0]):
        heading = rows.pop(0)
    numbers = [[_value(word) for word in row] for row in rows]
    if not numbers or any(value is None for row in numbers for value in row):
        raise InputError(
            f"{path}: a text file of wavelengths must hold numbers, one per line, or a table with a column of them"
        )
    units = " ".join(match.group(2) or "" for word in rows[0] if (match := WITH_UNIT.fullmatch(word)))
    if all(re.fullmatch(r"\d+,\d+", line) for line in lines if line) and len({row[1] for row in numbers}) > 1:
        raise InputError(
            f"{path}: whether the commas part columns or decimals is unclear; write decimals with points, or "
            "part columns by semicolons"
        )
    flat = np.array([value for row in numbers for value in row], dtype=np.float64)
    widths = {len(row) for row in numbers}
    columns = widths.pop() if len(widths) == 1 else 1
    if columns == 1 or len(numbers) == 1 or (flat.size > 2 and monotonic(flat)):
        return flat, " ".join([*heading, units, comments])
    table = flat.reshape(len(numbers), columns)
    column = _column(table, heading, path)
    above = heading[column] if len(heading) == columns else " ".join(heading)
    return table[:, column], " ".join([above, units, comments])


def _value(word: str) -> float | None:
    """A number, with or without a unit behind."""
    match = WITH_UNIT.fullmatch(word)
    return float(match.group(1)) if match else None


def _column(table: np.ndarray, heading: list[str], path: Path) -> int:
    """Which column holds the centres: the one that the heading names, else the one that isn't number or width."""
    columns = range(table.shape[1])
    if len(heading) == table.shape[1]:
        named = [
            c for c in columns if CENTRES_HEADING.search(heading[c]) and not re.search("fwhm|width", heading[c], re.I)
        ]
        if len(named) == 1:
            return named[0]
    rest = [c for c in columns if not _counts(table[:, c])]
    ordered = [c for c in rest if monotonic(table[:, c])]
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
