"""BYOL against its equations."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sslhsi.methods.base import Batch
from sslhsi.methods.registry import create_method


class Linear(nn.Module):
    """(N, 3, 4, 4) -> (N, 6) with batch normalisation."""

    num_features = 6

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.norm = nn.Linear(48, 6), nn.BatchNorm1d(6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.layer(x.flatten(1)))


@pytest.fixture
def byol():
    torch.manual_seed(0)
    return create_method("byol", Linear(), {"hidden": 12, "output": 5, "momentum": 0.9}).double().train()


def batch(step: int = 0, steps: int = 5) -> Batch:
    views = torch.randn(2, 7, 3, 4, 4, generator=torch.Generator().manual_seed(1)).double()
    return Batch(list(views), step, steps, 0, 7, 0)


def test_the_loss_is_that_of_both_directions(byol):
    """Equation 2 and the sentence behind it, with the momentum encoder's output as a constant."""
    views = batch().views
    loss, columns = byol(batch())
    expected = torch.zeros((), dtype=torch.float64)
    for one, other in (views, views[::-1]):
        online = byol.predictor(byol.head(byol.backbone(one)))
        target = byol.momentum_head(byol.momentum_backbone(other)).detach()
        expected = expected + (F.normalize(online, dim=1) - F.normalize(target, dim=1)).square().sum(1).mean()
    torch.testing.assert_close(loss, expected)
    assert 0 < float(columns["embedding_std"]) < 1 / math.sqrt(5) * 1.2


def test_no_gradient_reaches_the_momentum_encoder(byol):
    byol(batch())[0].backward()
    momentum = {key for key, _ in byol.named_parameters() if key.startswith("momentum_")}
    assert momentum
    for key, parameter in byol.named_parameters():
        assert parameter.requires_grad == (key not in momentum)
        assert (parameter.grad is None) == (key in momentum)
    assert {f"{key}" for key in byol.state_dict()} >= momentum


@pytest.mark.parametrize(("step", "momentum"), [(0, 0.9), (2, 0.95), (4, 1.0)])
def test_the_moving_average_slows_down_along_half_a_cosine(byol, step, momentum):
    before = byol.momentum_backbone.layer.weight.clone()
    with torch.no_grad():
        byol.backbone.layer.weight += 1.0
    online = byol.backbone.layer.weight.clone()
    byol.after_step(step, 5)
    torch.testing.assert_close(byol.momentum_backbone.layer.weight, momentum * before + (1 - momentum) * online)
    torch.testing.assert_close(byol.backbone.layer.weight, online, rtol=0, atol=0)


def test_the_momentum_encoder_has_batch_statistics_of_its_own(byol):
    """It normalises by its batch, as the paper's own code does; the average takes weights, no running statistics."""
    views = batch().views
    byol(batch())
    outputs = [byol.momentum_backbone.layer(view.flatten(1)) for view in views]
    mean = torch.zeros(6, dtype=torch.float64)
    for output in outputs:
        mean = 0.9 * mean + 0.1 * output.mean(0)
    torch.testing.assert_close(byol.momentum_backbone.norm.running_mean, mean.detach())
    kept = byol.momentum_backbone.norm.running_mean.clone()
    byol.after_step(0, 5)
    torch.testing.assert_close(byol.momentum_backbone.norm.running_mean, kept, rtol=0, atol=0)
    assert byol.exported() is byol.backbone
