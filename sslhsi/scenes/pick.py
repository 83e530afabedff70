"""Which variable of a file is the cube, which the labels, which the wavelengths: chosen by shape."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from sslhsi.errors import InputError
from sslhsi.read_options import ReadOptions
from sslhsi.scenes.dimensions import band_centres, good_bands, in_swath, layout_by_names, place, spectral_cubes
from sslhsi.scenes.flat import bands_may_come_first, decide_order, unfold
from sslhsi.scenes.label_files import Truth, without_masks
from sslhsi.scenes.labels import NO_RULES, LabelRules, image_shapes, named, small_abundances, to_labels, whole
from sslhsi.scenes.notes import note
from sslhsi.scenes.raw import Centres, Raw, TableOfSpectra, Variable, check_memory
from sslhsi.scenes.scaling import nodata_of, scaling_of
from sslhsi.scenes.wavelengths import centres_of, pick_wavelengths

_ROWS = {"lines", "line", "rows", "row", "nrow", "nrows", "nr", "nl", "height", "h"}
_COLUMNS = {"cols", "col", "columns", "samples", "ncol", "ncols", "nc", "width", "w"}
_METADATA = re.compile(r"scale_?factor|add_offset|data_ignore_value|no_?data", re.IGNORECASE)
_AXES = {"h": "height", "w": "width", "b": "bands"}
Shape = tuple[int, int]
Flat = tuple[Shape, bool]  # of a matrix: (H, W), and whether bands are its first axis


def _scalar(variables: Sequence[Variable], names: set[str]) -> int | None:
    for variable in variables:
        if variable.size == 1 and variable.real and variable.tail.lower() in names:
            value = float(variable.numbers()[0])
            if value >= 1 and value == round(value):
                return int(value)
    return None


def _many_banded(candidates: list[Variable], bands: dict[str, int]) -> list[Variable]:
    """Leave out abundances, previews and elevation layers when a real cube is among the candidates."""
    if len(candidates) < 2:
        return candidates
    most = max(bands[v.name] for v in candidates)
    rest = [v for v in candidates if bands[v.name] > 10 or 3 * bands[v.name] > most]
    real = [v for v in rest if not small_abundances(v)]
    return real or rest


def _bands_first(variable: Variable, hints: Sequence[Shape]) -> Flat | None:
    """(H, W) and whether the bands come first, when a matrix has H * W rows or columns."""
    for shape in hints:
        pixels = math.prod(shape)
        if pixels > 1 and pixels in variable.shape and min(variable.shape) > 1:
            return shape, variable.shape[1] == pixels
    return None


def find_cube(
    variables: Sequence[Variable], path: Path, cube: str | None, hints: list[Shape], shape: Shape | None
) -> tuple[Variable, Flat | None]:
    """The variable that holds the cube.

    A 3-D real array, that with a spectral axis where axes have names; or a matrix of (bands, pixels) whose image
    shape is known from ``shape``, from
    scalars such as ``lines`` and ``cols``, or from the labels. A matrix alone is a table of spectra, not an image.

    Args:
        variables: All arrays of the file.
        path: The file, for messages.
        cube: Name of the variable, or None to look for it.
        hints: Image shapes that labels given by the caller have.
        shape: (H, W) given by the caller.

    Returns:
        The variable, and for a matrix its (H, W) and whether bands are its first axis.

    Raises:
        InputError: None, or several, listed with their shapes.
    """
    if shape is not None:
        hints = [shape]
    else:
        rows, columns = _scalar(variables, _ROWS), _scalar(variables, _COLUMNS)
        hints = ([(rows, columns)] if rows and columns else []) + hints
    if cube is not None:
        return _as_cube(named(variables, cube, path), path, hints)
    solid = spectral_cubes(variables) or [v for v in variables if v.real and len(v.shape) == 3 and v.size]
    if not solid and any(v.dtype.kind == "c" and len(v.shape) == 3 for v in variables):
        raise InputError(f"{path}: the cube holds complex numbers; take their magnitude first")
    if shape is None:
        hints = hints + _shapes_of_maps(variables)
    # Matrices whose rows or columns are as many as an image has pixels.
    matrices = [v for v in variables if v.real and len(v.shape) == 2]
    flats = {v.name: flat for v in matrices if (flat := _bands_first(v, hints)) is not None}
    candidates = solid + [v for v in variables if v.name in flats]
    bands = {v.name: v.shape[2] for v in solid}
    bands |= {v.name: v.shape[0 if flats[v.name][1] else 1] for v in candidates if v.name in flats}
    candidates = _many_banded(candidates, bands)
    if any(len(v.shape) == 3 for v in candidates):
        candidates = [v for v in candidates if len(v.shape) == 3]
    if len(candidates) == 1:
        return candidates[0], flats.get(candidates[0].name)
    listed = ", ".join(map(str, candidates or variables)) or "no array at all"
    if candidates:
        raise InputError(f"{path}: several variables may be the cube ({listed}); name one with cube=")
    tables = [v for v in variables if v.real and len(v.shape) == 2 and min(v.shape) > 1]
    if tables and not any(whole(np.asarray(v.load())) for v in tables):
        raise TableOfSpectra(f"{path}: {_no_image(tables[0])}")
    raise InputError(
        f"{path}: no variable is a (height, width, bands) cube ({listed}); "
        "if one is (bands, pixels), pass shape=(rows, columns)"
    )


def _as_cube(variable: Variable, path: Path, hints: list[Shape]) -> tuple[Variable, Flat | None]:
    """A variable that the caller calls the cube, which must then be one."""
    if not variable.real:
        raise InputError(f"{path}: {variable} doesn't hold real numbers")
    if len(variable.shape) == 3 and variable.size:
        return variable, None
    if len(variable.shape) == 2 and (flat := _bands_first(variable, hints)):
        return variable, flat
    if len(variable.shape) == 2 and min(variable.shape) > 1:
        raise TableOfSpectra(f"{path}: {_no_image(variable)}")
    raise InputError(f"{path}: {variable} is no (height, width, bands) cube")


def _no_image(table: Variable) -> str:
    return (
        f"{table} is a table of {table.shape[0]} spectra, no image; to make an image of its pixels pass "
        "shape=(rows, columns), or read it as spectra with sslhsi.read_spectra"
    )


def _shapes_of_maps(variables: Sequence[Variable]) -> list[Shape]:
    """Image shapes that label maps and abundance images of the file have."""
    flat = [v.name for v in variables if v.real and len(v.shape) == 2 and min(v.shape) > 1]
    maps = [
        v
        for v in variables
        if (whole(np.asarray(v.load())) if v.name in flat else len(v.shape) == 3 and small_abundances(v))
    ]
    return [shape for v in maps for shape in image_shapes(np.asarray(v.load()))]


def _layout(
    variable: Variable, variables: Sequence[Variable], hints: list[Shape], given: Centres | str | None
) -> str | None:
    """The one order of axes that the wavelengths and the label maps fit; "hwb" if several do, None if none does.

    Names of axes come before both.
    """
    by_names = layout_by_names(variable, variables)
    if by_names is not None:
        return by_names
    a, b, c = variable.shape
    others = [v for v in variables if v.name != variable.name and v.real]
    maps = hints + [(v.shape[0], v.shape[1]) for v in others if len(v.shape) == 2 and min(v.shape) > 1]
    listed = given if isinstance(given, Centres) else band_centres(variable, others, None)
    centres = [] if listed is None else [len(listed.values)]
    for length in {a, b, c} - set(centres):
        if pick_wavelengths(others, length) is not None:
            centres.append(length)
    fits = {
        "hwb": ((a, b) in maps) + (c in centres),
        "bhw": ((b, c) in maps) + (a in centres),
        "hbw": ((a, c) in maps) + (b in centres),
    }
    best = max(fits.values())
    return next(axes for axes, fit in fits.items() if fit == best) if best else None


def _guessed_layout(array: np.ndarray, variable: Variable, path: Path) -> str:
    """What an array is read as where nothing in the file tells its axes, and the numbers leave no doubt.

    Raises:
        InputError: The bands may come first.
    """
    if bands_may_come_first(array):
        a, _, c = array.shape
        raise InputError(
            f"{path}: {variable} may be (height, width, bands) or (bands, height, width), {c} or {a} bands; pass "
            'layout="hwb" or layout="bhw", or wavelengths='
        )
    note(path, f"{variable} read as (height, width, bands) (layout= overrules)")
    return "hwb"


def _order_axes(array: np.ndarray, variable: Variable, axes: str, path: Path, options: ReadOptions) -> np.ndarray:
    """A 3-D array as (height, width, bands)."""
    if options.layout is None and axes != "hwb":
        note(path, f"{variable} read as ({', '.join(_AXES[axis] for axis in axes)}) (layout= overrules)")
    image = array.transpose([axes.index(axis) for axis in "hwb"])
    if options.shape is not None and image.shape[:2] != options.shape:
        raise InputError(f"{path}: shape={options.shape} was given, the cube is {image.shape}")
    return image


def pick(
    variables: list[Variable],
    path: Path,
    options: ReadOptions,
    truth: Truth | Literal[False] | None,
    given: Centres | str | None,
) -> tuple[Raw, str]:
    """Put an image together from the variables of one file.

    Args:
        variables: All arrays of the file.
        path: The file.
        options: What the caller says: cube, purity, layout, shape, order.
        truth: Labels of the caller, whose shape may tell that of the image; False for none, None to look for them.
        given: Band centres of the caller, or the name of the variable that holds them.

    Returns:
        The image, and how flattened pixels run.

    Raises:
        InputError: Something is missing, ambiguous or doesn't fit; the message lists the candidates.
    """
    shown = truth.map if truth else None
    hints = [] if shown is None else image_shapes(shown)
    variable, flat = find_cube(variables, path, options.cube, hints, options.shape)
    check_memory(path, variable.shape, variable.dtype.itemsize)
    array = variable.load()
    rest = [v for v in variables if v.name != variable.name]
    order: str = options.order or ("F" if path.suffix.lower() == ".mat" else "C")
    if flat is None:
        axes = options.layout or _layout(variable, variables, hints, given)
        axes = axes or _guessed_layout(array, variable, path)
        image = _order_axes(array, variable, axes, path, options)
    else:
        shape, bands_first = flat
        matrix = array if bands_first else array.T
        if options.order is None:
            # Flattened labels would follow whichever order is assumed and so are no evidence for it.
            solid = [v for v in rest if shape in (v.shape[:2], v.shape[1:])]
            evidence = _labels(solid, path, shape, NO_RULES, order) if truth is None else None
            if truth and shown is not None and hints:
                evidence = to_labels(shown, shape, where=str(path), order=order, abundances=truth.abundances)
            order = decide_order(matrix, shape, evidence, order, str(path))
        image = unfold(matrix, shape, order)
    metadata = _metadata(variable, rest)
    raw = Raw(image, path, nodata=nodata_of(metadata), scaling=scaling_of(metadata))
    named_axes = layout_by_names(variable, rest) if options.layout is None else None  # else they are overruled
    if named_axes is not None:
        raw.bad, raw.georeference = good_bands(rest, image.shape[2]), place(variable, rest, named_axes)
        if in_swath(raw.size, rest):
            note(path, "in the swath's geometry, not on a map grid: latitudes and longitudes of pixels only")
    if not isinstance(given, Centres):
        raw.wavelengths = _wavelengths(variable, rest, path, image.shape[2], given, named_axes)
    if truth is None:
        raw.labels = _labels(rest, path, raw.size, LabelRules.of(options), order)
    return raw, order


def _wavelengths(
    variable: Variable, rest: Sequence[Variable], path: Path, bands: int, name: str | None, axes: str | None
) -> Centres | None:
    """Band centres in the variable of a name, else those that the cube's attributes or axes tell, else by shape."""
    known = band_centres(variable, rest, axes) if name is None else None
    if known is not None and len(known.values) == bands:
        return known._replace(where=f"{path}: {known.where}")
    vector = pick_wavelengths(rest, bands) if name is None else named(rest, name, path)
    return None if vector is None else centres_of(vector, f"{path}: {vector.name}")


