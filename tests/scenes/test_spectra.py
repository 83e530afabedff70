"""Spectra that are no image: matrices, tables as people keep them, ENVI spectral libraries."""

import json
import os
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
import spectral.io.envi

import sslhsi
from sslhsi.cli import main
from sslhsi.encoder.estimator import SpectralEncoder
from sslhsi.errors import InputError
from sslhsi.evaluation.labelled_scene import labelled_spectra
from sslhsi.scenes.labelled_array import unpack
from sslhsi.scenes.read import read_scene
from sslhsi.scenes.read_spectra import read_spectra

N, B = 9, 6
SPECTRA = np.random.default_rng(0).random((N, B)).round(4)
WAVES = np.array([400.5, 450, 500, 550, 600, 2400.0])
NAMES = [f"leaf {n}" for n in range(N)]
KINDS = ["oak", "ash", "elm"] * 3

NAMED = [[n, *s] for n, s in zip(NAMES, SPECTRA, strict=True)]


def table(rows, delimiter=","):
    return "\n".join(delimiter.join(str(cell) for cell in row) for row in rows) + "\n"


TABLES = {
    "wavelengths alone": ("a.csv", [WAVES, *SPECTRA], {}),
    "names and wavelengths": ("a.csv", [["name", *WAVES], *NAMED], {}),
    "prefix": ("a.csv", [["", *(f"X{w}" for w in WAVES)], *NAMED], {}),
    "units": ("a.tsv", [[f"{w} nm" for w in WAVES], *SPECTRA], {"delimiter": "\t"}),
    "micrometres": ("a.csv", [[f"{w / 1000}um" for w in WAVES], *SPECTRA], {}),
    "white space": ("a.txt", [WAVES, *SPECTRA], {"delimiter": "  "}),
    "two headings": ("a.csv", [["id", "spectra"] + [""] * (B - 1), ["lambda", *WAVES], *NAMED], {}),
    "by columns": ("a.csv", [["Wavelength", *NAMES], *([w, *s] for w, s in zip(WAVES, SPECTRA.T, strict=True))], {}),
    "descending": ("a.csv", [["name", *WAVES[::-1]],
                             *([n, *s[::-1]] for n, s in zip(NAMES, SPECTRA, strict=True))], {}),
}  # fmt: skip


@pytest.mark.parametrize("case", TABLES)
@pytest.mark.parametrize("mark", ["", "\ufeff", "# made by hand\n"])
def test_tables(tmp_path, case, mark):
    name, rows, more = TABLES[case]
    (tmp_path / name).write_text(mark + table(rows, **more), encoding="utf-8")
    spectra = read_spectra(tmp_path / name)
    turned = slice(None, None, -1 if case == "descending" else None)
    np.testing.assert_allclose(spectra.spectra, SPECTRA[:, turned])
    np.testing.assert_allclose(spectra.wavelengths, WAVES[turned])
    assert spectra.names == (tuple(NAMES) if "leaf 1" in table(rows) else ())
    with pytest.raises(InputError, match=r"9 spectra, no image.*shape=\(rows, columns\)"):
        read_scene(tmp_path / name)
    assert read_scene(tmp_path / name, shape=(3, 3), order="C").cube.shape == (3, 3, B)


def test_decimal_commas_and_empty_cells(tmp_path):
    rows = table([["name", *WAVES], *([n, *s] for n, s in zip(NAMES, SPECTRA, strict=True))], ";").replace(".", ",")
    (tmp_path / "a.csv").write_text(rows.replace(str(SPECTRA[0, 0]).replace(".", ","), "", 1))
    spectra = read_spectra(tmp_path / "a.csv")
    assert np.isnan(spectra.spectra[0, 0])
    np.testing.assert_allclose(spectra.spectra[1:], SPECTRA[1:])
    np.testing.assert_allclose(spectra.wavelengths, WAVES)


def test_columns_of_classes(tmp_path):
    rows = [["class", "name", *WAVES], *([k, n, *s] for k, n, s in zip(KINDS, NAMES, SPECTRA, strict=True))]
    (tmp_path / "a.csv").write_text(table(rows))
    spectra = read_spectra(tmp_path / "a.csv")
    assert spectra.classes == ("ash", "elm", "oak")
    np.testing.assert_array_equal(spectra.labels, [2, 0, 1] * 3)
    assert spectra.names == tuple(NAMES)
    assert read_spectra(tmp_path / "a.csv", labels=False).labels is None
    assert len(read_spectra(tmp_path / "a.csv", labels="name").classes) == N
    with pytest.raises(InputError, match=r"'kind' is no file and none of its columns \(class, name"):
        read_spectra(tmp_path / "a.csv", labels="kind")


