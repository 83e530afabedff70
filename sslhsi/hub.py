"""A backbone as a folder: written by a run, loaded by anyone, for cubes of any camera."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from sslhsi.backbones.registry import create_backbone
from sslhsi.bands.projector import SpectralProjector
from sslhsi.errors import InputError
from sslhsi.probes.encoder import Encoder

FILES = ("config.json", "model.safetensors", "projector.json", "projector.safetensors")


def save_backbone(
    folder: str | Path, backbone: nn.Module, projector: SpectralProjector, config: dict[str, Any]
) -> None:
    """Write weights, configuration and projector; nothing in the folder executes code when loaded.

    Args:
        folder: Made anew; an older one of that name is replaced once the new one is whole.
        backbone: The network.
        projector: What brings a camera's bands to the network's input.
        config: ``architecture``, ``options``, ``window``, ``border``, and anything else worth keeping.
    """
    folder = Path(folder)
    part = folder.with_name(f".{folder.name}.part")
    state = {k: v.detach().contiguous().cpu() for k, v in backbone.state_dict().items()}
    full = {**config, "in_chans": projector.channels, "num_features": backbone.num_features}
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        save_file(state, part / "model.safetensors")
        projector.save(part)
        (part / "config.json").write_text(json.dumps(full, indent=2) + "\n")
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(part, folder)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(part, ignore_errors=True)
        raise InputError(f"{folder}: can't be written ({error}); free some space or choose another folder") from None


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
