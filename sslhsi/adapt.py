"""Adapt a pretrained backbone to unlabelled scenes: some more steps of pretraining on them, behind its projection."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sslhsi.backbones.build import ELSEWHERE, BackboneConfig
from sslhsi.bands.projector import load_projection
from sslhsi.encoder.load import backbone_folder
from sslhsi.errors import InputError
from sslhsi.pretrain import pretrain
from sslhsi.recipe import Bands, Recipe, load_recipe


def adapt(
    recipe: str | Path,
    backbone: str | Path,
    scenes: Sequence[str | Path | Mapping[str, Any]],
    overrides: Sequence[str] = (),
) -> Path:
    """Go on pretraining a backbone on scenes, without their labels.

    The run is one like any other: cut off, the same call goes on from its last checkpoint. Its rows of results say
    that pretraining saw the scenes' pixels, and its words name the backbone that it began from.

    Args:
        recipe: The schedule, such as recipes/adapt.yaml: views, method, training, evaluation.
        backbone: A run, its backbone/ folder, a published folder or a hub id; its network, window, weights and
            projection are taken.
        scenes: Files, or what a recipe's ``corpus.scenes`` says of each; labels, where given, are for evaluation.
        overrides: ``key=value`` as for :func:`sslhsi.recipe.load_recipe`.

    Returns:
        The run directory; its backbone/ is the adapted one.

    Raises:
        InputError: As for :func:`adaptation` and :func:`sslhsi.pretrain.pretrain`.
    """
    return pretrain(adaptation(recipe, backbone, scenes, overrides))


def adaptation(
    recipe: str | Path,
    backbone: str | Path,
    scenes: Sequence[str | Path | Mapping[str, Any]],
    overrides: Sequence[str] = (),
) -> Recipe:
    """The recipe of an adaptation; arguments as for :func:`adapt`.

    Raises:
        InputError: There is no scene, the backbone can't be opened or doesn't say what it is, or an override is
            wrong.
    """
    if not scenes:
        raise InputError("there is no scene to adapt to; name one or more")
    folder = backbone_folder(backbone)
    try:
        config = BackboneConfig.of(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise InputError(f"{folder}: config.json can't be read ({error}); give a folder that a run wrote") from None
    if not config.architecture:
        raise InputError(f"{folder}: config.json names no architecture; give a backbone/ folder that a run wrote")
    projection = load_projection(folder)
    state = {"components": projection.channels, **projection.state()}
    options = {key: value for key, value in config.options.items() if key not in ELSEWHERE}
    if options.get("pretrained"):
        # Its stem is made for such weights, but these are not where it starts.
        options["load"] = False
    given = {
        "corpus.scenes": [dict(one) if isinstance(one, Mapping) else {"path": str(one)} for one in scenes],
        "corpus.projection": str(folder),
        "corpus.bands": {key: state[key] for key in Bands.model_fields if key in state},
        "corpus.patches.window": config.window,
        "corpus.patches.border": config.border,
        "backbone": {"name": config.architecture, "options": options, "weights": str(folder)},
    }
    return load_recipe(recipe, [*(f"{key}={json.dumps(value)}" for key, value in given.items()), *overrides])
