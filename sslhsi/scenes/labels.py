"""Label maps from arrays: numbers, abundances, one-hot layers; what of it is a class."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sslhsi.errors import InputError
from sslhsi.read_options import ReadOptions
from sslhsi.scenes.flat import unfold
from sslhsi.scenes.notes import note
from sslhsi.scenes.raw import Variable

MOST_CLASSES = 1000  # more distinct values than this is an image, not a label map
MOST_ENDMEMBERS = 64
# Layers that say which pixels to trust, whatever values they hold: never ground truth by themselves.
NO_TRUTH = re.compile(
    r"(^|[^a-z])(mask|valid|quality|qa|qc|flags?|clouds?|shadows?|haze|cirrus|snow|nodata|saturat|weather|aerosol)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class LabelRules:
    """How the numbers of a label map become labels.

    Args:
        purity: Pixels whose largest abundance is below this stay unlabelled.
        ignore: Values that are no class; negative values and NaN never are.
        zero_is_class: 0 is the first class, and all labels move up by one; None: as the file's class names say, else
            0 is unlabelled.
    """

    purity: float | None = None
    ignore: tuple[int, ...] = ()
    zero_is_class: bool | None = None

    @classmethod
    def of(cls, options: ReadOptions) -> LabelRules:
        """The rules among the options of reading."""
        ignore = options.ignore
        values = () if ignore is None else (ignore,) if isinstance(ignore, int) else tuple(ignore)
        return cls(options.purity, values, options.zero_is_class)


NO_RULES = LabelRules()


def whole(array: np.ndarray) -> bool:
    """True when an array holds few distinct whole numbers, as label maps do; NaN and -1 stand for no class."""
    if array.dtype.kind == "b":
        return True
    if array.dtype.kind not in "iuf" or array.size == 0:
        return False
    values = array[np.isfinite(array)] if array.dtype.kind == "f" else array
    if values.size == 0 or np.isinf(array).any() or (array.dtype.kind == "f" and (values != np.round(values)).any()):
        return False
    return bool(values.min() >= -1 and values.max() <= 65535 and len(np.unique(values)) <= MOST_CLASSES)


def abundance_axis(array: np.ndarray) -> int | None:
    """The axis of a 2-D or 3-D array along which shares sum to one, or None.

    Pixels without any share (all zero, or NaN) are unlabelled and don't count; one-hot labels of whole numbers or
    booleans are shares, too. Tried: the last axis of a 3-D array (H, W, C), then its first (C, H, W); of a 2-D array
    of fractions the first (C, pixels), then the last.
    """
    if array.ndim not in (2, 3) or array.dtype.kind not in "biuf" or array.size == 0:
        return None
    if array.ndim == 2 and array.dtype.kind != "f":
        return None
    if np.isinf(array).any() or np.nanmin(array, initial=0) < -1e-3 or np.nanmax(array, initial=0) > 1 + 1e-2:
        return None
    for axis in (2, 0) if array.ndim == 3 else (0, 1):
        if 2 <= array.shape[axis] <= MOST_ENDMEMBERS and array.shape[axis] < array.size // array.shape[axis]:
            total = np.nan_to_num(np.asarray(array, dtype=np.float64)).sum(axis=axis)
            some = np.abs(total) > 1e-2
            if some.any() and (np.abs(total[some] - 1) < 1e-2).mean() > 0.99:
                return axis
    return None


def small_abundances(variable: Variable) -> bool:
    """True when a variable holds abundances; large arrays are excluded by their shape, without loading."""
    if not variable.real or len(variable.shape) not in (2, 3):
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
    rules: LabelRules = NO_RULES,
    abundances: bool = False,
) -> np.ndarray:
    """A label map from labels or abundances of any of the usual layouts.

    Args:
        array: Labels (H, W) or a vector of H * W; or abundances or one-hot labels (H, W, C), (C, H, W), (C, H * W).
            What a masked array masks, negative values and NaN are no class.
        shape: (H, W) of the cube.
        where: File or key, for messages.
        order: How flattened pixels run, "F" down the columns or "C" along the rows.
        rules: What is a class.
        abundances: The array holds abundances even if they don't sum to one.

    Returns:
        (H, W) int32, 0 = unlabelled; for abundances the largest share's index plus one, 0 where there is no share.

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
        return _largest_share(shares, where, rules.purity)
    if abundances:
        raise InputError(f"{where}: {array.shape} can't be abundances of a cube of {shape}")
    if array.shape != shape and array.size == height * width and max(array.shape) == array.size:
        array = array.reshape(shape, order="C" if order == "C" else "F")
    if array.shape != shape:
        hint = ", they look transposed" if array.shape == (width, height) else ""
        raise InputError(f"{where}: labels are {array.shape}, the cube is {shape}{hint}")
    return _classes(array, where, rules)


