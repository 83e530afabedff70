"""MoCo v3 against algorithm 1 of its paper, written out sample by sample."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sslhsi.methods.base import Batch
from sslhsi.methods.moco import contrast
from sslhsi.methods.registry import create_method


class Linear(nn.Module):
    """(N, 3, 4, 4) -> (N, 6)."""

    num_features = 6

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(48, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x.flatten(1))


def by_hand(queries: torch.Tensor, keys: torch.Tensor, temperature: float) -> torch.Tensor:
    total = torch.zeros((), dtype=queries.dtype)
    for i, query in enumerate(queries):
        cosines = torch.stack([query @ key / query.norm() / key.norm() for key in keys])
        total = total - (cosines[i] / temperature - torch.log((cosines / temperature).exp().sum()))
    return 2 * temperature * total / len(queries)


@pytest.mark.parametrize("temperature", [0.2, 1.0])
def test_the_contrast_is_the_papers_in_value_and_gradient(temperature):
    torch.manual_seed(0)
    ours = torch.randn(7, 5, dtype=torch.float64, requires_grad=True)
    theirs = ours.detach().clone().requires_grad_()
    keys = 3 * torch.randn(7, 5, dtype=torch.float64)
    loss, expected = contrast(ours, keys, temperature), by_hand(theirs, keys, temperature)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_keys_equal_to_orthogonal_queries_have_a_closed_form():
    z = torch.eye(4, dtype=torch.float64)
    expected = 0.4 * math.log(1 + 3 * math.exp(-5))
    assert float(contrast(z, z, 0.2)) == pytest.approx(expected)


def test_the_loss_is_that_of_both_directions_with_keys_of_the_momentum_encoder():
    torch.manual_seed(0)
    moco = create_method("moco", Linear(), {"hidden": 12, "output": 5, "momentum": 0.9}).double().train()
    with torch.no_grad():
        for parameter in moco.momentum_head.parameters():
            parameter.mul_(1.5)
    views = list(torch.randn(2, 7, 3, 4, 4, generator=torch.Generator().manual_seed(1)).double())
    loss, _ = moco(Batch(views, 0, 5, 0, 7, 0))
    expected = torch.zeros((), dtype=torch.float64)
    for one, other in (views, views[::-1]):
        keys = moco.momentum_head(moco.momentum_backbone(other)).detach()
        expected = expected + by_hand(moco.predictor(moco.head(moco.backbone(one))), keys, 0.2)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    for key, parameter in moco.named_parameters():
        assert (parameter.grad is None) == key.startswith("momentum_"), key


def test_both_heads_end_in_a_normalisation_without_weights():
    """As in the authors' code: projections of a batch have mean 0 and variance 1 in each dimension."""
    moco = create_method("moco", Linear(), {"hidden": 12, "output": 5}).double().train()
    x = moco.head(torch.randn(64, 6).double())
    torch.testing.assert_close(x.mean(0), torch.zeros(5).double(), rtol=0, atol=1e-12)
    torch.testing.assert_close(x.var(0, unbiased=False), torch.ones(5).double(), rtol=1e-2, atol=0)
    assert F.normalize(moco.predictor(x), dim=1).shape == (64, 5)


def test_the_moving_average_starts_at_its_momentum_and_ends_at_one():
    moco = create_method("moco", Linear(), {"hidden": 12, "output": 5, "momentum": 0.9}).double()
    before = moco.momentum_backbone.layer.weight.clone()
    with torch.no_grad():
        moco.backbone.layer.weight += 1.0
    moco.after_step(0, 5)
    torch.testing.assert_close(moco.momentum_backbone.layer.weight, before + 0.1)
    reached = moco.momentum_backbone.layer.weight.clone()
    moco.after_step(4, 5)
    torch.testing.assert_close(moco.momentum_backbone.layer.weight, reached, rtol=0, atol=0)
    assert moco.exported() is moco.backbone
