"""Optimisers by name."""

from __future__ import annotations

from lightly.utils.lars import LARS
from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from sslhsi.recipe import Training


def create_optimiser(module: nn.Module, recipe: Training) -> Optimizer:
    """AdamW, SGD or LARS; biases and normalisation parameters are exempt from weight decay."""
    trained = [p for p in module.parameters() if p.requires_grad]
    decayed = [p for p in trained if p.ndim > 1]
    groups = [
        {"params": decayed, "weight_decay": recipe.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if recipe.optimizer == "adamw":
        return AdamW(groups, lr=recipe.lr)
    if recipe.optimizer == "sgd":
        return SGD(groups, lr=recipe.lr, momentum=recipe.momentum)
    return LARS(groups, lr=recipe.lr, momentum=recipe.momentum)