def test_numbers_of_bands_are_no_wavelengths(tmp_path):
    (tmp_path / "a.csv").write_text(table([["kind", *range(1, B + 1)], *([1, *s] for s in SPECTRA)]))
    spectra = read_spectra(tmp_path / "a.csv")
    assert spectra.wavelengths is None
    assert spectra.spectra.shape == (N, B)
    assert any("no wavelengths" in note for note in spectra.notes)


def test_heading_overrules_the_guess(tmp_path):
    (tmp_path / "a.csv").write_text(table([WAVES, *SPECTRA]))
    assert len(read_spectra(tmp_path / "a.csv", heading=False)) == N + 1
    (tmp_path / "b.csv").write_text(table([[7, 8, 9, 10, 11, 12], *SPECTRA]))
    assert len(read_spectra(tmp_path / "b.csv")) == N + 1
    spectra = read_spectra(tmp_path / "b.csv", heading=True)
    assert len(spectra) == N
    assert spectra.wavelengths is None  # 7 to 12 can be no nanometres


@pytest.mark.parametrize(
    "text", ["a,b\n1,2\n", "no table at all", "a,b,c\n1,2\n", "\n\n", "name,400,500,600\nx,1,y,2\n"]
)
def test_no_tables(tmp_path, text):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(InputError, match="4 columns"):
        read_spectra(tmp_path / "a.csv")


def write(path, **arrays):
    if path.suffix == ".mat":
        scipy.io.savemat(path, arrays)
    elif path.suffix == ".npz":
        np.savez(path, **arrays)
    elif path.suffix == ".npy":
        np.save(path, next(iter(arrays.values())))
    else:
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                file[name] = array
    return path


@pytest.mark.parametrize("suffix", [".mat", ".npz", ".npy", ".h5"])
@pytest.mark.parametrize("shape", [(100, 40), (40, 100), (100, 100), (144, 12)])
def test_a_matrix_alone_is_no_image(tmp_path, suffix, shape):
    matrix = np.random.default_rng(1).random(shape)
    path = write(tmp_path / f"a{suffix}", X=matrix)
    with pytest.raises(InputError, match=f"{shape[0]} spectra, no image"):
        read_scene(path)
    spectra = read_spectra(path)
    np.testing.assert_array_equal(spectra.spectra, matrix)
    assert any("layout='bn'" in note for note in spectra.notes)
    np.testing.assert_array_equal(read_spectra(path, layout="bn").spectra, matrix.T)


def test_wavelengths_and_labels_in_the_file_show_the_layout(tmp_path):
    path = write(tmp_path / "a.mat", X=SPECTRA.T, wavelength=WAVES, gt=np.arange(N) % 3 + 1)
    spectra = read_spectra(path)
    np.testing.assert_array_equal(spectra.spectra, SPECTRA)
    np.testing.assert_allclose(spectra.wavelengths, WAVES)
    np.testing.assert_array_equal(spectra.labels, np.arange(N) % 3 + 1)


def test_labels_in_the_last_column(tmp_path):
    labels = np.arange(N) % 3
    path = write(tmp_path / "a.mat", X=np.column_stack([SPECTRA, labels]))
    spectra = read_spectra(path)
    np.testing.assert_array_equal(spectra.labels, labels)
    assert spectra.spectra.shape == (N, B)
    assert read_spectra(path, labels=False).spectra.shape == (N, B + 1)


@pytest.mark.parametrize("name", ["a.hdr", "a.sli"])
def test_envi_library(tmp_path, name):
    library = spectral.io.envi.SpectralLibrary(
        SPECTRA.astype("float32"),
        {"spectra names": NAMES, "wavelength units": "Nanometers"},
        None,
    )
    library.bands.centers = list(WAVES)
    library.save(str(tmp_path / "a"))
    spectra = read_spectra(tmp_path / name)
    np.testing.assert_allclose(spectra.spectra, SPECTRA, rtol=1e-6)
    np.testing.assert_allclose(spectra.wavelengths, WAVES)
    assert spectra.names == tuple(NAMES)
    with pytest.raises(InputError, match=r"spectral library .*9 spectra, no image"):
        read_scene(tmp_path / name)
    rows = [["NAME", "kind"], *zip(reversed(NAMES), reversed(KINDS), strict=True)]
    (tmp_path / "kinds.csv").write_text(table(rows))
    labelled = read_spectra(tmp_path / name, labels=tmp_path / "kinds.csv", labels_key="kind")
    assert [labelled.classes[label] for label in labelled.labels] == KINDS
    with pytest.raises(InputError, match="name one of NAME, kind with labels_key="):
        read_spectra(tmp_path / name, labels=tmp_path / "kinds.csv")


