"""Features as rasters: values lie where their pixels do, and a file is there whole or not at all."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from rasterio.crs import CRS
from rasterio.transform import Affine, from_origin

from sslhsi.errors import InputError
from sslhsi.scenes.write_raster import write_raster

PLACE = from_origin(500_000, 4_000_000, 2.0, 2.0)
VALUES = np.random.default_rng(0).normal(size=(9, 7, 5)).astype(np.float32)


def strips(values=VALUES):
    return ((slice(i, min(i + 4, 9)), values[i : i + 4]) for i in range(0, 9, 4))


@pytest.mark.parametrize(
    ("ending", "first", "stride"), [("tif", 0, 1), ("img", 2, 1), ("tif", 2, 3), ("TIFF", 0, 2), ("npy", 0, 1)]
)
def test_values_lie_where_their_pixels_do(tmp_path, ending, first, stride):
    georeference = {"crs": CRS.from_epsg(32633), "transform": PLACE}
    path = tmp_path / "new" / f"features.{ending}"
    names = [f"feature {n}" for n in range(5)]
    written = write_raster(
        path, strips(), VALUES.shape, "float32", georeference, first=first, stride=stride, names=names
    )
    assert sorted(tmp_path.joinpath("new").iterdir()) == sorted(written)
    if ending == "npy":
        np.testing.assert_array_equal(np.load(path), VALUES)
        return
    with rasterio.open(path) as file:
        np.testing.assert_array_equal(np.moveaxis(file.read(), 0, 2), VALUES)
        assert file.crs == CRS.from_epsg(32633)
        assert file.descriptions == tuple(names)
        # The centre of value (i, j) is the centre of the pixel that it was made around.
        for row, column in ((0, 0), (8, 6)):
            pixel = PLACE * (first + column * stride + 0.5, first + row * stride + 0.5)
            assert file.xy(row, column) == pytest.approx(pixel)


def test_without_a_place(tmp_path):
    write_raster(tmp_path / "classes.tif", [(slice(0, 9), np.ones((9, 7, 1), np.uint8))], (9, 7, 1), "uint8")
    with rasterio.open(tmp_path / "classes.tif") as file:
        assert file.dtypes == ("uint8",)
        assert file.transform == Affine.identity()


def test_what_can_not_be_written_leaves_what_was_there(tmp_path):
    (tmp_path / "features.tif").write_text("older")
    (tmp_path / "file").touch()

    def broken():
        yield slice(0, 4), VALUES[:4]
        raise OSError(28, "No space left on device")

    with pytest.raises(InputError, match="the disk is full"):
        write_raster(tmp_path / "features.tif", broken(), VALUES.shape)
    with pytest.raises(InputError, match="end the name in"):
        write_raster(tmp_path / "features.jpg", strips(), VALUES.shape)
    with pytest.raises(InputError, match="can't be written"):
        write_raster(tmp_path / "file" / "features.tif", strips(), VALUES.shape)
    assert (tmp_path / "features.tif").read_text() == "older"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["features.tif", "file"]
