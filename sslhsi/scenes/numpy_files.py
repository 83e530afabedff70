"""NumPy files: .npy (memory-mapped) and .npz."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from sslhsi.errors import InputError
from sslhsi.scenes.raw import Variable, check_memory, reading


def open_npy(path: Path) -> list[Variable]:
    """The one array of a .npy file, memory-mapped.

    Args:
        path: The file.

    Raises:
        InputError: Not a NumPy file, truncated, or one that holds Python objects.
    """
    with reading(path, "a NumPy .npy file"):
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except ValueError as error:
            if "pickle" in str(error) or "Python objects" in str(error):
                raise InputError(
                    f"{path}: holds Python objects, which are not read; save the array alone, as numbers (of a "
                    "masked array: array.filled(...))"
                ) from None
            raise
    if not isinstance(array, np.ndarray):
        raise InputError(f"{path}: is not a .npy file; name it .npz if it is an archive")
    return [Variable(path.stem, array.shape, array.dtype, lambda: array)]


def open_npz(path: Path) -> list[Variable]:
    """The arrays of a .npz file; only their headers are read until they are asked for.

    Args:
        path: The file.

    Raises:
        InputError: Not a NumPy archive, truncated, or one that holds Python objects.
    """
    variables: list[Variable] = []
    with reading(path, "a NumPy .npz file"), zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if not info.filename.endswith(".npy"):
                continue
            with archive.open(info) as member:
                version = np.lib.format.read_magic(member)
                read_header = (
                    np.lib.format.read_array_header_1_0 if version == (1, 0)
                    else np.lib.format.read_array_header_2_0
                )  # fmt: skip
                shape, _, dtype = read_header(member)
            if dtype.kind not in "biufc":
                continue
            check_memory(path, shape, dtype.itemsize)
            if np.prod(shape, dtype=object) * dtype.itemsize > info.file_size:
                raise InputError(f"{path}: {info.filename} claims {shape} {dtype}, more than it holds")
            variables.append(Variable(info.filename[:-4], shape, dtype, _loader(path, info.filename[:-4])))
    return variables


def _loader(path: Path, name: str) -> Callable[[], np.ndarray]:
    def load() -> np.ndarray:
        with reading(path, "a NumPy .npz file"), np.load(path, allow_pickle=False) as archive:
            return archive[name]

    return load
