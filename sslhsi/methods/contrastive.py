"""Backbone and projection head as one module."""

from __future__ import annotations

from lightly.models.modules.heads import SimCLRProjectionHead
from torch import Tensor, nn

from sslhsi.recipe import Objective


class Contrastive(nn.Module):
    """(N, K, S, S) views -> (N, D) embeddings; the head is thrown away after pretraining."""

    def __init__(self, backbone: nn.Module, recipe: Objective) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = SimCLRProjectionHead(
            backbone.num_features, recipe.hidden, recipe.output, num_layers=recipe.layers
        )

    def forward(self, views: Tensor) -> Tensor:
        return self.head(self.backbone(views))
