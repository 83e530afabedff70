"""ENVI images, written by spectral and by hand."""

import zipfile

import numpy as np
import pytest
from spectral.io import envi

from sslhsi.errors import InputError
from sslhsi.scenes.read import read_labels, read_scene

DTYPES = {"uint8": 1, "int16": 2, "int32": 3, "float32": 4, "float64": 5, "uint16": 12, "uint32": 13, "int64": 14}


def cube_of(dtype="uint16", shape=(5, 7, 11)):
    return np.random.default_rng(0).integers(1, 100, shape).astype(dtype)


def write(folder, cube, extra="", name="a", suffix=".img", interleave="bip", byte_order=0, offset=0):
    """Header and data by hand; returns the header's path."""
    height, width, bands = cube.shape
    axes = {"bip": (0, 1, 2), "bil": (0, 2, 1), "bsq": (2, 0, 1)}[interleave]
    stored = cube.transpose(axes).astype(cube.dtype.newbyteorder("<" if byte_order in (0, None) else ">"))
    (folder / f"{name}{suffix}").write_bytes(b"\xff" * offset + stored.tobytes())
    order = "" if byte_order is None else f"byte order = {byte_order}\n"
    header = folder / f"{name}.hdr"
    header.write_text(
        f"ENVI\nsamples = {width}\nlines = {height}\nbands = {bands}\nheader offset = {offset}\n"
        f"data type = {DTYPES[cube.dtype.name]}\ninterleave = {interleave}\n{order}{extra}\n"
    )
    return header


@pytest.mark.parametrize("interleave", ["bsq", "bil", "bip"])
@pytest.mark.parametrize("dtype", sorted(DTYPES))
@pytest.mark.parametrize("byte_order", [0, 1])
def test_round_trip_of_what_spectral_writes(tmp_path, interleave, dtype, byte_order):
    cube = cube_of(dtype)
    envi.save_image(str(tmp_path / "a.hdr"), cube, dtype=dtype, interleave=interleave, byteorder=byte_order)
    scene = read_scene(tmp_path / "a.hdr")
    np.testing.assert_array_equal(scene.cube, cube)
    assert scene.cube.dtype.newbyteorder("=") == np.dtype(dtype)
    assert isinstance(scene.cube, np.memmap)
    assert scene.source == tmp_path / "a.img"


@pytest.mark.parametrize("suffix", [".raw", ".img", ".dat", "", ".bil", ".RAW", ".rfl"])
def test_header_is_found_beside_the_data_and_back(tmp_path, suffix):
    cube = cube_of()
    header = write(tmp_path, cube, suffix=suffix, interleave="bil", byte_order=None)
    np.testing.assert_array_equal(read_scene(tmp_path / f"a{suffix}").cube, cube)
    if suffix != ".rfl":
        np.testing.assert_array_equal(read_scene(header).cube, cube)
    header.rename(tmp_path / f"a{suffix}.hdr")
    np.testing.assert_array_equal(read_scene(tmp_path / f"a{suffix}").cube, cube)
    np.testing.assert_array_equal(read_scene(tmp_path / f"a{suffix}.hdr").cube, cube)


def test_header_offset_and_missing_byte_order(tmp_path):
    cube = cube_of()
    header = write(tmp_path, cube, offset=13, byte_order=None)
    np.testing.assert_array_equal(read_scene(header).cube, cube)


def test_of_two_data_files_the_one_of_the_right_size_is_taken(tmp_path):
    cube = cube_of()
    header = write(tmp_path, cube)
    (tmp_path / "a.dat").write_bytes(b"notes")
    np.testing.assert_array_equal(read_scene(header).cube, cube)
    (tmp_path / "a.dat").write_bytes((tmp_path / "a.img").read_bytes())
    with pytest.raises(InputError, match=r"a\.dat, a\.img"):
        read_scene(header)


@pytest.mark.parametrize(
    ("values", "unit", "expected"),
    [
        (np.linspace(400, 900, 11), "Nanometers", np.linspace(400, 900, 11)),
        (np.linspace(400, 900, 11), None, np.linspace(400, 900, 11)),
        (np.linspace(0.4, 2.5, 11), "Micrometers", np.linspace(400, 2500, 11)),
        (np.linspace(0.4, 2.5, 11), None, np.linspace(400, 2500, 11)),
        (np.linspace(0.4, 2.5, 11), "Unknown", np.linspace(400, 2500, 11)),
        (np.linspace(8, 12, 11), "um", np.linspace(8000, 12000, 11)),
        (np.linspace(1000, 4000, 11), "Wavenumber", 1e7 / np.linspace(4000, 1000, 11)),
        (np.linspace(1000, 4000, 11), "cm-1", 1e7 / np.linspace(4000, 1000, 11)),
        (np.linspace(4200, 9800, 11), "Angstroms", np.linspace(420, 980, 11)),
        (np.arange(1, 12), "Index", None),
    ],
)
def test_wavelength_units(tmp_path, values, unit, expected):
    extra = "wavelength = {" + ",\n".join(f"{v:.6f}" for v in values) + "}"
    if unit:
        extra += f"\nwavelength units = {unit}"
    scene = read_scene(write(tmp_path, cube_of(), extra))
    if expected is None:
        assert scene.wavelengths is None
    else:
        np.testing.assert_allclose(scene.wavelengths, expected, rtol=1e-5)


