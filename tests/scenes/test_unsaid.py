"""What files leave unsaid or say twice: each is told, none is lost without a word."""

from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio
import scipy.io
from rasterio.transform import from_origin

from sslhsi.errors import InputError
from sslhsi.scenes.read import read_scene

RNG = np.random.default_rng(0)
SMOOTH = RNG.integers(100, 900, (1, 1, 20)) + np.arange(9)[:, None, None] + np.arange(7)[None, :, None]
CUBE = SMOOTH.astype(np.int16)
MAP = np.zeros((9, 7), np.uint8)
MAP[:3], MAP[3:5], MAP[5] = 1, 2, 3


def notes(scene) -> str:
    return " | ".join(scene.notes)


@pytest.mark.parametrize("zero", [None, True, False])
def test_a_label_rasters_no_data_value_is_never_the_first_class(tmp_path, zero):
    stored = np.where(MAP == 0, 255, MAP - 1).astype(np.uint8)
    profile = {"driver": "GTiff", "height": 9, "width": 7, "count": 1, "dtype": "uint8", "nodata": 255}
    with rasterio.open(tmp_path / "gt.tif", "w", transform=from_origin(0, 9, 1, 1), **profile) as file:
        file.write(stored, 1)
    np.save(tmp_path / "cube.npy", CUBE)
    options = {} if zero is None else {"zero_is_class": zero}
    scene = read_scene(tmp_path / "cube.npy", labels=tmp_path / "gt.tif", layout="hwb", **options)
    np.testing.assert_array_equal(scene.labels, MAP if zero else np.where(MAP > 1, MAP - 1, 0))
    assert "21 pixels hold its no-data value (255)" in notes(scene)
    assert ("zero_is_class overrules" in notes(scene)) == (zero is None)
    assert read_scene(tmp_path / "cube.npy", mask=tmp_path / "gt.tif", layout="hwb").mask.sum() == (MAP > 1).sum()


@pytest.mark.parametrize("value", [-2, -9999])
def test_any_negative_value_of_a_map_is_no_class(tmp_path, value):
    np.save(tmp_path / "cube.npy", CUBE)
    np.save(tmp_path / "gt.npy", np.where(MAP == 3, value, MAP.astype(np.int32)))
    scene = read_scene(tmp_path / "cube.npy", labels=tmp_path / "gt.npy", layout="hwb")
    np.testing.assert_array_equal(scene.labels, np.where(MAP == 3, 0, MAP))
    assert f"({value})" in notes(scene)


def test_a_map_of_fractions_says_what_is_wrong_with_it(tmp_path):
    np.save(tmp_path / "cube.npy", CUBE)
    np.save(tmp_path / "gt.npy", MAP + 0.5)
    with pytest.raises(InputError) as refused:
        read_scene(tmp_path / "cube.npy", labels=tmp_path / "gt.npy", layout="hwb")
    assert "labels_key" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "array", "told"),
    [
        ("gt", MAP.T, "gt (7, 9) uint8 is not read as labels: the cube is (9, 7)"),
        ("mask", MAP > 0, "mask (9, 7) uint8 is not read as labels: a mask"),
        ("site", np.ones_like(MAP), "site (9, 7) uint8 is not read as labels"),
    ],
)
def test_maps_that_are_passed_over_are_named(tmp_path, name, array, told):
    scipy.io.savemat(tmp_path / "a.mat", {"cube": CUBE, name: array})
    scene = read_scene(tmp_path / "a.mat", layout="hwb")
    assert scene.labels is None
    assert told in notes(scene)


@pytest.mark.parametrize(("value", "dtype"), [(-9999, np.int16), (-32768, np.int16), (-9999, np.float32)])
def test_what_looks_like_no_data_is_told(tmp_path, value, dtype):
    cube = CUBE.astype(dtype)
    cube[2, 3] = value
    cube[0, 0, 0] = value  # in one band alone: a number like others
    np.save(tmp_path / "cube.npy", cube)
    scene = read_scene(tmp_path / "cube.npy", layout="hwb")
    assert f"{value} stands in every band of pixels (1 of 63 looked at)" in notes(scene)
    given = read_scene(tmp_path / "cube.npy", layout="hwb", nodata=value)
    assert not given.mask[2, 3]
    assert "looks like" not in notes(given)
    assert "looks like" not in notes(read_scene(tmp_path / "cube.npy", layout="hwb", nodata="none"))


