"""A backbone as a folder: written by a run, loaded by anyone, for cubes of any camera."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from safetensors.torch import load_file, save_file
from torch import nn

from sslhsi.backbones.registry import create_backbone
from sslhsi.bands.moments import moments
from sslhsi.bands.projector import SpectralProjector
from sslhsi.errors import InputError

FILES = ("config.json", "model.safetensors", "projector.json", "projector.safetensors")


def save_backbone(
    folder: str | Path, backbone: nn.Module, projector: SpectralProjector, config: dict[str, Any]
) -> None:
    """Write weights, configuration and projector; nothing in the folder executes code when loaded.

    Args:
        folder: Made if it isn't there.
        backbone: The network.
        projector: What brings a camera's bands to the network's input.
        config: ``architecture``, ``options``, ``window``, ``border``, and anything else worth keeping.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    state = {k: v.detach().contiguous().cpu() for k, v in backbone.state_dict().items()}
    save_file(state, folder / "model.safetensors")
    projector.save(folder)
    full = {**config, "in_chans": projector.channels, "num_features": backbone.num_features}
    (folder / "config.json").write_text(json.dumps(full, indent=2) + "\n")


def load_backbone(source: str | Path, revision: str | None = None) -> Encoder:
    """Open a backbone that a run wrote or that somebody published.

    Args:
        source: A folder, or the id of a Hugging Face Hub repository.
        revision: Branch, tag or commit on the hub.

    Raises:
        InputError: There is no such folder or repository, or its files don't belong together.
    """
    folder = Path(source)
    if not folder.is_dir():
        try:
            folder = Path(snapshot_download(str(source), revision=revision, allow_patterns=list(FILES)))
        except (HFValidationError, HfHubHTTPError, OSError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            raise InputError(f"{source}: neither a folder nor a repository that can be reached ({reason})") from None
    if missing := [name for name in FILES if not (folder / name).is_file()]:
        raise InputError(f"{folder}: not a backbone, {missing[0]} is missing; give the backbone/ folder of a run")
    projector = SpectralProjector.load(folder)
    try:
        config = json.loads((folder / "config.json").read_text())
        backbone = create_backbone(
            config["architecture"], projector.channels, config["window"], **config.get("options", {})
        )
        backbone.load_state_dict(load_file(folder / "model.safetensors"))
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{folder}: the weights can't be loaded ({str(error).splitlines()[0]})") from None
    return Encoder(backbone.eval(), projector, config)


class Encoder:
    """A frozen backbone with everything that is done to a spectrum before it.

    Attributes:
        backbone: The torch module, (N, K, S, S) -> (N, D), for fine-tuning.
        projector: Bands of any camera -> K components.
        config: What the folder's config.json says.
        window: S.
    """

    def __init__(self, backbone: nn.Module, projector: SpectralProjector, config: dict[str, Any]) -> None:
        self.backbone, self.projector, self.config = backbone, projector, config
        self.window: int = config["window"]
        self.num_features: int = config["num_features"]

    def to(self, device: torch.device | str) -> Encoder:
        """Move the network."""
        self.backbone.to(device)
        return self

    @torch.inference_mode()
    def encode(
        self,
        cube: np.ndarray,
        wavelengths: np.ndarray | None = None,
        *,
        mask: np.ndarray | None = None,
        stride: int = 1,
        batch_size: int = 1024,
    ) -> np.ndarray:
        """Features of a cube of any camera.

        Args:
            cube: (H, W, B), any real dtype, memory-mapped or not; strips of it are read in turn.
            wavelengths: (B,) nm, needed when the backbone aligns by wavelength.
            mask: (H, W) pixels that a per-scene standardisation counts; all when None.
            stride: Step between windows, in pixels.
            batch_size: Windows per forward pass.

        Returns:
            (H', W', D) float32. A pixel-level backbone gives one feature per pixel (H' = H at stride 1),
            with windows reflected at the border; a patch-level one takes the windows that lie inside.

        Raises:
            InputError: The camera does not cover the backbone's range, or the cube is smaller than a window.
        """
        cube = np.asanyarray(cube)
        if cube.ndim != 3:
            raise InputError(f"a cube must be (height, width, bands), not {cube.shape}")
        height, width, bands = cube.shape
        reflect = self.config.get("border") == "reflect"
        before = self.window // 2 if reflect else 0
        rows, columns = (
            np.arange(0, n if reflect else n - self.window + 1, stride) - before for n in (height, width)
        )
        if not (rows.size and columns.size):
            raise InputError(f"the cube is {height}x{width}, smaller than the backbone's window of {self.window}")
        raw = moments(cube, mask) if self.projector.standardize == "scene" else None
        if wavelengths is not None:
            wavelengths = np.asarray(wavelengths, dtype=np.float64)
        # Checks the camera before anything long starts.
        self.projector.affine(wavelengths, bands, raw)
        device = next(self.backbone.parameters()).device
        out = np.empty((rows.size, columns.size, self.num_features), dtype=np.float32)
        steps = np.arange(self.window)
        across = _mirror(columns[:, None] + steps, width)
        for i, row in enumerate(rows):
            strip = np.asarray(cube[np.unique(_mirror(row + steps, height))])
            down = np.searchsorted(np.unique(_mirror(row + steps, height)), _mirror(row + steps, height))
            components = self.projector.transform(strip, wavelengths, raw=raw, scaled=True)
            # Through float16, as the corpus stores it, so that features here and there are the same.
            lines = torch.from_numpy(components.astype(np.float16)).to(device).float()
            for start in range(0, columns.size, batch_size):
                part = torch.from_numpy(across[start : start + batch_size]).to(device)
                windows = lines[torch.from_numpy(down).to(device)[None, :, None], part[:, None, :]]
                features = self.backbone(windows.permute(0, 3, 1, 2))
                out[i, start : start + batch_size] = features.float().cpu().numpy()
        return out


def _mirror(index: np.ndarray, length: int) -> np.ndarray:
    """Reflect indices into 0..length-1 without repeating the edge."""
    if length == 1:
        return np.zeros_like(index)
    index = np.abs(index) % (2 * (length - 1))
    return np.where(index >= length, 2 * (length - 1) - index, index)
