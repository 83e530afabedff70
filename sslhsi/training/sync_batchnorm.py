"""Batch normalisation over all processes, on any device and backend.

PyTorch's own SyncBatchNorm needs a GPU; this one also runs on CPU processes under gloo, where the exactness
of distributed training is tested.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class _Normalise(torch.autograd.Function):
    """Batch normalisation by the statistics of all ranks; one exchange forward and one backward.

    PyTorch's kernels do what is large; what ranks exchange are (C,) means, variances and sums of gradients.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        mean, variance = torch.batch_norm_update_stats(x, None, None, 0.0)
        count = mean.new_tensor([x.numel() / x.shape[1]])
        packed = torch.cat([mean, variance, count])
        everywhere = [torch.empty_like(packed) for _ in range(dist.get_world_size())]
        dist.all_gather(everywhere, packed)
        means, variances, counts = torch.stack(everywhere).split([len(mean), len(mean), 1], dim=1)
        n = counts.sum()
        mean = (counts * means).sum(0) / n
        # Chan, Golub and LeVeque 1983: centred everywhere, since E[x^2] - mean^2 would cancel in float32.
        variance = (counts * (variances + (means - mean).square())).sum(0) / n
        ctx.save_for_backward(x, weight, mean, variance, n)
        ctx.eps = eps
        ctx.mark_non_differentiable(mean, variance, n)
        return torch.batch_norm(x, weight, bias, mean, variance, False, 0.0, eps, False), mean, variance, n

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, variance, n = ctx.saved_tensors
        # As if mean and variance were constants; the sums say what they add.
        to_x, to_weight, to_bias = torch.ops.aten.native_batch_norm_backward(
            grads[0], x, weight, mean, variance, None, None, False, ctx.eps, [True, True, True]
        )
        sums = torch.cat([to_weight, to_bias])
        dist.all_reduce(sums)
        slope, level = (sums / n).chunk(2)
        shape = [1, -1] + [1] * (x.ndim - 2)
        scale = torch.rsqrt(variance + ctx.eps)
        to_x.addcmul_(x - mean.view(shape), (-weight * scale.square() * slope).view(shape))
        return to_x.sub_((weight * scale * level).view(shape)), to_weight, to_bias, None


class SyncBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Normalises (N, C, ...) by the mean and variance over the batches of all ranks (Ioffe and Szegedy 2015)."""

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim < 2:
            raise ValueError(f"batch normalisation needs (N, C, ...), not {tuple(input.shape)}")

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or not dist.is_initialized() or dist.get_world_size() == 1:
            return super().forward(input)
        self._check_input_dim(input)
        x = input.to(torch.promote_types(input.dtype, torch.float32))
        weight = self.weight if self.affine else x.new_ones(x.shape[1])
        bias = self.bias if self.affine else x.new_zeros(x.shape[1])
        out, mean, variance, n = _Normalise.apply(x, weight, bias, self.eps)
        if self.track_running_stats and self.running_mean is not None and self.running_var is not None:
            with torch.no_grad():
                assert self.num_batches_tracked is not None
                self.num_batches_tracked += 1
                factor = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
                self.running_mean.lerp_(mean, factor)
                self.running_var.lerp_(variance * (n / (n - 1)), factor)
        return out.to(input.dtype)


def synchronise_batchnorm(module: nn.Module, device: torch.device) -> nn.Module:
    """Replace every batch normalisation by one over all ranks; parameters and statistics are kept."""
    if device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(module)
    for name, child in module.named_children():
        if isinstance(child, nn.modules.batchnorm._BatchNorm):
            new = SyncBatchNorm(
                child.num_features, child.eps, child.momentum, child.affine, child.track_running_stats
            )
            # The same tensors, so that an optimiser that holds them goes on working.
            new._parameters, new._buffers = child._parameters, child._buffers
            setattr(module, name, new)
        else:
            synchronise_batchnorm(child, device)
    return module
