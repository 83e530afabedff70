"""What a reader hands over, and the guards that every reader shares."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sslhsi.errors import InputError
from sslhsi.scenes.notes import note
from sslhsi.scenes.scaling import NO_SCALING, Scaling


class Centres(NamedTuple):
    """Band centres as a file or the caller writes them, not yet judged: whoever reads may know better.

    Args:
        values: (B,) numbers or words.
        unit: In words; empty when nothing is said.
        where: File, for messages.
    """

    values: Sequence[Any] | np.ndarray
    unit: str
    where: str


@dataclass(kw_only=True)
class BandInfo:
    """What a file says about the bands of an image.

    Args:
        wavelengths: (B,) nanometres, or band centres as the file writes them, or None.
        bad: Booleans, True = the file calls the band bad; None when it says nothing.
        nodata: Value that stands for "no data", or None.
        scaling: From the stored numbers to what they stand for.
    """

    wavelengths: np.ndarray | Centres | None = None
    bad: np.ndarray | None = None
    nodata: float | None = None
    scaling: Scaling = NO_SCALING


@dataclass
class Raw(BandInfo):
    """An image as one file tells it, before masking and band selection.

    Args:
        cube: (H, W, B) array in the dtype of the file, memory-mapped where possible.
        source: The file that holds the pixels.
        labels: (H, W) integers, or None.
        classes: Class names as the file lists them, which may begin with that of 0.
        mask: (H, W) booleans, False where the reader knows of no data; or None.
        georeference: ``{"crs": ..., "transform": ...}`` or None.
    """

    cube: np.ndarray
    source: Path
    labels: np.ndarray | None = None
    classes: Sequence[str] = ()
    mask: np.ndarray | None = None
    georeference: dict[str, Any] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        return self.cube.shape[0], self.cube.shape[1]

    def complete(self, info: BandInfo, origin: str) -> None:
        """Fill in what this file leaves open, from another, with a note."""
        names = {"wavelengths": "wavelengths", "bad": "bad bands", "nodata": "no-data value", "scaling": "scaling"}
        used = [key for key in names if _silent(getattr(self, key)) and not _silent(getattr(info, key))]
        for key in used:
            setattr(self, key, getattr(info, key))
        if used:
            note(self.source, f"{', '.join(names[key] for key in used)} from {origin}")


def _silent(value: Any) -> bool:
    return value is None or (isinstance(value, Scaling) and value.identity)


@dataclass(frozen=True)
class Variable:
    """One named array of a file that may hold many; nothing is read before ``load()``.

    Args:
        name: Its name in the file.
        shape: Shape that ``load`` returns.
        dtype: Element type, as far as it is known before loading.
        load: Reads (or maps) the array.
        attributes: Metadata stored beside the array (HDF5 attributes).
        dims: Names of the axes, where the file names them all (netCDF).
        image: Reads the whole image that a known product makes of its arrays; such a variable is taken unless
            the caller names another.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    load: Callable[[], np.ndarray]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    dims: tuple[str, ...] = ()
    image: Callable[[], Raw] | None = None

    @property
    def real(self) -> bool:
        return self.dtype.kind in "biuf"

    @property
    def tail(self) -> str:
        """The last part of its name: "band" of "group/band"."""
        return self.name.replace("/", ".").split(".")[-1]

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def vector(self) -> bool:
        """True for several numbers in a row, whatever the number of axes."""
        return self.real and 1 < self.size == max(self.shape)

    def squeezed(self) -> Variable:
        """Without leading axes of length one (a time, say) before three others."""
        leading = 0
        while len(self.shape) - leading > 3 and self.shape[leading] == 1:
            leading += 1
        if not leading:
            return self
        shape = self.shape[leading:]
        return replace(self, shape=shape, dims=self.dims[leading:], load=lambda: self.load().reshape(shape))

    def numbers(self) -> np.ndarray:
        """All of them, (n,) float64."""
        return np.asarray(self.load(), dtype=np.float64).ravel()

    def text(self, *keys: str) -> str:
        """The first of some attributes as text, "" when there is none; case does not matter."""
        lower = {key.lower(): value for key, value in self.attributes.items()}
        return next((as_text(lower[key]) for key in map(str.lower, keys) if np.size(lower.get(key, ()))), "")

    def __str__(self) -> str:
        return f"{self.name} {self.shape} {self.dtype}"


def variable_of(name: str, array: np.ndarray, attributes: Mapping[str, Any] | None = None) -> Variable:
    """An array at hand as a variable."""
    return Variable(name, array.shape, array.dtype, lambda: array, attributes or {})


class TableOfSpectra(InputError):
    """A file holds spectra without a place where an image was asked for."""


@contextmanager
def reading(path: Path, what: str) -> Iterator[None]:
    """Turn whatever a library raises or warns about while it reads ``path`` into one sentence."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except InputError:
        raise
    except MemoryError as error:
        raise InputError(f"{path}: claims more data than fits in memory; the file may be corrupt") from error
    except Exception as error:
        cause = error.__cause__ or error  # rasterio wraps what GDAL says
        reason = " ".join(str(cause).split())[:200].rstrip(".") or type(cause).__name__
        raise InputError(f"{path}: can't be read as {what}, it may be truncated or corrupt ({reason})") from error


def as_text(value: Any) -> str:
    """The first of some words as text, "" of none."""
    first = np.asarray(value).ravel()[0] if np.size(value) else ""
    return first.decode("utf-8", "replace") if isinstance(first, bytes) else str(first)


def decoded(content: bytes) -> str:
    """The text of a file: UTF-8, or what older software writes the micro sign in."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def check_file(path: Path) -> None:
    """Raise ``InputError`` unless ``path`` is a file with something in it."""
    try:
        if path.is_dir():
            raise InputError(f"{path}: is a folder; give the image file in it")
        if not path.is_file():
            raise InputError(f"{path}: no such file")
        if path.stat().st_size == 0:
            raise InputError(f"{path}: the file is empty")
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: can't be opened ({error})") from error


def check_memory(path: Path, shape: Sequence[int], itemsize: int) -> None:
    """Refuse to allocate an array that can't fit in this machine's memory."""
    needed = math.prod(int(n) for n in shape) * itemsize
    try:
        available = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not a POSIX system
        return
    if needed > available:
        raise InputError(
            f"{path}: claims an array of {tuple(shape)}, {needed / 2**30:,.1f} GiB, but this machine has "
            f"{available / 2**30:,.1f} GiB of memory; the file is corrupt or must be cropped first"
        )
