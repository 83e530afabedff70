"""What networks share that compute a whole image at once instead of window by window."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from scipy.fft import next_fast_len
from torch import Tensor

ImageMap = Callable[[Tensor], Tensor]

# Kernels from this side on are applied through the Fourier transform: measured on a CPU, 64 -> 256 maps.
_LARGE = 7
# Side of the transform in kernels: larger ones waste less at the seams and need more memory.
_TRANSFORM = 2.3


def window_mean(x: Tensor, cells: int, step: int = 1) -> Tensor:
    """Means over cells x cells positions that lie ``step`` apart, from every position on.

    Args:
        x: (N, D, H, W).
        cells: Positions along either side.
        step: Their distance in pixels.

    Returns:
        (N, D, H - step (cells - 1), W - step (cells - 1)).
    """
    for axis in (2, 3):
        length = x.shape[axis] - step * (cells - 1)
        parts = [x.narrow(axis, step * i, length) for i in range(cells)]
        total = parts[0].clone()
        for part in parts[1:]:
            total += part
        x = total
    return x / cells**2


def over_windows(x: Tensor, side: int, run: ImageMap, at_once: int = 256) -> Tensor:
    """Apply to every window of maps what can't be shared between windows.

    Args:
        x: (1, C, H, W).
        side: Of the windows.
        run: (n, C, side, side) -> (n, D).
        at_once: Windows per call, about.

    Returns:
        (1, D, H - side + 1, W - side + 1).
    """
    windows = x[0].unfold(1, side, 1).unfold(2, side, 1).permute(1, 2, 0, 3, 4)  # (H', W', C, side, side)
    rows = max(1, at_once // windows.shape[1])
    parts = [run(part.flatten(0, 1)).unflatten(0, part.shape[:2]) for part in windows.split(rows)]
    return torch.cat(parts).permute(2, 0, 1)[None]


def large_kernel(weight: Tensor, bias: Tensor) -> ImageMap:
    """A valid convolution whose kernel may be large: (1, C, H, W) -> (1, O, H - K + 1, W - K + 1).

    Large kernels are multiplied in the frequency domain, tile by overlapping tile (overlap-save; Oppenheim
    and Schafer, Discrete-Time Signal Processing, section 8.7): the same sums to float32's rounding, 40 times
    fewer multiplications for a kernel of 17 x 17.

    Args:
        weight: (O, C, K, K), as ``torch.nn.functional.conv2d`` takes it.
        bias: (O,).
    """
    maps, channels, side = weight.shape[:3]
    if side < _LARGE:
        return lambda x: F.conv2d(x, weight, bias)
    size = next_fast_len(math.ceil(_TRANSFORM * side), real=True)
    size += size % 2
    step, half = size - side + 1, size // 2 + 1
    spectrum = _spectrum(weight, size)

    def apply(x: Tensor) -> Tensor:
        height, width = x.shape[2] - side + 1, x.shape[3] - side + 1
        down, across = -(-height // step), -(-width // step)
        x = F.pad(x, (0, across * step - width, 0, down * step - height))
        tiles = torch.fft.rfft2(x[0].unfold(1, size, step).unfold(2, size, step))  # (C, down, across, size, half)
        product = torch.bmm(tiles.permute(3, 4, 1, 2, 0).reshape(size * half, down * across, channels), spectrum)
        product = product.view(size, half, down, across, maps).permute(4, 2, 3, 0, 1)
        tiles = torch.fft.irfft2(product, s=(size, size))[..., :step, :step]
        whole = tiles.transpose(2, 3).reshape(maps, down * step, across * step)
        return (whole[:, :height, :width] + bias[:, None, None])[None]

    return apply


def _spectrum(weight: Tensor, size: int) -> Tensor:
    """(size x half, C, O) conjugate transform of a kernel padded to ``size``.

    Two products with the transform's matrix: the kernel fills little of the padded square, and the result is
    wanted with the frequencies first.
    """
    maps, channels, side = weight.shape[:3]
    half = size // 2 + 1
    place = torch.outer(torch.arange(size), torch.arange(side)).double() * (2 * math.pi / size)
    cos, sin = place.cos().to(weight), place.sin().to(weight)  # conjugate: exp(+i place)
    kernel = weight.permute(2, 3, 1, 0).reshape(side, side * channels * maps)  # (K rows, K columns C O)
    rows = torch.stack([cos @ kernel, sin @ kernel]).view(2, size, side, channels * maps)
    real = cos[:half] @ rows[0] - sin[:half] @ rows[1]  # (size, half, C O)
    imaginary = cos[:half] @ rows[1] + sin[:half] @ rows[0]
    return torch.complex(real, imaginary).view(size * half, channels, maps)
