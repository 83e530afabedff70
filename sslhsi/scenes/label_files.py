"""Labels from separate files: rasters, painted pictures, named arrays, points and polygons, regions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sslhsi.errors import InputError
from sslhsi.scenes.labels import NO_TRUTH, LabelRules, abundance_axis, named, small_abundances, to_labels, whole
from sslhsi.scenes.notes import note
from sslhsi.scenes.placing import laid_onto
from sslhsi.scenes.raw import Raw, Variable, check_file
from sslhsi.scenes.regions import is_regions, read_regions
from sslhsi.scenes.vectors import VECTORS, read_vectors

# More colours than this are a photograph, or a picture saved with loss or smoothed edges.
MOST_COLOURS = 64
Shape = tuple[int, int]
OpenFile = Callable[[Path], Raw | list[Variable]]


@dataclass(frozen=True)
class Truth:
    """Labels that were given for a scene, not yet laid onto it.

    Args:
        where: Their file, for messages.
        array: Labels or abundances as they stand there; None where they are drawn onto a scene.
        name: Of the variable of the scene's file that holds them.
        abundances: The array holds abundances even if they don't sum to one.
        georeference: ``{"crs": ..., "transform": ...}`` of the array, or None.
        classes: Names of labels 1, 2, ...
        zero_is_class: Whether the class names of the file make value 0 a class.
        draw: (shape, georeference of the scene) -> labels (H, W) and class names, for points, polygons, regions.
    """

    where: Path | str = "labels"
    array: np.ndarray | None = None
    name: str = ""
    abundances: bool = False
    georeference: dict[str, Any] | None = None
    classes: Sequence[str] = ()
    zero_is_class: bool = False
    draw: Callable[[Shape, dict[str, Any] | None], tuple[np.ndarray, tuple[str, ...]]] | None = None

    @property
    def map(self) -> np.ndarray | None:
        """The array where it lies on the scene as it is: one that says where it lies may be of another size."""
        return self.array if self.georeference is None else None

    def among(self, variables: Sequence[Variable], path: Path) -> Truth:
        """With the array, where a variable of the scene's file is named."""
        if not self.name:
            return self
        if not variables:
            raise InputError(f"{self.name}: no such file, and {path} holds no named variables")
        return replace(self, array=np.asarray(named(variables, self.name, path).load()), where=path)

    def on(self, shape: Shape, scene: dict[str, Any] | None, outside: int = 0) -> np.ndarray:
        """The values on the grid of a scene of (H, W) that lies there; True where something is drawn."""
        if self.draw is not None:
            return self.draw(shape, scene)[0] > 0
        assert self.array is not None
        if self.name or not isinstance(self.where, Path):
            return self.array
        return laid_onto(self.array, self.georeference, shape, scene, self.where, outside)

    def labels(
        self, shape: Shape, scene: dict[str, Any] | None, rules: LabelRules, order: str = "C"
    ) -> tuple[np.ndarray, Sequence[str]]:
        """(H, W) int32 labels of a scene that lies there, and class names; ``order`` is that of flattened pixels."""
        classes = self.classes
        if self.draw is not None:
            array, classes = self.draw(shape, scene)
            if classes:
                return array, classes
        else:
            array = self.on(shape, scene, outside=-1)
        if self.zero_is_class and rules.zero_is_class is None:
            note(self.where, "its class names give 0 a name, so that 0 is a class (zero_is_class=false overrules)")
            rules = replace(rules, zero_is_class=True)
        where, abundances = str(self.where), self.abundances
        return to_labels(array, shape, where=where, order=order, rules=rules, abundances=abundances), classes


def open_labels(path: Path, key: str | None, open_file: OpenFile, *, truth: bool = True) -> Truth:
    """Open a file that holds labels.

    Args:
        path: A one-band raster; a picture whose grey values or colours are classes; layers of abundances or one-hot
            labels; a file of named arrays; points or polygons (GeoPackage, GeoJSON, shapefile); regions of interest
            that ENVI wrote as text.
        key: Name of the variable, or of the field that holds the class of points and polygons.
        open_file: Opens rasters and files of named arrays.
        truth: Ground truth is wanted, which no mask, quality or flag layer is; False: any map.

    Raises:
        InputError: Nothing in the file can be labels, or several things can; the message lists them.
    """
    check_file(path)
    if path.suffix.lower() in VECTORS:
        return Truth(path, draw=read_vectors(path, key))
    if is_regions(path):
        return Truth(path, draw=read_regions(path))
    opened = open_file(path)
    if isinstance(opened, Raw):
        return _of_raster(path, opened, void=-1 if truth else 0)
    return Truth(path, _of_variables(path, key, opened, truth))


