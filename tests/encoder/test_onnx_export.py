"""The exported graph gives onnxruntime what PyTorch gives, for any number of windows."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import torch

from sslhsi.backbones.registry import create_backbone
from sslhsi.bands.projector import SpectralProjector
from sslhsi.cli import main
from sslhsi.encoder.encoder import Encoder
from sslhsi.encoder.load import load_backbone
from sslhsi.encoder.onnx_export import export_onnx
from sslhsi.encoder.save import save_backbone
from sslhsi.errors import InputError
from sslhsi.scenes.scene import Scene

pytestmark = pytest.mark.slow

WAVELENGTHS = np.linspace(400, 1000, 30)
CUBE = (5000 + 300 * np.random.default_rng(0).normal(size=(14, 12, 30)).cumsum(axis=2)).astype(np.int16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    projector = SpectralProjector(grid=24, components=5, standardize="scene", noise_whitening=0.5)
    projector.fit([Scene("a", CUBE, WAVELENGTHS)])
    torch.manual_seed(0)
    options = {"width": 6, "mixed": 4, "radii": [0, 1]}
    network = create_backbone("pixelnet", 5, 5, **options)
    config = {"architecture": "pixelnet", "options": options, "window": 5, "border": "reflect", "recipe": "x"}
    path = tmp_path_factory.mktemp("onnx") / "backbone"
    save_backbone(path, network, projector, config)
    return path


def test_bands_of_a_camera_to_features(folder, tmp_path, capsys):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    np.savez(tmp_path / "field.npz", cube=CUBE, wavelengths=WAVELENGTHS)
    words = ["export", str(folder), str(tmp_path / "field.onnx"), "--scene", str(tmp_path / "field.npz"), "--json"]
    assert main(words) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["input"] == {"name": "bands", "shape": ["N", 30, 5, 5]}
    assert report["difference"] < 1e-4
    session = onnxruntime.InferenceSession(str(tmp_path / "field.onnx"))
    encoder = load_backbone(folder)
    wanted = encoder.encode(CUBE, WAVELENGTHS)
    pixels = np.argwhere(np.ones((10, 8), bool)) + 2
    windows = np.stack([CUBE[r - 2 : r + 3, c - 2 : c + 3] for r, c in pixels]).transpose(0, 3, 1, 2)
    for count in (1, len(pixels)):
        (result,) = session.run(None, {"bands": windows[:count].astype(np.float32)})
        # The encoder rounds components to float16 on the way.
        np.testing.assert_allclose(result, wanted[tuple(pixels[:count].T)], atol=2e-3 * np.abs(wanted).max())
    assert json.loads(session.get_modelmeta().custom_metadata_map["sslhsi"])["bands"] == 30


def test_components_to_features(folder, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    projector = SpectralProjector(grid=60, components=None).fit([Scene("a", CUBE, WAVELENGTHS)])
    encoder = Encoder(create_backbone("cnn1d", 60, 1), projector, {"window": 1})
    report = export_onnx(encoder, tmp_path / "new" / "b.onnx")
    session = onnxruntime.InferenceSession(report["target"])
    batch = torch.randn(7, 60, 1, 1)
    with torch.inference_mode():
        wanted = encoder.backbone(batch).numpy()
    (result,) = session.run(None, {"components": batch.numpy()})
    np.testing.assert_allclose(result, wanted, atol=1e-4 * np.abs(wanted).max())
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["b.onnx"]


def test_what_can_not_be_exported(folder, tmp_path, monkeypatch):
    encoder = load_backbone(folder)
    with pytest.raises(InputError, match=r"\.onnx"):
        export_onnx(encoder, tmp_path / "b.pt")
    with pytest.raises(InputError, match="is missing"):
        export_onnx(encoder, tmp_path / "b.onnx", Scene("b", CUBE, np.linspace(500, 900, 30)))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r"pip install 'sslhsi\[onnx\]'"):
        export_onnx(encoder, tmp_path / "b.onnx")
    assert not list(tmp_path.iterdir())
