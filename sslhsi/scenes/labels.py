"""Label maps: from arrays, from variables, from abundances, from separate files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from sslhsi.errors import InputError
from sslhsi.scenes.flat import unfold
from sslhsi.scenes.notes import note
from sslhsi.scenes.raw import Raw, Variable, check_file

MOST_CLASSES = 1000  # more distinct values than this is an image, not a label map
MOST_ENDMEMBERS = 64


def whole(array: np.ndarray) -> bool:
    """True when an array holds few distinct non-negative whole numbers, as label maps do."""
    if array.dtype.kind == "b":
        return True
    if array.dtype.kind not in "iuf" or array.size == 0:
        return False
    if array.dtype.kind == "f" and not (np.isfinite(array).all() and (array == np.round(array)).all()):
        return False
    return bool(array.min() >= 0 and array.max() <= 65535 and len(np.unique(array)) <= MOST_CLASSES)


def abundance_axis(array: np.ndarray) -> int | None:
    """The axis of a 2-D or 3-D array along which shares sum to one, or None.

    Tried: the last axis of a 3-D array (H, W, C), then its first (C, H, W); of a 2-D array the first
    (C, pixels), then the last.
    """
    if array.ndim not in (2, 3) or array.dtype.kind != "f" or array.size == 0:
        return None
    if not np.isfinite(array).all() or array.min() < -1e-3 or array.max() > 1 + 1e-2:
        return None
    for axis in (2, 0) if array.ndim == 3 else (0, 1):
        if 2 <= array.shape[axis] <= MOST_ENDMEMBERS and array.shape[axis] < array.size // array.shape[axis]:
            near_one = np.abs(array.sum(axis=axis) - 1) < 1e-2
            if near_one.mean() > 0.99:
                return axis
    return None


def small_abundances(variable: Variable) -> bool:
    """True when a variable holds abundances; large arrays are excluded by their shape, without loading."""
    if not variable.real or variable.dtype.kind != "f" or len(variable.shape) not in (2, 3):
        return False
    if min(variable.shape[0], variable.shape[-1]) > MOST_ENDMEMBERS:
        return False
    return abundance_axis(np.asarray(variable.load())) is not None


def image_shapes(array: np.ndarray) -> list[tuple[int, int]]:
    """The image's (H, W) as a label map or an abundance cube shows it; none for flattened ones."""
    if array.ndim == 2 and abundance_axis(array) is None and min(array.shape) > 1:
        return [(array.shape[0], array.shape[1])]
    if array.ndim == 3:
        axis = abundance_axis(array)
        return [(array.shape[1], array.shape[2]) if axis == 0 else (array.shape[0], array.shape[1])]
    return []


def to_labels(
    array: np.ndarray,
    shape: tuple[int, int],
    *,
    where: str,
    order: str = "F",
    purity: float | None = None,
    abundances: bool = False,
) -> np.ndarray:
    """A label map from labels or abundances of any of the usual layouts.

    Args:
        array: Labels (H, W) or a vector of H * W; or abundances (H, W, C), (C, H, W), (C, H * W).
        shape: (H, W) of the cube.
        where: File or key, for messages.
        order: How flattened pixels run, "F" down the columns or "C" along the rows.
        purity: Pixels whose largest abundance is below this stay unlabelled.
        abundances: The array holds abundances even if they don't sum to one.

    Returns:
        (H, W) int32, 0 = unlabelled; for abundances the largest share's index plus one.

    Raises:
        InputError: Another shape, or values that are no labels.
    """
    height, width = shape
    axis = None
    if array.ndim == 3 or abundances or not whole(array):
        axis = abundance_axis(array)
    if abundances and axis is None:
        axis = _axis_by_shape(array, shape)
    if axis is not None:
        shares = np.moveaxis(np.asarray(array), axis, 0)
        if shares.ndim == 2 and shares.shape[1] == height * width:
            shares = np.moveaxis(unfold(shares, shape, order), 2, 0)
        if shares.shape[1:] != (height, width):
            raise InputError(f"{where}: abundances are {array.shape}, the cube is {shape}")
        labels = shares.argmax(axis=0).astype(np.int32) + 1
        if purity is not None:
            labels[~(shares.max(axis=0) >= purity)] = 0
        return labels
    if abundances:
        raise InputError(f"{where}: {array.shape} can't be abundances of a cube of {shape}")
    if array.shape != shape and array.size == height * width and max(array.shape) == array.size:
        array = array.reshape(shape, order="C" if order == "C" else "F")
    if array.shape != shape:
        hint = ", they look transposed" if array.shape == (width, height) else ""
        raise InputError(f"{where}: labels are {array.shape}, the cube is {shape}{hint}")
    if not whole(array):
        raise InputError(f"{where}: labels must be whole numbers from 0 (unlabelled) to 65535")
    return array.astype(np.int32)


def _axis_by_shape(array: np.ndarray, shape: tuple[int, int]) -> int | None:
    height, width = shape
    if array.ndim == 3:
        return 2 if array.shape[:2] == shape else 0 if array.shape[1:] == shape else None
    if array.ndim == 2:
        return 0 if array.shape[1] == height * width else 1 if array.shape[0] == height * width else None
    return None


def named(variables: Sequence[Variable], name: str, path: Path) -> Variable:
    """The variable called ``name``, full or last part, or an error that lists what there is."""
    exact = [v for v in variables if v.name == name]
    tail = [v for v in variables if v.name.replace("/", ".").split(".")[-1] == name]
    if len(matches := exact or tail) == 1:
        return matches[0]
    listed = ", ".join(map(str, variables)) or "nothing"
    raise InputError(f"{path}: {'several variables' if matches else 'no variable'} {name!r} among {listed}")


def label_array(path: Path, key: str | None, open_file: Callable[[Path], Raw | list[Variable]]) -> Raw:
    """The label map (or abundances) that a file holds, not yet checked against a cube.

    Returns:
        A ``Raw`` whose ``cube`` is the array as it is, with the file's class names if it has any.

    Raises:
        InputError: No candidate, or several; the message lists them.
    """
    check_file(path)
    opened = open_file(path)
    if isinstance(opened, Raw):
        if opened.cube.shape[2] != 1:
            raise InputError(f"{path}: has {opened.cube.shape[2]} bands, a label map has one")
        array = np.asarray(opened.cube[:, :, 0])
        if opened.nodata is not None:
            array = np.where(array == opened.nodata, 0, array)
        return Raw(array, path, classes=opened.classes)
    if key:
        return Raw(np.asarray(named(opened, key, path).load()), path)
    flat = [v for v in opened if v.real and v.size > 1 and len(v.shape) == 2]
    candidates = [v for v in flat if min(v.shape) > 1 and whole(np.asarray(v.load()))]
    candidates = candidates or [v for v in opened if small_abundances(v)]
    if len(candidates) != 1:
        listed = ", ".join(map(str, candidates or opened)) or "nothing"
        problem = "several variables may be the labels" if candidates else "no variable can be labels"
        raise InputError(f"{path}: {problem} ({listed}); name one with labels_key=")
    note(path, f"labels are {candidates[0]}")
    return Raw(np.asarray(candidates[0].load()), path)
