"""A backbone as a folder: written by a run, loaded by anyone, for cubes of any camera."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import nn

from sslhsi.backbones.build import ELSEWHERE, BackboneConfig
from sslhsi.backbones.timm_backbone import TimmBackbone
from sslhsi.bands.projection import Projection
from sslhsi.encoder.load import plain
from sslhsi.files import atomic_folder

# Options of TimmBackbone that timm itself does not know.
_NOT_TIMMS = ("pretrained", "stem", "wavelengths", "rgb", "small_window")


def save_backbone(
    folder: str | Path,
    backbone: nn.Module,
    projector: Projection,
    config: BackboneConfig | Mapping[str, Any],
    tag: str = "",
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
        config: What it is, as a :class:`~sslhsi.backbones.build.BackboneConfig` or its keys, with anything else
            worth keeping.
        tag: What follows the dot in its name; the recipe's name when empty.

    Raises:
        InputError: The disk is full or the folder can't be written.
    """
    state = {k: v.detach().contiguous().cpu() for k, v in plain(backbone).state_dict().items()}
    with atomic_folder(folder, also=(SafetensorError,)) as part:
        save_file(state, part / "model.safetensors", metadata={"format": "pt"})
        projector.save(part)
        (part / "config.json").write_text(
            json.dumps(full_config(backbone, projector, BackboneConfig.of(config), tag), indent=2) + "\n"
        )
        for written in part.iterdir():
            # Some writers make files that nobody else may read.
            written.chmod(0o644)


def full_config(backbone: nn.Module, projector: Projection, config: BackboneConfig, tag: str = "") -> dict[str, Any]:
    """config.json: what was given, with all that timm and a reader want to know."""
    given = config.model_dump(exclude={"name"}, exclude_unset=True)
    options = {key: value for key, value in config.options.items() if key not in ELSEWHERE}
    architecture = config.architecture.removeprefix("timm/")
    name = f"{architecture.split('.')[0]}.{tag or config.recipe or 'unnamed'}"
    channels, window = projector.channels, config.window
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
        arguments |= {k: v for k, v in options.items() if k not in _NOT_TIMMS}
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
    return {
        "name": name,
        **given,
        "architecture": architecture,
        "options": options,
        "num_classes": 0,
        "num_features": int(backbone.num_features),  # type: ignore[arg-type]
        "in_chans": channels,
        "input_size": [channels, window, window],
        "wavelengths": list(projector.wavelength_range) if projector.wavelength_range else None,
        "model_args": arguments,
        "pretrained_cfg": pretrained,
    }
