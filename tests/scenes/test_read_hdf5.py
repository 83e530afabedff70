"""HDF5 files, written by h5py."""

import h5py
import numpy as np
import pytest

from sslhsi.errors import InputError
from sslhsi.scenes.read import read_scene


def cube_of(dtype="int16", shape=(5, 7, 11)):
    return np.random.default_rng(0).integers(1, 100, shape).astype(dtype)


@pytest.mark.parametrize("dtype", ["uint8", "int16", ">u2", "float32", "float64"])
@pytest.mark.parametrize("chunked", [False, True])
def test_round_trip(tmp_path, dtype, chunked):
    cube = cube_of(dtype)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("scene/cube", data=cube, compression="gzip" if chunked else None)
        file["scene/wavelength"] = np.linspace(400, 900, 11)
    scene = read_scene(tmp_path / "a.h5")
    np.testing.assert_array_equal(scene.cube, cube)
    np.testing.assert_allclose(scene.wavelengths, np.linspace(400, 900, 11))
    assert isinstance(scene.cube, np.memmap) is not chunked


def test_bands_first_is_told_by_wavelengths_or_labels(tmp_path):
    cube = cube_of()
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["cube"] = cube.transpose(2, 0, 1)
        file["wavelength"] = np.linspace(400, 900, 11)
    np.testing.assert_array_equal(read_scene(tmp_path / "a.h5").cube, cube)
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["cube"] = cube.transpose(2, 0, 1)
        file["gt"] = np.arange(35).reshape(5, 7) % 3
    scene = read_scene(tmp_path / "b.h5")
    np.testing.assert_array_equal(scene.cube, cube)
    np.testing.assert_array_equal(scene.labels, np.arange(35).reshape(5, 7) % 3)


def test_names_with_groups(tmp_path):
    cube, labels = cube_of(), np.arange(35).reshape(5, 7) % 3
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["site/reflectance"], file["site/radiance"] = cube, cube + 1
        file["site/truth"], file["site/clouds"] = labels, labels
    for name in ("site/reflectance", "reflectance"):
        scene = read_scene(tmp_path / "a.h5", cube=name, labels="site/truth")
        np.testing.assert_array_equal(scene.cube, cube)
        np.testing.assert_array_equal(scene.labels, labels)
    with pytest.raises(InputError, match=r"site/radiance.*site/reflectance"):
        read_scene(tmp_path / "a.h5")


def test_fill_value(tmp_path):
    cube = cube_of()
    cube[1, 1] = -9999
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["cube"] = cube
        file["cube"].attrs["_FillValue"] = np.int16(-9999)
    scene = read_scene(tmp_path / "a.h5")
    assert scene.mask is not None
    assert np.argwhere(~scene.mask).tolist() == [[1, 1]]


@pytest.mark.parametrize("axes", ["hwb", "bhw"])
def test_wavelengths_among_the_attributes_of_the_cube(tmp_path, axes):
    cube = cube_of()
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["cube"] = cube.transpose(["hwb".index(axis) for axis in axes])
        file["cube"].attrs["wavelengths"] = np.linspace(0.4, 0.9, 11)
        file["cube"].attrs["wavelength_units"] = "um"
    scene = read_scene(tmp_path / "a.h5")
    np.testing.assert_array_equal(scene.cube, cube)
    np.testing.assert_allclose(scene.wavelengths, np.linspace(400, 900, 11))


def test_a_leading_axis_of_one_is_left_out(tmp_path):
    cube = cube_of()
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["cube"] = cube[None]
    np.save(tmp_path / "b.npy", cube[None])
    np.savez(tmp_path / "c.npz", cube=cube[None])
    for name in ("a.h5", "b.npy", "c.npz"):
        scene = read_scene(tmp_path / name, layout="hwb")
        np.testing.assert_array_equal(scene.cube, cube)
        assert isinstance(scene.cube, np.memmap) is not name.endswith("z")
