"""MATLAB files, written by SciPy (v5) and by h5py in MATLAB's layout (v7.3)."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
import scipy.sparse

from sslhsi.errors import InputError
from sslhsi.scenes.read import read_labels, read_scene

HEADER = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Mon Jan 01 00:00:00 2024 HDF5 schema 1.00 ."


def cube_of(dtype="int16", shape=(5, 7, 11)):
    values = np.random.default_rng(0).integers(0, 100, shape)
    return values.astype(dtype)


def smooth(height, width, bands):
    """An image without symmetry whose neighbours are similar."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([np.sin(rows / 5 + b / 3) + np.cos(columns / 7) * (1 + b / bands) for b in range(bands)], axis=2)


def save_v73(path: Path, **arrays):
    """As MATLAB does it: axes in reverse, a class attribute, a 512-byte header before the HDF5 part."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in arrays.items():
            dataset = file.create_dataset(name, data=np.asarray(array).T, chunks=True)
            dataset.attrs["MATLAB_class"] = np.bytes_(
                {"float64": "double", "float32": "single", "bool": "logical"}.get(str(array.dtype), str(array.dtype))
            )
    with path.open("r+b") as file:
        file.write(HEADER.ljust(116) + b"\0" * 8 + b"\x00\x02IM")


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
@pytest.mark.parametrize("compressed", [False, True])
def test_v5_round_trip(tmp_path, dtype, compressed):
    cube, labels = cube_of(dtype), np.arange(35).reshape(5, 7) % 4
    scipy.io.savemat(tmp_path / "a.mat", {"data": cube, "gt": labels.astype(float)}, do_compression=compressed)
    scene = read_scene(tmp_path / "a.mat")
    assert scene.name == "a"
    assert scene.cube.dtype == dtype
    np.testing.assert_array_equal(scene.cube, cube)
    np.testing.assert_array_equal(scene.labels, labels)


def test_column_major_array_keeps_its_axes(tmp_path):
    cube = np.asfortranarray(cube_of())
    scipy.io.savemat(tmp_path / "a.mat", {"data": cube})
    np.testing.assert_array_equal(read_scene(tmp_path / "a.mat").cube, cube)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
def test_v73_round_trip(tmp_path, dtype):
    cube, labels = cube_of(dtype), (np.arange(35).reshape(5, 7) % 4).astype(np.uint8)
    save_v73(tmp_path / "a.mat", data=cube, gt=labels, wavelengths=np.linspace(400, 900, 11)[None])
    scene = read_scene(tmp_path / "a.mat")
    np.testing.assert_array_equal(scene.cube, cube)
    np.testing.assert_array_equal(scene.labels, labels)
    np.testing.assert_allclose(scene.wavelengths, np.linspace(400, 900, 11))


def test_v73_contiguous_data_stay_on_disk(tmp_path):
    cube = cube_of("float32")
    with h5py.File(tmp_path / "a.mat", "w") as file:
        file.create_dataset("data", data=cube.T)
    scene = read_scene(tmp_path / "a.mat")
    np.testing.assert_array_equal(scene.cube, cube)
    assert isinstance(scene.cube, np.memmap)


def test_v73_text_is_no_candidate(tmp_path):
    save_v73(tmp_path / "a.mat", data=cube_of())
    with h5py.File(tmp_path / "a.mat", "r+") as file:
        note = file.create_dataset("note", data=np.full((5, 7, 11), 65, dtype=np.uint16))
        note.attrs["MATLAB_class"] = np.bytes_("char")
    np.testing.assert_array_equal(read_scene(tmp_path / "a.mat").cube, cube_of())


def test_layout_of_a_cube_with_bands_first(tmp_path):
    cube = cube_of()
    scipy.io.savemat(tmp_path / "a.mat", {"data": cube.transpose(2, 0, 1)})
    np.testing.assert_array_equal(read_scene(tmp_path / "a.mat", layout="bhw").cube, cube)
    wavelengths = np.linspace(400, 900, 11)
    np.testing.assert_array_equal(read_scene(tmp_path / "a.mat", wavelengths=wavelengths).cube, cube)
    labels = np.arange(35).reshape(5, 7) % 4
    np.testing.assert_array_equal(read_scene(tmp_path / "a.mat", labels=labels).cube, cube)


@pytest.mark.parametrize(("rows", "columns"), [("lines", "cols"), ("nRow", "nCol"), ("H", "W"), ("height", "width")])
@pytest.mark.parametrize("order", ["F", "C"])
def test_bands_by_pixels(tmp_path, rows, columns, order):
    cube = smooth(12, 20, 30)
    matrix = cube.reshape(-1, 30, order=order).T
    scipy.io.savemat(tmp_path / "a.mat", {"Y": matrix, rows: 12.0, columns: 20.0, "maxValue": 1.0})
    np.testing.assert_array_equal(read_scene(tmp_path / "a.mat").cube, cube)


def test_pixels_by_bands(tmp_path):
    cube = smooth(12, 20, 30)
    scipy.io.savemat(tmp_path / "a.mat", {"Y": cube.reshape(-1, 30, order="F"), "rows": 12, "cols": 20})
    np.testing.assert_array_equal(read_scene(tmp_path / "a.mat").cube, cube)


def test_bands_by_pixels_without_rows_and_columns(tmp_path):
    cube = smooth(12, 20, 30)
    scipy.io.savemat(tmp_path / "a.mat", {"Y": cube.reshape(-1, 30, order="F").T})
    with pytest.raises(InputError, match=r"shape=\(rows, columns\)"):
        read_scene(tmp_path / "a.mat")
    np.testing.assert_array_equal(read_scene(tmp_path / "a.mat", shape=(12, 20)).cube, cube)
    labels = (cube[:, :, 0] > 0).astype(int)
    np.testing.assert_array_equal(read_scene(tmp_path / "a.mat", labels=labels).cube, cube)


@pytest.mark.parametrize("order", ["F", "C"])
def test_square_image_takes_its_order_from_the_labels(tmp_path, order):
    cube = smooth(15, 15, 30)
    shares = np.stack([cube[:, :, 0] > 0.5, cube[:, :, 0] <= 0.5], axis=2).astype(float)
    scipy.io.savemat(tmp_path / "a.mat", {"Y": cube.reshape(-1, 30, order=order).T, "S_GT": shares})
    scene = read_scene(tmp_path / "a.mat")
    np.testing.assert_array_equal(scene.cube, cube)
    np.testing.assert_array_equal(scene.labels, np.where(cube[:, :, 0] > 0.5, 1, 2))


def test_square_image_without_labels_is_column_major_unless_told(tmp_path):
    cube = smooth(15, 15, 30)
    scipy.io.savemat(tmp_path / "a.mat", {"Y": cube.reshape(-1, 30, order="F").T})
    with pytest.raises(InputError, match="no image"):
        read_scene(tmp_path / "a.mat")
    square = {"shape": (15, 15)}
    np.testing.assert_array_equal(read_scene(tmp_path / "a.mat", **square).cube, cube)
    turned = cube.transpose(1, 0, 2)
    np.testing.assert_array_equal(read_scene(tmp_path / "a.mat", **square, order="C").cube, turned)


def test_abundances_give_labels_and_purity_leaves_mixed_pixels_out(tmp_path):
    shares = np.random.default_rng(1).dirichlet([0.5] * 4, (5, 7))
    scipy.io.savemat(tmp_path / "a.mat", {"Y": cube_of("float64"), "A": shares, "preview": shares[:, :, :3] * 300})
    expected = shares.argmax(axis=2) + 1
    np.testing.assert_array_equal(read_scene(tmp_path / "a.mat").labels, expected)
    expected[shares.max(axis=2) < 0.7] = 0
    assert 0 < (expected > 0).sum() < 35
    np.testing.assert_array_equal(read_scene(tmp_path / "a.mat", purity=0.7).labels, expected)


def test_abundances_from_a_second_file_by_pixels(tmp_path):
    cube, shares = smooth(12, 20, 30), np.random.default_rng(1).dirichlet([1] * 4, (12, 20))
    scipy.io.savemat(tmp_path / "a.mat", {"Y": cube.reshape(-1, 30, order="F").T, "nRow": 12, "nCol": 20})
    scipy.io.savemat(tmp_path / "end4.mat", {"A": shares.reshape(-1, 4, order="F").T, "M": cube[0, :4].T})
    for option in ("labels", "abundances"):
        scene = read_scene(tmp_path / "a.mat", **{option: tmp_path / "end4.mat"})
        np.testing.assert_array_equal(scene.labels, shares.argmax(axis=2) + 1)


def test_indices_of_kept_bands_are_not_taken_for_wavelengths(tmp_path):
    scipy.io.savemat(tmp_path / "a.mat", {"Y": cube_of(), "SlectBands": np.arange(4, 15)[:, None]})
    assert read_scene(tmp_path / "a.mat").wavelengths is None


@pytest.mark.parametrize("name", ["wavelengths", "lambda", "x"])
def test_micrometres_become_nanometres(tmp_path, name):
    scipy.io.savemat(tmp_path / "a.mat", {"Y": cube_of(), name: np.linspace(0.4, 2.5, 11)})
    np.testing.assert_allclose(read_scene(tmp_path / "a.mat").wavelengths, np.linspace(400, 2500, 11))


def test_wavelengths_by_name_array_and_file(tmp_path):
    first, second = np.linspace(400, 900, 11), np.linspace(410, 910, 11)
    scipy.io.savemat(tmp_path / "a.mat", {"Y": cube_of(), "wave_new": first, "wave_old": second})
    np.savetxt(tmp_path / "w.txt", second)
    assert read_scene(tmp_path / "a.mat").wavelengths is None  # two candidates
    np.testing.assert_allclose(read_scene(tmp_path / "a.mat", wavelengths="wave_new").wavelengths, first)
    np.testing.assert_allclose(read_scene(tmp_path / "a.mat", wavelengths=second / 1000).wavelengths, second)
    np.testing.assert_allclose(read_scene(tmp_path / "a.mat", wavelengths=tmp_path / "w.txt").wavelengths, second)


def test_variables_inside_a_struct(tmp_path):
    cube, labels = cube_of(), np.arange(35).reshape(5, 7) % 3
    hsi = {"Data": cube, "sceneLabels": {"labels": labels}, "info": {"wavelength": np.linspace(400, 900, 11)}}
    scipy.io.savemat(tmp_path / "a.mat", {"hsi": hsi})
    scene = read_scene(tmp_path / "a.mat")
    np.testing.assert_array_equal(scene.cube, cube)
    np.testing.assert_array_equal(scene.labels, labels)
    assert scene.wavelengths is not None


@pytest.mark.parametrize("compressed", [False, True])
def test_a_struct_of_things_unknown_does_not_hide_the_cube(tmp_path, compressed):
    extra = {"sparse": scipy.sparse.eye(4).tocsc(), "text": "hello", "cell": np.array([1, "x"], dtype=object)}
    scipy.io.savemat(tmp_path / "a.mat", {"data": cube_of(), "extra": extra}, do_compression=compressed)
    np.testing.assert_array_equal(read_scene(tmp_path / "a.mat").cube, cube_of())


def test_version_4(tmp_path):
    cube = smooth(12, 20, 30)
    variables = {"Y": cube.reshape(-1, 30, order="F").T, "rows": 12, "cols": 20}
    scipy.io.savemat(tmp_path / "a.mat", variables, format="4")
    np.testing.assert_array_equal(read_scene(tmp_path / "a.mat").cube, cube)


def test_ambiguous_cubes_and_labels_are_listed(tmp_path):
    cube, labels = cube_of(), np.arange(35).reshape(5, 7) % 3
    scipy.io.savemat(tmp_path / "a.mat", {"one": cube, "two": cube + 1, "gt": labels, "train": labels})
    with pytest.raises(InputError, match=r"one \(5, 7, 11\).*two \(5, 7, 11\).*cube="):
        read_scene(tmp_path / "a.mat")
    with pytest.raises(InputError, match=r"gt \(5, 7\).*train \(5, 7\).*labels="):
        read_scene(tmp_path / "a.mat", cube="two")
    scene = read_scene(tmp_path / "a.mat", cube="two", labels="train")
    np.testing.assert_array_equal(scene.cube, cube + 1)
    np.testing.assert_array_equal(scene.labels, labels)
    assert read_scene(tmp_path / "a.mat", cube="two", labels=False).labels is None


def test_labels_from_a_file_win_over_a_variable_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scipy.io.savemat("a.mat", {"data": cube_of(), "gt.mat": np.ones((5, 7))})
    labels = np.arange(35).reshape(5, 7) % 3
    scipy.io.savemat("gt.mat", {"gt": labels, "other": labels})
    with pytest.raises(InputError, match="labels_key="):
        read_scene("a.mat", labels="gt.mat")
    np.testing.assert_array_equal(read_scene("a.mat", labels="gt.mat", labels_key="gt").labels, labels)


def test_label_map_alone(tmp_path):
    labels = np.arange(35).reshape(5, 7) % 3
    save_v73(tmp_path / "gt.mat", gt=labels.astype(np.uint8))
    np.testing.assert_array_equal(read_labels(tmp_path / "gt.mat"), labels)


def test_v5_cells_hold_cubes_and_labels(tmp_path):
    cube, cells = cube_of(), np.empty((2, 2), object)
    cells[0, 0], cells[1, 0], cells[0, 1], cells[1, 1] = (
        "Pavia",
        cube,
        np.linspace(400, 900, 11),
        {"gt": cube[..., 0] % 3},
    )
    scipy.io.savemat(tmp_path / "a.mat", {"scene": cells})
    scene = read_scene(tmp_path / "a.mat")
    np.testing.assert_array_equal(scene.cube, cube)
    np.testing.assert_array_equal(scene.labels, cube[..., 0] % 3)
    np.testing.assert_allclose(scene.wavelengths, np.linspace(400, 900, 11))
    np.testing.assert_array_equal(read_labels(tmp_path / "a.mat", labels_key="gt"), cube[..., 0] % 3)
    cells[0, 0] = cube + 1
    scipy.io.savemat(tmp_path / "b.mat", {"scene": cells})
    with pytest.raises(InputError, match=r"several variables may be the cube \(scene\{1\} .*, scene\{2\}"):
        read_scene(tmp_path / "b.mat")
    np.testing.assert_array_equal(read_scene(tmp_path / "b.mat", cube="scene{1}").cube, cube + 1)


def test_v73_cells_hold_cubes(tmp_path):
    cubes = [cube_of(), cube_of() + 1]
    with h5py.File(tmp_path / "a.mat", "w") as file:
        references = []
        for number, cube in enumerate(cubes):
            references.append(file.create_dataset(f"#refs#/{number}", data=cube.T).ref)
        dataset = file.create_dataset(
            "scenes", data=np.array(references, h5py.ref_dtype)[:, None], dtype=h5py.ref_dtype
        )
        dataset.attrs["MATLAB_class"] = np.bytes_("cell")
    for number, cube in enumerate(cubes, 1):
        scene = read_scene(tmp_path / "a.mat", cube=f"scenes{{{number}}}")
        np.testing.assert_array_equal(scene.cube, cube)
