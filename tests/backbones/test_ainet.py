"""AINet's sizes, and its fused units against the branches as published."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sslhsi.backbones.ainet import AINet, ConvBN, InceptionUnit
from sslhsi.backbones.conv3d import Conv3d
from sslhsi.backbones.fast import set_memory_format

# bands: depth after the stem and after each of the four pooling stages
DEPTHS = {103: (96, 48, 24, 12, 6), 200: (193, 97, 49, 25, 13), 176: (169, 85, 43, 22, 11), 30: (23, 12, 6, 3, 2)}
SIDES = (25, 13, 7, 4, 2)


@pytest.fixture
def network() -> AINet:
    torch.manual_seed(0)
    return AINet(103, 27)


@pytest.mark.slow
def test_one_network_runs_on_every_scene(network):
    network.eval()
    for bands, depths in DEPTHS.items():
        x = torch.randn(1, bands, 27, 27)
        with torch.no_grad():
            maps = network.stem(x[:, None])
            sizes = [tuple(maps.shape)]
            for stage in network.stages:
                maps = stage(maps)
                sizes.append(tuple(maps.shape))
            assert network.forward_features(x).shape == (1, 256, 6, 1, 1)
            assert network(x).shape == (1, 256)
        widths = (32, 32, 64, 128, 256)
        assert sizes == [(1, w, d, s, s) for w, d, s in zip(widths, depths, SIDES, strict=True)]


def test_depth_is_32(network):
    def longest(inception: InceptionUnit) -> int:
        return 1 + max(
            0, *(sum(isinstance(m, ConvBN) for m in b.modules()) for b in (inception.branch_b, inception.branch_c))
        )

    units = [module for module in network.modules() if isinstance(module, InceptionUnit)]
    assert len(units) == 10
    assert 1 + sum(longest(inception) for inception in units) + 1 == 32


@pytest.mark.parametrize(("inside", "width", "kernel"), [(32, 64, (1, 3, 3)), (32, 32, (3, 1, 1))])
@pytest.mark.parametrize("projection", [False, True])
def test_unit_equals_separate_branches(inside, width, kernel, projection):
    projection = projection or inside != width
    torch.manual_seed(1)
    inception = InceptionUnit(inside, width, kernel, projection).double()
    for module in inception.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.normal_(module.bias)
    x = torch.randn(3, inside, 6, 5, 5, dtype=torch.float64)

    def conv_bn(x, conv_weight, norm_weight, norm_bias):
        padding = tuple(k // 2 for k in conv_weight.shape[2:])
        y = F.conv3d(x, conv_weight, padding=padding)
        return F.batch_norm(y, None, None, norm_weight, norm_bias, training=True)

    def taken(block, part=slice(None)):
        return block[0].weight[part], block[1].weight[part], block[1].bias[part]

    i = width // 8
    a = F.relu6(conv_bn(x, *taken(inception.entry, slice(0, 2 * i))))
    b = F.relu6(conv_bn(x, *taken(inception.entry, slice(2 * i, 4 * i))))
    c = F.relu6(conv_bn(x, *taken(inception.entry, slice(4 * i, 5 * i))))
    b = F.relu6(conv_bn(b, *taken(inception.branch_b)))
    c = F.relu6(conv_bn(c, *taken(inception.branch_c[0])))
    c = F.relu6(conv_bn(c, *taken(inception.branch_c[1])))
    assert (a.shape[1], b.shape[1], c.shape[1]) == (2 * i, 4 * i, 2 * i)
    shortcut = conv_bn(x, *taken(inception.shortcut)) if projection else x
    expected = F.relu6(torch.cat((a, b, c), 1) + shortcut)
    torch.testing.assert_close(inception(x), expected)


def test_head_equals_the_published_pyramid_and_classifier(network):
    network.reset_classifier(9)
    network.eval()
    x = torch.randn(2, 40, 15, 15)
    with torch.no_grad():
        maps = network.stem(x[:, None])
        for stage in network.stages:
            maps = stage(maps)
        cells = [F.adaptive_avg_pool3d(maps, (d, 1, 1)) for d in (1, 2, 3)]
        weight = network.head.weight[:, :, None, None, None]
        scores = F.conv3d(torch.cat(cells, 2), weight, network.head.bias).mean((2, 3, 4))
        torch.testing.assert_close(F.log_softmax(network(x), 1), F.log_softmax(scores, 1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize(("batch", "bands", "window"), [(4, 40, 9), (1, 30, 7), (3, 48, 5)])
def test_a_training_step_equals_the_layers_as_written(batch, bands, window, layout):
    torch.manual_seed(0)
    reference = AINet(bands, window).double()
    for module in reference.modules():
        if isinstance(module, nn.BatchNorm3d):  # of either sign
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
    network = set_memory_format(copy.deepcopy(reference), layout)
    for layer in reference.modules():
        if isinstance(layer, Conv3d):
            layer.__class__ = nn.Conv3d

    def as_written(x):
        maps = reference.stem(x[:, None])
        for stage in reference.stages:
            maps = stage(maps)
        cells = [F.adaptive_avg_pool3d(maps, (d, 1, 1)) for d in (1, 2, 3)]
        return torch.cat(cells, 2).mean((2, 3, 4))

    optimisers = [torch.optim.SGD(model.parameters(), lr=0.01) for model in (network, reference)]
    x = torch.randn(batch, bands, window, window, dtype=torch.float64)
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    weights = torch.randn(256, dtype=torch.float64)
    for run, of, optimiser in zip((network, as_written), inputs, optimisers, strict=True):
        (run(of) * weights).sum().backward()
        optimiser.step()
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad)
    for (key, mine), other in zip(network.state_dict().items(), reference.state_dict().values(), strict=True):
        torch.testing.assert_close(mine, other, msg=key)
    for model in (network, reference):
        model.eval()
    torch.testing.assert_close(network(x), as_written(x))
