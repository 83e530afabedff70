"""HDF5 files through h5py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from sslhsi.errors import InputError
from sslhsi.scenes.neon import neon_images
from sslhsi.scenes.pace import pace_images
from sslhsi.scenes.prisma import prisma_images
from sslhsi.scenes.raw import Variable, check_memory, reading

_HEAPS_WITHIN = 64 * 2**20
_PRODUCTS = (prisma_images, neon_images, pace_images)


def open_hdf5(path: Path, *, reverse: bool = False) -> list[Variable]:
    """The numeric datasets of an HDF5 file, named by their path (``group/dataset``).

    Contiguous, unfiltered datasets are memory-mapped; chunked ones are read whole. Axes keep their names where the
    file has them (dimension scales, as netCDF writes them). Known products (PRISMA, NEON, PACE) come first, as
    images.

    Args:
        path: The file.
        reverse: Turn all axes round, as MATLAB 7.3 files need.

    Raises:
        InputError: Not an HDF5 file, truncated or corrupt.
    """
    variables: list[Variable] = []
    _check_heaps(path)
    with reading(path, "an HDF5 file"), h5py.File(path, "r") as file:

        def visit(name: str, item: Any) -> None:
            if not isinstance(item, h5py.Dataset) or name.startswith("#"):  # "#refs#": MATLAB's cells
                return
            if item.shape is None or not item.dtype.kind or item.attrs.get("MATLAB_class", b"") in (b"char", "char"):
                return
            if reverse and h5py.check_ref_dtype(item.dtype) is h5py.Reference:
                for number, reference in enumerate(item[()].ravel(), 1):
                    visit(f"{name}{{{number}}}", file[reference])
                return
            if item.dtype.kind not in "biufcV" or item.attrs.get("MATLAB_empty", 0):
                return
            if bytes(item.attrs.get("NAME", b"")).startswith(b"This is a netCDF dimension but not"):
                return
            shape = item.shape[::-1] if reverse else item.shape
            dtype = item.dtype
            if dtype.names in (("real", "imag"), ("r", "i")):
                dtype = np.dtype(complex)
            elif dtype.kind == "V":
                return
            attributes, dims = ({}, ()) if reverse else (_simple(item.attrs), _dims(item))
            variables.append(Variable(name, shape, dtype, _loader(path, item.name, reverse), attributes, dims))

        file.visititems(visit)
    if reverse:
        return variables
    images = [image for product in _PRODUCTS for image in product(path, variables)]
    names = {image.name for image in images}
    return images + [v for v in variables if v.name not in names]


def _check_heaps(path: Path) -> None:
    """Refuse files whose global heap (HDF5 File Format Specification, III.E) would keep the library in a loop.

    A heap is a row of objects, each with its size; an object 0, which is free space, of size 0 leads nowhere. Heaps
    within the first 64 MiB are looked at, where files keep them.
    """
    with reading(path, "an HDF5 file"), path.open("rb") as file:
        content = file.read(_HEAPS_WITHIN)
    start = content.find(b"GCOL\x01")
    while start >= 0:
        end = min(start + int.from_bytes(content[start + 8 : start + 16], "little"), len(content))
        at = start + 16
        while at + 16 <= end:
            number, size = content[at : at + 2], int.from_bytes(content[at + 8 : at + 16], "little")
            if number == b"\0\0":
                if size < 16:
                    raise InputError(f"{path}: can't be read as an HDF5 file, its global heap is corrupt")
                break
            at += 16 + (size + 7) // 8 * 8
        start = content.find(b"GCOL\x01", start + 4)


def _dims(dataset: h5py.Dataset) -> tuple[str, ...]:
    """Names of the axes, by their dimension scales or labels; () unless every axis has one."""
    names = []
    for axis in range(len(dataset.shape)):
        try:
            dimension = dataset.dims[axis]
            name = dimension[0].name.rsplit("/", 1)[-1] if len(dimension) else dimension.label
        except (RuntimeError, KeyError, ValueError, OSError, AttributeError):  # references into nowhere
            return ()
        names.append(name or "")
    if len(names) == 1 and not names[0] and dataset.is_scale:
        names = [dataset.name.rsplit("/", 1)[-1]]
    return tuple(names) if all(names) else ()


def _simple(attributes: h5py.AttributeManager) -> dict[str, Any]:
    """Attributes that can be read; exotic types are left out."""
    known: dict[str, Any] = {}
    for key in attributes:
        try:
            # Lists of references are the file's bookkeeping, and slow or worse where a file is damaged.
            if key not in ("DIMENSION_LIST", "REFERENCE_LIST") and attributes.get_id(key).dtype.kind in "biufSUO":
                known[key] = attributes[key]
        except (OSError, TypeError, ValueError):
            continue
    return known


def _loader(path: Path, name: str, reverse: bool) -> Callable[[], np.ndarray]:
    def load() -> np.ndarray:
        with reading(path, "an HDF5 file"), h5py.File(path, "r") as file:
            dataset = file[name]
            offset = dataset.id.get_offset()
            if offset is not None and dataset.size and not dataset.external and not dataset.is_virtual:
                size = path.stat().st_size
                if offset + dataset.size * dataset.dtype.itemsize > size:
                    raise InputError(f"{path}: {name} reaches beyond the end of the file; it is truncated")
                array: np.ndarray = np.memmap(path, dataset.dtype, "r", offset, dataset.shape)
            else:
                check_memory(path, dataset.shape, dataset.dtype.itemsize)
                array = dataset[()]
            return array.T if reverse and array.ndim else array

    return load
