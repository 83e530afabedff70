"""Open a backbone: from the folder that a run wrote, or from the Hugging Face Hub."""

from __future__ import annotations

import json
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from sslhsi.backbones.build import BackboneConfig, build_backbone
from sslhsi.backbones.timm_backbone import TimmBackbone
from sslhsi.bands.projector import load_projection
from sslhsi.encoder.encoder import Encoder
from sslhsi.errors import InputError, reason_of

FILES = ("config.json", "model.safetensors", "projector.json", "projector.safetensors")


def load_backbone(source: str | Path, revision: str | None = None) -> Encoder:
    """Open a backbone that a run wrote or that somebody published.

    Args:
        source: A folder (of a backbone, or of a run that holds one), or the id of a Hugging Face Hub
            repository, ``user/name``, with or without ``hf:`` before it.
        revision: Branch, tag or commit on the hub.

    Raises:
        InputError: There is no such folder or repository, or its files don't belong together.

    Examples:
        >>> import tempfile
        >>> import numpy as np
        >>> from sslhsi import Scene, SpectralProjector, create_backbone
        >>> from sslhsi.encoder.save import save_backbone
        >>> cube, wavelengths = np.random.default_rng(0).random((12, 10, 40)), np.linspace(400, 1000, 40)
        >>> projector = SpectralProjector(grid=32, components=6).fit([Scene("field", cube, wavelengths)])
        >>> config = {"architecture": "pixelnet", "options": {}, "window": 9, "border": "reflect", "recipe": "tiny"}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_backbone(f"{folder}/tiny", create_backbone("pixelnet", 6, 9), projector, config)
        ...     encoder = load_backbone(f"{folder}/tiny")
        >>> encoder.encode(cube, wavelengths, stride=1).shape[2] == encoder.num_features
        True
    """
    folder = backbone_folder(source, revision)
    projector = load_projection(folder)
    try:
        config = BackboneConfig.of(json.loads((folder / "config.json").read_text()))
        backbone = build_backbone(config, projector.channels)
        state = load_file(folder / "model.safetensors")
        if isinstance(backbone, TimmBackbone):
            # Earlier folders have the wrapper's name before every key.
            state = {key.removeprefix("net."): value for key, value in state.items()}
            # What was done to RGB weights the folder knows, not the network built just now.
            backbone.stem_record = config.stem or backbone.stem_record
        plain(backbone).load_state_dict(state)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{folder}: the weights can't be loaded ({reason_of(error)})") from None
    return Encoder(backbone.eval(), projector, config)


def backbone_folder(source: str | Path, revision: str | None = None) -> Path:
    """The folder that :func:`load_backbone` reads, fetched where it is on the hub; arguments and errors as there."""
    folder = Path(source)
    if not folder.is_dir():
        try:
            name = str(source).removeprefix("hf:")
            folder = Path(snapshot_download(name, revision=revision, allow_patterns=list(FILES)))
        except (HFValidationError, HfHubHTTPError, OSError, ValueError) as error:
            at = "" if revision is None else f" at revision {revision!r}"
            raise InputError(
                f"{source}{at}: neither a folder nor a repository that can be reached ({reason_of(error)})"
            ) from None
    elif revision is not None:
        raise InputError(f"{source}: a folder has no revision {revision!r}; leave revision out")
    elif (folder / "backbone" / "config.json").is_file() and not (folder / "config.json").is_file():
        folder = folder / "backbone"
    if missing := [name for name in FILES if not (folder / name).is_file()]:
        raise InputError(f"{folder}: not a backbone, {missing[0]} is missing; give the backbone/ folder of a run")
    return folder


def read_weights(source: str, key: str) -> dict[str, Tensor]:
    """Tensors to start from; see :func:`sslhsi.backbones.transfer_weights.load_weights` for what becomes of them.

    Args:
        source: A .safetensors file, a folder as for :func:`load_backbone`, or a hub id.
        key: Of the recipe, for messages.

    Raises:
        InputError: There is no such file, folder or repository, or it holds no weights.
    """
    path = Path(source).expanduser()
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (OSError, SafetensorError) as error:
            reason = "there is no such file" if isinstance(error, FileNotFoundError) else f"can't be read ({error})"
            raise InputError(
                f"{key} {path}: {reason}; give a .safetensors file, a backbone/ folder or a hub id"
            ) from None
    try:
        return load_backbone(path if path.exists() else source).backbone.state_dict()
    except InputError as error:
        raise InputError(f"{key} {error}") from None


def plain(backbone: nn.Module) -> nn.Module:
    """The network whose state is written: timm's own model rather than this package's wrapper."""
    return backbone.net if isinstance(backbone, TimmBackbone) else backbone
