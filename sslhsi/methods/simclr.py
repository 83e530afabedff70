"""SimCLR: two views of a sample attract each other, all other samples of the batch repel."""

from __future__ import annotations

from typing import Annotated

from lightly.models.modules.heads import SimCLRProjectionHead
from pydantic import Field
from torch import nn

from sslhsi.methods.base import JointEmbedding, register_method
from sslhsi.methods.ntxent import NTXentLoss
from sslhsi.recipe import Positive
from sslhsi.recipe_file import Section


@register_method("simclr")
class SimCLR(JointEmbedding):
    """Chen et al. 2020, arXiv:2002.05709: NT-Xent on the outputs of a projection head, thrown away afterwards."""

    class Options(Section):
        """Loss and projection head."""

        temperature: Annotated[float, Field(gt=0)] = 0.1
        hidden: Positive = Field(default=512, description="width of the projection head")
        output: Positive = Field(default=128, description="dimensions of the embeddings")
        layers: Annotated[int, Field(ge=1, le=4)] = Field(default=2, description="of the projection head")
        chunk: Positive = Field(default=4096, description="embeddings that a process compares its own with at a time")

    def __init__(self, backbone: nn.Module, options: Options) -> None:
        super().__init__(backbone, options)
        self.head = SimCLRProjectionHead(
            backbone.num_features, options.hidden, options.output, num_layers=options.layers
        )
        self.criterion = NTXentLoss(temperature=options.temperature, chunk=options.chunk)
