"""Label maps as people have them: at a place, with void values, one-hot, painted, as points, polygons, regions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from PIL import Image
from rasterio.crs import CRS
from rasterio.transform import Affine, from_origin
from rasterio.warp import transform as transform_points
from scipy.io import savemat
from spectral.io import envi

from sslhsi.errors import InputError
from sslhsi.scenes.read import read_labels, read_scene

HEIGHT, WIDTH, BANDS = 12, 10, 14
CUBE = np.random.default_rng(0).random((HEIGHT, WIDTH, BANDS)).astype(np.float32)
LABELS = np.zeros((HEIGHT, WIDTH), np.uint8)
LABELS[2:5, 1:6], LABELS[6:9, 3:8], LABELS[9:12, 7:10] = 1, 2, 3
UTM = CRS.from_epsg(32632)
PLACE = from_origin(600_000, 5_300_000, 30, 30)


def write_tif(path: Path, array: np.ndarray, transform: Affine | None = PLACE, crs: CRS | None = UTM) -> Path:
    layers = array[None] if array.ndim == 2 else np.moveaxis(array, 2, 0)
    profile = {"driver": "GTiff", "count": len(layers), "height": layers.shape[1], "width": layers.shape[2]}
    profile |= {"dtype": layers.dtype} | ({"transform": transform, "crs": crs} if transform else {})
    with rasterio.open(path, "w", **profile) as file:
        file.write(layers)
    return path


@pytest.fixture
def cube(tmp_path) -> Path:
    return write_tif(tmp_path / "cube.tif", CUBE)


@pytest.mark.parametrize(
    ("array", "transform", "expected", "told"),
    [
        (LABELS, PLACE, LABELS, ""),
        (LABELS[::-1], Affine(30, 0, 600_000, 0, 30, 5_300_000 - 30 * HEIGHT), LABELS, "flipped"),
        (LABELS[:, ::-1], Affine(-30, 0, 600_000 + 30 * WIDTH, 0, -30, 5_300_000), LABELS, "onto the scene"),
        (np.pad(LABELS, 3), PLACE * Affine.translation(-3, -3), LABELS, "shifted"),
        (LABELS.repeat(3, 0).repeat(3, 1), PLACE * Affine.scale(1 / 3), LABELS, "resampled"),
        (LABELS[:6], PLACE, np.vstack([LABELS[:6], np.zeros((6, WIDTH), int)]), "covers 60 of 120 pixels"),
    ],
    ids=["same grid", "south up", "east to west", "larger", "finer", "part"],
)
def test_a_map_that_says_where_it_lies(tmp_path, cube, array, transform, expected, told):
    scene = read_scene(cube, labels=write_tif(tmp_path / "gt.tif", np.ascontiguousarray(array), transform))
    np.testing.assert_array_equal(scene.labels, expected)
    notes = " ".join(note for note in scene.notes if note.startswith("gt.tif"))
    assert told in notes
    assert bool(notes) == bool(told)


def test_another_coordinate_system_is_warped_and_another_place_refused(tmp_path, cube):
    longitude, latitude = transform_points(UTM, CRS.from_epsg(4326), [600_000], [5_300_000])
    fine = from_origin(longitude[0] - 0.001, latitude[0] + 0.001, 2e-5, 2e-5)
    rows, columns = np.mgrid[:400, :400] + 0.5
    x, y = transform_points(CRS.from_epsg(4326), UTM, *(np.ravel(v) for v in fine * (columns, rows)))
    column, row = (np.floor(v).astype(int) for v in ~PLACE * (np.array(x), np.array(y)))
    inside = (row >= 0) & (row < HEIGHT) & (column >= 0) & (column < WIDTH)
    degrees = np.zeros(rows.size, np.uint8)
    degrees[inside] = LABELS[row[inside], column[inside]]
    path = write_tif(tmp_path / "gt.tif", degrees.reshape(400, 400), fine, CRS.from_epsg(4326))
    scene = read_scene(cube, labels=path)
    assert (scene.labels == LABELS).mean() > 0.97
    assert "warped from EPSG:4326" in " ".join(scene.notes)
    far = write_tif(tmp_path / "far.tif", LABELS, from_origin(10, 40, 0.01, 0.01), CRS.from_epsg(4326))
    with pytest.raises(InputError, match=r"lies at x 10 to 10\.1.*EPSG:4326.*the scene at x 600000 to 600300"):
        read_scene(cube, labels=far)
    with pytest.raises(InputError, match="don't overlap"):
        read_scene(cube, mask=str(far))


def test_masks_are_laid_by_their_place_too(tmp_path, cube):
    south_up = Affine(30, 0, 600_000, 0, 30, 5_300_000 - 30 * HEIGHT)
    mask = write_tif(tmp_path / "mask.tif", np.ascontiguousarray(LABELS[::-1]), south_up)
    np.testing.assert_array_equal(read_scene(cube, mask=str(mask)).mask, LABELS > 0)


def test_silence_about_the_place_is_told(tmp_path, cube):
    scene = read_scene(cube, labels=write_tif(tmp_path / "gt.tif", LABELS, None))
    np.testing.assert_array_equal(scene.labels, LABELS)
    assert "laid on pixel by pixel" in " ".join(scene.notes)


SHIFTED = LABELS.astype(np.int16) - 1  # 0..C-1 with -1 for void
VALUES = {
    "minus one": (SHIFTED, {"zero_is_class": True}, LABELS),
    "minus one, zero none": (SHIFTED, {}, np.maximum(SHIFTED, 0)),
    "255": (np.where(LABELS, LABELS - 1, 255).astype(np.uint8), {"ignore": 255, "zero_is_class": True}, LABELS),
    "several": (np.where(LABELS == 3, 99, LABELS), {"ignore": [99, 2]}, np.where(LABELS == 1, 1, 0)),
    "nan": (np.where(LABELS, LABELS, np.nan), {}, LABELS),
    "masked": (np.ma.masked_equal(np.where(LABELS, LABELS, 7), 7), {}, LABELS),
    "one-hot uint8": (np.eye(4, dtype=np.uint8)[LABELS][..., 1:], {}, LABELS),
    "one-hot bool": (np.eye(4, dtype=bool)[LABELS][..., 1:], {}, LABELS),
    "one-hot float": (np.eye(4)[LABELS][..., 1:], {}, LABELS),
    "one-hot, first": (np.moveaxis(np.eye(4)[LABELS][..., 1:], 2, 0), {}, LABELS),
    "shares with nan": (
        np.where(LABELS[..., None] > 0, np.eye(4)[LABELS][..., 1:] * 0.8 + 0.2 / 3, np.nan),
        {},
        LABELS,
    ),
    "purity": (np.eye(3)[np.maximum(LABELS, 1) - 1] * 0.4 + 0.2, {"purity": 0.9}, np.zeros_like(LABELS)),
}


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("place", ["array", "file"])
def test_what_is_no_class(tmp_path, cube, name, place):
    array, options, expected = VALUES[name]
    labels = array
    if place == "file":
        labels = tmp_path / "gt.npy"
        np.save(labels, np.ma.filled(array, 0) if np.ma.isMaskedArray(array) else array)
    np.testing.assert_array_equal(read_scene(cube, labels=labels, **options).labels, expected)


def test_a_doubtful_255_is_told(cube):
    scene = read_scene(cube, labels=np.where(LABELS, LABELS, 255).astype(np.uint8))
    assert scene.labels.max() == 255
    assert "255 is read as a class (81 pixels); if it stands for none, pass ignore=255" in " ".join(scene.notes)


@pytest.mark.parametrize("mode", ["L", "P", "RGB", "RGBA", "LA"])
def test_painted_pictures(tmp_path, cube, mode):
    palette = np.array([[0, 0, 0], [0, 0, 200], [0, 200, 0], [200, 0, 0]], np.uint8)
    if mode in ("L", "P"):
        picture = Image.fromarray(LABELS, "L")
        if mode == "P":
            picture = picture.convert("P")
            picture = Image.fromarray(LABELS, "P")
            picture.putpalette(palette.ravel().tolist())
    else:
        painted = palette[LABELS] if mode != "LA" else (LABELS * 50)[..., None]
        if mode in ("RGBA", "LA"):
            painted[LABELS == 0] = 77
            painted = np.dstack([painted, (LABELS > 0).astype(np.uint8) * 255])
        picture = Image.fromarray(painted, mode)
    picture.save(tmp_path / "gt.png")
    scene = read_scene(cube, labels=tmp_path / "gt.png")
    np.testing.assert_array_equal(scene.labels, LABELS)
    if mode == "RGB":
        assert scene.classes == ("#0000c8", "#00c800", "#c80000")
        assert "2 #00c800" in " ".join(scene.notes)


def test_a_photograph_is_no_label_map(tmp_path, cube):
    photo = np.random.default_rng(1).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    Image.fromarray(photo).save(tmp_path / "gt.png")
    with pytest.raises(InputError, match=r"gt\.png: holds \d+ colours, which is a photograph"):
        read_scene(cube, labels=tmp_path / "gt.png")


def polygons(field: str, values: list, crs: str = "EPSG:32632") -> tuple[np.ndarray, dict]:
    boxes = [(1, 2, 6, 5), (3, 6, 8, 9), (7, 9, 10, 12)]
    shapes = [shapely.box(*(PLACE * (a, b)), *(PLACE * (c, d))) for a, b, c, d in boxes]
    return np.array(shapes), {"fields": [field], "field_data": [np.array(values)], "crs": crs}


def write_vectors(path: Path, shapes: np.ndarray, fields: list[str], field_data: list, crs: str) -> Path:
    kind = shapes[0].geom_type
    pyogrio.raw.write(path, shapely.to_wkb(shapes), field_data, fields, geometry_type=kind, crs=crs)
    return path


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".shp"])
def test_polygons(tmp_path, cube, suffix):
    shapes, more = polygons("species", ["ash", "birch", "cedar"])
    if suffix == ".geojson":  # longitude and latitude by definition
        more["crs"] = "EPSG:4326"
        shapes = shapely.transform(
            shapes, lambda p: np.column_stack(transform_points(UTM, CRS.from_epsg(4326), p[:, 0], p[:, 1]))
        )
    scene = read_scene(cube, labels=write_vectors(tmp_path / f"gt{suffix}", shapes, **more))
    assert scene.classes == ("ash", "birch", "cedar")
    np.testing.assert_array_equal(scene.labels, LABELS)


def test_points_fields_and_what_lies_elsewhere(tmp_path, cube):
    points = [shapely.Point(PLACE * (c + 0.5, r + 0.5)) for r, c in ((0, 0), (5, 4), (5, 4), (7, 7), (50, 50))]
    more = {"fields": ["plot", "code"], "field_data": [np.arange(5), np.array([1, 2, 3, 0, 1])], "crs": "EPSG:32632"}
    path = write_vectors(tmp_path / "gt.gpkg", np.array(points), **more)
    scene = read_scene(cube, labels=path, labels_key="code")
    assert np.argwhere(scene.labels).tolist() == [[0, 0]]  # two classes on one pixel are none
    told = " ".join(scene.notes)
    assert "1 of 5 features lie outside" in told
    assert "1 pixels bear two classes" in told
    with pytest.raises(InputError, match=r"no field 'cod' among plot, code"):
        read_scene(cube, labels=path, labels_key="cod")
    far = write_vectors(tmp_path / "far.gpkg", np.array([shapely.Point(0, 0)] * 5), **more)
    with pytest.raises(InputError, match="no feature falls on it"):
        read_scene(cube, labels=far, labels_key="code")
    np.save(tmp_path / "cube.npy", CUBE)
    with pytest.raises(InputError, match="need a scene that says where it lies"):
        read_scene(tmp_path / "cube.npy", labels=path, labels_key="code", layout="hwb")
    unclear = write_vectors(tmp_path / "odd.gpkg", np.array(points), ["a", "b"], more["field_data"], "EPSG:32632")
    with pytest.raises(InputError, match=r"which field holds the class\? It has a, b; name one with labels_key="):
        read_scene(cube, labels=unclear)


def test_regions_of_interest(tmp_path, cube):
    lines = ["; ENVI Output of ROIs (5.6) [x]", "; Number of ROIs: 3", f"; File Dimension: {WIDTH} x {HEIGHT}", ";"]
    for number, name in enumerate(("grass", "soil", "water"), 1):
        lines += [f"; ROI name: {name}", "; ROI rgb value: {255, 0, 0}", f"; ROI npts: {(number == LABELS).sum()}"]
    lines.append(";   ID    X    Y      B1")
    for number in (1, 2, 3):
        lines += [f"  {n}  {c + 1}  {r + 1}  0.5" for n, (r, c) in enumerate(np.argwhere(number == LABELS), 1)] + [""]
    (tmp_path / "gt.txt").write_text("\n".join(lines))
    scene = read_scene(cube, labels=tmp_path / "gt.txt")
    np.testing.assert_array_equal(scene.labels, LABELS)
    assert scene.classes == ("grass", "soil", "water")
    (tmp_path / "gt.txt").write_text("\n".join(lines).replace(f"{WIDTH} x {HEIGHT}", "99 x 98"))
    with pytest.raises(InputError, match="98 lines and 99 samples, the scene has 12 and 10"):
        read_scene(cube, labels=tmp_path / "gt.txt")
    (tmp_path / "gt.txt").write_text("\n".join(lines[:-9]))
    with pytest.raises(InputError, match="export the regions from ENVI as text again"):
        read_scene(cube, labels=tmp_path / "gt.txt")


@pytest.mark.parametrize(
    ("names", "values", "expected", "classes"),
    [
        (["Unclassified", "a", "b", "c"], LABELS, LABELS, ("a", "b", "c")),
        (["a", "b", "c"], LABELS, LABELS, ("a", "b", "c")),
        (["rock", "a", "b", "c"], LABELS, LABELS + 1, ("rock", "a", "b", "c")),
    ],
    ids=["unclassified", "none for 0", "0 is rock"],
)
def test_class_names_of_envi(tmp_path, cube, names, values, expected, classes):
    more = {"file type": "ENVI Classification", "classes": len(names), "class names": names}
    envi.save_image(str(tmp_path / "gt.hdr"), values[..., None].astype(np.uint8), ext=".img", metadata=more)
    scene = read_scene(cube, labels=tmp_path / "gt.hdr")
    assert scene.classes == classes
    np.testing.assert_array_equal(scene.labels, expected)
    plain = read_scene(cube, labels=tmp_path / "gt.hdr", zero_is_class=False)
    np.testing.assert_array_equal(plain.labels, LABELS)


@pytest.mark.parametrize("layer", ["valid_mask", "cloud_mask", "quality", "Haze_Flag", "QA"])
def test_a_mask_is_no_ground_truth(tmp_path, layer):
    quality = np.tile([1, 2], (HEIGHT, WIDTH // 2)).astype(np.uint8)
    savemat(tmp_path / "a.mat", {"hsi": {"Data": CUBE, layer: quality, "truth": {"labels": SHIFTED.astype(float)}}})
    scene = read_scene(tmp_path / "a.mat", zero_is_class=True)
    np.testing.assert_array_equal(scene.labels, LABELS)
    savemat(tmp_path / "b.mat", {"hsi": {"Data": CUBE, layer: quality}})
    assert read_scene(tmp_path / "b.mat").labels is None
    np.testing.assert_array_equal(read_scene(tmp_path / "b.mat", labels=layer).labels, quality)


def test_a_separate_map_alone(tmp_path):
    np.save(tmp_path / "gt.npy", SHIFTED)
    np.testing.assert_array_equal(read_labels(tmp_path / "gt.npy", zero_is_class=True), LABELS)
    with pytest.raises(InputError, match="zero_is_clas"):
        read_labels(tmp_path / "gt.npy", zero_is_clas=True)


def test_json_that_holds_no_features(tmp_path, cube):
    (tmp_path / "gt.json").write_text(json.dumps({"a": 1}))
    with pytest.raises(InputError, match=r"gt\.json: can't be read as points or polygons"):
        read_scene(cube, labels=tmp_path / "gt.json")
