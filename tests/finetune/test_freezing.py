"""Freezing policies: the published counts, and patterns of layer names on any network."""

from __future__ import annotations

import pytest
import torch
from hybridsn_counts import PUBLISHED
from torch import nn

from sslhsi.backbones.registry import create_backbone
from sslhsi.errors import InputError
from sslhsi.finetune.freezing import freeze, training_mode


def trainable(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize(("policy", "expected"), PUBLISHED.items())
def test_published_trainable_parameters(policy, expected):
    with torch.device("meta"):
        network = create_backbone("hybridsn", 15, 25, num_classes=4)
        record = freeze(network, policy)
    assert record["trainable_parameters"] == trainable(network) == expected
    assert record["parameters"] == 4_844_148 + (128 * 129 if policy == "Network_1" else 0)
    assert (record["frozen"] == []) == (policy == "original")


def test_the_added_dense_layer_stands_before_the_classifier():
    network = create_backbone("hybridsn", 13, 9, num_classes=4)
    freeze(network, "Network_1")
    assert network(torch.zeros(2, 13, 9, 9)).shape == (2, 4)
    assert [layer.weight.shape for layer in network.head if isinstance(layer, nn.Linear)] == [(128, 128), (4, 128)]


@pytest.mark.parametrize("name", ["ainet", "hresnet", "pixelnet", "resnet18"])
def test_all_leaves_the_classifier_and_none_leaves_everything(name):
    with torch.device("meta" if name != "resnet18" else "cpu"):
        network = create_backbone(name, 16, 9, num_classes=3)
    record = freeze(network, "all")
    assert trainable(network) == 3 * (network.num_features + 1)
    norms = [n for n, layer in network.named_modules() if getattr(layer, "running_mean", None) is not None]
    assert record["frozen_norms"] == norms
    assert freeze(network, "none")["trainable_parameters"] == sum(p.numel() for p in network.parameters())


def test_layers_by_name_and_pattern():
    network = create_backbone("ainet", 16, 5)
    record = freeze(network, ["stem", "stages.[01]"])
    held = {name for name, p in network.named_parameters() if not p.requires_grad}
    assert held == {n for n, _ in network.named_parameters() if n.startswith(("stem.", "stages.0.", "stages.1."))}
    assert "stem.1" in record["frozen_norms"]
    assert not any(name.startswith("stages.2") for name in record["frozen"] + record["frozen_norms"])
    # a pattern of parameters alone holds them without touching the layer's statistics
    record = freeze(network, ["*.bias"])
    assert all(p.requires_grad != name.endswith("bias") for name, p in network.named_parameters())
    assert record["frozen_norms"] == []


def test_a_layer_name_does_not_stand_for_those_that_begin_like_it():
    network = nn.Module()
    network.block1, network.block10, network.num_classes = nn.Linear(1, 1), nn.Linear(1, 1), 0
    assert freeze(network, ["block1"])["frozen"] == ["block1"]


def test_frozen_norms_keep_their_statistics_in_training():
    torch.manual_seed(0)
    network = create_backbone("ainet", 16, 5)
    record = freeze(network, ["stem"])
    training_mode(network, record)
    before = {name: value.clone() for name, value in network.named_buffers()}
    network(torch.randn(4, 16, 5, 5))
    changed = {name for name, value in network.named_buffers() if not torch.equal(value, before[name])}
    assert changed
    assert not any(name.startswith("stem.") for name in changed)
    assert len(changed) == len(before) - 3  # mean, variance and count of the stem's norm


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ("network3", "did you mean 'Network_3'"),
        ("al", "did you mean 'all'"),
        ("xyz", "known are none, all, original"),
        ("Network_3", "names layers of hybridsn, and this is hresnet"),
        (["first"], "no layer is called 'first'; near are"),
    ],
)
def test_policies_that_are_none(policy, message):
    with pytest.raises(InputError, match=message):
        freeze(create_backbone("hresnet", 4, 9), policy)
