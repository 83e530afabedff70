"""Two rasters that say where they lie: the one laid onto the other, or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from rasterio._err import CPLE_BaseError  # what PROJ says reaches the caller as it is
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.transform import array_bounds
from rasterio.warp import Resampling, reproject, transform_bounds

from sslhsi.errors import InputError
from sslhsi.scenes.notes import note

Shape = tuple[int, int]
# Pixels by which two grids may differ and still be one.
TOLERANCE = 0.01


def laid_onto(
    array: np.ndarray,
    place: dict[str, Any] | None,
    shape: Shape,
    scene: dict[str, Any] | None,
    where: Path | str,
    outside: int = 0,
) -> np.ndarray:
    """A label map or mask on the grid of a scene.

    Where both say where they lie, the map is flipped, shifted, resampled (nearest pixel) or warped onto the scene;
    pixels of the scene that it does not cover get ``outside``. Where one is silent, it is taken pixel by pixel.

    Args:
        array: (H', W') or (H', W', C).
        place: ``{"crs": ..., "transform": ...}`` of the array, or None.
        shape: (H, W) of the scene.
        scene: The same of the scene.
        where: File of the array, for messages.
        outside: What (H', W') arrays get where they don't cover the scene; layers get 0.

    Returns:
        (H, W) or (H, W, C); the array itself where both are on one grid or one is silent.

    Raises:
        InputError: They don't overlap; the message gives both extents.
    """
    if place is None or scene is None:
        if (place is None) != (scene is None):
            silent, other = ("scene", "this map") if scene is None else ("map", "the scene")
            note(where, f"{other} says where it lies and the {silent} does not: laid on pixel by pixel")
        return array
    theirs, target = place.get("crs"), scene.get("crs")
    if (theirs is None) != (target is None):
        note(where, "only one of map and scene names its coordinate system: taken as the same")
    theirs, target = theirs or target, target or theirs
    moved = _corners_apart(array.shape[:2], place["transform"], shape, scene["transform"])
    if theirs == target and array.shape[:2] == shape and moved < TOLERANCE:
        return array
    _check_overlap(array.shape[:2], place["transform"], theirs, shape, scene["transform"], target, where)
    layers = array[None] if array.ndim == 2 else np.moveaxis(array, 2, 0)
    source = layers.astype(np.float64 if layers.dtype.kind == "f" else np.int32)
    out = np.zeros((len(source), *shape), source.dtype)
    inside = np.zeros(shape, np.uint8)
    crs = {"src_crs": theirs or _ANY, "dst_crs": target or _ANY}
    grids = {"src_transform": place["transform"], "dst_transform": scene["transform"], **crs}
    try:
        reproject(source, out, resampling=Resampling.nearest, **grids)
        reproject(np.ones(array.shape[:2], np.uint8), inside, resampling=Resampling.nearest, **grids)
    except (RasterioError, CPLE_BaseError) as error:
        raise InputError(f"{where}: can't be laid onto the scene ({error}); give a map on the scene's grid") from None
    covered = int(inside.sum())
    if not covered:
        raise InputError(f"{where}: covers no pixel of the scene; give a map of the same place")
    note(where, f"{_how(place, theirs, scene, target)} onto the scene; it covers {covered} of {inside.size} pixels")
    if array.ndim == 3:
        return np.moveaxis(out.astype(array.dtype) if array.dtype.kind != "f" else out, 0, 2)
    return np.where(inside == 0, outside, out[0])


# Two grids without a coordinate system lie in one plane.
_ANY = CRS.from_epsg(3857)


def _corners_apart(a: Shape, first: Any, b: Shape, second: Any) -> float:
    """Largest distance of corresponding corners, in pixels of the second grid; infinite for other sizes."""
    if tuple(a) != tuple(b):
        return float("inf")
    corners = [(0, 0), (a[1], 0), (0, a[0]), (a[1], a[0])]
    back = ~second
    return max(float(np.hypot(*np.subtract(back * (first * c), c))) for c in corners)


def _check_overlap(
    a: Shape, first: Any, theirs: CRS | None, b: Shape, second: Any, target: CRS | None, where: Path | str
) -> None:
    mine, bounds = (_bounds(*a, first), _bounds(*b, second))
    if theirs != target and theirs and target:
        try:
            mine_there = transform_bounds(theirs, target, *mine)
        except (RasterioError, CPLE_BaseError):
            raise InputError(
                f"{where}: its place in {theirs.to_string()[:60]!r} can't be brought to the scene's coordinate "
                "system; give both the same one in a GIS"
            ) from None
    else:
        mine_there = mine
    apart = (
        mine_there[2] <= bounds[0] or mine_there[0] >= bounds[2] or mine_there[3] <= bounds[1]
        or mine_there[1] >= bounds[3]
    )  # fmt: skip
    if apart:
        raise InputError(
            f"{where}: lies at {extent(mine, theirs)}, the scene at {extent(bounds, target)}: they don't overlap; "
            "give the map of this scene"
        )


def _bounds(height: int, width: int, transform: Any) -> tuple[float, float, float, float]:
    west, south, east, north = array_bounds(height, width, transform)
    return min(west, east), min(south, north), max(west, east), max(south, north)


def extent(bounds: tuple[float, float, float, float], crs: CRS | None) -> str:
    """A place in words: from-to in x and y, and the coordinate system."""
    west, south, east, north = (f"{value:.10g}" for value in bounds)
    return f"x {west} to {east}, y {south} to {north} ({crs.to_string() if crs else 'no coordinate system'})"


def _how(place: dict[str, Any], theirs: CRS | None, scene: dict[str, Any], target: CRS | None) -> str:
    if theirs != target:
        return f"warped from {theirs.to_string() if theirs else 'no coordinate system'}"
    first, second = place["transform"], scene["transform"]
    if np.sign(first.e) != np.sign(second.e) and abs(first.a) == abs(second.a):
        return "flipped"
    return "shifted" if (first.a, first.e) == (second.a, second.e) else "resampled"
