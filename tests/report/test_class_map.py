"""The class map's picture and files by themselves: odd shapes, many classes, awkward names."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from matplotlib.image import imread
from spectral.io import envi

from sslhsi.errors import InputError
from sslhsi.report.class_map import class_map
from sslhsi.report.feature_picture import feature_picture
from sslhsi.report.pictures import class_colours, class_palette
from sslhsi.scenes.write_raster import write_labels


@pytest.mark.slow
@pytest.mark.parametrize(
    ("height", "width", "classes"), [(145, 145, 16), (20, 300, 9), (300, 25, 40), (7, 5, 1), (2000, 1800, 3)]
)
def test_the_map_is_whole_and_nothing_leaves_the_picture(tmp_path, height, width, classes):
    labels = np.random.default_rng(0).integers(1, classes + 1, (height, width))
    names = [f"a rather long name of class number {n}" for n in range(1, classes + 1)]
    path = class_map(tmp_path / "map.png", labels, names, title="scene", notes=["one", "two"])
    picture = np.round(255 * imread(path)[..., :3]).astype(int)
    assert 600 < max(picture.shape) < 2600
    for edge in (picture[:8], picture[-8:], picture[:, :8], picture[:, -8:]):
        assert (edge == 255).all()
    weights = [65536, 256, 1]
    counts = np.bincount((picture @ weights).ravel(), minlength=1 << 24)
    shown = counts[np.floor(255 * class_colours(classes)[:, :3]).astype(int) @ weights]
    # Every class of the map, in whole squares of its colour and of no mixture.
    step = -(-max(height, width) // 1440)
    scale = max(1, round(720 / -(-max(height, width) // step)))
    expected = np.bincount(labels[::step, ::step].ravel(), minlength=classes + 1)[1:] * scale**2
    assert (shown >= 0.97 * expected).all()
    assert not list(tmp_path.glob(".*"))


def test_unclassified_pixels_are_in_the_legend_and_pale(tmp_path):
    labels = np.ones((10, 10), int)
    with_all = imread(class_map(tmp_path / "a.png", labels, ["field"], title="x"))
    labels[:5] = 0
    with_some = imread(class_map(tmp_path / "b.png", labels, ["field"], title="x"))
    pale = np.isclose(with_some[..., :3], 0.93, atol=0.01).all(axis=2)
    assert pale.sum() > 0.3 * pale.size
    assert np.isclose(with_all[..., :3], 0.93, atol=0.01).all(axis=2).sum() < 1000


def test_awkward_names_and_many_labels_survive(tmp_path):
    labels = np.array([[0, 1, 300], [2, 2, 1]])
    names = ["corn, young {row}", *(f"class {n}" for n in range(2, 301))]
    for ending in ("img", "tif", "npy"):
        written = write_labels(tmp_path / f"map.{ending}", labels, names, class_palette(300))
        assert all(path.is_file() for path in written)
    image = envi.open(str(tmp_path / "map.hdr"))
    np.testing.assert_array_equal(np.squeeze(image.open_memmap()), labels)
    assert image.metadata["class names"][1] == "corn- young row"
    assert len(image.metadata["class names"]) == int(image.metadata["classes"]) == 301
    assert "map info" not in image.metadata
    with rasterio.open(tmp_path / "map.tif") as file:
        np.testing.assert_array_equal(file.read(1), labels)
        assert file.tags(1)["class_1"] == names[0]
    assert np.load(tmp_path / "map.npy").dtype == np.uint16


def test_what_can_not_be_written(tmp_path):
    labels = np.ones((3, 3), int)
    (tmp_path / "file").write_text("in the way")
    for write in (
        lambda: write_labels(tmp_path / "file" / "a.tif", labels, ["x"], class_palette(1)),
        lambda: write_labels(tmp_path / "file" / "a.img", labels, ["x"], class_palette(1)),
        lambda: class_map(tmp_path / "file" / "a.png", labels, ["x"], title="x"),
        lambda: feature_picture(tmp_path / "file" / "a.png", np.random.default_rng(0).random((3, 3, 4))),
    ):
        with pytest.raises(InputError, match="can't be written"):
            write()
    with pytest.raises(InputError, match=r"end the name in \.tif, \.tiff, \.img, \.npy"):
        write_labels(tmp_path / "a.jpg", labels, ["x"], class_palette(1))
    with pytest.raises(InputError, match="no pixel has finite features"):
        feature_picture(tmp_path / "a.png", np.full((3, 3, 4), np.nan))


def test_false_colours_are_the_principal_components(tmp_path):
    rng = np.random.default_rng(0)
    components = rng.normal(size=(30, 20, 3)) * [9, 3, 1]
    basis = np.linalg.qr(rng.normal(size=(8, 8)))[0][:, :3]
    features = (components @ basis.T + 5).astype(np.float32)
    picture = imread(feature_picture(tmp_path / "a.png", features))[..., :3].reshape(-1, 3)
    for number in range(3):
        inside = (picture[:, number] > 0.02) & (picture[:, number] < 0.98)
        together = np.corrcoef(picture[inside, number], components.reshape(-1, 3)[inside, number])[0, 1]
        assert abs(together) > 0.99
