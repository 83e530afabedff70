"""VICReg: two views of a sample agree, each dimension keeps its variance, no two dimensions say the same."""

from __future__ import annotations

import torch.distributed as dist
from lightly.loss import VICRegLoss
from lightly.models.modules.heads import VICRegProjectionHead
from pydantic import Field
from torch import nn

from sslhsi.methods.base import JointEmbedding, register_method
from sslhsi.recipe import Positive, Strength
from sslhsi.recipe_file import Section


@register_method("vicreg")
class VICReg(JointEmbedding):
    """Bardes, Ponce and LeCun 2022, arXiv:2105.04906: invariance, variance and covariance, without negatives.

    Variance and covariance are those of the global batch, gathered with gradient. The terms are scaled as in the
    authors' code: the squared distance is a mean over dimensions, where equation 5 has a sum, and the two views'
    variance terms are averaged, where equation 6 adds them.
    """

    class Options(Section):
        """Weights of the three terms, and the head, which the authors make far wider than the backbone."""

        hidden: Positive = Field(default=1024, description="width of the head")
        output: Positive = Field(default=1024, description="dimensions of the embeddings")
        invariance: Strength = Field(default=25.0, description="weight of the distance between the views")
        variance: Strength = Field(default=25.0, description="weight of a standard deviation below 1")
        covariance: Strength = Field(default=1.0, description="weight of covariances between dimensions")

    def __init__(self, backbone: nn.Module, options: Options) -> None:
        super().__init__(backbone, options)
        self.head = VICRegProjectionHead(int(backbone.num_features), options.hidden, options.output)  # type: ignore[arg-type]
        self.criterion = VICRegLoss(
            options.invariance, options.variance, options.covariance, gather_distributed=dist.is_available()
        )
