"""Supervised contrast: windows of one class of one scene attract each other, all others repel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from lightly.models.modules.heads import SimCLRProjectionHead
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from sslhsi.methods.base import Batch, Method, register_method
from sslhsi.methods.gather import gather_rows, world
from sslhsi.methods.momentum import full_precision
from sslhsi.methods.ntxent import NTXentLoss, log_sum_exp
from sslhsi.recipe import Positive, Rate, Share
from sslhsi.recipe_file import Section

# Classes of one scene are numbered below this.
MOST_CLASSES = 1 << 32


class SupConLoss(nn.Module):
    """Supervised contrastive loss (Khosla et al. 2020, arXiv:2004.11362, equation 2: the sum outside the logarithm).

    Each of a rank's 2n embeddings is an anchor. Its positives are all other embeddings of its group, of all ranks,
    gathered with gradient; a sample of no group has its own other view alone, as in
    :class:`~sslhsi.methods.ntxent.NTXentLoss`, which this is where no sample has a group. The mean of the value over
    ranks is the loss of one process with the global batch. Memory grows with the batch and not with its square.

    Args:
        temperature: Divides the cosine similarities.
        chunk: Embeddings that the anchors are compared with at a time.

    Shape:
        z1, z2: (n, D) embeddings of the two views, any scale; groups: (n,) integers, -1 for none; the same n on every
        rank. Returns a scalar.

    Examples:
        >>> z = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        >>> loss = SupConLoss(temperature=0.1)
        >>> bool(loss(z, z, torch.tensor([0, 0, -1])) < loss(z, z, torch.tensor([-1, 0, 0])))
        True
    """

    def __init__(self, temperature: float = 0.1, chunk: int = 4096) -> None:
        super().__init__()
        self.temperature, self.chunk = temperature, chunk

    def forward(self, z1: Tensor, z2: Tensor, groups: Tensor) -> Tensor:
        z1, z2 = F.normalize(z1, dim=1), F.normalize(z2, dim=1)
        keys1, keys2 = gather_rows(z1), gather_rows(z2)
        n, total = len(z1), len(keys1)
        first = world()[0] * n + torch.arange(n, device=z1.device)
        everyone = gather_rows(groups[:, None])[:, 0]
        # Samples without a group are groups of one.
        lonely = -1 - torch.arange(total, device=z1.device)
        _, group = torch.where(everyone < 0, lonely, everyone).unique(return_inverse=True)
        group, keys = group.repeat(2), torch.cat([keys1, keys2])
        place = torch.cat([first, first + total])
        size = int(group.max()) + 1
        sums = keys.new_zeros(size, keys.shape[1]).index_add(0, group, keys)
        others = group.bincount(minlength=size)[group[place]] - 1
        anchors = torch.cat([z1, z2])
        # The mean over the positives of their similarities, from the sum over the group.
        attraction = (anchors * (sums[group[place]] - keys[place])).sum(1) / others / self.temperature
        return (log_sum_exp(anchors, keys, place, self.temperature, self.chunk) - attraction).mean()


@register_method("supcon")
class SupCon(Method):
    """Khosla et al. 2020, arXiv:2004.11362, on the labels of source scenes; alone or beside NT-Xent.

    Positives share class and scene: classes of two scenes are two things whatever they are called. A window's class
    is that of its centre pixel. Windows without a label have their other view for a positive, so that unlabelled
    scenes take part. Labels of held-out pixels and scenes are never given, and the scenes whose labels were read
    are not evaluated on.
    """

    class Options(Section):
        """Loss and projection head."""

        temperature: Rate = 0.1
        self_supervised: Share = Field(default=0.0, description="weight of NT-Xent, the rest is that of the labels")
        hidden: Positive = Field(default=512, description="width of the projection head")
        output: Positive = Field(default=128, description="dimensions of the embeddings")
        chunk: Positive = Field(default=4096, description="embeddings that a process compares its own with at a time")

    uses_labels = True
    columns: ClassVar[tuple[str, ...]] = ("labelled",)

    def __init__(self, backbone: nn.Module, options: Options) -> None:
        super().__init__(backbone, options)
        self.head = SimCLRProjectionHead(int(backbone.num_features), options.hidden, options.output)  # type: ignore[arg-type]
        self.supervised = SupConLoss(options.temperature, options.chunk)
        self.self_supervised = NTXentLoss(options.temperature, options.chunk)
        self.weight = options.self_supervised

    def forward(self, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Loss, and the share of the windows that have a label."""
        if batch.labels is None or batch.scenes is None:
            raise ValueError("supcon needs labels and scenes of its batch")
        groups = torch.where(batch.labels < 0, -1, batch.scenes * MOST_CLASSES + batch.labels)
        embeddings = self.head(self.backbone(torch.cat(tuple(batch.views)))).chunk(2)
        with torch.autocast(batch.views[0].device.type, enabled=False):
            first, second = full_precision(embeddings)
            loss = (1 - self.weight) * self.supervised(first, second, groups)
            if self.weight:
                loss = loss + self.weight * self.self_supervised(first, second)
        return loss, {"labelled": (groups >= 0).to(loss.dtype).mean()}
