"""Files and options that can't be used: one sentence that names what and the way out, and nothing else."""

import struct
import zipfile

import h5py
import numpy as np
import pytest
import rasterio
import scipy.io

from sslhsi.errors import InputError
from sslhsi.scenes.read import read_labels, read_scene

CUBE = np.random.default_rng(0).integers(1, 100, (5, 7, 11)).astype("int16")
HEADER = "ENVI\nsamples = 7\nlines = 5\nbands = 11\ndata type = 2\ninterleave = bip\nbyte order = 0\n"


def _bytes(content):
    return lambda path: path.write_bytes(content)


def _mat(cut=1.0, change=None, **arrays):
    def write(path):
        scipy.io.savemat(path, arrays or {"data": CUBE})
        content = bytearray(path.read_bytes())
        content = content[: int(len(content) * cut)]
        if change:
            change(content)
        path.write_bytes(content)

    return write


def _claims_huge_dimensions(content):
    content[160:172] = struct.pack("<3i", 2**30, 2**30, 2**30)


def _claims_unknown_element_type(content):
    at = content.index(CUBE.tobytes(order="F")) - 8
    content[at : at + 4] = struct.pack("<I", 250)


def _claims_more_bytes_than_there_are(content):
    content[132:136] = struct.pack("<I", 2**31)


def _envi(header=HEADER, data=None, **changes):
    for key, value in changes.items():
        key = key.replace("_", " ")
        lines = [line for line in header.splitlines() if not line.startswith(f"{key} =")]
        header = "\n".join([*lines, *([f"{key} = {value}"] if value is not None else [])]) + "\n"

    def write(path):
        path.write_text(header)
        path.with_suffix(".img").write_bytes(CUBE.tobytes() if data is None else data)

    return write


def _npy(array, **options):
    return lambda path: np.save(path, array, **options)


def _npy_cut(path):
    np.save(path, CUBE)
    path.write_bytes(path.read_bytes()[:-20])


def _npy_huge(path):
    np.save(path, CUBE)
    path.write_bytes(path.read_bytes().replace(b"(5, 7, 11)", b"(999999999, 7, 11)"[:10].ljust(10)))


def _tif(cut=1.0, dtype="int16", bands=11, fill=None):
    def write(path):
        cube = np.full((bands, 5, 7), fill, dtype) if fill is not None else np.ones((bands, 5, 7), dtype)
        with rasterio.open(
            path, "w", driver="GTiff", height=5, width=7, count=bands, dtype=dtype, nodata=fill
        ) as file:
            file.write(cube)
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * cut)])

    return write


def _h5(cut=1.0, **arrays):
    def write(path):
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                file[name] = array
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * cut)])

    return write


