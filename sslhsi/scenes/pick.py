"""Which variable of a file is the cube, which the labels, which the wavelengths: found by shape."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sslhsi.errors import InputError
from sslhsi.scenes.flat import decide_order, unfold
from sslhsi.scenes.labels import named, shapes_told, small_abundances, to_labels, whole
from sslhsi.scenes.raw import Raw, Variable, check_memory
from sslhsi.scenes.wavelengths import is_wavenumber, pick_wavelengths, to_nanometres

log = logging.getLogger(__name__)

_ROWS = {"lines", "line", "rows", "row", "nrow", "nrows", "nr", "nl", "height", "h"}
_COLUMNS = {"cols", "col", "columns", "samples", "ncol", "ncols", "nc", "width", "w"}
Shape = tuple[int, int]


def _scalar(variables: Sequence[Variable], names: set[str]) -> int | None:
    for variable in variables:
        if variable.size == 1 and variable.real and variable.name.lower().split(".")[-1] in names:
            value = float(np.asarray(variable.load()).ravel()[0])
            if value >= 1 and value == round(value):
                return int(value)
    return None


def _many_banded(found: list[Variable], bands: dict[str, int]) -> list[Variable]:
    """Leave out abundances, previews and elevation layers when a real cube is among the candidates."""
    if len(found) < 2:
        return found
    most = max(bands[v.name] for v in found)
    rest = [v for v in found if bands[v.name] > 10 or 3 * bands[v.name] > most]
    real = [v for v in rest if not small_abundances(v)]
    return real or rest


def _bands_first(variable: Variable, hints: Sequence[Shape]) -> tuple[Shape, bool] | None:
    """(H, W) and whether the bands come first, when a matrix has H * W rows or columns."""
    for shape in hints:
        pixels = math.prod(shape)
        if pixels > 1 and pixels in variable.shape and min(variable.shape) > 1:
            return shape, variable.shape[1] == pixels
    return None


def _square(variable: Variable) -> tuple[Shape, bool] | None:
    """The same for a matrix whose longer side is a perfect square and which is no label map."""
    if len(variable.shape) != 2 or min(variable.shape) < 2:
        return None
    pixels = max(variable.shape)
    side = math.isqrt(pixels)
    if side * side != pixels or variable.shape[0] == variable.shape[1]:
        return None
    return None if whole(np.asarray(variable.load())) else ((side, side), variable.shape[1] == pixels)


def find_cube(
    variables: Sequence[Variable], path: Path, cube: str | None, hints: list[Shape], shape: Shape | None
) -> tuple[Variable, tuple[Shape, bool] | None]:
    """The variable that holds the cube.

    A 3-D real array, or a matrix of (bands, pixels) whose image shape is known from ``shape``, from
    scalars such as ``lines`` and ``cols``, from the labels, or because the pixels make a square.

    Args:
        variables: All arrays of the file.
        path: The file, for messages.
        cube: Name of the variable, or None to find it.
        hints: Image shapes that labels given by the caller speak for.
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
        found = named(variables, cube, path)
        if not found.real:
            raise InputError(f"{path}: {found} doesn't hold real numbers")
        if len(found.shape) == 3 and found.size:
            return found, None
        if len(found.shape) == 2 and (flat := _bands_first(found, hints) or _square(found)):
            return found, flat
        raise InputError(
            f"{path}: {found} is no (height, width, bands) cube; if it is (bands, pixels), pass shape=(rows, columns)"
        )
    solid = [v for v in variables if v.real and len(v.shape) == 3 and v.size]
    if not solid and any(v.dtype.kind == "c" and len(v.shape) == 3 for v in variables):
        raise InputError(f"{path}: the cube holds complex numbers; take their magnitude first")
    for variable in variables:
        if shape is None and variable.real and 2 <= len(variable.shape) <= 3 and _speaks_for_shape(variable):
            hints = hints + [hint for hint in shapes_told(np.asarray(variable.load())) if hint not in hints]
    flats = {
        v.name: flat
        for v in variables
        if v.real and len(v.shape) == 2 and (flat := _bands_first(v, hints)) is not None
    }
    if not solid and not flats:
        flats = {v.name: flat for v in variables if v.real and (flat := _square(v))}
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
    raise InputError(
        f"{path}: no variable is a (height, width, bands) cube ({listed}); "
        "if one is (bands, pixels), pass shape=(rows, columns)"
    )


def _speaks_for_shape(variable: Variable) -> bool:
    """True for abundance images and for label maps, whose height and width are those of the cube."""
    if len(variable.shape) == 3:
        return small_abundances(variable)
    return min(variable.shape) > 1 and whole(np.asarray(variable.load()))


def _layout(variable: Variable, variables: Sequence[Variable], hints: list[Shape], bands: int | None) -> str:
    """ "hwb", unless the wavelengths or the labels fit only "bhw"."""
    a, b, c = variable.shape
    others = [v for v in variables if v.name != variable.name and v.real]
    maps = hints + [(v.shape[0], v.shape[1]) for v in others if len(v.shape) == 2 and min(v.shape) > 1]
    centres = [bands] if bands else []
    for length in {a, c} - set(centres):
        if pick_wavelengths(others, length) is not None:
            centres.append(length)
    hwb = ((a, b) in maps) + (c in centres)
    bhw = ((b, c) in maps) + (a in centres)
    return "bhw" if bhw > hwb else "hwb"


