"""What stored numbers stand for, and whether a header is right about them: written by independent writers."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import rasterio
import scipy.io

from sslhsi.errors import InputError
from sslhsi.scenes.read import read_scene

HEIGHT, WIDTH, BANDS = 24, 30, 12


def smooth(dtype="uint16", size=(HEIGHT, WIDTH, BANDS), top=3000):
    """An image whose neighbours in space and spectrum resemble each other, without symmetry."""
    y, x, b = np.meshgrid(*(np.linspace(0, 1, n) for n in size), indexing="ij")
    cube = (2 + np.sin(5 * y + 2 * x * x) + np.cos(3 * x - y) * b) * (1 + b)
    cube = cube * top / cube.max()
    return cube.astype(dtype) if np.dtype(dtype).kind != "f" else (cube / top).astype(dtype)


ENVI_TYPES = {"uint8": 1, "int16": 2, "int32": 3, "float32": 4, "float64": 5, "uint16": 12, "uint32": 13}


def envi(folder, cube, *, interleave="bsq", extra="", order="<", **said):
    """An ENVI pair written by hand; ``said`` is what the header claims in place of the truth."""
    axes = {"bsq": (2, 0, 1), "bil": (0, 2, 1), "bip": (0, 1, 2)}[interleave]
    (folder / "a.raw").write_bytes(cube.transpose(axes).astype(cube.dtype.newbyteorder(order)).tobytes())
    fields = {
        "samples": cube.shape[1], "lines": cube.shape[0], "bands": cube.shape[2], "header offset": 0,
        "data type": ENVI_TYPES[cube.dtype.name], "interleave": interleave, "byte order": int(order == ">"),
    } | {key.replace("_", " "): value for key, value in said.items()}  # fmt: skip
    (folder / "a.hdr").write_text("ENVI\n" + "".join(f"{k} = {v}\n" for k, v in fields.items()) + extra)
    return folder / "a.hdr"


def notes_say(scene, words):
    return any(words in line for line in scene.notes)


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ({"bands": BANDS - 2}, "its end would be left out.*12 bands would fit"),
        ({"bands": BANDS + 2}, "truncated.*12 bands would fit"),
        ({"lines": HEIGHT - 1}, "its end would be left out"),
        ({"data_type": 4}, "truncated"),
        ({"header_offset": 100}, "truncated"),
    ],
)
def test_a_header_and_its_data_agree_in_size(tmp_path, said, hint):
    with pytest.raises(InputError, match=f"its header claims .*{hint}.*correct a.hdr"):
        read_scene(envi(tmp_path, smooth(), **said))


@pytest.mark.parametrize("interleave", ["bsq", "bil", "bip"])
@pytest.mark.parametrize(
    ("dtype", "order", "said", "words"),
    [
        ("uint16", ">", {"byte_order": 0}, "bytes of the numbers look swapped"),
        ("float32", "<", {"byte_order": 1}, "bytes of the numbers look swapped"),
        ("float32", "<", {"data_type": 13}, "look like 32-bit floating point"),
        ("float32", ">", {"data_type": 3}, "look like 32-bit floating point"),
        ("int32", "<", {"data_type": 4}, "look like integers"),
        ("float32", "<", {"data_type": 12, "doubled": True}, "look like 32-bit floating point"),
        ("uint16", "<", {"data_type": 4, "halved": True}, "look like integers"),
        ("uint16", "<", {"samples": HEIGHT, "lines": WIDTH}, "lines and samples look exchanged"),
    ],
)
def test_numbers_that_look_like_others_are_told(tmp_path, interleave, dtype, order, said, words):
    said = dict(said)
    factor = 2 if said.pop("doubled", False) else 0.5 if said.pop("halved", False) else 1
    key, length = ("samples", WIDTH) if interleave in ("bil", "bsq") else ("bands", BANDS)
    if factor != 1:
        said[key] = int(length * factor)
    scene = read_scene(envi(tmp_path, smooth(dtype), interleave=interleave, order=order, **said), labels="none")
    assert notes_say(scene, words)
    assert notes_say(scene, "a.hdr")


@pytest.mark.parametrize("interleave", ["bsq", "bil", "bip"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "float32", "float64"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_right_header_is_not_doubted(tmp_path, interleave, dtype, order):
    cube = smooth(dtype, top=250 if dtype == "uint8" else 14_000)
    if dtype == "float32":
        cube[3:6] = np.nan
        cube[7] = 0
    scene = read_scene(envi(tmp_path, cube, interleave=interleave, order=order))
    assert not notes_say(scene, "look")
    np.testing.assert_array_equal(scene.cube, cube)


def test_whole_numbers_as_floats_and_small_counts_are_not_doubted(tmp_path):
    for cube in (np.round(smooth("float32") * 4000).astype("float32"), (smooth("uint16") % 200).astype("uint16")):
        assert not notes_say(read_scene(envi(tmp_path, cube)), "look")


GAIN, OFFSET = np.linspace(0.01, 0.05, BANDS), np.linspace(-3, 3, BANDS)


def braces(values):
    return "{" + ", ".join(f"{v:.10g}" for v in values) + "}"


def in_envi(folder, cube):
    return envi(folder, cube, extra=f"data gain values = {braces(GAIN)}\ndata offset values = {braces(OFFSET)}\n")


def in_envi_beside_other_factors(folder, cube):
    ones = braces(np.full(BANDS, 1e-4))
    more = f"data reflectance gain values = {ones}\nreflectance scale factor = 10000\n"
    return envi(
        folder, cube, extra=f"data gain values = {braces(GAIN)}\ndata offset values = {braces(OFFSET)}\n{more}"
    )


def in_geotiff(folder, cube):
    profile = {"driver": "GTiff", "height": HEIGHT, "width": WIDTH, "count": BANDS, "dtype": cube.dtype}
    with rasterio.open(folder / "a.tif", "w", **profile) as file:
        file.write(cube.transpose(2, 0, 1))
        file.scales, file.offsets = GAIN.tolist(), OFFSET.tolist()
    return folder / "a.tif"


def in_a_header_beside_a_geotiff(folder, cube):
    path = in_geotiff(folder, cube)
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets = [1.0] * BANDS, [0.0] * BANDS
    in_envi(folder, cube)
    (folder / "a.raw").unlink()
    return path


def in_cf(folder, cube):
    with h5py.File(folder / "a.h5", "w") as file:
        data = file.create_dataset("cube", data=cube)
        data.attrs["scale_factor"], data.attrs["add_offset"] = 0.02, -1.5
    return folder / "a.h5"


def in_neon_style(folder, cube):
    with h5py.File(folder / "a.h5", "w") as file:
        file.create_dataset("cube", data=cube).attrs["Scale_Factor"] = 10000.0
    return folder / "a.h5"


def in_matlab(folder, cube):
    scipy.io.savemat(folder / "a.mat", {"cube": cube, "scale_factor": 0.02, "add_offset": -1.5})
    return folder / "a.mat"


def in_a_matlab_struct(folder, cube):
    scipy.io.savemat(folder / "a.mat", {"hsi": {"cube": cube, "Scale_Factor": 10000.0}})
    return folder / "a.mat"


PER_BAND, ONE, TEN_THOUSAND = (lambda c: c * GAIN + OFFSET), (lambda c: c * 0.02 - 1.5), (lambda c: c / 10000)
SCALED = {
    "ENVI gains and offsets": (in_envi, PER_BAND, "data gain values, data offset values"),
    "ENVI gains before factors": (in_envi_beside_other_factors, PER_BAND, "reflectance scale factor not used"),
    "GeoTIFF scales and offsets": (in_geotiff, PER_BAND, "scales and offsets"),
    "header beside a GeoTIFF": (in_a_header_beside_a_geotiff, PER_BAND, "a.hdr"),
    "CF scale_factor and add_offset": (in_cf, ONE, "scale_factor, add_offset"),
    "HDF5 Scale_Factor": (in_neon_style, TEN_THOUSAND, "divided by 10000 (Scale_Factor"),
    "MATLAB variables": (in_matlab, ONE, "scale_factor, add_offset"),
    "MATLAB struct": (in_a_matlab_struct, TEN_THOUSAND, "divided by 10000"),
}


@pytest.mark.parametrize("case", SCALED)
def test_one_rule_for_scaling_in_every_format(case, tmp_path):
    write, value, words = SCALED[case]
    cube = smooth()
    path = write(tmp_path, cube)
    scene = read_scene(path, layout=None)
    assert scene.cube.dtype == np.float32
    np.testing.assert_allclose(scene.cube, value(cube.astype(np.float64)), rtol=1e-5, atol=1e-5)
    assert notes_say(scene, words)
    assert notes_say(scene, "scale= overrules")
    np.testing.assert_array_equal(read_scene(path, scale="none").cube, cube)
    given = read_scene(path, scale=4)
    np.testing.assert_allclose(given.cube, cube / 4, rtol=1e-6)
    assert notes_say(given, "divided by 4")


def test_gains_follow_their_bands_through_dropping_and_ordering(tmp_path):
    cube = smooth()
    extra = f"data gain values = {braces(GAIN)}\nwavelength = {braces(np.linspace(900, 400, BANDS))}\n"
    scene = read_scene(envi(tmp_path, cube, extra=extra), drop_bands=[0, 5])
    kept = np.delete(np.arange(BANDS), [0, 5])[::-1]
    np.testing.assert_allclose(scene.cube, cube[:, :, kept] * GAIN[kept], rtol=1e-5)


@pytest.mark.parametrize(
    ("extra", "options"),
    [
        ("reflectance scale factor = 0\n", {"scale": "none"}),
        ("data gain values = {1, 2}\n", {"scale": 2}),
        ("wavelength = {400, 500, 600}\n", {"wavelengths": np.linspace(400, 900, BANDS)}),
        ("wavelength = {red, green}\n", {"wavelengths": np.linspace(400, 900, BANDS)}),
        ("bbl = {1, 1, 0}\n", {"drop_bands": [0]}),
    ],
)
def test_what_is_given_wins_before_the_header_is_judged(tmp_path, extra, options):
    path = envi(tmp_path, smooth(), extra=extra)
    with pytest.raises(InputError, match=r"pass (scale|wavelengths|drop_bands)=|wavelengths must be numbers"):
        read_scene(path)
    read_scene(path, **options)


def test_two_detectors_with_no_data_at_different_edges(tmp_path):
    cube = smooth("int16")
    cube[:, :4, : BANDS // 2] = -32768
    cube[:3, :, BANDS // 2 :] = -32768
    cube[:, :, 2] = -32768  # a dead band
    path = tmp_path / "a.tif"
    profile = {"driver": "GTiff", "height": HEIGHT, "width": WIDTH, "count": BANDS, "dtype": "int16"}
    with rasterio.open(path, "w", nodata=-32768, **profile) as file:
        file.write(cube.transpose(2, 0, 1))
    scene = read_scene(path)
    expected = np.ones((HEIGHT, WIDTH), bool)
    expected[:3] = expected[:, :4] = False
    np.testing.assert_array_equal(scene.mask, expected)
    assert scene.bands == BANDS - 1
    # The corner lacks both detectors and is counted as a pixel without any data.
    assert notes_say(scene, f"{3 * WIDTH + (HEIGHT - 3) * 4 - 12} of {HEIGHT * WIDTH} pixels")
    assert notes_say(scene, "bands 2 (0-based) hold the no-data value alone")
    for drop in ("bad", [2]):
        np.testing.assert_array_equal(read_scene(path, drop_bands=drop).mask, expected)
    np.testing.assert_array_equal(read_scene(path, drop_bands=[]).mask, expected)  # all bands, and the same mask
    assert read_scene(path, nodata="none").mask is None


def test_bands_that_most_pixels_lack_are_named(tmp_path):
    cube = smooth("float32")
    cube[:, :20, 4] = -1
    np.save(tmp_path / "a.npy", cube)
    scene = read_scene(tmp_path / "a.npy", nodata=-1, layout="hwb")
    assert notes_say(scene, "most lack bands 4 (0-based), which drop_bands= can leave out")
    assert read_scene(tmp_path / "a.npy", nodata=-1, layout="hwb", drop_bands=[4]).mask is None
