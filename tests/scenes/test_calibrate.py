"""Raw counts to reflectance: the formula, element by element, and what is told of what can't be calibrated."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin
from spectral.io import envi

from sslhsi.cli import main
from sslhsi.scenes.captures import reference_role, references_of
from sslhsi.scenes.read import read_scene

BANDS, WIDTH = 12, 7
NANOMETRES = np.linspace(420, 980, BANDS)


def write(path: Path, counts: np.ndarray, **fields) -> Path:
    known = {"wavelength": [f"{w:.2f}" for w in NANOMETRES], "wavelength units": "nm", **fields}
    envi.save_image(str(path), counts, dtype=counts.dtype, interleave="bil", ext=".raw", metadata=known, force=True)
    return path


@pytest.fixture
def capture(tmp_path):
    """A folder as a laboratory camera leaves it, and the reflectance that made the counts."""
    rng = np.random.default_rng(0)
    dark = rng.integers(90, 110, (WIDTH, BANDS))
    light = rng.integers(2000, 3000, (WIDTH, BANDS))
    truth = rng.random((9, WIDTH, BANDS))
    write(tmp_path / "DARKREF_leaf.hdr", np.stack([dark - 1, dark, dark + 1]).astype(np.uint16))
    write(tmp_path / "WHITEREF_leaf.hdr", np.stack([dark + light - 5, dark + light + 5]).astype(np.uint16))
    raw = dark + light * truth
    write(tmp_path / "leaf.hdr", raw.round().astype(np.uint16))
    (tmp_path / "leaf.png").write_bytes(b"the camera's own picture")
    return tmp_path, truth


def run(*words) -> int:
    return main(["data", "calibrate", *map(str, words)])


def test_a_folder_with_its_references(capture, tmp_path, capsys):
    folder, truth = capture
    out = tmp_path / "out"
    assert run(folder, "--out", out) == 0
    scene = read_scene(out / "leaf.hdr")
    np.testing.assert_allclose(scene.cube, truth, atol=1 / 1900)
    np.testing.assert_allclose(scene.wavelengths, NANOMETRES, atol=0.01)
    assert "integration time" in capsys.readouterr().err
    record = json.loads((out / "leaf.calibration.json").read_text())
    assert record["white"].endswith("WHITEREF_leaf.raw")
    assert record["sha256"].keys() == {"raw", "white", "dark"}
    assert (folder / "leaf.png").read_bytes() == b"the camera's own picture"


def test_integration_times_from_headers_or_the_user(capture, tmp_path, capsys):
    folder, truth = capture
    counts = np.array(envi.open(str(folder / "leaf.hdr")).load()).round().astype(np.uint16)
    write(folder / "leaf.hdr", counts, **{"tint": "20.0"})
    white = np.array(envi.open(str(folder / "WHITEREF_leaf.hdr")).load()).astype(np.uint16)
    write(folder / "WHITEREF_leaf.hdr", white, **{"tint": "10.0"})
    assert run(folder / "leaf.hdr", "--out", tmp_path / "a", "--panel", "0.5") == 0
    np.testing.assert_allclose(read_scene(tmp_path / "a" / "leaf.hdr").cube, truth * 0.25, atol=1e-3)
    assert "scaled by 0.5" in capsys.readouterr().err
    assert run(folder / "leaf.hdr", "--out", tmp_path / "b", "--time", "10", "10") == 0
    np.testing.assert_allclose(read_scene(tmp_path / "b" / "leaf.hdr").cube, truth, atol=1e-3)


def test_dead_elements_and_saturated_values(capture, tmp_path, capsys):
    folder, _ = capture
    counts = np.array(envi.open(str(folder / "leaf.hdr")).load()).round().astype(np.uint16)
    white = np.array(envi.open(str(folder / "WHITEREF_leaf.hdr")).load()).astype(np.uint16)
    dark = np.array(envi.open(str(folder / "DARKREF_leaf.hdr")).load()).astype(np.uint16)
    counts[4, 2, 3] = 4095
    white[:, 5, 6] = dark[:2, 5, 6]
    write(folder / "leaf.hdr", counts)
    write(folder / "WHITEREF_leaf.hdr", white)
    assert run(folder, "--out", tmp_path / "a") == 0
    told = capsys.readouterr().err
    assert "4095" in told
    assert "1 saturated values masked, in 1 pixels" in told
    assert "9 of 756 values of dead elements masked" in told
    missing = np.isnan(np.array(envi.open(str(tmp_path / "a" / "leaf.hdr"), str(tmp_path / "a" / "leaf.img")).load()))
    expected = np.zeros_like(missing)
    expected[4, 2, 3] = expected[:, 5, 6] = True
    np.testing.assert_array_equal(missing, expected)
    assert run(folder, "--out", tmp_path / "b", "--dead", "fill", "--saturation", "9999") == 0
    filled = read_scene(tmp_path / "b" / "leaf.hdr")
    assert filled.mask is None
    neighbours = (filled.cube[:, 5, 5] + filled.cube[:, 5, 7]) / 2
    np.testing.assert_allclose(filled.cube[:, 5, 6], neighbours, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda white: white[:, :3], "3 columns wide, the image 7"),
        (lambda white: white[:, :, :5], "5 bands, the image 12"),
        (lambda white: white * 0, "nowhere brighter than the dark"),
    ],
)
def test_references_that_do_not_belong(capture, tmp_path, capsys, change, message):
    folder, _ = capture
    white = change(np.array(envi.open(str(folder / "WHITEREF_leaf.hdr")).load())).astype(np.uint16)
    fields = {"wavelength": [f"{w:.2f}" for w in NANOMETRES[: white.shape[2]]]}
    write(folder / "WHITEREF_leaf.hdr", white, **fields)
    assert run(folder / "leaf.hdr", "--out", tmp_path / "out") == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("out/*"))


def test_a_spot_of_white_serves_all_columns_when_asked(capture, tmp_path):
    folder, _ = capture
    white = np.array(envi.open(str(folder / "WHITEREF_leaf.hdr")).load()).astype(np.uint16)
    write(folder / "WHITEREF_leaf.hdr", white[:, :3])
    assert run(folder, "--out", tmp_path / "out", "--mean-spectrum") == 0
    dark = np.array(envi.open(str(folder / "DARKREF_leaf.hdr")).load()).mean((0, 1))
    counts = np.array(envi.open(str(folder / "leaf.hdr")).load())
    expected = (counts - dark) / (white[:, :3].mean((0, 1)) - dark)
    np.testing.assert_allclose(read_scene(tmp_path / "out" / "leaf.hdr").cube, expected, rtol=1e-5)


def test_no_white_reference_is_one_sentence(capture, tmp_path, capsys):
    folder, _ = capture
    (folder / "WHITEREF_leaf.hdr").unlink()
    assert run(folder / "leaf.hdr", "--out", tmp_path / "out") == 2
    assert "--white" in capsys.readouterr().err


def test_what_was_not_made_here_is_not_overwritten(capture, tmp_path, capsys):
    folder, _ = capture
    out = tmp_path / "out"
    out.mkdir()
    (out / "leaf.img").write_bytes(b"precious")
    assert run(folder, "--out", out) == 2
    assert "was not made by sslhsi" in capsys.readouterr().err
    assert (out / "leaf.img").read_bytes() == b"precious"
    (out / "leaf.img").unlink()
    assert run(folder, "--out", out) == run(folder, "--out", out) == 0


def test_geotiff_keeps_place_and_wavelengths(tmp_path):
    counts = np.random.default_rng(1).integers(200, 900, (BANDS, 5, WIDTH)).astype(np.uint16)
    place = {"crs": "EPSG:32616", "transform": from_origin(500_000, 4_500_000, 20, 20)}
    for name, values in (("field", counts), ("white", counts[:, :2] * 0 + 1000), ("dark", counts[:, :2] * 0 + 100)):
        profile = {"driver": "GTiff", "width": WIDTH, "count": BANDS, "dtype": "uint16"}
        with rasterio.open(tmp_path / f"{name}.tif", "w", height=values.shape[1], **profile, **place) as file:
            file.write(values)
            for band, wavelength in enumerate(NANOMETRES, start=1):
                file.set_band_description(band, f"{wavelength:.2f} nm")
    for kind, name in (("geotiff", "field.tif"), ("envi", "field.hdr")):
        assert run(tmp_path / "field.tif", "--out", tmp_path / kind, "--format", kind) == 0
        scene = read_scene(tmp_path / kind / name)
        np.testing.assert_allclose(scene.cube, (np.moveaxis(counts, 0, 2) - 100.0) / 900, rtol=1e-6)
        np.testing.assert_allclose(scene.wavelengths, NANOMETRES, atol=0.01)
        assert scene.georeference["crs"] == rasterio.crs.CRS.from_epsg(32616)
        assert scene.georeference["transform"] == place["transform"]


@pytest.mark.parametrize(
    ("name", "role", "owner"),
    [
        ("WHITEREF_leaf", "white", "leaf"),
        ("DARKREF_2021-03-05_001", "dark", "2021-03-05_001"),
        ("leaf_white", "white", "leaf"),
        ("darkReference", "dark", ""),
        ("white_ref", "white", ""),
        ("White Panel", "white", ""),
        ("whitefly", "", "whitefly"),
        ("darkling_beetle", "", "darkling_beetle"),
        ("leaf", "", "leaf"),
    ],
)
def test_roles_by_name(name, role, owner):
    assert reference_role(name) == (role, owner)


def test_references_of_the_capture_win_over_common_ones():
    files = [Path(f"{name}.hdr") for name in ("a", "b", "WHITEREF_a", "white", "darkref")]
    assert references_of(files[0], files) == {"white": files[2], "dark": files[4]}
    assert references_of(files[1], files) == {"white": files[3], "dark": files[4]}
