"""The scene: one hyperspectral cube with what is known about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from sslhsi.errors import InputError


@dataclass(frozen=True)
class Scene:
    """One hyperspectral cube and what is known about it.

    Args:
        name: Short name, unique within a corpus.
        cube: (H, W, B) array, possibly memory-mapped; any real dtype, any radiometric unit.
        wavelengths: (B,) band centres in nanometres, or None when unknown.
        labels: (H, W) integers, 0 = unlabelled, or None.
        classes: Class names; ``classes[i]`` is the name of label ``i + 1``.
        mask: (H, W) booleans, True = foreground; None means that every pixel is.
        domain: One kind of material or place under one camera; the scene's name when not given.
        sensor: The camera, for tables.
        georeference: ``{"crs": ..., "transform": ...}`` as rasterio gives them, or None.
        source: File that the cube came from, for provenance and messages.
        stand_in: True when the cube is simulated on a real scene's label map.
        notes: What the reader assumed, converted, masked or left out, one sentence each.

    Raises:
        InputError: The parts don't fit together.

    Examples:
        >>> scene = Scene("field", np.ones((4, 5, 30)), np.linspace(400, 1000, 30))
        >>> scene.height, scene.width, scene.bands, scene.domain
        (4, 5, 30, 'field')
    """

    name: str
    cube: np.ndarray
    wavelengths: np.ndarray | None = None
    labels: np.ndarray | None = None
    classes: Sequence[str] = ()
    mask: np.ndarray | None = None
    domain: str = ""
    sensor: str = ""
    georeference: dict[str, Any] | None = field(default=None, repr=False)
    source: Path | None = None
    stand_in: bool = False
    notes: tuple[str, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        where = f"scene {self.name!r}" + (f" ({self.source})" if self.source else "")
        check_cube(self.cube, self.mask, f"{where}: ")
        if self.wavelengths is not None:
            wavelengths = np.asarray(self.wavelengths, dtype=np.float64).ravel()
            if wavelengths.shape != (self.bands,):
                raise InputError(f"{where}: {wavelengths.size} wavelengths for {self.bands} bands")
            if not np.isfinite(wavelengths).all():
                raise InputError(f"{where}: wavelengths must be finite numbers in nanometres")
            object.__setattr__(self, "wavelengths", wavelengths)
        labels, mask = self.labels, self.mask
        if labels is not None and labels.shape != self.cube.shape[:2]:
            raise InputError(f"{where}: labels are {labels.shape}, the cube is {self.cube.shape[:2]}")
        if labels is not None and labels.dtype.kind not in "iu":
            raise InputError(f"{where}: labels must be integers")
        if mask is not None and mask.dtype.kind != "b":
            raise InputError(f"{where}: mask must be booleans")
        if not self.domain:
            object.__setattr__(self, "domain", self.name)

    @property
    def height(self) -> int:
        return self.cube.shape[0]

    @property
    def width(self) -> int:
        return self.cube.shape[1]

    @property
    def bands(self) -> int:
        return self.cube.shape[2]

    @property
    def foreground(self) -> np.ndarray:
        """(H, W) booleans: the mask, or True everywhere."""
        return np.ones(self.cube.shape[:2], dtype=bool) if self.mask is None else self.mask

    def class_name(self, label: int) -> str:
        """Name of a label; its number when the scene has no names."""
        return self.classes[label - 1] if 0 < label <= len(self.classes) else f"class {label}"

    def with_(self, **changes: Any) -> Scene:
        """A copy with some fields replaced."""
        return replace(self, **changes)


def check_cube(cube: np.ndarray, mask: np.ndarray | None = None, where: str = "") -> None:
    """Refuse what is no (H, W, B) cube of real numbers, or a mask that doesn't lie on it.

    Raises:
        InputError: It begins with ``where``.
    """
    if not isinstance(cube, np.ndarray):
        raise InputError(f"{where}a cube must be a NumPy array, not {type(cube).__name__}")
    if cube.ndim != 3 or 0 in cube.shape:
        raise InputError(f"{where}a cube must be (height, width, bands), not {cube.shape}")
    if cube.dtype.kind not in "biuf":
        raise InputError(f"{where}a cube must hold real numbers, not {cube.dtype}")
    if mask is not None and mask.shape != cube.shape[:2]:
        raise InputError(f"{where}the mask is {mask.shape}, the cube is {cube.shape[:2]}")
