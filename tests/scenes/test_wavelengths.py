"""Wavelengths as files have them: units, order, tables, band names, headers beside; and bands that come first."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import rasterio
import scipy.io
from spectral.io import envi

from sslhsi.errors import InputError
from sslhsi.scenes.read import read_scene

BANDS = 12
CUBE = np.random.default_rng(0).integers(1, 4000, (6, 8, BANDS)).astype(np.int16)
WAVES = np.linspace(420, 980, BANDS).round(1)


def header(folder, name="a", **metadata):
    envi.save_image(str(folder / f"{name}.hdr"), CUBE, ext=".raw", force=True, metadata=metadata)
    return folder / f"{name}.hdr"


def notes_say(scene, words):
    return any(words in line for line in scene.notes)


@pytest.mark.parametrize(
    ("values", "unit", "options", "expected", "words"),
    [
        (WAVES * 10, "Angstroms", {}, WAVES, None),
        (WAVES / 1000, "Micrometers", {}, WAVES, None),
        (WAVES / 1000, None, {}, WAVES, "taken as micrometres (unit= overrules)"),
        (WAVES, None, {}, WAVES, None),
        (WAVES, "Nanometers", {"unit": "nm"}, WAVES, None),
        (WAVES * 10, None, {}, WAVES * 10, "implausible for an imaging spectrometer"),
        (WAVES * 10, None, {"unit": "angstrom"}, WAVES, None),
        (WAVES / 1000, "Nanometers", {}, WAVES / 1000, "implausible"),
        (WAVES / 1000, "Nanometers", {"unit": "um"}, WAVES, None),
        (WAVES, "furlongs", {}, WAVES, "'furlongs' is not known, nanometres assumed"),
        (1e7 / WAVES, None, {"unit": "1/cm"}, WAVES, "wavenumbers"),
        (np.arange(1, BANDS + 1), None, {}, np.arange(1, BANDS + 1) * 1000.0, "taken as micrometres"),
        (np.linspace(8, 12, BANDS), "um", {}, np.linspace(8000, 12000, BANDS), None),
    ],
)
def test_units_are_read_and_what_is_implausible_is_told(tmp_path, values, unit, options, expected, words):
    metadata = {"wavelength": [f"{v:.8g}" for v in values]} | ({"wavelength units": unit} if unit else {})
    scene = read_scene(header(tmp_path, **metadata), **options)
    np.testing.assert_allclose(scene.wavelengths, expected, rtol=1e-6)
    if words is None:
        assert not notes_say(scene, "wavelength")
    else:
        assert notes_say(scene, words)


def test_a_unit_is_that_of_what_is_given_too(tmp_path):
    np.save(tmp_path / "a.npy", CUBE)
    scene = read_scene(tmp_path / "a.npy", wavelengths=WAVES * 10, unit="angstrom")
    np.testing.assert_allclose(scene.wavelengths, WAVES)


def test_bands_from_long_to_short_wavelengths_are_turned(tmp_path):
    scene = read_scene(header(tmp_path, wavelength=WAVES[::-1].tolist()))
    np.testing.assert_allclose(scene.wavelengths, WAVES)
    np.testing.assert_array_equal(scene.cube, CUBE[:, :, ::-1])
    assert np.shares_memory(scene.cube, scene.cube.base)  # still a view of the file
    assert notes_say(scene, "long to short")
    dropped = read_scene(header(tmp_path, wavelength=WAVES[::-1].tolist()), drop_bands=[0])
    np.testing.assert_array_equal(dropped.cube, CUBE[:, :, :0:-1])
    np.testing.assert_allclose(dropped.wavelengths, WAVES[:-1])


def test_overlapping_detectors_come_in_the_order_of_their_wavelengths(tmp_path):
    waves = np.concatenate([np.linspace(400, 700, 7), np.linspace(650, 900, 5)])
    scene = read_scene(header(tmp_path, wavelength=waves.tolist()))
    order = np.argsort(waves, kind="stable")
    np.testing.assert_allclose(scene.wavelengths, np.sort(waves))
    np.testing.assert_array_equal(scene.cube, CUBE[:, :, order])
    assert notes_say(scene, "not stored by wavelength")


LINES = [f"{w:.1f}" for w in WAVES]
TABLES = {
    "numbers": "\n".join(LINES),
    "one line": ", ".join(LINES),
    "braces over lines": "{" + ", ".join(LINES[:6]) + ",\n " + ", ".join(LINES[6:]) + "}",
    "byte-order mark": "\ufeff" + "\n".join(LINES),
    "heading": "Wavelength (nm)\n" + "\n".join(LINES),
    "unit behind": "\n".join(f"{w} nm" for w in LINES),
    "micrometres in the heading": "wavelength [um]\n" + "\n".join(f"{w / 1000:.4f}" for w in WAVES),
    "angstroms in the heading": "wavelength_angstrom\n" + "\n".join(f"{w * 10:.1f}" for w in WAVES),
    "comment": "# from the manual, micrometers\n" + "\n".join(f"{w / 1000:.4f}" for w in WAVES),
    "band number, centre": "\n".join(f"{n}\t{w}" for n, w in enumerate(LINES, 1)),
    "band number, centre, headed": "Band,Wavelength\n" + "\n".join(f"{n},{w}" for n, w in enumerate(LINES)),
    "centre, width": "\n".join(f"{w} 5.5" for w in LINES),
    "centre, growing width": "\n".join(f"{w} {5 + n / 10}" for n, w in enumerate(LINES)),
    "number, centre, width": "band;center (nm);fwhm\n" + "\n".join(f"{n};{w};5" for n, w in enumerate(LINES, 1)),
    "decimal commas": "Band;nm\n" + "\n".join(f"{n};{w.replace('.', ',')}" for n, w in enumerate(LINES, 1)),
    "width before centre, headed": "FWHM,Wavelength\n" + "\n".join(f"{5 + n / 10},{w}" for n, w in enumerate(LINES)),
    "spaces in the heading": "No  Wavelength (nm)\n" + "\n".join(f"{n}  {w}" for n, w in enumerate(LINES, 1)),
    "blank lines": "\n\n" + "\n\n".join(LINES) + "\n\n",
    "windows line ends": "\r\n".join(LINES),
}


@pytest.mark.parametrize("case", TABLES)
@pytest.mark.parametrize("suffix", [".txt", ".csv"])
def test_tables_of_wavelengths_as_people_have_them(case, suffix, tmp_path):
    np.save(tmp_path / "a.npy", CUBE)
    (tmp_path / f"w{suffix}").write_bytes(TABLES[case].encode("utf-8"))
    scene = read_scene(tmp_path / "a.npy", wavelengths=tmp_path / f"w{suffix}")
    np.testing.assert_allclose(scene.wavelengths, WAVES, rtol=1e-4)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("\n".join(w.replace(".", ",") for w in LINES), "decimals"),
        ("\n".join(f"{w},{v},{v}" for w, v in zip(LINES, LINES, strict=True)), "which of 3 columns"),
        ("red\ngreen\n", "must hold numbers"),
        ("420\ngreen\n", "must hold numbers"),
        ("", "empty"),
    ],
)
def test_a_table_that_leaves_it_open_is_refused(text, words, tmp_path):
    np.save(tmp_path / "a.npy", CUBE)
    (tmp_path / "w.txt").write_text(text)
    with pytest.raises(InputError, match=words):
        read_scene(tmp_path / "a.npy", wavelengths=tmp_path / "w.txt")


@pytest.mark.parametrize(
    ("names", "known"),
    [
        ([f"{w} nm" for w in WAVES], True),
        ([f"Band {n} ({w} Nanometers)" for n, w in enumerate(WAVES, 1)], True),
        ([f"Resampled [{w / 1000:.4f} um]" for w in WAVES], True),
        ([f"{w}" for w in WAVES], True),
        ([f"Band {n}" for n in range(1, BANDS + 1)], False),
        ([f"{n}" for n in range(1, BANDS + 1)], False),
    ],
)
def test_wavelengths_in_band_names(tmp_path, names, known):
    scene = read_scene(header(tmp_path, **{"band names": names}))
    if known:
        np.testing.assert_allclose(scene.wavelengths, WAVES, rtol=1e-4)
        assert notes_say(scene, "from the band names")
    else:
        assert scene.wavelengths is None


def geotiff(path, **tags):
    profile = {"driver": "GTiff", "height": 6, "width": 8, "count": BANDS, "dtype": "int16"}
    with rasterio.open(path, "w", **profile) as file:
        file.write(CUBE.transpose(2, 0, 1))
        if tags:
            file.update_tags(**tags)
    return path


@pytest.mark.parametrize("name", ["a.hdr", "a.tif.hdr"])
def test_a_header_beside_a_geotiff_knows_the_wavelengths(tmp_path, name):
    path = geotiff(tmp_path / "a.tif")
    header(tmp_path, "b", wavelength=(WAVES / 1000).tolist(), **{"wavelength units": "Micrometers"})
    (tmp_path / "b.raw").unlink()
    (tmp_path / "b.hdr").rename(tmp_path / name)
    (tmp_path / "a.tfw").write_text("1\n0\n0\n-1\n0\n0\n")
    scene = read_scene(path)
    np.testing.assert_allclose(scene.wavelengths, WAVES)
    assert notes_say(scene, name)


def test_a_header_of_another_image_beside_a_geotiff_is_left_aside(tmp_path):
    path = geotiff(tmp_path / "a.tif")
    (tmp_path / "a.hdr").write_text(
        "ENVI\nsamples = 9\nlines = 6\nbands = 12\ndata type = 2\ninterleave = bsq\nwavelength = "
        f"{{{', '.join(LINES)}}}\n"
    )
    scene = read_scene(path)
    assert scene.wavelengths is None
    assert notes_say(scene, "not used")


def test_an_aux_xml_beside_a_geotiff(tmp_path):
    path = geotiff(tmp_path / "a.tif")
    bands = "".join(
        f'<PAMRasterBand band="{n}"><Metadata><MDI key="wavelength">{w}</MDI></Metadata></PAMRasterBand>'
        for n, w in enumerate(WAVES, 1)
    )
    (tmp_path / "a.tif.aux.xml").write_text(f"<PAMDataset>{bands}</PAMDataset>")
    np.testing.assert_allclose(read_scene(path).wavelengths, WAVES)
    listed = f'<Metadata><MDI key="wavelength">{{{", ".join(LINES)}}}</MDI></Metadata>'
    (tmp_path / "a.tif.aux.xml").write_text(f"<PAMDataset>{listed}</PAMDataset>")
    np.testing.assert_allclose(read_scene(path).wavelengths, WAVES)


@pytest.mark.parametrize(
    "beside",
    [
        {"good_wavelengths": np.ones(BANDS, np.uint8)},
        {"wavelength_flags": np.array([1] * 11 + [0], np.uint8)},
        {"fwhm": np.full(BANDS, 10.0), "band_width": np.full(BANDS, 11.0)},
        {"wave_valid": np.ones(BANDS), "bbl": np.ones(BANDS)},
    ],
)
@pytest.mark.parametrize("suffix", ["mat", "h5", "npz"])
def test_flags_and_widths_are_no_rivals_of_the_wavelengths(tmp_path, beside, suffix):
    arrays = {"cube": CUBE, "wavelength": WAVES, **beside}
    path = tmp_path / f"a.{suffix}"
    if suffix == "mat":
        scipy.io.savemat(path, arrays)
    elif suffix == "npz":
        np.savez(path, **arrays)
    else:
        with h5py.File(path, "w") as file:
            for key, value in arrays.items():
                file[key] = value
    np.testing.assert_allclose(read_scene(path).wavelengths, WAVES)


def test_the_unit_of_a_variable_is_in_its_attributes_or_its_name(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["cube"] = CUBE
        file["centers"] = WAVES * 10
        file["centers"].attrs["Units"] = b"Angstrom"
    np.testing.assert_allclose(read_scene(tmp_path / "a.h5").wavelengths, WAVES)
    scipy.io.savemat(tmp_path / "a.mat", {"cube": CUBE, "wavelength_angstrom": WAVES * 10})
    np.testing.assert_allclose(read_scene(tmp_path / "a.mat").wavelengths, WAVES)


def landscape(height, width, bands, rank=3):
    """Patches of few materials with a little noise: what the linear mixing model makes of a landscape."""
    rng = np.random.default_rng(1)
    spectra = 1 + np.cumsum(rng.normal(size=(rank, bands)), axis=1) / np.sqrt(bands)
    shares = rng.dirichlet(np.full(rank, 0.3), (height // 4 + 1, width // 4 + 1)).repeat(4, 0).repeat(4, 1)
    cube = shares[:height, :width] @ spectra
    return (cube + 0.01 * rng.normal(size=cube.shape)).astype(np.float32)


@pytest.mark.parametrize("suffix", ["npy", "mat"])
@pytest.mark.parametrize("shape", [(40, 36, 31), (60, 70, 100), (90, 50, 103), (33, 47, 64)])
def test_bands_that_come_first_are_asked_about_and_the_way_out_works(tmp_path, suffix, shape):
    cube = landscape(*shape)

    def write(array):
        path = tmp_path / f"a.{suffix}"
        np.save(path, array) if suffix == "npy" else scipy.io.savemat(path, {"data": array})
        return path

    path = write(np.ascontiguousarray(cube.transpose(2, 0, 1)))
    with pytest.raises(InputError, match='pass layout="hwb" or layout="bhw"'):
        read_scene(path)
    np.testing.assert_array_equal(read_scene(path, layout="bhw").cube, cube)
    given = read_scene(path, wavelengths=np.linspace(400, 900, shape[2]))
    np.testing.assert_array_equal(given.cube, cube)
    assert notes_say(given, "read as (bands, height, width)")
    usual = read_scene(write(cube))
    np.testing.assert_array_equal(usual.cube, cube)
    assert notes_say(usual, "read as (height, width, bands) (layout= overrules)")
    path = write(np.ascontiguousarray(cube.transpose(0, 2, 1)))
    between = read_scene(path, wavelengths=np.linspace(400, 900, shape[2]))
    np.testing.assert_array_equal(between.cube, cube)
