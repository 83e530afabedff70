"""Whole scenes: shared between windows or window by window, in strips and tiles, the features are the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sslhsi.backbones.registry import create_backbone
from sslhsi.bands.projector import SpectralProjector
from sslhsi.corpus.reader import PatchReader
from sslhsi.encoder.encoder import Encoder
from sslhsi.encoder.strips import corners, mirrored
from sslhsi.errors import InputError
from sslhsi.scenes.scene import Scene

WAVELENGTHS = np.linspace(400, 1000, 40)
NETWORKS = [("hybridsn", 11, {}), ("hybridsn", 10, {"pool": "avg"}), ("pixelnet", 7, {"width": 8, "mixed": 6}),
            ("hresnet", 5, {}), ("ssrn", 5, {}), ("ccnn", 6, {})]  # fmt: skip


@pytest.fixture(scope="module")
def cube() -> np.ndarray:
    return np.random.default_rng(1).random((23, 19, 40)).cumsum(axis=2) / 40


def encoder(cube: np.ndarray, name: str, window: int, options: dict, border: str) -> Encoder:
    projector = SpectralProjector(grid=24, components=13).fit([Scene("a", cube, WAVELENGTHS)])
    torch.manual_seed(0)
    network = create_backbone(name, 13, window, **options)
    return Encoder(network, projector, {"window": window, "border": border})


@pytest.mark.parametrize("border", ["reflect", "inside"])
@pytest.mark.parametrize(("name", "window", "options"), NETWORKS, ids=[f"{n[0]}-{n[1]}" for n in NETWORKS])
def test_shared_equals_window_by_window(cube, monkeypatch, name, window, options, border):
    model = encoder(cube, name, window, options, border)
    whole = model.encode(cube, WAVELENGTHS)
    with monkeypatch.context() as patch:
        patch.setattr(type(model.backbone), "whole_image_tile", 4)
        tiles = model.encode(cube, WAVELENGTHS)
        odd = model.encode(cube, WAVELENGTHS, stride=3)
    monkeypatch.setattr(type(model.backbone), "whole_image_gain", 0.0)
    expected = model.encode(cube, WAVELENGTHS)
    bounds = {"rtol": 1e-4, "atol": 1e-5 * float(np.abs(expected).max())}
    assert expected.std(axis=(0, 1)).max() > 1e-3 * np.abs(expected).max()
    np.testing.assert_allclose(whole, expected, **bounds)
    np.testing.assert_allclose(tiles, expected, **bounds)
    np.testing.assert_allclose(odd, expected[::3, ::3], **bounds)


def test_pixels_close_together_and_far_apart(cube, monkeypatch):
    model = encoder(cube, "hybridsn", 11, {}, "reflect")
    monkeypatch.setattr("sslhsi.encoder.encoder.STRIP_BYTES", 1)  # strips as low as a window
    whole = model.encode(cube, WAVELENGTHS)
    bounds = {"rtol": 1e-4, "atol": 1e-5 * float(whole.max())}
    for pixels in (np.argwhere(np.ones((23, 19), bool)), np.array([[22, 0], [0, 18], [22, 18], [10, 3]])):
        shuffled = np.random.default_rng(0).permutation(pixels)
        result = model.encode_pixels(cube, shuffled, WAVELENGTHS)
        np.testing.assert_allclose(result, whole[tuple(shuffled.T)], **bounds)


def test_a_scene_smaller_than_the_window(cube):
    small = cube[:4, :9]
    model = encoder(cube, "hybridsn", 11, {}, "reflect")
    result = model.encode(small, WAVELENGTHS)
    pixels = np.argwhere(np.ones((4, 9), bool))
    reader = model.reader(small, WAVELENGTHS)
    with torch.inference_mode():
        expected = model.backbone(reader(model.windows(pixels))).numpy()
    np.testing.assert_allclose(result.reshape(36, -1), expected, rtol=1e-4, atol=1e-5 * float(expected.max()))
    model = Encoder(model.backbone, model.projector, model.config.model_copy(update={"border": "inside"}))
    with pytest.raises(InputError, match="4x9, smaller than the backbone's window of 11"):
        model.strips(small, WAVELENGTHS)
    assert next(model.strips(small, WAVELENGTHS, border="reflect"))[1].shape == (4, 9, 128)


@pytest.mark.parametrize("gain", [30.0, 0.0], ids=["shared", "windows"])
def test_strips_come_in_order_and_tell_how_far_they_are(cube, monkeypatch, gain):
    model = encoder(cube, "hybridsn", 11, {}, "reflect")
    monkeypatch.setattr(type(model.backbone), "whole_image_gain", gain)
    monkeypatch.setattr("sslhsi.encoder.encoder.STRIP_BYTES", 1)
    calls: list[tuple[int, int]] = []
    rows = [some for some, _ in model.strips(cube, WAVELENGTHS, progress=lambda *x: calls.append(x))]
    assert [(r.start, r.stop) for r in rows] == [(0, 11), (11, 22), (22, 23)]
    assert calls[-1] == (23 * 19, 23 * 19)
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)


def test_another_window_than_the_networks_own_is_not_shared(cube):
    model = encoder(cube, "pixelnet", 7, {"width": 8, "mixed": 6}, "reflect")
    model.window = 9
    result = model.encode(cube, WAVELENGTHS)
    with torch.inference_mode():
        pixel = model.backbone(model.reader(cube, WAVELENGTHS)(model.windows(np.array([[12, 8]])))).numpy()
    np.testing.assert_allclose(result[12, 8], pixel[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("length", "window"), [(9, 4), (5, 5), (2, 7), (1, 3)])
def test_borders_are_mirrored_as_the_reader_does(length, window):
    scene = np.arange(length, dtype=np.float16).reshape(length, 1, 1)
    corner = corners(length, window, reflect=True)
    assert corner.size == length
    reader = PatchReader([scene], window)
    column = np.zeros(length, dtype=np.int64)
    read = reader(np.column_stack([column, corner, column]))[:, 0, :, 0].numpy()
    np.testing.assert_array_equal(read, [mirrored(int(c), int(c) + window, length) for c in corner])
    np.testing.assert_array_equal(corners(length, window, False, 2), np.arange(0, length - window + 1, 2))
