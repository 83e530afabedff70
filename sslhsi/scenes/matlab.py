"""MATLAB files: version 4 to 7 through SciPy, version 7.3 (HDF5) through h5py."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io

from sslhsi.errors import InputError
from sslhsi.scenes.hdf5 import open_hdf5
from sslhsi.scenes.mat5_check import check_mat5
from sslhsi.scenes.raw import Variable, check_memory, reading, variable_of

_CLASSES = {
    "double": "f8", "single": "f4", "logical": "u1",
    "int8": "i1", "int16": "i2", "int32": "i4", "int64": "i8",
    "uint8": "u1", "uint16": "u2", "uint32": "u4", "uint64": "u8",
}  # fmt: skip
# zlib shrinks at most 1032 to 1, so a header that claims more elements than this is corrupt.
_MOST_ELEMENTS_PER_BYTE = 1040


def open_matlab(path: Path) -> list[Variable]:
    """The numeric variables of a .mat file, as MATLAB shows them.

    Version 7.3 stores axes in reverse: they are turned back. Fields of 1 x 1 structs are listed as
    ``struct.field``, elements of cell arrays as ``cell{1}``, counted down the columns.

    Args:
        path: The file.

    Raises:
        InputError: Not a MATLAB file, truncated or corrupt.
    """
    with reading(path, "a MATLAB file"):
        if h5py.is_hdf5(path):
            return open_hdf5(path, reverse=True)
        with path.open("rb") as file:
            head = file.read(128)
        if b"MATLAB 7.3" in head[:116]:
            raise InputError(f"{path}: is a MATLAB 7.3 file without its HDF5 part, it may be truncated")
        variables: list[Variable] = []
        listed = [entry for entry in scipy.io.whosmat(path) if entry[2] in ("struct", "cell", *_CLASSES)]
        names = {name for name, _, _ in listed}
        if scipy.io.matlab.matfile_version(path)[0] == 1:
            names = check_mat5(path, names)
        for name, shape, kind in listed:
            if name not in names:
                continue
            shape = tuple(int(n) for n in shape)
            if kind == "cell" or (kind == "struct" and shape == (1, 1)):
                variables += _inside(name, _load(path, name))
            elif kind != "struct":
                variables.append(_variable(path, name, shape, np.dtype(_CLASSES[kind])))
        return variables


def _variable(path: Path, name: str, shape: tuple[int, ...], dtype: np.dtype) -> Variable:
    if min(shape, default=0) < 0 or math.prod(shape) > _MOST_ELEMENTS_PER_BYTE * path.stat().st_size:
        raise InputError(f"{path}: {name} claims {shape} elements, more than the file can hold; it is corrupt")
    check_memory(path, shape, 1)
    return Variable(name, shape, dtype, lambda: _checked(path, name, shape))


def _load(path: Path, name: str) -> np.ndarray:
    with reading(path, "a MATLAB file"):
        return scipy.io.loadmat(path, variable_names=[name])[name]


def _checked(path: Path, name: str, shape: tuple[int, ...]) -> np.ndarray:
    array = _load(path, name)
    if not isinstance(array, np.ndarray) or array.shape != shape:
        raise InputError(f"{path}: {name} is not the {shape} array that the file announces; it is corrupt")
    if array.dtype.kind == "c":
        raise InputError(f"{path}: {name} holds complex numbers; take their magnitude first")
    return array


def _inside(name: str, value: Any) -> list[Variable]:
    """Numeric arrays inside a struct or a cell array, however deep."""
    if not isinstance(value, np.ndarray):
        return []
    if value.dtype.names and value.shape == (1, 1):
        parts = [(f"{name}.{field}", value[0, 0][field]) for field in value.dtype.names]
    elif value.dtype == object:
        parts = [(f"{name}{{{number}}}", part) for number, part in enumerate(value.ravel("F"), 1)]
    else:
        return [variable_of(name, value)] if value.dtype.kind in "biufc" and value.size else []
    return [variable for part in parts for variable in _inside(*part)]