def pick(
    variables: list[Variable],
    path: Path,
    *,
    cube: str | None = None,
    labels: np.ndarray | str | bool | None = None,
    wavelengths: str | None = None,
    bands: int | None = None,
    abundances: np.ndarray | str | None = None,
    purity: float | None = None,
    layout: str | None = None,
    shape: Shape | None = None,
    order: str | None = None,
) -> Raw:
    """Put an image together from the variables of one file.

    Args:
        variables: All arrays of the file.
        path: The file.
        cube: Name of the cube, None = find it.
        labels: Array, name of a variable, False for none, None = find it.
        wavelengths: Name of a variable, None = find it.
        bands: Number of wavelengths that the caller brings along, a hint for the layout.
        abundances: Array or name of a variable to take labels from.
        purity: See ``to_labels``.
        layout: Axes of a 3-D cube, a permutation of "hwb".
        shape: (H, W) of a cube stored as (bands, pixels).
        order: "C" or "F", how flattened pixels run; None = decide.

    Raises:
        InputError: Something is missing, ambiguous or doesn't fit; the message lists the candidates.
    """
    if isinstance(labels, str):
        labels = np.asarray(named(variables, labels, path).load())
    if isinstance(abundances, str):
        abundances = np.asarray(named(variables, abundances, path).load())
    hints = [hint for given in (labels, abundances) if isinstance(given, np.ndarray) for hint in shapes_told(given)]
    variable, flat = find_cube(variables, path, cube, hints, shape)
    check_memory(path, variable.shape, variable.dtype.itemsize)
    array = variable.load()
    rest = [v for v in variables if v.name != variable.name]
    default = "F" if path.suffix.lower() == ".mat" else "C"
    if flat is None:
        order = order or default
        axes = layout or _layout(variable, variables, hints, bands)
        if layout is None and axes != "hwb":
            log.info("%s: %s read as (bands, height, width)", path, variable)
        image = array.transpose([axes.index(axis) for axis in "hwb"])
        if shape is not None and image.shape[:2] != tuple(shape):
            raise InputError(f"{path}: shape={tuple(shape)} was given, the cube is {image.shape}")
        found = _labels(rest, path, image.shape[:2], labels, abundances, purity, order)
    else:
        (height, width), bands_first = flat
        matrix = array if bands_first else array.T
        if order is None:
            # Flattened labels would follow whichever order is assumed and so are no evidence for it.
            solid = [v for v in rest if v.shape[:2] == (height, width) or v.shape[1:] == (height, width)]
            solid_labels = labels if not isinstance(labels, np.ndarray) or shapes_told(labels) else False
            solid_abundances = abundances if abundances is None or shapes_told(abundances) else None
            evidence = _labels(solid, path, (height, width), solid_labels, solid_abundances, None, default)
            order = decide_order(matrix, (height, width), evidence, default, str(path))
        image = unfold(matrix, (height, width), order)
        found = _labels(rest, path, (height, width), labels, abundances, purity, order)
    centres = _wavelengths(rest, path, image.shape[2], wavelengths, search=bands is None)
    return Raw(image, path, wavelengths=centres, labels=found, nodata=_nodata(variable))


def _labels(
    variables: Sequence[Variable],
    path: Path,
    shape: Shape,
    labels: np.ndarray | bool | str | None,
    abundances: np.ndarray | None,
    purity: float | None,
    order: str,
) -> np.ndarray | None:
    where = str(path)
    if isinstance(labels, np.ndarray):
        return to_labels(labels, shape, where=where, order=order, purity=purity)
    if abundances is not None:
        return to_labels(abundances, shape, where=where, order=order, purity=purity, abundances=True)
    if labels is False:
        return None
    pixels = math.prod(shape)
    fitting = [
        v for v in variables if v.real and (v.shape == shape or (v.size == pixels and max(v.shape) == pixels > 1))
    ]
    found = [v for v in fitting if whole(np.asarray(v.load()))]
    if not found:
        images = [v for v in variables if shape in (v.shape[:2], v.shape[1:]) or pixels in v.shape]
        found = [v for v in images if small_abundances(v)]
    if len(found) > 1:
        listed = ", ".join(map(str, found))
        raise InputError(
            f"{path}: several variables may be the labels ({listed}); name one with labels=, "
            "or pass labels=False for none"
        )
    if not found:
        return None
    log.info("%s: labels are %s", path, found[0])
    return to_labels(np.asarray(found[0].load()), shape, where=where, order=order, purity=purity)


def _wavelengths(
    variables: Sequence[Variable], path: Path, bands: int, name: str | None, *, search: bool
) -> np.ndarray | None:
    if name is not None:
        values = np.asarray(named(variables, name, path).load())
        if values.size != bands:
            raise InputError(f"{path}: {name!r} holds {values.size} wavelengths, the cube has {bands} bands")
        picked: tuple[str, np.ndarray] | None = (name, values)
    else:
        picked = pick_wavelengths(variables, bands) if search else None
    if picked is None:
        return None
    unit = picked[0] if is_wavenumber(picked[0]) else None
    return to_nanometres(picked[1], unit, f"{path}: {picked[0]}")


def _nodata(variable: Variable) -> float | None:
    for key in ("_FillValue", "Data_Ignore_Value", "missing_value"):
        if key in variable.attributes:
            value = np.asarray(variable.attributes[key]).ravel()
            if value.size == 1 and value.dtype.kind in "biuf":
                return float(value[0])
    return None
