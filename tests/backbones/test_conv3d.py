"""Equal rewrites: the same values and gradients as torch's mine layers."""

import copy

import pytest
import torch
from torch import nn

from sslhsi.backbones.conv3d import Conv3d
from sslhsi.backbones.fast import set_memory_format
from sslhsi.backbones.registry import create_backbone

CASES = [
    # channels, maps, kernel, stride, padding, input depth
    (1, 8, (7, 3, 3), 1, 0, 12),
    (4, 6, (7, 1, 1), 1, (3, 0, 0), 11),
    (4, 6, (7, 1, 1), (2, 1, 1), 0, 12),
    (1, 6, (7, 1, 1), (2, 1, 1), 0, 12),
    (4, 6, (1, 1, 1), 1, 0, 9),
    (4, 6, (1, 1, 1), 2, 0, 9),
    (4, 6, (1, 3, 3), 1, (0, 1, 1), 9),
    (4, 6, (1, 3, 3), 1, (0, 1, 1), 1),
    (1, 6, (9, 3, 3), 1, (0, 1, 1), 9),
    (4, 6, (9, 1, 1), 1, 0, 9),
    (1, 6, (9, 3, 3), 1, 0, 9),
    (4, 6, (9, 3, 3), 1, (4, 1, 1), 9),
    (4, 6, (3, 1, 1), 1, (1, 1, 1), 9),
]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("inside", "outside", "kernel", "stride", "padding", "depth"), CASES)
def test_equal_to_torch(inside, outside, kernel, stride, padding, depth, bias, layout):
    torch.manual_seed(0)
    ours = Conv3d(inside, outside, kernel, stride, padding, bias=bias).double()
    theirs = nn.Conv3d(inside, outside, kernel, stride, padding, bias=bias).double()
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(3, inside, depth, 5, 4, dtype=torch.float64)
    a = x.clone(memory_format=layout).requires_grad_()
    b = x.clone().requires_grad_()
    y, expected = ours(a), theirs(b)
    torch.testing.assert_close(y, expected)
    upstream = torch.randn_like(expected)
    y.backward(upstream)
    expected.backward(upstream)
    torch.testing.assert_close(a.grad, b.grad)
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_one_pixel_meets_the_middle_of_the_kernel(layout):
    torch.manual_seed(0)
    layer = Conv3d(4, 6, (1, 3, 3), padding=(0, 1, 1)).double()
    x = torch.randn(2, 4, 5, 1, 1, dtype=torch.float64).clone(memory_format=layout)
    expected = nn.functional.conv3d(x, layer.weight, layer.bias, padding=(0, 1, 1))
    torch.testing.assert_close(layer(x), expected)
    upstream = torch.randn_like(expected)
    mine, theirs = (torch.autograd.grad(y, layer.parameters(), upstream) for y in (layer(x), expected))
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
@pytest.mark.parametrize("kernel", [(1, 1, 1), (3, 1, 1), (1, 3, 3)])
def test_gradient_through_batch_normalisation_behind_it(kernel, layout, batch):
    torch.manual_seed(0)
    layer = Conv3d(8, 16, kernel, padding=tuple(k // 2 for k in kernel)).double()
    norm = nn.BatchNorm3d(16).double()
    x = torch.randn(batch, 8, 12, 3, 3, dtype=torch.float64).clone(memory_format=layout).requires_grad_()
    y = nn.functional.conv3d(x.contiguous(), layer.weight, layer.bias, padding=layer.padding).contiguous()
    expected = torch.nn.functional.batch_norm(y, None, None, norm.weight, norm.bias, training=True)
    upstream = torch.randn_like(expected)
    mine, theirs = (torch.autograd.grad(z, x, upstream)[0] for z in (norm(layer(x)), expected))
    torch.testing.assert_close(mine, theirs)


NETWORKS = [
    ("ainet", 40, 9), ("ccnn", 12, 7), ("cnn2d", 3, 27), ("hresnet", 12, 7), ("hybridsn", 15, 11), ("pixelnet", 8, 9),
    ("ssrn", 30, 7), ("ssrn", 40, 5), ("test_vit", 9, 32), ("timm/resnet10t", 12, 16),
]  # fmt: skip


@pytest.mark.parametrize(("name", "bands", "window"), NETWORKS)
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("batch", [1, 2])
def test_whole_network_equals_torch_layers(name, bands, window, layout, batch):
    """One window, too, whose batch stride torch leaves ambiguous."""
    torch.manual_seed(0)
    reference = create_backbone(name, bands, window, num_classes=3).double()
    network = set_memory_format(copy.deepcopy(reference), layout)
    for layer in reference.modules():
        if isinstance(layer, Conv3d):
            layer.__class__ = nn.Conv3d
    x = torch.randn(batch, bands, window, window, dtype=torch.float64)
    for model in (network, reference):
        for layer in model.modules():
            if isinstance(layer, nn.Dropout):
                layer.p = 0.0
    y, expected = network(x), reference(x)
    torch.testing.assert_close(y, expected)
    y.square().sum().backward()
    expected.square().sum().backward()
    for (key, mine), other in zip(network.named_parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, msg=key)
