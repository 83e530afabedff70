"""Points and polygons with a class, drawn onto a scene: GeoPackage, GeoJSON, shapefile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import shapely
from pyogrio.errors import DataLayerError, DataSourceError
from rasterio._err import CPLE_BaseError  # what PROJ says reaches the caller as it is
from rasterio.crs import CRS
from rasterio.errors import CRSError, RasterioError
from rasterio.features import rasterize
from rasterio.transform import array_bounds
from rasterio.warp import transform as transform_points
from shapely.errors import ShapelyError

from sslhsi.errors import InputError
from sslhsi.scenes.labels import MOST_CLASSES, painted
from sslhsi.scenes.notes import note
from sslhsi.scenes.placing import extent

VECTORS = (".gpkg", ".geojson", ".json", ".shp", ".kml", ".fgb")
# Fields that hold the class, by their names, the likeliest first.
_FIELDS = ("class", "class_name", "classname", "label", "classid", "class_id", "species", "taxon", "taxonid", "type",
           "category", "crop", "code", "name", "cls", "landcover", "lc", "value", "id")  # fmt: skip
Shape = tuple[int, int]
Draw = Callable[[Shape, dict[str, Any] | None], tuple[np.ndarray, tuple[str, ...]]]


def read_vectors(path: Path, field: str | None) -> Draw:
    """Read points, lines and polygons with the class of each.

    Args:
        path: A file that GDAL's vector drivers read; its first layer.
        field: Name of the field that holds the class; None looks for one of a usual name, or the only one.

    Returns:
        What draws them onto a scene, (H, W) and its georeference -> labels and class names. A polygon labels the
        pixels whose centres lie in it (the pixels that it touches, where there is no such centre), a point the pixel
        that it lies in. Pixels with two classes are left unlabelled.

    Raises:
        InputError: It can't be read, or it is not certain which field holds the class.
    """
    try:
        meta, _, shapes, columns = pyogrio.raw.read(path)
    except (DataSourceError, DataLayerError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path}: can't be read as points or polygons ({reason})") from None
    if not len(shapes):
        raise InputError(f"{path}: holds no feature")
    name, values = _class_field(path, list(meta["fields"]), columns, field)
    numbers, classes = _numbers(path, name, values)
    try:
        geometries = shapely.from_wkb(shapes)
    except ShapelyError as error:
        raise InputError(f"{path}: holds a shape that can't be read ({error}); mend it in a GIS") from None
    note(path, f"classes are field {name!r} of {len(geometries)} features")

    def draw(shape: Shape, scene: dict[str, Any] | None) -> tuple[np.ndarray, tuple[str, ...]]:
        if scene is None or scene.get("crs") is None:
            raise InputError(
                f"{path}: points and polygons need a scene that says where it lies, with its coordinate system; give "
                "a label map of the scene's size instead"
            )
        labels = _drawn(path, _moved(path, geometries, meta["crs"], scene["crs"]), numbers, shape, scene)
        # Between features nothing is 0, which may be a class of its own.
        return labels if classes else labels - 1, classes

    return draw


def _class_field(
    path: Path, fields: list[str], columns: list[np.ndarray], asked: str | None
) -> tuple[str, np.ndarray]:
    by_name = dict(zip(fields, columns, strict=True))
    listed = ", ".join(fields) or "none"
    if asked is not None:
        if asked not in by_name:
            raise InputError(f"{path}: no field {asked!r} among {listed}; name one with labels_key=")
        return asked, by_name[asked]
    usable = [name for name in fields if 0 < len({str(v) for v in by_name[name] if v is not None}) <= MOST_CLASSES]
    usual = [name for wanted in _FIELDS[:-1] for name in usable if name.lower() == wanted]
    if len(usable) == 1 or usual:
        chosen = usual[0] if usual else usable[0]
        return chosen, by_name[chosen]
    raise InputError(f"{path}: which field holds the class? It has {listed}; name one with labels_key=")


def _numbers(path: Path, name: str, values: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """(n,) numbers, 0 for none, and class names: whole numbers and one, as 0 may be a class, or texts in order."""
    array = np.asarray(values)
    if array.dtype.kind in "iuf":
        known = np.isfinite(array.astype(np.float64))
        whole = np.where(known, array, 0).astype(np.int64)
        if (whole[known] != array[known]).any() or whole.max(initial=0) > 65535:
            raise InputError(f"{path}: field {name!r} holds no classes (whole numbers up to 65535, or names)")
        return np.where(known & (whole >= 0), whole + 1, 0), ()
    texts = np.array(["" if value is None else str(value).strip() for value in array])
    classes = sorted(set(texts) - {""})
    if len(classes) > MOST_CLASSES:
        raise InputError(f"{path}: field {name!r} holds {len(classes)} different texts, which are no classes")
    return np.searchsorted(classes, texts) * (texts != "") + (texts != ""), tuple(classes)


def _moved(path: Path, geometries: np.ndarray, theirs: str | None, target: CRS) -> np.ndarray:
    """Geometries in the scene's coordinate system."""
    if theirs is None:
        note(path, "names no coordinate system: taken as the scene's")
        return geometries
    try:
        source = CRS.from_user_input(theirs)
        if source == target:
            return geometries

        def move(points: np.ndarray) -> np.ndarray:
            x, y = transform_points(source, target, points[:, 0], points[:, 1])
            return np.column_stack([x, y])

        return shapely.transform(shapely.force_2d(geometries), move)
    except (CRSError, RasterioError, CPLE_BaseError) as error:
        raise InputError(f"{path}: its coordinates can't be brought to the scene's system ({error})") from None
    except ShapelyError as error:
        raise InputError(f"{path}: some of its coordinates lie outside the scene's system ({error})") from None


def _drawn(
    path: Path, geometries: np.ndarray, numbers: np.ndarray, shape: Shape, scene: dict[str, Any]
) -> np.ndarray:
    parts = (
        (int(number), _pixels(geometry, shape, scene["transform"]))
        for geometry, number in zip(geometries, numbers, strict=True)
        if number != 0 and geometry is not None and not geometry.is_empty
    )
    labels, count, outside = painted(shape, parts, path)
    if outside == count:
        west, south, east, north = shapely.total_bounds(geometries)
        bounds = array_bounds(*shape, scene["transform"])
        raise InputError(
            f"{path}: lies at {extent((west, south, east, north), scene['crs'])}, the scene at "
            f"{extent(bounds, scene['crs'])}: no feature falls on it; give the features of this scene"
        )
    if outside:
        note(path, f"{outside} of {len(geometries)} features lie outside the scene")
    return labels


def _pixels(geometry: Any, shape: Shape, transform: Any) -> np.ndarray:
    """(H, W) pixels of one geometry."""
    options: dict[str, Any] = {"out_shape": shape, "transform": transform, "dtype": np.uint8}
    if geometry.geom_type in ("Point", "MultiPoint"):
        # By arithmetic: a point on the edge between two pixels belongs to one of them.
        mine = np.zeros(shape, bool)
        for x, y in shapely.get_coordinates(geometry):
            column, row = (int(np.floor(v)) for v in ~transform * (x, y))
            if 0 <= row < shape[0] and 0 <= column < shape[1]:
                mine[row, column] = True
        return mine
    mine = rasterize([geometry], **options) > 0
    return mine if mine.any() else rasterize([geometry], all_touched=True, **options) > 0
