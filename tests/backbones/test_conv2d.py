"""What multiplies padding alone is left out, and nothing else changes."""

import copy

import pytest
import timm
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from sslhsi.backbones.conv2d import Conv2d
from sslhsi.backbones.fast import set_memory_format
from sslhsi.backbones.registry import create_backbone

CASES = [
    # kernel, stride, padding, bias, input height and width
    (3, 1, 1, True, (1, 1)),
    (3, 2, 1, False, (1, 1)),
    (3, 2, 1, True, (2, 2)),
    (3, 2, 1, True, (2, 1)),
    (7, 4, 3, True, (4, 3)),
    ((5, 3), 2, (1, 1), True, (3, 2)),
    (3, 1, 1, True, (2, 1)),  # two pixels
    (3, 4, 0, True, (3, 4)),  # one pixel, without padding
]


def gradients(module, x):
    x = x.clone().requires_grad_()
    y = module(x)
    upstream = torch.linspace(-1, 2, y.numel(), dtype=y.dtype).view(y.shape)
    return y, torch.autograd.grad(y, [x, *module.parameters()], upstream)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("kernel", "stride", "padding", "bias", "size"), CASES)
def test_equal_to_torch(kernel, stride, padding, bias, size, layout):
    torch.manual_seed(0)
    ours = Conv2d(4, 6, kernel, stride, padding, bias=bias).double()
    theirs = nn.Conv2d(4, 6, kernel, stride, padding, bias=bias).double()
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(3, 4, *size, dtype=torch.float64)
    (y, mine), (expected, other) = gradients(ours.to(memory_format=layout), x), gradients(theirs, x)
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(mine, other)


@pytest.mark.parametrize(
    "kind", [dict(groups=2), dict(dilation=2), dict(padding_mode="reflect"), dict(padding="same")]
)
def test_other_kinds_are_torchs(kind):
    torch.manual_seed(0)
    side = 2 if kind.get("padding_mode") == "reflect" else 1
    kind = {"padding": 2 if "dilation" in kind else 1, "stride": 1 if "padding" in kind else 2} | kind
    ours, theirs = Conv2d(4, 6, 3, **kind), nn.Conv2d(4, 6, 3, **kind)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 4, side, side)
    assert torch.equal(ours(x), theirs(x))


def operations(network, x):
    with FlopCounterMode(display=False) as counter:
        network(x)
    return counter.get_total_flops()


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_a_network_gives_what_timms_own_gives_with_less_work(layout):
    torch.manual_seed(0)
    network = create_backbone("resnet10t", 6, 32, num_classes=3, small_window=False)
    reference = timm.create_model("resnet10t", in_chans=6, num_classes=3).double()
    reference.load_state_dict(network.net.state_dict())
    network = set_memory_format(network.double(), layout)
    x = torch.randn(2, 6, 32, 32, dtype=torch.float64)
    (y, mine), (expected, other) = gradients(network, x), gradients(reference, x)
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(mine, other)
    with torch.no_grad():
        torch.testing.assert_close(network.eval()(x), reference.eval()(x))
        assert operations(network, x) < operations(reference, x)


@pytest.mark.slow
def test_exported_and_compiled_graphs_keep_the_convolutions():
    network = create_backbone("resnet10t", 6, 32, small_window=False).eval()
    x = torch.randn(2, 6, 32, 32)
    batch = torch.export.Dim("batch", min=1, max=64)
    exported = torch.export.export(network, (x,), dynamic_shapes=({0: batch},))
    convolutions = [node for node in exported.graph.nodes if "conv2d" in str(node.target)]
    assert len(convolutions) == sum(isinstance(layer, nn.Conv2d) for layer in network.modules())
    compiled = torch.compile(copy.deepcopy(network), backend="aot_eager", fullgraph=True)
    with torch.no_grad():
        torch.testing.assert_close(exported.module()(x), network(x), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(compiled(x), network(x), rtol=1e-4, atol=1e-5)
