"""Weights from one window or band count to another, with an account of what moved."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from sslhsi.errors import InputError

logger = logging.getLogger(__name__)


def load_weights(backbone: nn.Module, state_dict: Mapping[str, Tensor]) -> dict[str, Any]:
    """Load every tensor that fits by name and shape; leave the rest of the network as it is.

    On a network without memory (``torch.device("meta")``) this only finds out what would fit.

    Two examples, both with HybridSN. From window 32 to 25 all convolutions and Dense_2 are carried over,
    and Dense_1, which is tied to the window, starts fresh (its bias too: a bias without its weights
    means nothing). From 30 components to 15 Conv2d_1 stays behind as well, and so does Dense_1 if the
    windows differ.

    A layer moves whole or not at all: when one of its tensors doesn't fit, none is taken. Names of timm's
    networks may have this package's ``net.`` before them or not.

    Args:
        backbone: The network to fill, in place.
        state_dict: Tensors by name, of the same kind of network.

    Returns:
        A record for the log and for the run's provenance, fit for JSON: ``carried`` (names),
        ``not_carried`` (name -> reason; these start as the network was made), ``unused`` (name ->
        reason; in the file but not in the network), ``parameters_carried``, ``parameters`` (numbers of
        values, buffers not counted) and ``summary``, one line.

    Raises:
        InputError: Nothing fits, so the weights are another network's.
    """
    expected = backbone.state_dict()
    if all(name.startswith("net.") for name in expected):
        state_dict = {f"net.{name.removeprefix('net.')}": value for name, value in state_dict.items()}
    reasons: dict[str, str] = {}
    for name, value in expected.items():
        if name not in state_dict:
            reasons[name] = "not in the weights"
        elif state_dict[name].shape != value.shape:
            reasons[name] = f"{_shape(state_dict[name])} in the weights, {_shape(value)} here"
    broken = {_layer(name) for name in reasons}
    for name in expected:
        if name not in reasons and _layer(name) in broken:
            reasons[name] = "belongs to a layer that doesn't fit"
    carried = [name for name in expected if name not in reasons]
    if not carried:
        raise InputError(
            "none of the weights fits the network: they were made by another one (first names "
            f"{', '.join(list(state_dict)[:3]) or 'none'}; expected {', '.join(list(expected)[:3])})"
        )
    unused = {name: "not in the network" for name in state_dict if name not in expected}
    if not next(iter(expected.values())).is_meta:
        backbone.load_state_dict({name: state_dict[name] for name in carried}, strict=False)

    sizes = {name: value.numel() for name, value in backbone.named_parameters()}
    moved = sum(sizes.get(name, 0) for name in carried)
    total = sum(sizes.values())
    summary = f"carried over {moved:,} of {total:,} parameters"
    if reasons:
        summary += "; not carried over: " + ", ".join(f"{name} ({why})" for name, why in reasons.items())
    if unused:
        summary += f"; not used: {', '.join(unused)}"
    logger.info(summary)
    return {
        "carried": carried,
        "not_carried": reasons,
        "unused": unused,
        "parameters_carried": moved,
        "parameters": total,
        "summary": summary,
    }


def _layer(name: str) -> str:
    return name.rpartition(".")[0]


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a number"
