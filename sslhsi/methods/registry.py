"""Objectives by name."""

from __future__ import annotations

from torch import nn

from sslhsi.methods.ntxent import NTXentLoss
from sslhsi.recipe import Objective


def create_objective(recipe: Objective) -> nn.Module:
    """The loss that a recipe names: two (n, D) embeddings -> scalar."""
    return {"ntxent": NTXentLoss}[recipe.name](temperature=recipe.temperature, chunk=recipe.chunk)
