"""Whole images at once: what every window gives by itself, for every network that can."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sslhsi.backbones.base import BACKBONES
from sslhsi.backbones.registry import create_backbone
from sslhsi.backbones.whole_image import large_kernel, over_windows, window_mean

# name, bands, window, options: odd and even windows, one cell and several, kernels small and large
CASES = [
    ("hybridsn", 13, 25, {}),
    ("hybridsn", 15, 11, {}),
    ("hybridsn", 14, 12, {"pool": "avg"}),
    ("ccnn", 6, 5, {}),
    ("ccnn", 4, 8, {}),
    ("hresnet", 5, 9, {}),
    ("ssrn", 20, 7, {}),
    ("cnn1d", 55, 4, {}),
    ("cnn2d", 2, 27, {}),
    ("cnn2d", 1, 34, {}),
    ("cnn3d", 94, 27, {}),
    ("pixelnet", 4, 15, {"width": 8, "mixed": 6}),
    ("pixelnet", 4, 6, {"width": 8, "mixed": 6, "radii": (3, 0, 1)}),
    ("pixelnet", 3, 3, {"width": 8, "mixed": 6, "random": 5}),
]


def network_of(name: str, bands: int, window: int, options: dict, classes: int = 0) -> nn.Module:
    """Random weights, biases and statistics, so that nothing is 0 or 1 by chance."""
    torch.manual_seed(0)
    network = create_backbone(name, bands, window, classes, **options).eval()
    with torch.no_grad():
        for value in network.parameters():
            if value.ndim == 1:
                value.normal_(std=0.3)
            elif name in ("hresnet", "ccnn"):  # drawn so small that features vanish beside their biases
                value.mul_(5)
        for layer in network.modules():
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                layer.running_mean.normal_(std=0.2)
                layer.running_var.uniform_(0.5, 2.0)
                layer.weight.uniform_(0.5, 2.0)
    return network


@pytest.mark.slow
@pytest.mark.parametrize(("name", "bands", "window", "options"), CASES, ids=[f"{c[0]}-{c[2]}" for c in CASES])
def test_equal_to_window_by_window(name, bands, window, options):
    network = network_of(name, bands, window, options, classes=3 if window % 2 else 0)
    height, width = window + 1, window + 2
    x = torch.randn(1, bands, height, width)
    windows = x[0].unfold(1, window, 1).unfold(2, window, 1).permute(1, 2, 0, 3, 4)
    with torch.inference_mode():
        expected = network(windows.flatten(0, 1)).unflatten(0, (2, 3)).permute(2, 0, 1)[None]
        result = network.whole_image()(x)
    assert expected.std((2, 3)).max() > 1e-3 * expected.abs().max()
    torch.testing.assert_close(result, expected, rtol=1e-4, atol=2e-5 * float(expected.abs().max()))


def test_the_cases_hold_every_network_that_can():
    able = {name for name, network in BACKBONES.items() if network.whole_image_gain}
    assert able == {case[0] for case in CASES}
    with pytest.raises(NotImplementedError, match="window by window"):
        create_backbone("ainet", 20, 9).whole_image()


@pytest.mark.slow
def test_the_choice_of_tile_does_not_show():
    network = network_of("hybridsn", 13, 25, {})
    x = torch.randn(1, 13, 80, 61)
    with torch.inference_mode():
        run = network.whole_image()
        whole = run(x)
        part = run(x[:, :, 9:50, 30:])
    torch.testing.assert_close(part, whole[:, :, 9:26, 30:], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("side", [3, 7, 17])
@pytest.mark.parametrize("size", [(17, 18), (90, 41)])
def test_large_kernels_equal_convolution_in_double_precision(side, size):
    torch.manual_seed(0)
    weight, bias = torch.randn(6, 5, side, side), torch.randn(6)
    x = torch.randn(1, 5, *size)
    expected = F.conv2d(x.double(), weight.double(), bias.double())
    result = large_kernel(weight, bias)(x)
    assert result.dtype == torch.float32
    assert float((result - expected).abs().max()) < 3e-6 * float(expected.abs().max())


def test_means_and_windows_by_hand():
    x = torch.arange(2 * 7 * 8, dtype=torch.float32).view(1, 2, 7, 8)
    torch.testing.assert_close(window_mean(x, 3), F.avg_pool2d(x, 3, 1))
    apart = window_mean(x, 2, 4)
    assert apart.shape == (1, 2, 3, 4)
    torch.testing.assert_close(apart[0, 1, 2, 1], x[0, 1, [2, 2, 6, 6], [1, 5, 1, 5]].mean())
    largest = over_windows(x, 3, lambda part: part.amax((2, 3)), at_once=7)
    torch.testing.assert_close(largest, F.max_pool2d(x, 3, 1))
