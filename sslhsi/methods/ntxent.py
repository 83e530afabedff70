"""NT-Xent, the contrastive loss of SimCLR."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from sslhsi.methods.gather import gather_rows, world


class NTXentLoss(nn.Module):
    """Normalised temperature-scaled cross entropy (Chen et al. 2020, arXiv:2002.05709, eq. 1).

    Each of a rank's 2n embeddings is an anchor; its positive is the other view of the same sample, its
    negatives are all other embeddings of all ranks, gathered with gradient. The value is the mean over
    the rank's own anchors: the mean of it over ranks is the loss of one process with the global batch,
    and averaging gradients over ranks, as DistributedDataParallel does, gives that process's gradients.

    The similarities are never held all at once: anchors meet ``chunk`` embeddings at a time, forward and
    again backward, so that memory grows with the batch and not with its square.

    Similarities are computed in float32 whatever autocast says: at temperature 0.1 the logits reach 10,
    where bfloat16 is spaced by 0.06.

    Args:
        temperature: Divides the cosine similarities; above 0.
        chunk: Embeddings that the anchors are compared with at a time.

    Shape:
        z1, z2: (n, D) embeddings of the two views, any scale; the same n on every rank. Returns a scalar.

    Examples:
        >>> z = torch.eye(4)
        >>> loss = NTXentLoss(temperature=0.1)
        >>> bool(loss(z, z) < loss(z, z.roll(1, 0)))
        True
    """

    def __init__(self, temperature: float = 0.1, chunk: int = 4096) -> None:
        super().__init__()
        if not temperature > 0:
            raise ValueError(f"temperature={temperature}: use a number above 0")
        if chunk < 1:
            raise ValueError(f"chunk={chunk}: use 1 or more")
        self.temperature, self.chunk = temperature, chunk

    def forward(self, z1: Tensor, z2: Tensor) -> Tensor:
        if z1.shape != z2.shape or z1.ndim != 2:
            raise ValueError(f"z1 and z2 must both be (n, D), not {tuple(z1.shape)} and {tuple(z2.shape)}")
        with torch.autocast(z1.device.type, enabled=False):
            # float64 stays float64: tests of gradients need it.
            dtype = torch.promote_types(z1.dtype, torch.float32)
            z1, z2 = F.normalize(z1.to(dtype), dim=1), F.normalize(z2.to(dtype), dim=1)
            # Both views by one exchange.
            pairs = gather_rows(torch.stack([z1, z2], dim=1))
            n, total = len(z1), len(pairs)
            anchors, keys = torch.cat([z1, z2]), torch.cat([pairs[:, 0], pairs[:, 1]])
            first = world()[0] * n + torch.arange(n, device=z1.device)
            place = torch.cat([first, first + total])
            positive = torch.cat([first + total, first])
            attraction = (anchors * keys[positive]).sum(1) / self.temperature
            return (log_sum_exp(anchors, keys, place, self.temperature, self.chunk) - attraction).mean()


def log_sum_exp(anchors: Tensor, keys: Tensor, place: Tensor, temperature: float, chunk: int) -> Tensor:
    """(a,) log of the summed exp(anchor . key / temperature) over all keys but the anchor's own, by chunks.

    The backward pass computes each chunk of similarities anew from the anchors, the keys and the result.

    Args:
        anchors: (a, D).
        keys: (k, D), of all processes.
        place: (a,) number of the key that is the anchor itself.
        temperature: Divides the products.
        chunk: Keys that the anchors meet at a time.
    """
    return _LogSumExp.apply(anchors, keys, place, temperature, chunk)


class _LogSumExp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, anchors: Tensor, keys: Tensor, place: Tensor, temperature: float, chunk: int) -> Tensor:
        total = anchors.new_full((len(anchors),), float("-inf"))
        for start in range(0, len(keys), chunk):
            logits = _logits(anchors, keys, place, temperature, start, chunk)
            total = torch.logaddexp(total, torch.logsumexp(logits, 1))
        ctx.save_for_backward(anchors, keys, place, total)
        ctx.temperature, ctx.chunk = temperature, chunk
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        anchors, keys, place, total = ctx.saved_tensors
        scale = (grads[0] / ctx.temperature)[:, None]
        to_anchors, to_keys = torch.zeros_like(anchors), torch.empty_like(keys)
        with torch.autocast(anchors.device.type, enabled=False):
            for start in range(0, len(keys), ctx.chunk):
                logits = _logits(anchors, keys, place, ctx.temperature, start, ctx.chunk)
                weights = logits.sub_(total[:, None]).exp_().mul_(scale)
                part = slice(start, start + ctx.chunk)
                to_anchors.addmm_(weights, keys[part])
                to_keys[part] = weights.T @ anchors
        return to_anchors, to_keys, None, None, None


def _logits(anchors: Tensor, keys: Tensor, place: Tensor, temperature: float, start: int, chunk: int) -> Tensor:
    """(a, c) similarities to the keys from ``start`` on; -inf where a key is the anchor itself, at ``place``."""
    logits = (anchors @ keys[start : start + chunk].T).div_(temperature)
    column = place - start
    inside = (column >= 0) & (column < logits.shape[1])
    # Without a branch on the data, which would make a GPU wait: those outside are written back as they are.
    column = column.clamp(0, logits.shape[1] - 1)[:, None]
    hidden = torch.where(inside[:, None], float("-inf"), logits.gather(1, column))
    return logits.scatter_(1, column, hidden)