def test_wavenumbers_named_only_in_the_plot_titles(tmp_path):
    values = np.linspace(1000, 4000, 11)
    extra = "z plot titles = {Wavenumbers (cm-1), Absorbance}\nwavelength = {" + ", ".join(map(str, values)) + "}"
    np.testing.assert_allclose(read_scene(write(tmp_path, cube_of(), extra)).wavelengths, 1e7 / values[::-1])


def test_bad_band_list_drops_bands_and_says_so(tmp_path, caplog):
    cube, wavelengths = cube_of(), np.linspace(400, 900, 11)
    bbl = [1, 1, 0, 1, 0, 0, 1, 1, 1, 1, 1]
    extra = f"bbl = {{{','.join(map(str, bbl))}}}\nwavelength = {{{','.join(map(str, wavelengths))}}}"
    header = write(tmp_path, cube, extra)
    keep = np.array(bbl, dtype=bool)
    with caplog.at_level("INFO", logger="sslhsi.scenes"):
        scene = read_scene(header)
    assert "3 of 11 bands dropped: 2, 4-5" in caplog.text
    np.testing.assert_array_equal(scene.cube, cube[:, :, keep])
    np.testing.assert_allclose(scene.wavelengths, wavelengths[keep])
    np.testing.assert_array_equal(read_scene(header, drop_bands=()).cube, cube)
    np.testing.assert_array_equal(read_scene(header, drop_bands=[0]).cube, cube[:, :, 1:])
    given = read_scene(header, wavelengths=wavelengths + 1)  # as many as in the file
    np.testing.assert_allclose(given.wavelengths, wavelengths[keep] + 1)
    given = read_scene(header, wavelengths=wavelengths[keep] + 1)  # as many as are left
    np.testing.assert_allclose(given.wavelengths, wavelengths[keep] + 1)


def test_dropping_a_run_of_bands_keeps_the_cube_on_disk(tmp_path):
    cube = cube_of()
    extra = "bbl = {0,0,1,1,1,1,1,1,1,1,0}"
    scene = read_scene(write(tmp_path, cube, extra))
    np.testing.assert_array_equal(scene.cube, cube[:, :, 2:10])
    assert isinstance(scene.cube, np.memmap)


def test_ignored_values_are_masked_in_stored_units_and_reflectance_is_scaled(tmp_path):
    cube = cube_of("int16")
    cube[1, 2] = -9999
    cube[3, 4, :5] = -9999  # in some bands only
    header = write(tmp_path, cube, "data ignore value = -9999\nreflectance scale factor = 10000")
    scene = read_scene(header)
    expected = np.ones((5, 7), dtype=bool)
    expected[1, 2] = expected[3, 4] = False
    np.testing.assert_array_equal(scene.mask, expected)
    assert scene.cube.dtype == np.float32
    np.testing.assert_allclose(scene.cube, cube / 10000, rtol=1e-6)
    np.testing.assert_array_equal(read_scene(header, nodata=12345).foreground, True)


def test_zip_with_folders(tmp_path):
    cube = cube_of("float32")
    write(tmp_path, cube, suffix=".dat", interleave="bsq")
    with zipfile.ZipFile(tmp_path / "map.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(tmp_path / "a.hdr", "maps/a.hdr")
        archive.write(tmp_path / "a.dat", "maps/a.dat")
    scene = read_scene(tmp_path / "map.zip")
    np.testing.assert_array_equal(scene.cube, cube)
    assert scene.name == "map"


def test_latin_1_header_with_capital_keys(tmp_path):
    cube = cube_of()
    header = write(tmp_path, cube, "Wavelength Units = X\ndescription = {made on 30 X}")
    header.write_bytes(
        header.read_bytes().replace(b"X", b"\xb5m") + b"wavelength = {" + b",".join([b"0.5"] * 11) + b"}"
    )
    np.testing.assert_allclose(read_scene(header).wavelengths, 500.0)


def test_classification_gives_labels_and_class_names(tmp_path):
    labels = np.arange(35).reshape(5, 7) % 3
    gt = write(tmp_path, labels[:, :, None].astype("uint8"), "class names = {Unclassified, soil, water}", name="gt")
    cube = write(tmp_path, cube_of())
    np.testing.assert_array_equal(read_labels(gt), labels)
    scene = read_scene(cube, labels=gt)
    np.testing.assert_array_equal(scene.labels, labels)
    assert scene.classes == ("soil", "water")


def test_map_information(tmp_path):
    header = write(tmp_path, cube_of(), "map info = {UTM, 1, 1, 542160, 4136430, 2, 2, 17, North, WGS-84}")
    georeference = read_scene(header).georeference
    assert georeference is not None
    assert georeference["transform"][:6] == (2, 0, 542160, 0, -2, 4136430)
    assert georeference["crs"].to_epsg() == 32617
