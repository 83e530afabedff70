"""What a run starts from: the network, its weights, and the setting that it trains in."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from sslhsi.backbones.build import brings_weights, build_backbone, recipe_channels, recipe_config
from sslhsi.backbones.fast import set_memory_format, training_setting
from sslhsi.backbones.transfer_weights import load_weights
from sslhsi.bands.projector import SpectralProjector
from sslhsi.errors import InputError
from sslhsi.methods.registry import create_method, method_class
from sslhsi.ranks import Gather
from sslhsi.recipe import Recipe
from sslhsi.training.grad_cache import check_micro_batch


class Weights(NamedTuple):
    """Tensors by name, and where they came from."""

    source: str
    state: Mapping[str, Tensor]


class Initialisation(NamedTuple):
    """The network to train, its untrained twin, and a record of where the first starts, fit for JSON."""

    backbone: nn.Module
    untrained: nn.Module
    record: dict[str, Any]

    @property
    def lines(self) -> list[str]:
        """The record in words, for the log."""
        lines = ["trains in {precision}, {memory_format}: {why}".format(**self.record["setting"])]
        if weights := self.record.get("weights"):
            lines.append(f"weights of {weights['source']}: {weights['summary']}")
        if stem := self.record.get("stem"):
            lines.append("stem: " + ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in stem.items()))
        return lines


def check_networks(recipe: Recipe, weights: Weights | None) -> None:
    """Build network and method without memory, so that what won't do is known before any work starts.

    Raises:
        InputError: A wrong name, option or size, or weights of which nothing fits.
    """
    SpectralProjector(**recipe.corpus.bands.model_dump())
    with torch.device("meta"):
        backbone = untrained_backbone(recipe)
        create_method(recipe.method.name, backbone, recipe.method.options)
    if recipe.training.micro_batch:
        check_micro_batch(method_class(recipe.method.name), recipe.method.name, backbone, recipe.backbone.name)
    if weights:
        try:
            load_weights(backbone, weights.state)
        except InputError as error:
            raise InputError(f"backbone.weights {weights.source}: {error}") from None


def initialise(
    recipe: Recipe, weights: Weights | None, device: torch.device, gather: Gather | None = None
) -> Initialisation:
    """Build the network to train, and the same one with random weights to compare it with.

    Args:
        recipe: The recipe; its ``training.precision`` may be ``auto``, the record says what it became.
        weights: To start from; what doesn't fit by name and shape stays random and is named in the record.
        device: Where the network will run.
        gather: Collects one object from every process; None for one process.

    Returns:
        The networks, on the CPU, and the record: ``setting`` (precision, memory_format, why), ``weights``
        (source, sha256 of the tensors, and the record of
        :func:`~sslhsi.backbones.transfer_weights.load_weights`) and ``stem`` of a timm network.
    """
    untrained = untrained_backbone(recipe)
    setting = training_setting(untrained, device, recipe.training.precision, gather)
    set_memory_format(untrained, setting["memory_format"])
    record: dict[str, Any] = {"setting": setting}
    config = recipe_config(recipe)
    if brings_weights(config):
        backbone = build_backbone(config, recipe_channels(recipe), trained=True)
        set_memory_format(backbone, setting["memory_format"])
    else:
        backbone = copy.deepcopy(untrained)
    if weights:
        origin = {"source": weights.source, "sha256": content_hash(weights.state)}
        record["weights"] = origin | load_weights(backbone, weights.state)
    if stem := getattr(backbone, "stem_record", None):
        record["stem"] = stem
    return Initialisation(backbone, untrained, record)


def untrained_backbone(recipe: Recipe) -> nn.Module:
    """The recipe's network with random weights, also where its options ask for trained ones."""
    return build_backbone(recipe_config(recipe), recipe_channels(recipe))


def content_hash(state: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, types, shapes and values, whatever file they came in."""
    digest = hashlib.sha256()
    for name in sorted(state):
        value = state[name].detach().contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)} ".encode())
        digest.update(value.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
