"""The seam for projections: a second kind goes through corpus, encoder, folder and ONNX with nothing else changed."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from sslhsi.backbones.registry import create_backbone
from sslhsi.bands.projection import PROJECTIONS, Projection, register_projection
from sslhsi.bands.projector import SpectralProjector, load_projection
from sslhsi.encoder.encoder import Encoder
from sslhsi.encoder.load import load_backbone
from sslhsi.encoder.onnx_export import export_onnx
from sslhsi.encoder.save import save_backbone
from sslhsi.errors import InputError
from sslhsi.evaluation.measure import projection_saw
from sslhsi.scenes.scene import Scene

CUBE = np.random.default_rng(0).random((9, 8, 20)).cumsum(axis=2).astype(np.float32)
CENTRES = np.linspace(400, 900, 20)


class Draws(Projection):
    """A spectrum's products with curves over the wavelength that were drawn once."""

    wavelength_range = (450.0, 850.0)

    def __init__(self, curves: np.ndarray) -> None:
        self.curves = curves

    @property
    def channels(self) -> int:
        return self.curves.shape[1]

    def affine(self, wavelengths, bands, moments=None, where="the cube"):
        if wavelengths is None:
            raise InputError(f"{where} has no wavelengths")
        grid = np.linspace(*self.wavelength_range, len(self.curves))
        return np.stack([np.interp(wavelengths, grid, row) for row in self.curves.T], axis=1), np.zeros(self.channels)

    def state(self):
        return {"curves": "drawn"}

    def arrays(self):
        return {"curves": self.curves}

    @classmethod
    def from_state(cls, state, arrays):
        assert state == {"curves": "drawn"}
        return cls(arrays["curves"])


@pytest.fixture
def draws() -> Iterator[Draws]:
    register_projection("draws")(Draws)
    yield Draws(np.random.default_rng(1).standard_normal((30, 4)) / 20)
    del PROJECTIONS["draws"]


@pytest.mark.slow
def test_a_second_kind_needs_nothing_but_its_class(draws, tmp_path):
    torch.manual_seed(0)
    network = create_backbone("pixelnet", 4, 5, width=6, mixed=4, radii=[0, 1])
    options = {"width": 6, "mixed": 4, "radii": [0, 1]}
    config = {"architecture": "pixelnet", "options": options, "window": 5, "border": "reflect", "recipe": "x"}
    save_backbone(tmp_path / "b", network, draws, config)
    assert json.loads((tmp_path / "b" / "projector.json").read_text())["kind"] == "draws"
    assert json.loads((tmp_path / "b" / "config.json").read_text())["wavelengths"] == [450.0, 850.0]
    loaded = load_backbone(tmp_path / "b")
    assert loaded.projector.content() == draws.content() != Draws(2 * draws.curves).content()
    assert projection_saw(loaded.projector, "no") == "no"

    features = loaded.encode(CUBE, CENTRES)
    matrix, _ = draws.affine(CENTRES, 20)
    components = torch.from_numpy(np.pad(CUBE @ matrix, ((2, 2), (2, 2), (0, 0)), mode="reflect")).half().float()
    windows = components.unfold(0, 5, 1).unfold(1, 5, 1).flatten(0, 1)
    with torch.no_grad():
        by_hand = network(windows).reshape(9, 8, -1)
    np.testing.assert_allclose(features, by_hand, atol=2e-3)
    with pytest.raises(InputError, match="no wavelengths"):
        loaded.encode(CUBE)

    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    report = export_onnx(loaded, tmp_path / "b.onnx", Scene("a", CUBE, CENTRES))
    assert report["input"] == {"name": "bands", "shape": ["N", 20, 5, 5]}
    assert report["difference"] < 1e-4


def test_an_unknown_kind_is_named(draws, tmp_path):
    draws.save(tmp_path)
    (tmp_path / "projector.json").write_text('{"kind": "dreamt"}')
    with pytest.raises(InputError, match="of kind 'dreamt', known here are pca, draws"):
        load_projection(tmp_path)
    draws.save(tmp_path)
    with pytest.raises(InputError, match="of kind 'draws'; use load_projection"):
        SpectralProjector.load(tmp_path)


def test_a_folder_of_the_first_version_loads_as_principal_components(tmp_path):
    """Without a kind, and with the names that settings had then; results name it by the same hash."""
    projector = SpectralProjector(grid=12, components=3, noise_whitening=0.5, quietest_share=0.25)
    projector.fit([Scene("a", CUBE, CENTRES)]).save(tmp_path)
    state = json.loads((tmp_path / "projector.json").read_text())
    assert state.pop("kind") == "pca"
    state |= {"denoise": state.pop("noise_whitening"), "quiet": state.pop("quietest_share")}
    (tmp_path / "projector.json").write_text(json.dumps(state))
    loaded = load_projection(tmp_path)
    assert loaded.state() == projector.state()
    np.testing.assert_array_equal(loaded.transform(CUBE, CENTRES), projector.transform(CUBE, CENTRES))
    arrays = load_file(tmp_path / "projector.safetensors")
    parts = [arrays[key].astype(np.float32).tobytes() for key in ("axis", "mean", "basis")]
    assert loaded.content() == json.dumps(state, sort_keys=True).encode() + b"".join(parts)


def test_the_public_encoder_takes_components_that_a_corpus_holds(tmp_path):
    projector = SpectralProjector(grid=12, components=4, standardize="scene").fit([Scene("a", CUBE, CENTRES)])
    encoder = Encoder(create_backbone("hresnet", 4, 5), projector, {"window": 5, "border": "reflect"})
    components = projector.transform(CUBE, CENTRES, out=np.empty((9, 8, 4), np.float16), scaled=True)
    pixels = np.array([[0, 0], [4, 4], [8, 7]])
    np.testing.assert_array_equal(
        encoder.encode_components(components, pixels), encoder.encode_pixels(CUBE, pixels, CENTRES)
    )
