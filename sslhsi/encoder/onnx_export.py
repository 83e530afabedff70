"""A backbone as an ONNX graph, with the spectral projection of a camera folded in if asked."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sslhsi.encoder.encoder import Encoder
from sslhsi.errors import InputError
from sslhsi.files import atomic
from sslhsi.scenes.scene import Scene

TOLERANCE = 1e-4


class Folded(nn.Module):
    """(N, B, S, S) bands of one camera -> features, in one module: projection, then network."""

    shift: Tensor
    weight: Tensor
    constant: Tensor

    def __init__(self, encoder: Encoder, scene: Scene) -> None:
        super().__init__()
        projector = encoder.projector
        moments = projector.scene_moments(scene.cube, scene.mask) if projector.per_scene else None
        shift, weights, constant = projector.centred(
            scene.cube, scene.wavelengths, moments, scaled=True, where=scene.name
        )
        self.backbone = encoder.backbone
        self.register_buffer("shift", torch.from_numpy(shift)[:, None, None])
        self.register_buffer("weight", torch.from_numpy(weights.T.copy())[:, :, None, None])
        self.register_buffer("constant", torch.from_numpy(constant))

    def forward(self, x: Tensor) -> Tensor:
        return self.backbone(nn.functional.conv2d(x - self.shift, self.weight, self.constant))


def export_onnx(encoder: Encoder, target: str | Path, scene: Scene | None = None) -> dict[str, Any]:
    """Write a backbone as ONNX, checked against PyTorch with onnxruntime.

    Without a scene the input ``components`` is (N, K, S, S): projected and divided by the projector's scale, as
    ``Projection.transform(..., scaled=True)`` gives them. With one, the input ``bands`` is (N, B, S, S) in
    the scene's own unit. Where the backbone standardises scenes or whitens their noise, a folded graph is one of
    this very scene. N is free. The graph does not round components to float16 in between, as ``Encoder.encode``
    does to agree with the prepared corpus: features then differ by about 1e-3 of their size.

    Args:
        encoder: As ``load_backbone`` gives it.
        target: The .onnx file.
        scene: A cube of the camera whose projection shall be folded in.

    Returns:
        ``target``, ``input`` (name and shape), ``output`` and ``difference`` (largest, relative to the largest
        feature).

    Raises:
        InputError: ONNX packages are missing, the camera doesn't fit, the network can't be exported, or
            onnxruntime disagrees by more than 1e-4.
    """
    target = Path(target)
    if target.suffix != ".onnx":
        raise InputError(f"{target}: end the name in .onnx")
    try:
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise InputError(f"ONNX export needs {error.name}; pip install 'sslhsi[onnx]'") from None
    encoder = encoder.to("cpu")
    module = (encoder.backbone if scene is None else Folded(encoder, scene)).eval()
    name, channels = ("components", encoder.projector.channels) if scene is None else ("bands", scene.bands)
    window = encoder.window
    batch = _batch(encoder, scene)
    with atomic(target) as part:
        program = _program(module, batch, name)
        about = {"input": name, "window": window, "name": encoder.config.name}
        if scene is None:
            about["scale"] = encoder.projector.scale
        else:
            about |= {"scene": scene.name, "bands": scene.bands}
        program.model.metadata_props.update({"sslhsi": json.dumps(about)})
        program.save(part, external_data=False)
        session = onnxruntime.InferenceSession(str(part), providers=["CPUExecutionProvider"])
        with torch.inference_mode():
            wanted = module(batch).numpy()
        computed = session.run(None, {name: batch.numpy()})[0]
        difference = float(np.abs(computed - wanted).max() / max(float(np.abs(wanted).max()), 1e-12))
        if not difference <= TOLERANCE:
            raise InputError(f"{target}: onnxruntime differs from PyTorch by {difference:.1e}; nothing was written")
    return {
        "target": str(target),
        "input": {"name": name, "shape": ["N", channels, window, window]},
        "output": {"name": "features", "shape": ["N", encoder.num_features]},
        "difference": difference,
    }


def _program(module: nn.Module, batch: Tensor, name: str) -> Any:
    """torch's exporter, without its chatter."""
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            logging.getLogger("torch.onnx").setLevel(logging.ERROR)
            return torch.onnx.export(
                module,
                (batch,),
                input_names=[name],
                output_names=["features"],
                dynamic_shapes=({0: torch.export.Dim("n", min=1)},),
                dynamo=True,
                verbose=False,
            )
    except Exception as error:
        reason = f"{type(error).__name__}: {str(error).strip()}".splitlines()[0]
        raise InputError(f"the network can't be exported to ONNX ({reason})") from None


def _batch(encoder: Encoder, scene: Scene | None) -> Tensor:
    """Three windows to trace and to check with."""
    size = encoder.window
    if scene is None:
        generator = torch.Generator().manual_seed(0)
        return torch.randn(3, encoder.projector.channels, size, size, generator=generator)
    # Repeated where a scene is smaller than a window.
    rows, columns = (np.arange(size) % n for n in (scene.height, scene.width))
    cube = np.asarray(scene.cube[rows][:, columns], dtype=np.float32)
    window = torch.from_numpy(np.nan_to_num(cube)).permute(2, 0, 1)
    return torch.stack([window, window.flip(1), window.flip(2)]).contiguous()