def _of_raster(path: Path, raw: Raw, void: int) -> Truth:
    cube = np.asarray(raw.cube)
    bands = cube.shape[2]
    if bands == 1:
        array = cube[:, :, 0]
        array = _without_nodata(path, array, raw.nodata, void)
        classes, zero = class_names(raw.classes, array)
        return Truth(path, array, georeference=raw.georeference, classes=classes, zero_is_class=zero)
    if abundance_axis(cube) == 2:
        return Truth(path, cube, georeference=raw.georeference, classes=raw.classes)
    if bands in (2, 3, 4) and cube.dtype == np.uint8:
        array, classes = _of_colours(path, cube)
        return Truth(path, array, georeference=raw.georeference, classes=classes)
    raise InputError(
        f"{path}: has {bands} bands, and a label map has one, or three of colours, or layers that sum to 1; give the "
        "ground truth itself"
    )


def _without_nodata(path: Path, array: np.ndarray, nodata: float | None, void: int) -> np.ndarray:
    """Values with ``void`` where a raster holds its no-data value; in a label map 0 stays, which may be a class."""
    missing = array == nodata
    if nodata is None or nodata == 0 or not missing.any():
        return array
    note(path, f"{missing.sum()} pixels hold its no-data value ({nodata:g})")
    return np.where(missing, void, array.astype(np.int64) if array.dtype.kind == "u" else array)


def class_names(names: Sequence[str], values: np.ndarray) -> tuple[tuple[str, ...], bool]:
    """Names of labels 1, 2, ... among those that a file lists, and whether 0 is a class.

    ENVI lists a name for every value from 0 on, of which the first is "unclassified"; some writers leave that out.

    Examples:
        >>> class_names(["Unclassified", "grass", "tree"], np.array([0, 1, 2]))
        (('grass', 'tree'), False)
        >>> class_names(["grass", "tree"], np.array([0, 1]))
        (('grass', 'tree'), True)
        >>> class_names(["grass", "tree"], np.array([0, 1, 2]))
        (('grass', 'tree'), False)
    """
    listed = tuple(str(name).strip() for name in names)
    if not listed:
        return (), False
    if listed[0].lower() in _NONE:
        return listed[1:], False
    return listed, int(values.max(initial=0)) < len(listed)


_NONE = {
    "", "unclassified", "unclassed", "unlabelled", "unlabeled", "unknown", "undefined", "none", "no data", "nodata",
    "background", "void", "ignore", "masked", "masked pixels", "0",
}  # fmt: skip


def _of_colours(path: Path, picture: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Classes of a painted map: black and what is transparent is unlabelled, every other colour is a class."""
    opaque = picture[:, :, -1] > 0 if picture.shape[2] in (2, 4) else np.ones(picture.shape[:2], bool)
    colours = picture[:, :, : 3 if picture.shape[2] > 2 else 1].astype(np.int64)
    code = colours @ (256 ** np.arange(colours.shape[2])[::-1])
    code[~opaque] = 0
    legend = np.unique(code[code > 0])
    if legend.size > MOST_COLOURS:
        raise InputError(
            f"{path}: holds {legend.size} colours, which is a photograph or a picture with smoothed edges, no label "
            "map; save it without loss and without smoothing (PNG)"
        )
    names = tuple(f"#{value:06x}" if colours.shape[2] == 3 else str(value) for value in legend.tolist())
    array = np.where(code > 0, np.searchsorted(legend, code) + 1, 0).astype(np.int32)
    shown = ", ".join(f"{number} {name}" for number, name in enumerate(names, 1))
    note(path, f"colours are classes: {shown}; black and transparent pixels are unlabelled")
    return array, names


def _of_variables(path: Path, key: str | None, variables: list[Variable], truth: bool) -> np.ndarray:
    if key:
        return np.asarray(named(variables, key, path).load())
    flat = [v for v in variables if v.real and v.size > 1 and len(v.shape) == 2]
    candidates = [v for v in flat if min(v.shape) > 1 and whole(np.asarray(v.load()))]
    candidates = candidates or [v for v in variables if small_abundances(v)]
    # The one map of a file is judged by its values, whose error says more.
    candidates = candidates or (flat if len(variables) == 1 and min(variables[0].shape) > 1 else [])
    if truth and len(variables) > 1:
        candidates = without_masks(candidates)
    if len(candidates) != 1:
        listed = ", ".join(map(str, candidates or variables)) or "nothing"
        problem = "several variables may be the labels" if candidates else "no variable can be labels"
        raise InputError(f"{path}: {problem} ({listed}); name one with labels_key=")
    note(path, f"labels are {candidates[0]}")
    return np.asarray(candidates[0].load())


def without_masks(variables: Sequence[Variable]) -> list[Variable]:
    """Those that may be ground truth: a mask, quality or flag layer never is, nor what is the same everywhere."""
    return [v for v in variables if not NO_TRUTH.search(v.tail) and not _constant(v)]


def _constant(variable: Variable) -> bool:
    values = np.asarray(variable.load())
    return bool((values == values.flat[0]).all())
