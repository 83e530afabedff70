"""GeoTIFFs, written by rasterio."""

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from sslhsi.errors import InputError
from sslhsi.scenes.read import read_labels, read_scene


def cube_of(dtype="int16", shape=(5, 7, 11)):
    return np.random.default_rng(0).integers(1, 100, shape).astype(dtype)


def write(path, cube, *, tag=None, **profile):
    height, width, bands = cube.shape
    profile = {"driver": "GTiff", "height": height, "width": width, "count": bands, "dtype": cube.dtype} | profile
    with rasterio.open(path, "w", **profile) as file:
        file.write(cube.transpose(2, 0, 1))
        for band in range(bands):
            if tag:
                tag(file, band + 1)
    return path


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
@pytest.mark.parametrize("options", [{}, {"interleave": "pixel"}, {"compress": "lzw", "interleave": "band"}])
def test_round_trip(tmp_path, dtype, options):
    cube = cube_of(dtype)
    scene = read_scene(write(tmp_path / "a.tif", cube, **options))
    assert scene.cube.dtype == dtype
    np.testing.assert_array_equal(scene.cube, cube)
    assert scene.wavelengths is None
    assert scene.mask is None


def test_tiles_larger_than_a_block_of_rows(tmp_path):
    cube = cube_of("uint8", (600, 40, 200))
    scene = read_scene(write(tmp_path / "a.tif", cube, tiled=True, blockxsize=16, blockysize=256, compress="deflate"))
    np.testing.assert_array_equal(scene.cube, cube)


def test_georeference_is_kept(tmp_path):
    transform = from_origin(542160, 4136430, 2, 2)
    scene = read_scene(write(tmp_path / "a.tif", cube_of(), crs="EPSG:32617", transform=transform))
    assert scene.georeference is not None
    assert scene.georeference["transform"] == transform
    assert scene.georeference["crs"].to_epsg() == 32617


@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_no_data_pixels_are_masked(tmp_path, dtype):
    cube = cube_of(dtype)
    nodata = -9999 if dtype == "int16" else -3.4e38
    cube[0, :3] = nodata
    cube[4, 6, 0] = nodata
    scene = read_scene(write(tmp_path / "a.tif", cube, nodata=nodata))
    expected = np.ones((5, 7), dtype=bool)
    expected[0, :3] = expected[4, 6] = False
    np.testing.assert_array_equal(scene.mask, expected)


def test_nan_no_data(tmp_path):
    cube = cube_of("float32")
    cube[2, 2] = np.nan
    scene = read_scene(write(tmp_path / "a.tif", cube, nodata=np.nan))
    assert scene.mask is not None
    assert np.argwhere(~scene.mask).tolist() == [[2, 2]]


@pytest.mark.parametrize(
    "tag",
    [
        lambda file, band: file.update_tags(band, wavelength=f"{400 + 10 * band}", wavelength_units="Nanometers"),
        lambda file, band: file.update_tags(
            band, wavelength=f"{0.4 + 0.01 * band:.2f}", wavelength_units="Micrometers"
        ),
        lambda file, band: file.update_tags(band, ns="IMAGERY", CENTRAL_WAVELENGTH_UM=f"{0.4 + 0.01 * band:.3f}"),
        lambda file, band: file.set_band_description(band, f"{400 + 10 * band} nm"),
        lambda file, band: file.set_band_description(band, f"band {band} ({400 + 10 * band}.0 Nanometers)"),
    ],
)
def test_wavelengths_from_bands(tmp_path, tag):
    scene = read_scene(write(tmp_path / "a.tif", cube_of(), tag=tag))
    np.testing.assert_allclose(scene.wavelengths, 400 + 10 * np.arange(1, 12))


def test_descriptions_without_wavelengths(tmp_path):
    tag = lambda file, band: file.set_band_description(band, f"band {band}")  # noqa: E731
    assert read_scene(write(tmp_path / "a.tif", cube_of(), tag=tag)).wavelengths is None


def test_one_band_is_a_label_map(tmp_path):
    labels = np.arange(35).reshape(5, 7) % 3
    stored = labels.astype("uint8")
    stored[0, 0] = 255
    gt = write(tmp_path / "gt.tif", stored[:, :, None], nodata=255)
    with pytest.raises(InputError, match="labels="):
        read_scene(gt)
    np.testing.assert_array_equal(read_labels(gt), labels)
    cube = write(tmp_path / "a.tif", cube_of())
    np.testing.assert_array_equal(read_scene(cube, labels=gt).labels, labels)
    np.testing.assert_array_equal(read_scene(cube, mask=gt).mask, labels > 0)
