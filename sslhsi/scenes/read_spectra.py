"""Read spectra without a place: matrices, tables and spectral libraries."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from sslhsi.errors import InputError
from sslhsi.scenes.labels import named, whole
from sslhsi.scenes.notes import collected_notes, note
from sslhsi.scenes.raw import Raw, Variable
from sslhsi.scenes.read import open_file
from sslhsi.scenes.spectra import Spectra
from sslhsi.scenes.text_table import read_text, rows_of, spectra_variables
from sslhsi.scenes.wavelength_files import read_wavelengths
from sslhsi.scenes.wavelengths import centres_of, pick_wavelengths, to_nanometres

PathLike = str | os.PathLike[str]


def read_spectra(
    path: PathLike,
    *,
    cube: str | None = None,
    labels: np.ndarray | PathLike | Literal[False] | None = None,
    labels_key: str | None = None,
    wavelengths: np.ndarray | Sequence[float] | PathLike | None = None,
    layout: Literal["nb", "bn"] | None = None,
    heading: bool | None = None,
    name: str | None = None,
) -> Spectra:
    """Read spectra that are no image: a matrix (.mat, .npy, .npz, HDF5), a text table, an ENVI spectral library.

    Args:
        path: The file; for a library the .sli or its .hdr.
        cube: Name of the matrix where the file holds several.
        labels: (n,) numbers or words, a table of text with one line a spectrum, the name of a column or variable, or
            False (or "none") for none. By default a vector of n whole numbers in the file, or a last column of whole
            numbers beside columns of fractions.
        labels_key: Column of the ``labels`` file. Its lines are matched by the spectra's names where one column holds
            them all, else taken in order.
        wavelengths: (B,) nanometres (micrometres when all are under 100), or a file of them, in place of the file's.
        layout: "nb": a spectrum a row, "bn": a spectrum a column; by default as wavelengths or labels show, else
            "nb".
        heading: Of a text table: False when its first line of numbers is a spectrum, True when it holds band centres.
        name: Of the set, the file's stem by default.

    Raises:
        InputError: The file holds an image, no or several matrices, or the parts don't fit together.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.save(f"{folder}/leaves.npy", np.ones((7, 30)))
        ...     spectra = read_spectra(f"{folder}/leaves.npy", wavelengths=np.linspace(400, 1000, 30))
        >>> spectra.spectra.shape
        (7, 30)
    """
    with collected_notes() as notes:
        spectra = _read(Path(path), cube, labels, labels_key, wavelengths, layout, heading)
    return replace(spectra, name=spectra.name if name is None else name, notes=tuple(notes))


def _read(
    path: Path,
    cube: str | None,
    labels: Any,
    key: str | None,
    wavelengths: Any,
    layout: str | None,
    heading: bool | None,
) -> Spectra:
    if layout not in (None, "nb", "bn"):
        raise InputError(f'layout must be "nb" (a spectrum a row) or "bn" (a spectrum a column), not {layout!r}')
    opened = spectra_variables(path, heading=heading) if heading is not None else open_file(path)
    if isinstance(opened, Raw):
        raise InputError(f"{path}: is an image of {opened.cube.shape}; read it with read_scene")
    matrix = _matrix(opened, path, cube)
    others = [v for v in opened if v.name != matrix.name]
    array = np.asarray(matrix.load())
    for text in matrix.attributes.get("notes", ()):
        note(path, text)
    if isinstance(wavelengths, str | os.PathLike):
        given = to_nanometres(*read_wavelengths(Path(wavelengths), open_file))
    else:
        given = None if wavelengths is None else to_nanometres(wavelengths, None, "wavelengths=")
    array, turned = _turned(array, others, given, labels, layout)
    if turned is not None:
        note(path, turned)
    array, values, assumed = _labels(array, others, matrix, labels, key, path)
    if assumed:
        note(path, assumed)
    if given is None:
        given = _wavelengths(others, array.shape[1], path)
    elif len(given) != array.shape[1]:
        raise InputError(f"{path}: {len(given)} wavelengths were given for spectra of {array.shape[1]} bands")
    numbers, classes = _numbered(values, len(array), path)
    names = tuple(matrix.attributes.get("names", ()))
    return Spectra(path.name.split(".")[0], array, given, numbers, classes, names, source=path)


def _matrix(variables: Sequence[Variable], path: Path, name: str | None) -> Variable:
    if name is not None:
        matrix = named(variables, name, path)
        if len(matrix.shape) != 2 or not matrix.real or not matrix.size:
            raise InputError(f"{path}: {matrix} is no matrix of spectra")
        return matrix
    solid = [v for v in variables if v.real and len(v.shape) == 3 and min(v.shape) > 1]
    if solid:
        raise InputError(f"{path}: holds an image ({solid[0]}); read it with read_scene")
    matrices = [v for v in variables if v.real and len(v.shape) == 2 and v.size and max(v.shape) != v.size]
    matrices = matrices or [v for v in variables if v.real and len(v.shape) == 2 and v.size and v.shape[0] == 1]
    if len(matrices) != 1:
        listed = ", ".join(map(str, matrices or variables)) or "nothing"
        raise InputError(
            f"{path}: {'several matrices may be the spectra' if matrices else 'no matrix of spectra'} ({listed})"
            + ("; name one with cube=" if matrices else "")
        )
    return matrices[0]


def _turned(
    array: np.ndarray, others: Sequence[Variable], given: np.ndarray | None, labels: Any, layout: str | None
) -> tuple[np.ndarray, str | None]:
    """The matrix with a spectrum a row, and what was assumed."""
    rows, columns = array.shape
    if layout is not None:
        return (array.T if layout == "bn" else array), None
    bands = {len(given)} if given is not None else {n for n in {rows, columns} if pick_wavelengths(others, n)}
    numbers = {len(labels)} if isinstance(labels, np.ndarray) else set()
    if rows != columns and (bands == {rows} or numbers == {columns}):
        return array.T, f"a spectrum a column, read as {columns} spectra of {rows} bands"
    if bands == {columns} or numbers == {rows}:
        return array, None
    return array, f"read as {rows} spectra of {columns} bands (layout='bn' for a spectrum a column)"


def _wavelengths(others: Sequence[Variable], bands: int, path: Path) -> np.ndarray | None:
    picked = pick_wavelengths(others, bands)
    if picked is None:
        return None
    return to_nanometres(*centres_of(picked, f"{path}: {picked.name}"))


def _labels(
    array: np.ndarray, others: Sequence[Variable], matrix: Variable, labels: Any, key: str | None, path: Path
) -> tuple[np.ndarray, Any, str]:
    """The matrix (without a column of labels), n labels as numbers or words, and what was assumed."""
    columns = dict(matrix.attributes.get("columns", {}))
    if labels is False or (isinstance(labels, str) and labels == "none"):
        return array, None, ""
    if isinstance(labels, str | os.PathLike):
        if Path(labels).is_file():
            return array, _from_table(Path(labels), key, matrix.attributes.get("names", ()), len(array)), ""
        if labels in columns:
            return array, columns[str(labels)], ""
        if any(v.name == labels for v in others):
            return array, np.asarray(named(others, str(labels), path).load()).ravel(), ""
        listed = ", ".join([*columns, *(v.name for v in others)]) or "none"
        raise InputError(f"{path}: {str(labels)!r} is no file and none of its columns ({listed})")
    if labels is not None:
        return array, np.asarray(labels).ravel(), ""
    words = [name for name in columns if name.lower() in ("label", "labels", "class", "classes", "target", "y")]
    if words:
        return array, columns[words[0]], f"labels are the column {words[0]!r}"
    vectors = [v for v in others if v.real and v.size == len(array) == max(v.shape)]
    vectors = [v for v in vectors if _classes(np.asarray(v.load()))]
    if len(vectors) == 1:
        return array, np.asarray(vectors[0].load()).ravel(), f"labels are {vectors[0].name}"
    last = array[:, -1]
    if array.shape[1] > 3 and _classes(last) and not _classes(array[:, :-1]):
        return array[:, :-1], last, "labels are the last column, of whole numbers (labels=False keeps it as a band)"
    return array, None, ""


def _classes(values: np.ndarray) -> bool:
    """True for few distinct whole numbers, each several times."""
    return values.dtype.kind != "b" and whole(values) and 1 < len(np.unique(values)) <= values.size // 2


def _from_table(path: Path, key: str | None, names: Sequence[str], count: int) -> list[str]:
    rows = rows_of(read_text(path))
    if len(rows) < 2:
        raise InputError(f"{path}: a table with a heading and a line for each spectrum is needed")
    headings, body = rows[0], [row for row in rows[1:] if len(row) >= len(rows[0])]
    if key is None or key not in headings:
        raise InputError(f"{path}: no column {key!r}; name one of {', '.join(headings)} with labels_key=")
    column = headings.index(key)
    for other in range(len(headings)):
        lines = {row[other].lower(): row for row in body}
        if names and all(name.lower() in lines for name in names):
            return [lines[name.lower()][column] for name in names]
    if len(body) != count:
        raise InputError(f"{path}: {len(body)} lines for {count} spectra, and no column holds the spectra's names")
    return [row[column] for row in body]


def _numbered(labels: Any, count: int, path: Path) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Labels as (n,) integers with -1 for none, and the words that they stand for."""
    if labels is None:
        return None, ()
    values = np.asarray(labels).ravel()
    if len(values) != count:
        raise InputError(f"{path}: {len(values)} labels for {count} spectra")
    if values.dtype.kind in "USO":
        try:
            values = np.array([float(v) if str(v).strip() else np.nan for v in values])
        except ValueError:
            words = [str(v).strip() for v in values]
            classes = tuple(sorted({word for word in words if word}))
            return np.array([classes.index(word) if word else -1 for word in words]), classes
    if values.dtype.kind == "f":
        known = np.isfinite(values)
        if (values[known] != np.round(values[known])).any():
            raise InputError(f"{path}: labels must be whole numbers or words")
        values = np.where(known, values, -1)
    if values.dtype.kind not in "biuf":
        raise InputError(f"{path}: labels must be whole numbers or words, not {values.dtype}")
    return np.where(values < 0, -1, values).astype(np.int64), ()
