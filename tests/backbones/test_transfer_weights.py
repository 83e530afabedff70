"""What is carried over between windows and band counts, and what is said about it."""

import json
import logging

import pytest
import torch

from sslhsi.backbones.registry import create_backbone
from sslhsi.backbones.transfer_weights import load_weights
from sslhsi.errors import InputError

CONVS_3D = [f"conv3d_{i}.{part}" for i in (1, 2, 3) for part in ("weight", "bias")]
CONV_2D = ["conv2d_1.weight", "conv2d_1.bias"]
DENSE_1 = ["dense_1.weight", "dense_1.bias"]
DENSE_2 = ["dense_2.weight", "dense_2.bias"]


@pytest.mark.parametrize(
    ("source", "target", "carried", "left"),
    [
        ((15, 32), (15, 25), CONVS_3D + CONV_2D + DENSE_2, DENSE_1),
        ((15, 25), (15, 32), CONVS_3D + CONV_2D + DENSE_2, DENSE_1),
        ((16, 13), (15, 13), CONVS_3D + DENSE_1 + DENSE_2, CONV_2D),
        ((16, 13), (15, 11), CONVS_3D + DENSE_2, CONV_2D + DENSE_1),
        ((15, 13), (15, 13), CONVS_3D + CONV_2D + DENSE_1 + DENSE_2, []),
    ],
)
def test_hybridsn_between_inputs(source, target, carried, left, caplog):
    torch.manual_seed(0)
    trained = create_backbone("hybridsn", *source)
    with torch.no_grad():  # zero biases would hide a bias that wasn't carried
        for parameter in trained.parameters():
            parameter.add_(0.5)
    network = create_backbone("hybridsn", *target)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with caplog.at_level(logging.INFO):
        record = load_weights(network, trained.state_dict())

    assert sorted(record["carried"]) == sorted(carried)
    assert sorted(record["not_carried"]) == sorted(left)
    after = network.state_dict()
    assert all(torch.equal(after[key], trained.state_dict()[key]) for key in carried)
    assert all(torch.equal(after[key], before[key]) for key in left)
    assert record["parameters_carried"] == sum(before[key].numel() for key in carried)
    assert record["parameters"] == sum(value.numel() for value in before.values())
    assert record["summary"] in caplog.text
    assert all(key in record["summary"] for key in left)
    json.dumps(record)


def test_classifier_is_not_made_up():
    trained = create_backbone("hresnet", 6, 5, num_classes=4)
    network = create_backbone("hresnet", 6, 5, num_classes=7)
    record = load_weights(network, trained.state_dict())
    assert set(record["not_carried"]) == {"head.weight", "head.bias"}
    assert "4x64 in the weights, 7x64 here" in record["not_carried"]["head.weight"]
    bare = create_backbone("hresnet", 6, 5)
    record = load_weights(bare, trained.state_dict())
    assert set(record["unused"]) == {"head.weight", "head.bias"}
    assert not record["not_carried"]


def test_running_statistics_follow_their_layer():
    trained = create_backbone("ainet", 20, 9)
    trained(torch.randn(4, 20, 9, 9))
    network = create_backbone("ainet", 31, 13)
    record = load_weights(network, trained.state_dict())
    assert not record["not_carried"]
    for key, value in trained.state_dict().items():
        assert torch.equal(network.state_dict()[key], value)


def test_timm_names_with_and_without_the_wrapper():
    trained = create_backbone("test_resnet", 5, 32)
    for state in (trained.state_dict(), trained.net.state_dict()):
        network = create_backbone("test_resnet", 5, 32)
        record = load_weights(network, state)
        assert not record["not_carried"]
        assert not record["unused"]
        for key, value in trained.state_dict().items():
            assert torch.equal(network.state_dict()[key], value)


def test_what_would_fit_is_known_without_memory():
    trained = create_backbone("hybridsn", 15, 11)
    with torch.device("meta"):
        empty = create_backbone("hybridsn", 15, 13)
    record = load_weights(empty, trained.state_dict())
    assert record == load_weights(create_backbone("hybridsn", 15, 13), trained.state_dict())
    with torch.device("meta"):
        empty = create_backbone("hresnet", 6, 5)
    with pytest.raises(InputError, match="made by another one"):
        load_weights(empty, trained.state_dict())


def test_another_network_is_refused_and_nothing_is_touched():
    network = create_backbone("hresnet", 6, 5)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(InputError, match="made by another one"):
        load_weights(network, create_backbone("cnn2d", 1, 27).state_dict())
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
