"""A stem of one input channel and the max pooling behind it, without the maps in between on a CPU.

Batch normalisation and a cut-off never change the order of a channel's values, or only turn it round where the
weight is negative. So the maximum can be taken first, of maps whose kernels bear the weight's sign, and an eighth of
the values be normalised and cut off. The same values and gradients, with fewer passes over the largest maps.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_POOL = ([3, 3, 3], [2, 2, 2], [1, 1, 1])
_TOP = 6.0


def stem_pool(x: Tensor, conv: nn.Module, norm: nn.Module) -> Tensor:
    """``max_pool3d(relu6(norm(conv(x))), 3, stride=2, padding=1)``.

    Args:
        x: (N, 1, D, H, W).
        conv: Of one input channel, without padding and bias.
        norm: In training mode its running statistics are brought up to date. Where it is another layer than torch's
            (one whose statistics are of several processes), on GPUs and under autocast everything is computed as
            written.

    Returns:
        (N, C, D', H', W'), channels last on a CPU.
    """
    ours = type(norm) is nn.BatchNorm3d and norm.running_mean is not None and norm.running_var is not None
    if not ours or x.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
        return F.max_pool3d(F.relu6(norm(conv(x)), inplace=True), *_POOL)
    assert isinstance(conv, nn.Conv3d)
    assert isinstance(norm, nn.BatchNorm3d)
    if norm.training:
        out: Tensor
        out, mean, variance, count = _StemPool.apply(x, conv.weight, norm.weight, norm.bias, norm.eps)
        _update_running(norm, mean, variance, count)
        return out
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    weight = _channels_last(conv.weight * _column(scale))
    return F.relu6(F.max_pool3d(F.conv3d(x, weight, norm.bias - norm.running_mean * scale), *_POOL))


@torch.no_grad()
def _update_running(norm: nn.BatchNorm3d, mean: Tensor, variance: Tensor, count: int) -> None:
    """As ``torch.nn.BatchNorm3d`` does it: the running variance is the unbiased one."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked += 1
    share = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
    norm.running_mean.lerp_(mean, share)
    norm.running_var.lerp_(variance * (count / max(count - 1, 1)), share)


class _StemPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, gain: Tensor, bias: Tensor, eps: float) -> Any:
        sign = torch.where(gain < 0, -1.0, 1.0).to(x)
        kernel = _channels_last(weight * _column(sign))
        maps = F.conv3d(x, kernel)
        count = maps.numel() // maps.shape[1]
        mean, variance = torch.batch_norm_update_stats(maps, None, None, 0.0)
        inverse = (variance + eps).rsqrt()
        scale = gain.abs() * inverse
        pooled, index = torch.ops.aten.max_pool3d_with_indices(maps, *_POOL)
        out = torch.addcmul(_column(bias - mean * scale)[:, 0], pooled, _column(scale)[:, 0]).clamp_(0, _TOP)
        ctx.save_for_backward(x, kernel, sign, scale, mean, inverse, maps, pooled, index, out)
        mean = mean * sign
        ctx.mark_non_differentiable(mean, variance)
        return out, mean, variance, count

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        x, kernel, sign, scale, mean, inverse, maps, pooled, index, out = ctx.saved_tensors
        batch, channels = out.shape[:2]
        upstream = upstream.contiguous(memory_format=torch.channels_last_3d)
        slope = torch.ops.aten.hardtanh_backward(upstream, out, 0.0, _TOP)
        dbias = slope.sum((0, 2, 3, 4))
        dgain = ((slope * pooled).sum((0, 2, 3, 4)) - mean * dbias) * inverse
        # What the mean and the variance pass to every value, and to the maxima their own.
        share = scale * channels / maps.numel()
        of_maps = -share * dgain * inverse
        constant = -share * dbias - of_maps * mean
        dmaps = torch.addcmul(_column(constant)[:, 0], maps, _column(of_maps)[:, 0])
        flat = dmaps.permute(0, 2, 3, 4, 1).reshape(batch, -1)
        at = index.permute(0, 2, 3, 4, 1) * channels + torch.arange(channels)
        flat.scatter_add_(1, at.flatten(1), (slope * _column(scale)[:, 0]).permute(0, 2, 3, 4, 1).flatten(1))
        dmaps = flat.view(batch, *maps.shape[2:], channels).permute(0, 4, 1, 2, 3)
        wanted = [ctx.needs_input_grad[0], ctx.needs_input_grad[1], False]
        dx, dkernel, _ = torch.ops.aten.convolution_backward(
            dmaps, x, kernel, None, [1, 1, 1], [0, 0, 0], [1, 1, 1], False, [0, 0, 0], 1, wanted
        )
        dweight = None if dkernel is None else dkernel * _column(sign)
        return dx, dweight, dgain * sign, dbias, None


def _column(values: Tensor) -> Tensor:
    """(C,) -> (C, 1, 1, 1, 1)."""
    return values[:, None, None, None, None]


def _channels_last(weight: Tensor) -> Tensor:
    # clone, since contiguous() leaves a one-channel kernel as it is, and by its strides the maps' format is chosen
    return weight.clone(memory_format=torch.channels_last_3d)