def test_one_wavelength_for_all_bands_is_told(tmp_path):
    np.save(tmp_path / "cube.npy", CUBE)
    scene = read_scene(tmp_path / "cube.npy", wavelengths=[500.0] * 20, layout="hwb")
    assert "all 20 bands have one wavelength, 500 nm" in notes(scene)


def test_python_objects_are_refused_in_words_that_help(tmp_path):
    np.ma.masked_array(CUBE, CUBE > 500).dump(tmp_path / "masked.npy")
    np.save(tmp_path / "objects.npy", np.array([{}, 1], dtype=object), allow_pickle=True)
    for name in ("masked", "objects"):
        with pytest.raises(InputError, match="holds Python objects") as refused:
            read_scene(tmp_path / f"{name}.npy")
        assert "allow_pickle" not in str(refused.value)


PLACE = from_origin(600_000, 5_300_000, 30, 30)


@pytest.fixture
def placed(tmp_path):
    """A cube that says where it lies."""
    write(tmp_path / "cube.tif", CUBE, "EPSG:32632", PLACE)
    return tmp_path / "cube.tif"


def write(path, cube: np.ndarray, crs, place) -> None:
    profile = {"driver": "GTiff", "height": cube.shape[0], "width": cube.shape[1], "count": cube.shape[2]}
    with rasterio.open(path, "w", dtype=cube.dtype.name, crs=crs, transform=place, **profile) as file:
        file.write(cube.transpose(2, 0, 1))


def polygons(path, crs: str, *areas: tuple[int, list[list[float]]]) -> None:
    features = [
        {
            "type": "Feature",
            "properties": {"class": number},
            "geometry": {"type": "Polygon", "coordinates": [corners]},
        }
        for number, corners in areas
    ]
    named = {"type": "name", "properties": {"name": crs}}
    document = {"type": "FeatureCollection", "crs": named, "features": features}
    path.write_text(json.dumps(document))


def rows(first: int, last: int) -> list[list[float]]:
    """The outline of rows of the placed cube, in metres."""
    north, south = 5_300_000 - 30 * first, 5_300_000 - 30 * last
    return [[600_000, north], [600_210, north], [600_210, south], [600_000, south], [600_000, north]]


def test_where_a_map_does_not_reach_nothing_is_class_0(placed, tmp_path):
    write(tmp_path / "gt.tif", np.zeros((3, 7, 1), np.uint8), "EPSG:32632", PLACE)
    scene = read_scene(placed, labels=tmp_path / "gt.tif", zero_is_class=True)
    np.testing.assert_array_equal(scene.labels, np.repeat([1, 0], [3, 6])[:, None] * np.ones(7, int))
    polygons(tmp_path / "gt.geojson", "EPSG:32632", (0, rows(0, 3)), (1, rows(3, 5)))
    scene = read_scene(placed, labels=tmp_path / "gt.geojson", zero_is_class=True)
    np.testing.assert_array_equal(scene.labels, np.repeat([1, 2, 0], [3, 2, 4])[:, None] * np.ones(7, int))
    scene = read_scene(placed, labels=tmp_path / "gt.geojson")
    np.testing.assert_array_equal(scene.labels, np.repeat([0, 1, 0], [3, 2, 4])[:, None] * np.ones(7, int))
    assert read_scene(placed, mask=tmp_path / "gt.geojson").mask.sum() == 14


def test_coordinate_systems_that_lead_nowhere_are_refused(placed, tmp_path):
    local = rasterio.crs.CRS.from_wkt('LOCAL_CS["the quarry\'s own grid",UNIT["metre",1]]')
    write(tmp_path / "gt.tif", np.ones((9, 7, 1), np.uint8), local, PLACE)
    with pytest.raises(InputError, match="can't be brought to the scene's coordinate system"):
        read_scene(placed, labels=tmp_path / "gt.tif")


def test_regions_and_polygons_that_lie_nowhere_are_refused(placed, tmp_path):
    polygons(tmp_path / "gt.geojson", "EPSG:4326", (1, [[10, 47], [12, 470], [12, 48], [10, 47]]))
    lines = ["; ENVI Output of ROIs (5.6) [x]", "; File Dimension: 7 x 9", "; ROI name: leaf", "; ROI npts: 1"]
    (tmp_path / "gt.txt").write_text("\n".join([*lines, "  1  99999999999999999999  3"]))
    for name in ("gt.geojson", "gt.txt"):
        with pytest.raises(InputError, match=name):
            read_scene(placed, labels=tmp_path / name)
