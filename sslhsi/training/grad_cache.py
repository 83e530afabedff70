"""Gradient caching: the gradients of a large batch from small ones.

Gao, Zhang, Han and Callan 2021, "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup",
arXiv:2101.06983, section 3: the loss is a function of the embeddings alone, so that its gradient there can be
kept while the network is passed through again, part by part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import torch
import torch.distributed as dist
from torch import Tensor, nn

from sslhsi.errors import InputError
from sslhsi.methods.base import JointEmbedding, Method

# Values that one all-reduce carries; a network's many small gradients share one.
BUCKET = 8 << 20


def cached_backward(
    method: JointEmbedding,
    views: Sequence[Tensor],
    micro_batch: int,
    seed: int,
    mixed: Callable[[], AbstractContextManager],
) -> Tensor:
    """Add to ``.grad`` what a backward pass through the whole batch would, ``micro_batch`` views at a time.

    The backbone runs twice, first without gradient; the head and the loss see the whole batch at once, so
    that the head's batch normalisation and its synchronisation are those of the direct pass. Gradients are
    averaged over processes at the end. Activations are held for one part at a time.

    Args:
        method: The method, not wrapped for distributed training.
        views: (n, K, S, S) each.
        micro_batch: Views that go through the backbone at a time.
        seed: What dropout draws from, part by part, the same in both passes.
        mixed: Makes the autocast context of a forward pass.

    Returns:
        The loss of this process, without gradient.
    """
    parts = torch.cat(tuple(views)).split(micro_batch)

    def encode(number: int) -> Tensor:
        torch.manual_seed(seed + number)
        with mixed():
            return method.backbone(parts[number])

    with torch.no_grad():
        features = torch.cat([encode(number) for number in range(len(parts))]).requires_grad_()
    with mixed():
        embeddings = method.head(features)
    loss = method.loss(embeddings, len(views))
    loss.backward()
    assert features.grad is not None
    for number, grad in enumerate(features.grad.split(micro_batch)):
        encode(number).backward(grad)
    average_gradients(method)
    return loss.detach()


def average_gradients(model: nn.Module) -> None:
    """Mean of every gradient over processes, as DistributedDataParallel takes it."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    bucket: list[Tensor] = []
    for number, grad in enumerate(grads):
        bucket.append(grad)
        full = sum(g.numel() for g in bucket) >= BUCKET
        if full or number + 1 == len(grads) or grads[number + 1].dtype != grad.dtype:
            flat = torch.cat([g.flatten() for g in bucket])
            dist.all_reduce(flat)
            flat /= dist.get_world_size()
            for g, mean in zip(bucket, flat.split([g.numel() for g in bucket]), strict=True):
                g.copy_(mean.view_as(g))
            bucket = []


def check_micro_batch(method: type[Method], method_name: str, backbone: nn.Module, name: str) -> None:
    """Refuse a method that can't take a batch in parts, and a backbone whose parts don't see what the whole would.

    Raises:
        InputError: The method is no :class:`~sslhsi.methods.base.JointEmbedding`, or the backbone normalises by
            the statistics of the batch.
    """
    if not issubclass(method, JointEmbedding):
        raise InputError(
            f"training.micro_batch: {method_name} needs more than one network's embeddings of the views, so that "
            "gradients can't be cached; set training.micro_batch=0 and spread the batch over more processes, or take "
            "method.name=simclr"
        )
    for layer, module in backbone.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            raise InputError(
                f"training.micro_batch: {name} normalises over the batch (layer {layer}), and parts of a batch have "
                "other statistics than the whole; set training.micro_batch=0 and spread the batch over more "
                "processes, or take a backbone without batch normalisation, such as pixelnet or hybridsn"
            )
