"""The shared network: published counts, one extractor, a first convolution shared or not."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sslhsi.backbones.registry import create_backbone
from sslhsi.errors import InputError
from sslhsi.studies.multitask.network import (
    EPSILON,
    WINDOWS,
    MultitaskNetwork,
    TaskNorm,
    joint_loss,
    joint_step_macs,
)

# Feature parameters at 103 bands, biases and running statistics counted, as published; and those of the first
# convolution: 64 kernels of 3x3, and 128 each of 1x1, 3x3 and 5x5.
PUBLISHED = {"hresnet": 133_504, "ccnn": 628_736}
FIRST = {"hresnet": 64 * (9 * 103 + 1), "ccnn": 128 * ((1 + 9 + 25) * 103 + 3)}
PER_CLASS = {"hresnet": 65, "ccnn": 129}
CLASSES = [9, 9, 16, 16]


def feature_parameters(network: MultitaskNetwork) -> int:
    """Parameters and one task's running statistics of everything but the classifiers, as the letter counts them."""
    statistics = sum(2 * len(m.weight) for m in network.extractors.modules() if isinstance(m, TaskNorm))
    return statistics + sum(p.numel() for p in network.extractors.parameters())


def windows(name, counts, bands=6):
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(n, bands, WINDOWS[name], WINDOWS[name], generator=generator) for n in counts]


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("tasks", [1, 2, 4])
def test_published_counts(name, tasks):
    classes = CLASSES[:tasks]
    with torch.device("meta"):
        shared = MultitaskNetwork(name, 103, classes)
        separate = MultitaskNetwork(name, 103, classes, separate_first=True)
    assert feature_parameters(shared) == PUBLISHED[name]
    assert feature_parameters(separate) == PUBLISHED[name] + (tasks - 1) * FIRST[name]
    assert sum(p.numel() for p in shared.heads.parameters()) == PER_CLASS[name] * sum(classes)


@pytest.mark.parametrize("name", PUBLISHED)
def test_it_is_the_backbone_with_a_head_per_task(name):
    network = MultitaskNetwork(name, 6, [3, 5]).eval()
    network.load_state_dict({k: v + torch.rand_like(v.float()) for k, v in network.state_dict().items()})
    given = network.extractors[0].state_dict()
    for task, (x, head, logits) in enumerate(
        zip(windows(name, [4, 7]), network.heads, network(windows(name, [4, 7])), strict=True)
    ):
        backbone = create_backbone(name, 6, WINDOWS[name]).eval()
        # The task's statistics are those of a network that is trained for it alone.
        renamed = {k.replace(f"mean_{task}", "running_mean"): v for k, v in given.items()}
        renamed = {k.replace(f"variance_{task}", "running_var"): v for k, v in renamed.items()}
        missing, _ = backbone.load_state_dict(renamed, strict=False)
        assert all(key.endswith("num_batches_tracked") for key in missing)
        for layer in backbone.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.eps = EPSILON
        with torch.no_grad():
            torch.testing.assert_close(logits, F.linear(backbone(x), head.weight, head.bias))


@pytest.mark.parametrize("name", PUBLISHED)
def test_first_weights(name):
    torch.manual_seed(0)
    network = MultitaskNetwork(name, 103, [200, 200], separate_first=True).requires_grad_(False)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            assert float(layer.weight.std()) == pytest.approx(0.01, rel=0.05)
            assert abs(float(layer.weight.mean())) < 5e-4
            assert not layer.bias.any()
    a, b = (extractor.state_dict() for extractor in network.extractors)
    equal = {key for key in a if torch.equal(a[key], b[key])}
    first = ("conv_a.weight", "conv_b.weight") if name == "hresnet" else tuple(f"bank_{k}.weight" for k in (1, 3, 5))
    assert set(a) - equal == set(first)


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("separate_first", [False, True])
def test_a_task_trains_the_shared_part_and_its_own(name, separate_first):
    # In evaluation mode: in training, batch normalisation ties the samples of a batch together.
    network = MultitaskNetwork(name, 6, [3, 5], separate_first=separate_first).eval()
    logits = network(windows(name, [4, 7]))
    logits[1].sum().backward()
    trained = {key for key, p in network.named_parameters() if p.grad is not None and p.grad.any()}
    parts = {".".join(key.split(".")[:2]) for key in trained}
    assert "heads.1" in parts
    assert "heads.0" not in parts
    if separate_first:
        assert not any("conv_a" in k or "bank" in k for k in trained if k.startswith("extractors.0"))
        assert any("conv_a" in k or "bank" in k for k in trained if k.startswith("extractors.1"))
    # The shared part counts as the first task's, and trains with the second, too.
    assert any(k.startswith(("extractors.0.conv_1", "extractors.0.merge")) for k in trained)


@pytest.mark.parametrize("separate_first", [False, True])
def test_batch_normalisation_takes_each_task_alone(separate_first):
    network = MultitaskNetwork("hresnet", 6, [3, 5], separate_first=separate_first).train()
    batches = windows("hresnet", [4, 9])
    network([batches[0], 3 * batches[1]])
    for task, x in enumerate([batches[0], 3 * batches[1]]):
        with torch.no_grad():
            maps = network.entry(task, x)
        norm = network.extractors[0].norm
        torch.testing.assert_close(getattr(norm, f"mean_{task}"), 0.1 * maps.mean((0, 2, 3)))
        spread = maps.transpose(0, 1).flatten(1).var(1)
        torch.testing.assert_close(getattr(norm, f"variance_{task}"), 0.9 + 0.1 * spread)


def test_a_step_may_hold_none_or_one_sample_of_a_task():
    network = MultitaskNetwork("ccnn", 6, [3, 5, 2]).train()
    logits = network(windows("ccnn", [4, 1, 0]))
    assert [tuple(x.shape) for x in logits] == [(4, 3), (1, 5), (0, 2)]
    torch.stack(
        joint_loss(logits, [torch.tensor([0, 1, 2, 0]), torch.tensor([4]), torch.tensor([]).long()])
    ).sum().backward()
    assert all(bool(torch.isfinite(p.grad).all()) for p in network.parameters() if p.grad is not None)


def test_losses_are_means_over_each_task():
    logits = [torch.rand(4, 3), torch.rand(6, 5), torch.zeros(0, 2)]
    targets = [torch.tensor([0, 1, 2, 0]), torch.arange(6) % 5, torch.zeros(0, dtype=torch.int64)]
    losses = joint_loss(logits, targets)
    for loss, x, y in list(zip(losses, logits, targets, strict=True))[:2]:
        right = x.softmax(1)[torch.arange(len(y)), y]
        assert float(loss) == pytest.approx(float(-right.log().mean()))
    assert float(losses[2]) == 0  # a task without samples in a step adds nothing


def test_multiply_adds_of_a_step():
    bands, counts, classes = 160, [20, 8], [16, 6]
    network = MultitaskNetwork("hresnet", bands, classes)
    first, rest = 9 * bands * 64 * 49, 2 * 9 * 64 * 64 * 49
    # Forward, gradients of the weights, and behind the first layer gradients of the inputs.
    expected = sum(n * (2 * first + 3 * rest + 3 * 64 * c) for n, c in zip(counts, classes, strict=True))
    assert joint_step_macs(network, bands, counts) == expected
    assert next(network.parameters()).device.type == "cpu"


@pytest.mark.parametrize(("name", "classes", "message"), [("ssrn", [3], "hresnet, ccnn"), ("ccnn", [], "no task")])
def test_networks_that_can_not_be(name, classes, message):
    with pytest.raises(InputError, match=message):
        MultitaskNetwork(name, 10, classes)
