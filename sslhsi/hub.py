"""A backbone as a folder: written by a run, loaded by anyone, for cubes of any camera."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from sslhsi.backbones.registry import create_backbone
from sslhsi.backbones.timm_backbone import TimmBackbone
from sslhsi.bands.projector import SpectralProjector
from sslhsi.errors import InputError
from sslhsi.probes.encoder import Encoder

FILES = ("config.json", "model.safetensors", "projector.json", "projector.safetensors")
# Of timm.create_model: where weights come from. A backbone brings its own, and a folder from elsewhere must
# not make the loader open other files.
_ELSEWHERE = ("checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay", "cache_dir", "load")
# Of TimmBackbone: what timm itself does not know.
_OWN = ("pretrained", "stem", "wavelengths", "rgb", "small_window")


def save_backbone(
    folder: str | Path, backbone: nn.Module, projector: SpectralProjector, config: Mapping[str, Any]
) -> None:
    """Write weights, configuration and projector; nothing in the folder executes code when loaded.

    The layout is timm's, so that ``timm.create_model("local-dir:FOLDER", pretrained=True)`` loads the
    network too, without projector: timm's own models as they are, this package's after
    ``import sslhsi.backbones.registry``. A timm model whose stem was changed for small windows is none that
    timm can build; its architecture is then written ``timm/NAME``, which timm refuses.

    Args:
        folder: Made anew; an older one of that name is replaced once the new one is whole.
        backbone: The network.
        projector: What brings a camera's bands to the network's input.
        config: ``architecture``, ``options``, ``window``, ``border``, ``recipe`` or ``tag`` (what follows the
            dot in the name), and anything else worth keeping.

    Raises:
        InputError: The disk is full or the folder can't be written.
    """
    folder = Path(folder)
    part = folder.with_name(f".{folder.name}.part")
    state = {k: v.detach().contiguous().cpu() for k, v in _plain(backbone).state_dict().items()}
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        save_file(state, part / "model.safetensors", metadata={"format": "pt"})
        projector.save(part)
        (part / "config.json").write_text(json.dumps(full_config(backbone, projector, config), indent=2) + "\n")
        for written in part.iterdir():
            # Some writers make files that nobody else may read.
            written.chmod(0o644)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(part, folder)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(part, ignore_errors=True)
        raise InputError(f"{folder}: can't be written ({error}); free some space or choose another folder") from None


def load_backbone(source: str | Path, revision: str | None = None) -> Encoder:
    """Open a backbone that a run wrote or that somebody published.

    Args:
        source: A folder (of a backbone, or of a run that holds one), or the id of a Hugging Face Hub
            repository, ``user/name``, with or without ``hf:`` before it.
        revision: Branch, tag or commit on the hub.

    Raises:
        InputError: There is no such folder or repository, or its files don't belong together.
    """
    folder = Path(source)
    if not folder.is_dir():
        try:
            name = str(source).removeprefix("hf:")
            folder = Path(snapshot_download(name, revision=revision, allow_patterns=list(FILES)))
        except (HFValidationError, HfHubHTTPError, OSError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            at = "" if revision is None else f" at revision {revision!r}"
            raise InputError(
                f"{source}{at}: neither a folder nor a repository that can be reached ({reason})"
            ) from None
    elif revision is not None:
        raise InputError(f"{source}: a folder has no revision {revision!r}; leave revision out")
    elif (folder / "backbone" / "config.json").is_file() and not (folder / "config.json").is_file():
        folder = folder / "backbone"
    if missing := [name for name in FILES if not (folder / name).is_file()]:
        raise InputError(f"{folder}: not a backbone, {missing[0]} is missing; give the backbone/ folder of a run")
    projector = SpectralProjector.load(folder)
    try:
        config = json.loads((folder / "config.json").read_text())
        options = {k: v for k, v in config.get("options", {}).items() if k not in _ELSEWHERE}
        if options.get("pretrained"):
            options["load"] = False
        backbone = create_backbone(config["architecture"], projector.channels, config["window"], **options)
        state = load_file(folder / "model.safetensors")
        if isinstance(backbone, TimmBackbone):
            # Earlier folders have the wrapper's name before every key.
            state = {key.removeprefix("net."): value for key, value in state.items()}
            # What was done to RGB weights is told by the folder, not by the network built just now.
            backbone.stem_record = config.get("stem") or backbone.stem_record
        _plain(backbone).load_state_dict(state)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{folder}: the weights can't be loaded ({str(error).splitlines()[0]})") from None
    return Encoder(backbone.eval(), projector, config)


def full_config(backbone: nn.Module, projector: SpectralProjector, config: Mapping[str, Any]) -> dict[str, Any]:
    """config.json: what was given, with all that timm and a reader want to know."""
    given = {k: v for k, v in config.items() if k not in ("tag", "name")}
    options = {k: v for k, v in (given.get("options") or {}).items() if k not in _ELSEWHERE}
    architecture = str(given["architecture"]).removeprefix("timm/")
    tag = config.get("tag") or config.get("recipe") or "unnamed"
    name = f"{architecture.split('.')[0]}.{tag}"
    channels, window = projector.channels, int(config["window"])
    arguments: dict[str, Any] = {"in_chans": channels}
    # Components are centred and of order one already.
    pretrained: dict[str, Any] = {
        "tag": tag, "input_size": [channels, window, window], "num_classes": 0, "classifier": "head",
        "mean": [0.0] * channels, "std": [1.0] * channels, "crop_pct": 1.0, "pool_size": None,
    }  # fmt: skip
    if isinstance(backbone, TimmBackbone):
        known = backbone.net.pretrained_cfg
        pretrained |= {key: known.get(key) for key in ("first_conv", "classifier", "interpolation")}
        pretrained["fixed_input_size"] = not backbone.any_window
        arguments |= {k: v for k, v in options.items() if k not in _OWN}
        if not backbone.any_window:
            arguments["img_size"] = window
        if any(sign in backbone.stem_record["small_window"] for sign in ("->", "removed")):
            architecture = f"timm/{architecture}"
        weights = str(backbone.stem_record["weights"])
        given["stem"] = {
            **backbone.stem_record,
            "weights": Path(weights).name if weights.startswith("/") else weights,
        }
    else:
        arguments |= {"window": window, **options}
    axis = projector.axis
    assert axis is not None
    return {
        "name": name,
        **given,
        "architecture": architecture,
        "options": options,
        "num_classes": 0,
        "num_features": int(backbone.num_features),  # type: ignore[arg-type]
        "in_chans": channels,
        "input_size": [channels, window, window],
        "wavelengths": [float(axis[0]), float(axis[-1])] if projector.align == "wavelength" else None,
        "model_args": arguments,
        "pretrained_cfg": pretrained,
    }


def _plain(backbone: nn.Module) -> nn.Module:
    """The network whose state is written: timm's own model rather than this package's wrapper."""
    return backbone.net if isinstance(backbone, TimmBackbone) else backbone
