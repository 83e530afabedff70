"""2D convolution that leaves out what would multiply padding alone, where its output is one pixel."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Conv2d(nn.Conv2d):
    """`torch.nn.Conv2d`, the same parameters and the same values.

    On small windows the last stages of a residual network have maps of 2x2 and 1x1 pixels, on which a padded 3x3
    kernel mostly multiplies zeros. Where the output is one pixel on a CPU, the part of the kernel that meets the map
    is one matrix product. Graphs that are compiled or exported, which may be used for other sizes, and GPUs have
    torch's convolution.
    """

    def forward(self, x: Tensor) -> Tensor:
        graph = torch.compiler.is_compiling() or torch.jit.is_tracing()
        if graph or x.device.type != "cpu" or not self._gives_one_pixel(x):
            return super().forward(x)
        assert isinstance(self.padding, tuple)
        (top, left), (height, width) = self.padding, x.shape[2:]
        weight = self.weight[..., top : top + height, left : left + width]
        met = x[..., : weight.shape[2], : weight.shape[3]]
        return F.linear(met.flatten(1), weight.flatten(1), self.bias)[..., None, None]

    def _gives_one_pixel(self, x: Tensor) -> bool:
        if self.groups > 1 or self.dilation != (1, 1) or self.padding_mode != "zeros" or x.ndim != 4:
            return False
        if isinstance(self.padding, str):
            return False
        axes = zip(x.shape[2:], self.kernel_size, self.stride, self.padding, strict=True)
        return all(padding and 0 <= n + 2 * padding - kernel < stride for n, kernel, stride, padding in axes)


def trim_small_maps(network: nn.Module) -> None:
    """Let every plain 2D convolution of a network be a :class:`Conv2d`, in place; names and values stay."""
    for layer in network.modules():
        if type(layer) is nn.Conv2d:
            layer.__class__ = Conv2d
