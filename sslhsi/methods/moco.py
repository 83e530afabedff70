"""MoCo v3: a query finds the key of its sample's other view among the keys of the whole batch."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated

import torch
from lightly.models.modules.heads import ProjectionHead
from lightly.models.utils import update_momentum
from lightly.utils.scheduler import cosine_schedule
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from sslhsi.methods.base import Batch, Method, register_method
from sslhsi.methods.gather import gather_rows, world
from sslhsi.methods.momentum import full_precision, momentum_copy
from sslhsi.recipe import Positive, Rate, Share
from sslhsi.recipe_file import Section


def contrast(queries: Tensor, keys: Tensor, temperature: float) -> Tensor:
    """Cross entropy of each query among all keys, times 2 x temperature (arXiv:2104.02057, algorithm 1).

    Args:
        queries: (n, D), any scale; query i belongs to key i.
        keys: (n, D), any scale, without gradient. Those of all processes are gathered; n must agree.
        temperature: Divides the cosine similarities.

    Returns:
        The mean over this process's queries.

    Examples:
        >>> z = torch.eye(4)
        >>> bool(contrast(z, z, 0.2) < contrast(z, z.roll(1, 0), 0.2))
        True
    """
    queries, keys = F.normalize(queries, dim=1), gather_rows(F.normalize(keys, dim=1))
    positive = world()[0] * len(queries) + torch.arange(len(queries), device=queries.device)
    return 2 * temperature * F.cross_entropy(queries @ keys.T / temperature, positive)


@register_method("moco")
class MoCo(Method):
    """Chen, Xie and He 2021, arXiv:2104.02057: SimCLR's negatives from a momentum encoder, without its queue.

    Backbone, projector and predictor make the queries, a momentum encoder of backbone and projector the keys, each
    view's queries against the other's keys. All layers of both heads are normalised over the batch, the last one
    without weights of its own, as in the authors' code (lightly's head gives it some). The momentum encoder
    normalises by the statistics of its batch, as :class:`~sslhsi.methods.byol.BYOL`'s does, and each view passes by
    itself. The backbone is exported.
    """

    class Options(Section):
        """Loss, heads and moving average."""

        temperature: Rate = 0.2
        hidden: Positive = Field(default=512, description="width of projector and predictor")
        output: Positive = Field(default=128, description="dimensions of queries and keys")
        layers: Annotated[int, Field(ge=2, le=4)] = Field(default=3, description="of the projector")
        momentum: Share = Field(
            default=0.99, description="of the moving average at the first step; rises to 1 along half a cosine"
        )

    def __init__(self, backbone: nn.Module, options: Options) -> None:
        super().__init__(backbone, options)
        hidden, output = options.hidden, options.output
        self.head = _head(int(backbone.num_features), hidden, output, options.layers)  # type: ignore[arg-type]
        self.predictor = _head(output, hidden, output, 2)
        self.momentum_backbone, self.momentum_head = momentum_copy(backbone), momentum_copy(self.head)
        self.momentum, self.temperature = options.momentum, options.temperature

    def forward(self, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        queries = [self.predictor(self.head(self.backbone(view))) for view in batch.views]
        with torch.no_grad():
            keys = [self.momentum_head(self.momentum_backbone(view)) for view in batch.views]
        with torch.autocast(batch.views[0].device.type, enabled=False):
            first, second, key_first, key_second = full_precision(queries + keys)
            loss = contrast(first, key_second, self.temperature) + contrast(second, key_first, self.temperature)
        return loss, {}

    def after_step(self, step: int, steps: int) -> None:
        momentum = cosine_schedule(step, steps, self.momentum, 1.0)
        update_momentum(self.backbone, self.momentum_backbone, momentum)
        update_momentum(self.head, self.momentum_head, momentum)


def _head(features: int, hidden: int, output: int, layers: int) -> nn.Module:
    widths = [features, *[hidden] * (layers - 1)]
    blocks = [(a, b, nn.BatchNorm1d(b), nn.ReLU()) for a, b in pairwise(widths)]
    return ProjectionHead([*blocks, (widths[-1], output, nn.BatchNorm1d(output, affine=False), None)])
