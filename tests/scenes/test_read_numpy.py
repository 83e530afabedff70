"""NumPy files and long text tables."""

import lzma

import numpy as np
import pytest

from sslhsi.errors import InputError
from sslhsi.scenes.read import read_scene


def cube_of(dtype="int16", shape=(5, 7, 11)):
    return np.random.default_rng(0).integers(1, 100, shape).astype(dtype)


@pytest.mark.parametrize("dtype", ["uint8", "int16", ">u2", "float16", "float32", "float64", "bool"])
@pytest.mark.parametrize("fortran", [False, True])
def test_npy_stays_on_disk(tmp_path, dtype, fortran):
    cube = cube_of(dtype)
    np.save(tmp_path / "a.npy", np.asfortranarray(cube) if fortran else cube)
    scene = read_scene(tmp_path / "a.npy")
    assert isinstance(scene.cube, np.memmap)
    np.testing.assert_array_equal(scene.cube, cube)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz(tmp_path, save):
    cube, labels = cube_of(), np.arange(35).reshape(5, 7) % 3
    save(tmp_path / "a.npz", X=cube, y=labels, wavelengths=np.linspace(0.4, 0.9, 11))
    scene = read_scene(tmp_path / "a.npz", classes=("soil", "water"))
    np.testing.assert_array_equal(scene.cube, cube)
    np.testing.assert_array_equal(scene.labels, labels)
    np.testing.assert_allclose(scene.wavelengths, np.linspace(400, 900, 11))
    assert scene.class_name(2) == "water"


def test_npz_of_flattened_pixels_with_labels_in_the_same_order(tmp_path):
    cube, labels = cube_of(shape=(6, 9, 11)), np.arange(54).reshape(6, 9) % 3
    np.savez(tmp_path / "a.npz", X=cube.reshape(54, 11), y=labels.ravel(), rows=6, cols=9)
    scene = read_scene(tmp_path / "a.npz", order="C")
    np.testing.assert_array_equal(scene.cube, cube)
    np.testing.assert_array_equal(scene.labels, labels)


def test_bands_first_by_layout_and_by_evidence(tmp_path):
    cube = cube_of()
    np.save(tmp_path / "a.npy", cube.transpose(2, 0, 1))
    with pytest.raises(InputError, match='layout="hwb" or layout="bhw"'):
        read_scene(tmp_path / "a.npy")  # nothing tells
    for option in ({"layout": "bhw"}, {"wavelengths": np.linspace(400, 900, 11)}, {"labels": np.ones((5, 7), int)}):
        np.testing.assert_array_equal(read_scene(tmp_path / "a.npy", **option).cube, cube)


def test_mask_of_non_finite_pixels_joined_with_a_given_one(tmp_path):
    cube = cube_of("float32")
    cube[0, 0, 3] = np.nan
    cube[1, 1, 4] = np.inf
    np.save(tmp_path / "a.npy", cube)
    given = np.ones((5, 7), dtype=bool)
    given[4] = False
    expected = given.copy()
    expected[0, 0] = expected[1, 1] = False
    np.testing.assert_array_equal(read_scene(tmp_path / "a.npy", mask=given).mask, expected)


def test_a_band_without_values_must_be_dropped_knowingly(tmp_path):
    cube = cube_of("float32")
    cube[:, :, 3], cube[:, :, 7], cube[0, 0, :] = np.nan, 5.0, np.nan
    np.save(tmp_path / "a.npy", cube)
    with pytest.raises(InputError, match=r'bands 3 .*drop_bands="bad"'):
        read_scene(tmp_path / "a.npy")
    expected = np.ones((5, 7), dtype=bool)
    expected[0, 0] = False
    scene = read_scene(tmp_path / "a.npy", drop_bands=[3])
    np.testing.assert_array_equal(scene.cube, np.delete(cube, 3, axis=2))
    np.testing.assert_array_equal(scene.mask, expected)
    scene = read_scene(tmp_path / "a.npy", drop_bands="bad")
    np.testing.assert_array_equal(scene.cube, np.delete(cube, [3, 7], axis=2))
    np.testing.assert_array_equal(scene.mask, expected)


@pytest.mark.parametrize(("heading", "to_nm"), [("", lambda w: 1e7 / w), ("y,x,wavelength nm,counts\n", lambda w: w)])
def test_text_table(tmp_path, heading, to_nm):
    cube = cube_of("float32", (3, 4, 5))
    bands = np.array([1800.0, 1700, 1650, 1500, 900])  # descending and uneven, as spectrometers give them
    lines = [
        f"{y - 1.5},{2 * x},{bands[b]},{'NA' if (y, x, b) == (1, 2, 3) else cube[y, x, b]}"
        for x in range(4)
        for y in range(3)
        for b in range(5)
        if (y, x, b) != (2, 3, 4)
    ]
    text = heading + "\n".join(lines) + "\n"
    (tmp_path / "a.csv").write_text(text)
    with lzma.open(tmp_path / "b.xz", "wt") as file:
        file.write(text)
    cube[1, 2, 3] = cube[2, 3, 4] = np.nan
    for name in ("a.csv", "b.xz"):
        scene = read_scene(tmp_path / name)
        by_wavelength = np.argsort(to_nm(bands))
        np.testing.assert_array_equal(scene.cube, cube[:, :, by_wavelength])
        np.testing.assert_allclose(scene.wavelengths, to_nm(bands)[by_wavelength])
        assert scene.mask is not None
        assert np.argwhere(~scene.mask).tolist() == [[1, 2], [2, 3]]
