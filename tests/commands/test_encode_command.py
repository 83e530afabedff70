"""`sslhsi encode`: features where a GIS expects them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio
import torch
from rasterio.crs import CRS
from rasterio.transform import Affine, from_origin

from sslhsi.backbones.registry import create_backbone
from sslhsi.bands.projector import SpectralProjector
from sslhsi.cli import main
from sslhsi.hub import load_backbone, save_backbone
from sslhsi.scenes.scene import Scene

WAVELENGTHS = np.arange(400.0, 1000.0, 50.0)
PLACE = from_origin(500_000, 4_000_000, 2.0, 2.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A georeferenced cube, and a backbone for each border."""
    folder = tmp_path_factory.mktemp("encode")
    cube = np.random.default_rng(0).random((14, 11, 12)).astype(np.float32)
    profile = {"driver": "GTiff", "height": 14, "width": 11, "count": 12, "dtype": "float32", "transform": PLACE}
    with rasterio.open(folder / "field.tif", "w", crs="EPSG:32633", **profile) as file:
        file.write(np.moveaxis(cube, 2, 0))
        for band, centre in enumerate(WAVELENGTHS, start=1):
            file.set_band_description(band, f"{centre:.2f} nm")
    projector = SpectralProjector(grid=10, components=4).fit([Scene("a", cube, WAVELENGTHS)])
    options = {"width": 3, "mixed": 2, "radii": [0, 1]}
    torch.manual_seed(0)
    network = create_backbone("pixelnet", 4, 5, **options)
    for border in ("reflect", "inside"):
        config = {"architecture": "pixelnet", "options": options, "window": 5, "border": border, "recipe": "x"}
        save_backbone(folder / border, network, projector, config)
    np.save(folder / "cube.npy", cube)
    return folder


@pytest.mark.parametrize(
    ("border", "stride", "ending"),
    [("reflect", 1, "tif"), ("inside", 1, "img"), ("inside", 3, "tif"), ("reflect", 2, "npy")],
)
def test_values_lie_where_their_pixels_do(folder, tmp_path, capsys, border, stride, ending):
    out = tmp_path / f"features.{ending}"
    words = ["encode", str(folder / border), str(folder / "field.tif"), str(out), "--stride", str(stride), "--json"]
    assert main(words) == 0
    facts = json.loads(capsys.readouterr().out)
    encoder = load_backbone(folder / border)
    wanted = encoder.encode(np.load(folder / "cube.npy"), WAVELENGTHS, stride=stride)
    assert facts["shape"] == list(wanted.shape)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(f.rpartition("/")[2] for f in facts["files"])
    if ending == "npy":
        np.testing.assert_allclose(np.load(out), wanted, atol=1e-5)
        return
    with rasterio.open(out) as file:
        np.testing.assert_allclose(np.moveaxis(file.read(), 0, 2), wanted, atol=1e-5)
        assert file.crs == CRS.from_epsg(32633)
        assert file.descriptions[1] == "feature 2"
        # The centre of value (i, j) is the centre of its window's pixel on the ground.
        first = 0 if border == "reflect" else 2
        for row, column in ((0, 0), (wanted.shape[0] - 1, wanted.shape[1] - 1)):
            pixel = Affine(*PLACE[:6]) * (first + column * stride + 0.5, first + row * stride + 0.5)
            assert file.xy(row, column) == pytest.approx(pixel)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({2: "out.jpg"}, "end the name in"),
        ({1: "nothing.tif"}, "nothing.tif"),
        ({0: "nothing"}, "neither a folder"),
        ({3: "0"}, "use 1 or more"),
        ({4: "cuda:99"}, "--device cuda:99"),
    ],
)
def test_what_can_not_be_encoded_leaves_nothing(folder, tmp_path, capsys, monkeypatch, change, message):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    given = [str(folder / "inside"), str(folder / "field.tif"), str(tmp_path / "out.tif"), "1", "cpu"]
    for place, value in change.items():
        given[place] = str(tmp_path / value) if place < 3 else value
    words = ["encode", *given[:3], "--stride", given[3], "--device", given[4]]
    assert main(words) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
