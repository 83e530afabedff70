"""NT-Xent, the contrastive loss of SimCLR."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sslhsi.objectives.gather import gather_rows, world


class NTXentLoss(nn.Module):
    """Normalised temperature-scaled cross entropy (Chen et al. 2020, arXiv:2002.05709, eq. 1).

    Each of a rank's 2n embeddings is an anchor; its positive is the other view of the same sample, its
    negatives are all other embeddings of all ranks, gathered with gradient. The value is the mean over
    the rank's own anchors: the mean of it over ranks is the loss of one process with the global batch,
    and averaging gradients over ranks, as DistributedDataParallel does, gives that process's gradients.

    Similarities are computed in float32 whatever autocast says: at temperature 0.1 the logits reach 10,
    where bfloat16 is spaced by 0.06.

    Args:
        temperature: Divides the cosine similarities; above 0.

    Shape:
        z1, z2: (n, D) embeddings of the two views, any scale; the same n on every rank. Returns a scalar.
    """

    def __init__(self, temperature: float = 0.1) -> None:
        super().__init__()
        if not temperature > 0:
            raise ValueError(f"temperature={temperature}: use a number above 0")
        self.temperature = temperature

    def forward(self, z1: Tensor, z2: Tensor) -> Tensor:
        if z1.shape != z2.shape or z1.ndim != 2:
            raise ValueError(f"z1 and z2 must both be (n, D), not {tuple(z1.shape)} and {tuple(z2.shape)}")
        with torch.autocast(z1.device.type, enabled=False):
            # float64 stays float64: tests of gradients need it.
            dtype = torch.promote_types(z1.dtype, torch.float32)
            z1, z2 = F.normalize(z1.to(dtype), dim=1), F.normalize(z2.to(dtype), dim=1)
            keys1, keys2 = gather_rows(z1), gather_rows(z2)
            n, total = len(z1), len(keys1)
            logits = torch.cat([z1, z2]) @ torch.cat([keys1, keys2]).T / self.temperature
            first = world()[0] * n + torch.arange(n, device=z1.device)
            own = torch.cat([first, first + total])
            positive = torch.cat([first + total, first])
            logits = logits.scatter(1, own[:, None], float("-inf"))
            return F.cross_entropy(logits, positive)
