"""Optimisers by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lightly.utils.lars import LARS
from torch import nn
from torch.optim import SGD, Adadelta, AdamW, Optimizer

from sslhsi.recipe import Training


def create_optimiser(module: nn.Module, recipe: Training) -> Optimizer:
    """AdamW, SGD or LARS; biases and normalisation parameters are exempt from weight decay."""
    groups = parameter_groups(module, recipe.lr, recipe.weight_decay)
    return optimiser(recipe.optimizer, groups, recipe.momentum, fused=True)


def parameter_groups(module: nn.Module, lr: float, weight_decay: float) -> list[dict[str, Any]]:
    """The trainable parameters in two groups: those that decay, and biases and normalisation that don't."""
    trained = [p for p in module.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim > 1], "lr": lr, "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "lr": lr, "weight_decay": 0.0},
    ]


def optimiser(name: str, groups: list[dict[str, Any]], momentum: float = 0.9, fused: bool = False) -> Optimizer:
    """``adamw``, ``adadelta``, ``sgd`` or ``lars`` on parameter groups.

    Args:
        name: Which.
        groups: With ``params``, ``lr`` and ``weight_decay``.
        momentum: Of ``sgd`` and ``lars``.
        fused: Update by one kernel, where ``adamw`` has one: equal to rounding, and several times faster for
            small networks.
    """
    if name == "adamw":
        return AdamW(groups, fused=fused)
    if name == "adadelta":
        return Adadelta(groups)
    if name == "sgd":
        return SGD(groups, momentum=momentum)
    return LARS(groups, lr=groups[0]["lr"], momentum=momentum)


def scale_rates(solver: Optimizer, rates: Sequence[float], factor: float) -> None:
    """Set the learning rates of an optimiser's groups to multiples of their base rates."""
    for group, rate in zip(solver.param_groups, rates, strict=True):
        group["lr"] = rate * factor