def _largest_share(shares: np.ndarray, where: str, purity: float | None) -> np.ndarray:
    """(C, H, W) shares -> labels; 0 where no share is above 0."""
    shares = np.nan_to_num(np.asarray(shares, dtype=np.result_type(shares.dtype, np.float32)))
    labels = shares.argmax(axis=0).astype(np.int32) + 1
    none = ~(shares.max(axis=0) > 0)
    if none.any():
        note(where, f"{int(none.sum())} of {none.size} pixels without any share are unlabelled")
    labels[none] = 0
    if purity is not None:
        labels[~(shares.max(axis=0) >= purity)] = 0
    return labels


def _classes(array: np.ndarray, where: str, rules: LabelRules) -> np.ndarray:
    """Numbers -> labels from 0 (unlabelled) on."""
    none = np.ma.getmaskarray(array).copy()
    values = np.ma.getdata(array)
    values = values.astype(np.int32) if values.dtype.kind == "b" else values
    if values.dtype.kind == "f":
        none |= np.isnan(values)
        values = np.where(none, 0, values)
    if values.dtype.kind not in "iuf" or (values != np.round(values)).any() or values.max(initial=0) > 65535:
        raise InputError(f"{where}: labels must be whole numbers from 0 (unlabelled) to 65535")
    negative = (values < 0) & ~none
    none |= negative | np.isin(values, rules.ignore)
    labels = np.where(none, 0, values).astype(np.int32)
    if len(np.unique(labels)) > MOST_CLASSES:
        raise InputError(f"{where}: holds {len(np.unique(labels))} different values, which is an image, no label map")
    if none.any():
        listed = ", ".join(f"{value:g}" for value in (*np.unique(values[negative])[:3].tolist(), *rules.ignore))
        note(where, f"{int(none.sum())} pixels are no class ({listed or 'masked or NaN'})")
    if rules.zero_is_class:
        labels[~none] += 1
        note(where, "0 is a class: every label is one more than in the file")
    elif rules.zero_is_class is None:
        _doubt_zero(values, none, where)
    return labels


def _doubt_zero(values: np.ndarray, none: np.ndarray, where: str) -> None:
    """Tell where 0 may be a class, since another value stands for "none", or where 255 may be no class."""
    zeros = int(((values == 0) & ~none).sum())
    if none.any() and zeros:
        note(where, f"0 is read as unlabelled ({zeros} pixels) beside other values for none; zero_is_class overrules")
    rest = values[(values < 255) & ~none]
    if values.size and values.max() == 255 and rest.max(initial=0) < 200 and not none.all():
        count = int((values == 255).sum())
        note(where, f"255 is read as a class ({count} pixels); if it stands for none, pass ignore=255")


def painted(
    shape: tuple[int, int], parts: Iterable[tuple[int, np.ndarray]], path: Path
) -> tuple[np.ndarray, int, int]:
    """Labels drawn one over another.

    Args:
        shape: (H, W) of the scene.
        parts: A label and the (H, W) booleans of its pixels.
        path: File, for the note.

    Returns:
        (H, W) int32, 0 where nothing or two different labels are drawn; how many parts there are, and how many of
        them have no pixel.
    """
    labels, doubtful = np.zeros(shape, np.int32), np.zeros(shape, bool)
    count = empty = 0
    for label, mine in parts:
        count, empty = count + 1, empty + (not mine.any())
        doubtful |= mine & (labels > 0) & (labels != label)
        labels[mine] = label
    labels[doubtful] = 0
    if doubtful.any():
        note(path, f"{int(doubtful.sum())} pixels bear two classes and are left unlabelled")
    return labels, count, empty


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
    tail = [v for v in variables if v.tail == name]
    if len(matches := exact or tail) == 1:
        return matches[0]
    listed = ", ".join(map(str, variables)) or "nothing"
    raise InputError(f"{path}: {'several variables' if matches else 'no variable'} {name!r} among {listed}")
