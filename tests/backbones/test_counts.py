"""Published parameter counts and output sizes, network by network."""

import pytest
import torch
from torch import nn

from sslhsi.backbones.registry import create_backbone

CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMS = (nn.BatchNorm2d, nn.BatchNorm3d)


def build(*args, **options):
    with torch.device("meta"):  # shapes only: some of these hold 45 million values
        return create_backbone(*args, **options)


def count(module: nn.Module, kinds: tuple = (nn.Module,)) -> int:
    layers = (layer for layer in module.modules() if isinstance(layer, kinds))
    return sum(p.numel() for layer in layers for p in layer.parameters(recurse=False))


def statistics(module: nn.Module) -> int:
    return sum(b.numel() for b in module.buffers() if b.ndim)


@pytest.mark.parametrize(
    ("name", "bands", "window", "options", "expected"),
    [
        ("ainet", 103, 27, {}, 381_952),
        ("ainet", 200, 27, {}, 381_952),
        ("ssrn", 200, 7, {}, 363_032),
        ("ssrn", 103, 7, {}, 215_576),
        ("ssrn", 176, 7, {}, 326_168),
        ("cnn1d", 103, 27, {"variant": "pu"}, 2_898),
        ("cnn1d", 176, 27, {"variant": "ksc"}, 14_904),
        ("cnn1d", 200, 27, {"variant": "ip"}, 25_920),
        ("cnn2d", 1, 27, {}, 183_008),
        ("cnn3d", 103, 27, {"variant": "pu"}, 5_849_312),
        ("cnn3d", 176, 27, {"variant": "pu"}, 5_849_312),
        ("cnn3d", 200, 27, {"variant": "ip"}, 44_892_736),
    ],
)
def test_convolution_parameters(name, bands, window, options, expected):
    assert count(build(name, bands, window, **options), CONVS) == expected


def test_ainet_normalisation_and_projection():
    assert count(build("ainet", 103, 27), NORMS) == 4_704
    paper = build("ainet", 103, 27, shortcut="projection")
    assert count(paper, CONVS) - count(paper.stem, CONVS) == 487_168
    assert count(build("ainet", 103, 27, num_classes=9).head) == 257 * 9


@pytest.mark.parametrize(("components", "classes", "expected"), [(30, 16, 5_122_176), (15, 4, 4_844_148)])
def test_hybridsn_total(components, classes, expected):
    assert count(build("hybridsn", components, 25, classes)) == expected


def test_hybridsn_layer_table():
    network = build("hybridsn", 30, 25, 16)
    table = {
        "conv3d_1": (512, (8, 24, 23, 23)),
        "conv3d_2": (5_776, (16, 20, 21, 21)),
        "conv3d_3": (13_856, (32, 18, 19, 19)),
        "conv2d_1": (331_840, (64, 17, 17)),
        "dense_1": (4_735_232, (256,)),
        "dense_2": (32_896, (128,)),
        "head": (2_064, (16,)),
    }
    sizes = {}
    for name, layer in network.named_children():
        layer.register_forward_hook(lambda _, __, y, name=name: sizes.update({name: tuple(y.shape[1:])}))
    network(torch.empty(1, 30, 25, 25, device="meta"))
    assert {name: (count(getattr(network, name)), sizes[name]) for name in table} == table
    assert count(build("hybridsn", 15, 25).conv2d_1) == 55_360


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        (["head"], 516),
        (["head", "dense_2"], 33_412),
        (["head", "dense_2", "dense_1"], 4_768_644),
        (["head", "dense_2", "dense_1", "conv2d_1"], 4_824_004),
        (["head", "conv2d_1"], 55_876),
        (["head", "dense_2", "dense_1", "conv2d_1", "conv3d_3"], 4_837_860),
    ],
)
def test_hybridsn_fine_tuning_groups(layers, expected):
    network = build("hybridsn", 15, 25, 4)
    assert sum(count(getattr(network, layer)) for layer in layers) == expected


@pytest.mark.parametrize(
    ("name", "window", "features", "per_class"), [("hresnet", 9, 133_504, 65), ("ccnn", 5, 628_736, 129)]
)
def test_multitask_networks_with_running_statistics(name, window, features, per_class):
    network = build(name, 103, window)
    assert count(network) + statistics(network) == features
    network.reset_classifier(7)
    assert count(network.get_classifier()) == 7 * per_class


@pytest.mark.parametrize(
    ("name", "bands", "window", "options", "shape"),
    [
        ("ssrn", 200, 7, {}, (24, 5, 5)),
        ("hresnet", 103, 9, {}, (64, 7, 7)),
        ("ccnn", 103, 5, {}, (128, 1, 1)),
        ("cnn1d", 103, 27, {"variant": "pu"}, (24 * 7,)),
        ("cnn1d", 176, 27, {"variant": "ksc"}, (48 * 3,)),
        ("cnn1d", 200, 27, {"variant": "ip"}, (96 * 3,)),
        ("cnn2d", 1, 27, {}, (128, 1, 1)),
        ("cnn3d", 103, 27, {}, (128 * 10, 1, 1)),
        ("cnn3d", 200, 27, {"variant": "ip"}, (256 * 107, 1, 1)),
    ],
)
def test_feature_sizes(name, bands, window, options, shape):
    network = build(name, bands, window, **options)
    features = network.forward_features(torch.empty(2, bands, window, window, device="meta"))
    assert features.shape[1:] == shape
    assert network.num_features == shape[0]


@pytest.mark.parametrize("name", ["hresnet", "ccnn"])
def test_published_first_weights(name):
    torch.manual_seed(0)
    network = create_backbone(name, 103, 9, num_classes=9)
    layers = [layer for layer in network.modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]
    weights = torch.cat([layer.weight.detach().flatten() for layer in layers])
    assert weights.std().item() == pytest.approx(0.01, rel=0.02)
    assert abs(weights.mean().item()) < 1e-4
    assert all(not layer.bias.any() for layer in layers)
