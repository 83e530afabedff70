"""One builder of networks: from a recipe, from the folder of a backbone, and the same network untrained."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import nn

from sslhsi.backbones.registry import create_backbone
from sslhsi.errors import InputError
from sslhsi.recipe import Recipe

# Of timm.create_model: where weights come from. A backbone brings its own, and a folder from elsewhere must
# not make the loader open other files.
ELSEWHERE = ("checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay", "cache_dir", "load")


class BackboneConfig(BaseModel):
    """What a backbone is, as config.json of its folder has it; further keys are kept as they are.

    Args:
        architecture: Name for :func:`~sslhsi.backbones.registry.create_backbone`; empty where it is not known, so
            that the network can't be built again.
        options: The network's own.
        window: Side in pixels of what it looks at.
        border: ``reflect``: one window around every pixel; ``inside``: windows that lie within the cube.
        name: ``architecture.tag``.
        recipe: Name of the recipe that it was trained by.
        corpus: Key of the corpus that it was trained on.
        stem: What was done to the first layer of a timm network.

    Examples:
        >>> BackboneConfig(architecture="hresnet", window=7).border
        'inside'
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    architecture: str = ""
    options: dict[str, Any] = {}
    window: int
    border: Literal["inside", "reflect"] = "inside"
    name: str = ""
    recipe: str = ""
    corpus: str = ""
    stem: dict[str, Any] | None = None

    @classmethod
    def of(cls, config: BackboneConfig | Mapping[str, Any]) -> BackboneConfig:
        """Check what config.json holds, of this version or of 0.1.

        Raises:
            InputError: A key is missing or of the wrong kind.
        """
        if isinstance(config, BackboneConfig):
            return config
        try:
            return cls.model_validate({key: value for key, value in config.items() if value is not None})
        except ValidationError as error:
            first = error.errors()[0]
            raise InputError(f"config.json: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def recipe_config(recipe: Recipe, corpus: str = "") -> BackboneConfig:
    """The backbone of a recipe; ``corpus`` is the key of what it is trained on."""
    patches = recipe.corpus.patches
    return BackboneConfig(
        architecture=recipe.backbone.name,
        options=recipe.backbone.options,
        window=patches.window,
        border=patches.border,
        recipe=recipe.name,
        corpus=corpus,
    )


def recipe_channels(recipe: Recipe) -> int:
    """K of a recipe's components."""
    return recipe.corpus.bands.components or recipe.corpus.bands.grid


def brings_weights(config: BackboneConfig) -> bool:
    """Whether the options ask for weights that others trained."""
    return bool(config.options.get("pretrained") or config.options.get("checkpoint_path"))


def build_backbone(
    config: BackboneConfig, channels: int, *, trained: bool = False, seed: int | None = None
) -> nn.Module:
    """Build the network that a configuration names.

    Args:
        config: Which.
        channels: Bands or components of its input.
        trained: Load the weights that the options ask for (``pretrained``). Without them the same network, stem and
            all, has random weights.
        seed: Of the random weights, torch's own state being left as it was; None draws from that.

    Raises:
        InputError: The configuration names no network, or as for
            :func:`~sslhsi.backbones.registry.create_backbone`.
    """
    if not config.architecture:
        raise InputError("the backbone's config.json names no architecture: give a backbone/ folder that a run wrote")
    options = dict(config.options)
    if not trained:
        options = {key: value for key, value in options.items() if key not in ELSEWHERE}
        if options.get("pretrained"):
            # Its stem is made for such weights, even where they don't come.
            options["load"] = False
    with nullcontext() if seed is None else torch.random.fork_rng(devices=[]):
        if seed is not None:
            torch.manual_seed(seed)
        return create_backbone(config.architecture, channels, config.window, **options)