def _h5_huge(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("cube", (10**6, 10**6, 10**3), "f8", chunks=(64, 64, 64))


def _zip(*names):
    def write(path):
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.writestr(name, HEADER if name.endswith(".hdr") else CUBE.tobytes())

    return write


FILES = {
    "no such file": ("a.mat", lambda path: None, "no such file"),
    "a folder": ("a.mat", lambda path: path.mkdir(), "is a folder"),
    "empty": ("a.mat", _bytes(b""), "is empty"),
    "unknown suffix": ("a.jpeg2", _bytes(b"x"), "supported are .mat"),
    "no suffix": ("a", _bytes(b"x"), "no ENVI header beside"),
    "mat: noise": ("a.mat", _bytes(bytes(range(256)) * 9), "MATLAB file"),
    "mat: text": ("a.mat", _bytes(b"hello"), "MATLAB file"),
    "mat: header only": ("a.mat", _mat(cut=0.03), "truncated|MATLAB"),
    "mat: half": ("a.mat", _mat(cut=0.5), "truncated"),
    "mat: nearly whole": ("a.mat", _mat(cut=0.99), "truncated"),
    "mat: huge dimensions": ("a.mat", _mat(change=_claims_huge_dimensions), "corrupt"),
    "mat: huge element": ("a.mat", _mat(change=_claims_more_bytes_than_there_are), "truncated or corrupt"),
    "mat: unknown element": ("a.mat", _mat(change=_claims_unknown_element_type), "corrupt"),
    "mat 7.3: header only": ("a.mat", _bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM"), "truncated"),
    "mat: complex": ("a.mat", _mat(data=CUBE * 1j), "complex"),
    "mat: four axes": ("a.mat", _mat(data=CUBE[None] + np.zeros((2, 1, 1, 1))), r"data \(2, 5, 7, 11\)"),
    "mat: labels only": ("a.mat", _mat(gt=CUBE[:, :, 0]), r"gt \(5, 7\)"),
    "mat: nothing": ("a.mat", _mat(text="hello"), "no array at all"),
    "mat: zero size": ("a.mat", _mat(data=CUBE[:, :0]), "no variable is a"),
    "mat: two cubes": ("a.mat", _mat(a=CUBE, b=CUBE), "name one with cube="),
    "envi: header without data": ("a.hdr", lambda path: path.write_text(HEADER), "header without data"),
    "envi: data without header": ("a.img", _bytes(b"xyz"), "no ENVI header"),
    "envi: short data": ("a.hdr", _envi(data=CUBE.tobytes()[:-1]), "769 bytes but its header claims 770"),
    "envi: empty data": ("a.hdr", _envi(data=b""), "0 bytes"),
    "envi: monstrous size": ("a.hdr", _envi(samples=10**9, lines=10**9), "header claims"),
    "envi: negative size": ("a.hdr", _envi(lines=-5), "at least 1"),
    "envi: zero bands": ("a.hdr", _envi(bands=0), "at least 1"),
    "envi: negative offset": ("a.hdr", _envi(header_offset=-8), "offset"),
    "envi: no lines": ("a.hdr", _envi(lines=None), "lines"),
    "envi: lines in words": ("a.hdr", _envi(lines="many"), "many"),
    "envi: data type": ("a.hdr", _envi(data_type=99), "data type 99"),
    "envi: complex": ("a.hdr", _envi(data_type=6), "complex64"),
    "envi: interleave": ("a.hdr", _envi(interleave="tiled"), "bsq, bil or bip"),
    "envi: byte order": ("a.hdr", _envi(byte_order=7), "byte order"),
    "envi: compressed": ("a.hdr", _envi(file_compression=1), "uncompressed"),
    "envi: spectral library": ("a.hdr", _envi(file_type="ENVI Spectral Library"), "spectral library"),
    "envi: not ENVI": ("a.hdr", _bytes(b"#?RADIANCE\n"), "first line isn't ENVI"),
    "envi: binary": ("a.hdr", _bytes(b"ENVI\0\xff\xfe" * 9), "isn't an ENVI header"),
    "envi: open brace": ("a.hdr", _envi(wavelength="{1, 2"), "ENVI header"),
    "envi: too few wavelengths": ("a.hdr", _envi(wavelength="{400, 500}"), "2 wavelengths for 11 bands"),
    "envi: wavelengths in words": (
        "a.hdr",
        _envi(wavelength="{" + "red," * 10 + "red}"),
        "wavelengths must be numbers",
    ),
    "envi: wavelength zero": ("a.hdr", _envi(wavelength="{" + "0," * 10 + "0}"), "positive"),
    "envi: bbl": ("a.hdr", _envi(bbl="{1, 0}"), "bbl\\) has 2 entries for 11 bands"),
    "envi: bbl drops all": ("a.hdr", _envi(bbl="{" + "0," * 10 + "0}"), "no band is left"),
    "envi: scale factor": ("a.hdr", _envi(reflectance_scale_factor=0), "scale factor"),
    "zip: noise": ("a.zip", _bytes(b"PK\3\4" + b"x" * 50), "zip"),
    "zip: two headers": ("a.zip", _zip("a.hdr", "b.hdr", "a.img", "b.img"), "exactly one .hdr"),
    "zip: no data": ("a.zip", _zip("a.hdr"), "0 data files"),
    "tif: noise": ("a.tif", _bytes(b"II*\0" + b"x" * 90), "GeoTIFF"),
    "tif: truncated": ("a.tif", _tif(cut=0.7), "truncated"),
    "tif: complex": ("a.tif", _tif(dtype="complex64"), "complex64"),
    "tif: one band": ("a.tif", _tif(bands=1), "pass it as labels="),
    "tif: all no-data": ("a.tif", _tif(fill=-1), "no pixel is left"),
    "h5: noise": ("a.h5", _bytes(b"\x89HDF\r\n\x1a\n" + b"x" * 90), "HDF5"),
    "h5: truncated": ("a.h5", _h5(cut=0.6, cube=CUBE), "truncated"),
    "h5: no array": ("a.h5", _h5(x=1.0), "no variable is a"),
    "h5: more than memory": ("a.h5", _h5_huge, "memory"),
    "npy: noise": ("a.npy", _bytes(b"hello"), "npy"),
    "npy: truncated": ("a.npy", _npy_cut, "truncated"),
    "npy: claims more": ("a.npy", _npy_huge, "npy"),
    "npy: objects": ("a.npy", _npy(np.array([{}, 1], dtype=object), allow_pickle=True), "npy"),
    "npy: two axes": ("a.npy", _npy(CUBE[0].astype(float) + 0.5), "pass shape="),
    "npy: complex": ("a.npy", _npy(CUBE * 1j), "complex"),
    "npy: text": ("a.npy", _npy(np.full((2, 3, 4), "x")), "no variable is a"),
    "npy: all NaN": ("a.npy", _npy(CUBE * np.nan), "no pixel is left"),
    "npz: not a zip": ("a.npz", _bytes(b"hello"), "npz"),
    "csv: other columns": ("a.csv", _bytes(b"a,b\n1,2\n"), "4 columns"),
    "csv: words": ("a.csv", _bytes(b"y,x,w,v\n1,2,red,4\n"), "wavenumber"),
    "csv: no grid": ("a.csv", _bytes(b"".join(b"%d,%d,%d,1\n" % (i, i, i + 1) for i in range(9))), "grid"),
    "xz: noise": ("a.xz", _bytes(b"hello"), "table"),
}


@pytest.mark.parametrize("case", FILES)
def test_files(case, tmp_path, capfd):
    name, write, expected = FILES[case]
    write(tmp_path / name)
    with pytest.raises(InputError, match=expected) as caught:
        read_scene(tmp_path / name)
    message = str(caught.value)
    assert str(tmp_path) in message
    assert "\n" not in message
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err == ""


OPTIONS = {
    "labels of another shape": ({"labels": np.ones((7, 7), int)}, r"\(7, 7\).*\(5, 7\)"),
    "transposed labels": ({"labels": np.ones((7, 5), int)}, "transposed"),
    "fractions as labels": ({"labels": np.full((5, 7), 0.5)}, "whole numbers"),
    "labels of a missing file": ({"labels": "nothing.mat"}, "no such file"),
    "labels of an unknown name": ({"labels": "truth"}, "no variable 'truth' among x"),
    "abundances of another shape": ({"abundances": np.ones((5, 6, 3)) / 3}, "abundances"),
    "purity": ({"purity": 2}, "purity: .* less than or equal to 1, not 2"),
    "an unknown option": ({"lables": "gt"}, "unknown key 'lables'; did you mean 'labels'"),
    "too few wavelengths": ({"wavelengths": [400.0, 500, 600]}, "3 wavelengths for 11 bands"),
    "wavelengths in words": ({"wavelengths": ["red"] * 11}, "numbers"),
    "wavelengths with NaN": ({"wavelengths": [np.nan] * 11}, "finite"),
    "wavelengths of a missing file": ({"wavelengths": "nothing.npy"}, "no such file"),
    "wavelengths of an unknown name": ({"wavelengths": "lambda"}, "no variable 'lambda'"),
    "cube of an unknown name": ({"cube": "image"}, "no variable 'image' among x"),
    "drop_bands out of range": ({"drop_bands": [11]}, "0 to 10"),
    "drop_bands negative": ({"drop_bands": [-1]}, r"drop_bands: .*not \[-1\]"),
    "drop_bands of all": ({"drop_bands": range(11)}, "no band is left"),
    "drop_bands in words": ({"drop_bands": "water"}, "drop_bands"),
    "mask of another shape": ({"mask": np.ones((7, 5), bool)}, "mask="),
    "mask of nothing": ({"mask": np.zeros((5, 7), bool)}, "no pixel is left"),
    "layout": ({"layout": "hwc"}, "layout"),
    "order": ({"order": "R"}, "order"),
    "shape": ({"shape": (7, 5)}, "shape="),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_options(case, tmp_path):
    options, expected = OPTIONS[case]
    np.savez(tmp_path / "a.npz", x=CUBE)
    with pytest.raises(InputError, match=expected) as caught:
        read_scene(tmp_path / "a.npz", **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("option", [{"cube": "x"}, {"layout": "hwb"}, {"shape": (5, 7)}, {"order": "C"}])
def test_options_for_named_arrays_do_not_fit_images(tmp_path, option):
    _tif()(tmp_path / "a.tif")
    with pytest.raises(InputError, match="this one is an image"):
        read_scene(tmp_path / "a.tif", **option)


def test_label_files_without_one_label_map(tmp_path):
    scipy.io.savemat(tmp_path / "none.mat", {"x": np.linspace(0, 1, 35).reshape(5, 7)})
    scipy.io.savemat(tmp_path / "two.mat", {"x": CUBE[:, :, 0], "y": CUBE[:, :, 1]})
    with pytest.raises(InputError, match="labels must be whole numbers"):
        read_labels(tmp_path / "none.mat")
    with pytest.raises(InputError, match=r"x \(5, 7\).*y \(5, 7\).*labels_key="):
        read_labels(tmp_path / "two.mat")
    assert (read_labels(tmp_path / "two.mat", labels_key="y") == CUBE[:, :, 1]).all()


@pytest.mark.parametrize("compressed", [False, True])
def test_damaged_matlab_files_never_crash(tmp_path, compressed):
    scipy.io.savemat(tmp_path / "a.mat", {"x": CUBE, "s": {"w": np.arange(11.0)}}, do_compression=compressed)
    whole = (tmp_path / "a.mat").read_bytes()
    generator = np.random.default_rng(0)
    refused = 0
    for trial in range(150):
        content = bytearray(whole)
        for position in generator.integers(128, 128 + (len(whole) - 128) // (1 + trial % 4), 3):
            content[position] = generator.integers(256)
        (tmp_path / "b.mat").write_bytes(content)
        try:
            assert read_scene(tmp_path / "b.mat").cube.ndim == 3
        except InputError:
            refused += 1
    assert refused > 20
