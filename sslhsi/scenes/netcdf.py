"""netCDF files: those that are HDF5 inside through h5py, classic ones through SciPy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
from scipy.io import netcdf_file

from sslhsi.errors import InputError
from sslhsi.scenes.hdf5 import open_hdf5
from sslhsi.scenes.raw import Variable, check_memory, reading


def open_netcdf(path: Path) -> list[Variable]:
    """The numeric variables of a netCDF file with the names of their axes.

    Axes, wavelengths, flags of good bands and place are looked up by name (see ``sslhsi.scenes.dimensions``).

    Args:
        path: The file, netCDF-4 (HDF5) or classic (versions 1 and 2).

    Raises:
        InputError: Neither, truncated or corrupt.
    """
    if h5py.is_hdf5(path):
        return open_hdf5(path)
    with path.open("rb") as file:
        magic = file.read(4)
    if magic == b"CDF\x05":
        raise InputError(f"{path}: is netCDF of version 5 (64-bit data); convert it with nccopy -k nc4 first")
    if magic[:3] != b"CDF":
        raise InputError(f"{path}: is not a netCDF file (neither HDF5 nor classic)")
    variables = []
    with reading(path, "a netCDF file"), netcdf_file(path, "r", mmap=False) as file:
        for name, variable in file.variables.items():
            if variable.data.dtype.kind not in "biuf":
                continue
            shape, dims = variable.data.shape, tuple(variable.dimensions)
            attributes = dict(variable._attributes)
            variables.append(Variable(name, shape, variable.data.dtype, _loader(path, name), attributes, dims))
    return variables


def _loader(path: Path, name: str) -> Callable[[], np.ndarray]:
    def load() -> np.ndarray:
        with reading(path, "a netCDF file"), netcdf_file(path, "r", mmap=False) as file:
            array = file.variables[name].data
            check_memory(path, array.shape, array.dtype.itemsize)
            return np.array(array, array.dtype.newbyteorder("="))

    return load