def _labels(
    variables: Sequence[Variable], path: Path, shape: Shape, rules: LabelRules, order: str
) -> np.ndarray | None:
    """Labels among the arrays of a file."""
    pixels = math.prod(shape)
    fitting = [
        v for v in variables if v.real and (v.shape == shape or (v.size == pixels and max(v.shape) == pixels > 1))
    ]
    candidates = [v for v in fitting if whole(np.asarray(v.load()))]
    if not candidates:
        images = [v for v in variables if shape in (v.shape[:2], v.shape[1:]) or pixels in v.shape]
        candidates = [v for v in images if small_abundances(v)]
    usable = without_masks(candidates)
    for passed in (v for v in candidates if v not in usable):
        note(path, f"{passed} is not read as labels: a mask, a flag or the same everywhere (labels= overrules)")
    candidates = usable
    if len(candidates) > 1:
        listed = ", ".join(map(str, candidates))
        raise InputError(
            f"{path}: several variables may be the labels ({listed}); name one with labels=, "
            'or pass labels="none" for none'
        )
    if not candidates:
        for turned in (v for v in variables if v.real and v.shape == shape[::-1] != shape):
            note(path, f"{turned} is not read as labels: the cube is {shape}; layout= says how the cube lies")
        return None
    note(path, f"labels are {candidates[0]}")
    return to_labels(np.asarray(candidates[0].load()), shape, where=str(path), order=order, rules=rules)


def _metadata(variable: Variable, rest: Sequence[Variable]) -> dict[str, Any]:
    """What stands beside the cube: scalars and vectors of the file named as such, then its attributes."""
    beside = {
        v.tail: np.asarray(v.load()).ravel() for v in rest if v.real and 0 < v.size <= 1 and _METADATA.search(v.name)
    }
    return {**beside, **variable.attributes}