def test_an_image_is_no_table(tmp_path):
    path = write(tmp_path / "a.npy", X=np.ones((3, 4, 5)))
    with pytest.raises(InputError, match=r"holds an image .*read_scene"):
        read_spectra(path)


def test_spectra_are_arrays(tmp_path):
    spectra = sslhsi.read_spectra(write(tmp_path / "a.npy", X=SPECTRA))
    assert len(spectra) == N
    np.testing.assert_array_equal(np.asarray(spectra), SPECTRA)


def test_data_inspect_says_what_a_table_holds(tmp_path, capsys):
    rows = [["class", *WAVES], *([k, *s] for k, s in zip(KINDS, SPECTRA, strict=True))]
    (tmp_path / "a.csv").write_text(table(rows))
    assert main(["data", "inspect", str(tmp_path / "a.csv"), "--json", "--out", str(tmp_path)]) == 0
    (described,) = json.loads(capsys.readouterr().out)
    assert (described["spectra"], described["bands"], described["wavelengths"]) == (N, B, [400.5, 2400.0])
    assert [entry["name"] for entry in described["classes"]] == ["ash", "elm", "oak"]
    assert not list(tmp_path.glob("*.png"))
    assert main(["data", "inspect", str(tmp_path / "a.csv"), "--shape", "3x3", "--no-png"]) == 0
    assert "height           3" in capsys.readouterr().out


FOLDER = Path(os.environ.get("SSLHSI_DATA", "/nowhere"))
real = pytest.mark.skipif(not (FOLDER / "spectral-libraries").is_dir(), reason="SSLHSI_DATA has no libraries")


@real
@pytest.mark.parametrize(
    ("name", "options", "shape", "range_", "classes"),
    [
        ("earthlib/spectra.sli", {}, (7261, 180), (400, 2450), 0),
        ("earthlib/spectra.sli.hdr", {"labels": "earthlib/spectra.csv", "labels_key": "LEVEL_3"}, (7261, 180),
         (400, 2450), 26),
        ("klum/KLUM_spectra.csv", {"labels": "klum/KLUM_metadata.csv", "labels_key": "class"}, (181, 2151),
         (350, 2500), 12),
        ("nirpy/coffee_classification.csv", {"labels": "Coffee Type"}, (70, 601), None, 7),
        ("nirpy/milk.csv", {}, (450, 601), None, 9),
        ("../ksc/testKSC1.mat", {}, (3784, 176), None, 10),
    ],
)  # fmt: skip
def test_real_libraries(name, options, shape, range_, classes):
    folder = FOLDER / "spectral-libraries"
    beside = {key: folder / value if "/" in value else value for key, value in options.items()}
    spectra = read_spectra(folder / name, **beside)
    assert spectra.spectra.shape == shape
    assert len(np.unique(spectra.labels[spectra.labels >= 0])) == classes if classes else spectra.labels is None
    if range_ is None:
        assert spectra.wavelengths is None
    else:
        np.testing.assert_allclose(spectra.wavelengths[[0, -1]], range_, rtol=0.02)


def test_spectra_where_spectra_are_asked_for(tmp_path):
    labels = np.arange(60) % 3
    values = np.random.default_rng(0).random((60, B)) + labels[:, None]
    path = write(tmp_path / "a.mat", X=values, wavelength=WAVES, gt=np.where(np.arange(60) < 3, -1, labels))
    spectra = read_spectra(path)
    features = SpectralEncoder(wavelengths=spectra.wavelengths, components=3).fit_transform(spectra)
    direct = SpectralEncoder(wavelengths=WAVES, components=3).fit_transform(values)
    np.testing.assert_allclose(features, direct, atol=1e-9)
    target = labelled_spectra("leaves", spectra, per_class=(2,))
    assert target.scene.cube.shape == (57, 1, B)  # three have no label
    np.testing.assert_allclose(target.scene.wavelengths, WAVES)
    with pytest.raises(InputError, match="has no labels"):
        labelled_spectra("leaves", read_spectra(path, labels=False))
    np.testing.assert_array_equal(unpack(spectra, None)[0], values)
