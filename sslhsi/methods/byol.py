"""BYOL: one network predicts what its own moving average makes of another view; there are no negatives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from lightly.loss import NegativeCosineSimilarity
from lightly.models.modules.heads import BYOLPredictionHead, BYOLProjectionHead
from lightly.models.utils import update_momentum
from lightly.utils.debug import std_of_l2_normalized
from lightly.utils.scheduler import cosine_schedule
from pydantic import Field
from torch import Tensor, nn

from sslhsi.methods.base import Batch, Method, register_method
from sslhsi.methods.momentum import full_precision, momentum_copy
from sslhsi.recipe import Positive, Share
from sslhsi.recipe_file import Section


@register_method("byol")
class BYOL(Method):
    """Grill et al. 2020, arXiv:2006.07733: backbone, projector and predictor, and a momentum encoder as target.

    The momentum encoder is never in evaluation mode: as in the paper's own code it normalises by the statistics
    of its batch, and keeps running ones of its own, which the moving average leaves alone. Each view passes by
    itself, so that those statistics are of one view. The backbone is exported, not the momentum encoder.

    ``embedding_std`` in metrics.csv is the spread of the normalised projections in each dimension: near
    1 / sqrt(output) while the embeddings fill their space, 0 where they have collapsed to a point.
    """

    class Options(Section):
        """Heads and moving average."""

        hidden: Positive = Field(default=512, description="width of projector and predictor")
        output: Positive = Field(default=128, description="dimensions of the embeddings")
        momentum: Share = Field(
            default=0.996, description="of the moving average at the first step; rises to 1 along half a cosine"
        )

    columns: ClassVar[tuple[str, ...]] = ("embedding_std",)

    def __init__(self, backbone: nn.Module, options: Options) -> None:
        super().__init__(backbone, options)
        self.head = BYOLProjectionHead(backbone.num_features, options.hidden, options.output)
        self.predictor = BYOLPredictionHead(options.output, options.hidden, options.output)
        self.momentum_backbone, self.momentum_head = momentum_copy(backbone), momentum_copy(self.head)
        self.momentum = options.momentum
        self.criterion = NegativeCosineSimilarity()

    def forward(self, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        projections = [self.head(self.backbone(view)) for view in batch.views]
        predictions = [self.predictor(projection) for projection in projections]
        with torch.no_grad():
            targets = [self.momentum_head(self.momentum_backbone(view)) for view in batch.views]
        with torch.autocast(batch.views[0].device.type, enabled=False):
            first, second, target_first, target_second = full_precision(predictions + targets)
            # Squared distances of unit vectors, one view to the other and back (equation 2).
            loss = 4 + 2 * (self.criterion(first, target_second) + self.criterion(second, target_first))
            spread = std_of_l2_normalized(torch.cat(full_precision(projections)))
        return loss, {"embedding_std": spread}

    def after_step(self, step: int, steps: int) -> None:
        momentum = cosine_schedule(step, steps, self.momentum, 1.0)
        update_momentum(self.backbone, self.momentum_backbone, momentum)
        update_momentum(self.head, self.momentum_head, momentum)
