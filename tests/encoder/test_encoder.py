"""Encoding cubes: the same features however they are asked for, and no silent nonsense."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sslhsi.backbones.registry import create_backbone
from sslhsi.bands.projector import SpectralProjector
from sslhsi.corpus.prepare import neutralise
from sslhsi.encoder.encoder import Encoder
from sslhsi.encoder.load import load_backbone
from sslhsi.encoder.save import save_backbone
from sslhsi.errors import InputError

WAVELENGTHS = np.linspace(400, 1000, 30)


@pytest.fixture(scope="module")
def cube() -> np.ndarray:
    return np.random.default_rng(0).random((17, 13, 30)).cumsum(axis=2) / 30


def encoder(cube: np.ndarray, border: str = "reflect", **settings) -> Encoder:
    from sslhsi.scenes.scene import Scene

    projector = SpectralProjector(grid=24, components=5, **settings).fit([Scene("a", cube, WAVELENGTHS)])
    torch.manual_seed(0)
    network = create_backbone("pixelnet", 5, 5, width=6, mixed=4, radii=[0, 1])
    return Encoder(network, projector, {"architecture": "pixelnet", "window": 5, "border": border,
                                        "options": {"width": 6, "mixed": 4, "radii": [0, 1]}})  # fmt: skip


@pytest.mark.parametrize("settings", [{}, {"standardize": "scene", "noise_whitening": 0.5}])
def test_strips_pixels_and_strides_agree(cube, monkeypatch, settings):
    model = encoder(cube, **settings)
    whole = model.encode(cube, WAVELENGTHS)
    assert whole.shape == (17, 13, model.num_features)
    monkeypatch.setattr("sslhsi.encoder.encoder.STRIP_BYTES", 1)
    np.testing.assert_allclose(model.encode(cube, WAVELENGTHS), whole, atol=1e-5)
    np.testing.assert_allclose(model.encode(cube, WAVELENGTHS, stride=3), whole[::3, ::3], atol=1e-5)
    pixels = np.argwhere(np.ones((17, 13), bool))[::5]
    np.testing.assert_allclose(model.encode_pixels(cube, pixels, WAVELENGTHS), whole[tuple(pixels.T)], atol=1e-5)


def test_windows_inside_a_cube(cube):
    result = encoder(cube, border="inside").encode(cube, WAVELENGTHS)
    np.testing.assert_allclose(result, encoder(cube).encode(cube, WAVELENGTHS)[2:-2, 2:-2], atol=1e-5)
    assert result.shape[:2] == (13, 9)


def test_saved_and_loaded_features_are_the_same(cube, tmp_path):
    model = encoder(cube)
    save_backbone(tmp_path / "backbone", model.backbone, model.projector, model.config)
    loaded = load_backbone(tmp_path / "backbone")
    np.testing.assert_array_equal(loaded.encode(cube, WAVELENGTHS), model.encode(cube, WAVELENGTHS))
    assert not list(tmp_path.glob(".*.part*"))


def test_one_pixel_that_is_not_finite_spoils_its_neighbourhood_only(cube):
    bad = cube.copy()
    bad[0, 0, 3] = np.nan
    result = encoder(cube).encode(bad, WAVELENGTHS)
    assert np.isfinite(result[6:, 6:]).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: {"wavelengths": np.linspace(400, 800, 30)}, "never extrapolated"),
        (lambda c: {"wavelengths": np.r_[np.linspace(400, 600, 29), np.nan]}, "finite numbers"),
        (lambda c: {"wavelengths": None}, "no wavelengths"),
        (lambda c: {"cube": c * 1e8}, "same unit"),
        (lambda c: {"cube": c * 1j}, "real numbers"),
        (lambda c: {"cube": c[0]}, "height, width, bands"),
        (lambda c: {"mask": np.ones((3, 3), bool)}, "the mask is"),
    ],
)
def test_what_can_not_be_encoded(cube, change, message):
    values = {"cube": cube, "wavelengths": WAVELENGTHS, **change(cube)}
    with pytest.raises(InputError, match=message):
        encoder(cube).encode(**values)


def test_a_cube_without_noise_can_not_be_denoised(cube):
    with pytest.raises(InputError, match="no noise to whiten"):
        encoder(cube, noise_whitening=1.0).encode(np.full_like(cube, 0.5), WAVELENGTHS)
    with pytest.raises(InputError, match="not finite"):
        encoder(cube, standardize="scene").encode(np.where(cube > 0.5, np.nan, cube), WAVELENGTHS)


def test_no_data_in_the_background_is_neutralised():
    components = np.random.default_rng(0).normal(size=(6, 6, 3)).astype(np.float16)
    before = components.copy()
    mask = np.ones((6, 6), bool)
    mask[0] = False
    components[0, 0], components[0, 1], components[0, 2, 1] = -9999, np.nan, np.inf
    neutralise(components, mask)
    assert (components[0, :3] == 0).all()
    np.testing.assert_array_equal(components[0, 3:], before[0, 3:])
    np.testing.assert_array_equal(components[1:], before[1:])
