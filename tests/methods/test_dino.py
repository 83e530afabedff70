"""DINO against algorithm 1 of its paper."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sslhsi.methods.base import Batch
from sslhsi.methods.registry import create_method
from sslhsi.recipe import Views


class Linear(nn.Module):
    """(N, 3, 4, 4) -> (N, 6)."""

    num_features = 6

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(48, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x.flatten(1))


OPTIONS = {"hidden": 12, "bottleneck": 4, "output": 5, "momentum": 0.9, "frozen_prototypes": 0.2}


def method(**options):
    torch.manual_seed(0)
    dino = create_method("dino", Linear(), OPTIONS | options).double().train()
    with torch.no_grad():
        # Else teacher and student are equal.
        dino.momentum_backbone.layer.weight += 0.1
    return dino


def batch(step: int, views: int = 2) -> Batch:
    samples = torch.randn(views, 7, 3, 4, 4, generator=torch.Generator().manual_seed(1)).double()
    return Batch(list(samples), step, 10, 0, 7, 0)


@pytest.mark.parametrize("local", [0, 2])
def test_the_loss_is_the_papers(local):
    """Cross entropy between the sharpened, centred teacher and the student, over all pairs of different views."""
    dino, given = method(local_views=local), batch(5, 2 + local)
    dino.criterion.center.copy_(torch.linspace(-0.2, 0.2, 5))
    centre = dino.criterion.center.clone().flatten()
    loss, _ = dino(given)
    terms = []
    outputs = []
    for t, one in enumerate(given.views[:2]):
        teacher = dino.momentum_head(dino.momentum_backbone(one)).detach()
        outputs.append(teacher)
        target = ((teacher - centre) / 0.04).softmax(1)
        for s, other in enumerate(given.views):
            if s != t:
                student = (dino.head(dino.backbone(other)) / 0.1).log_softmax(1)
                terms.append(-(target * student).sum(1).mean())
    assert len(terms) == 2 * (1 + local)
    torch.testing.assert_close(loss, torch.stack(terms).mean(), rtol=1e-5, atol=0)
    torch.testing.assert_close(dino.criterion.center.flatten(), 0.9 * centre + 0.1 * torch.cat(outputs).mean(0))
    assert "criterion.center" in dino.state_dict()


def test_the_teachers_temperature_warms_up_linearly():
    dino = method(first_temperature=0.02, teacher_temperature=0.06, temperature_warmup=0.4)
    reached = [dino.teacher_temperature(step, 10) for step in (0, 1, 2, 4, 9)]
    assert reached == pytest.approx([0.02, 0.03, 0.04, 0.06, 0.06])
    assert method(first_temperature=0.02, temperature_warmup=0.0).teacher_temperature(0, 10) == 0.04


def test_prototypes_are_frozen_at_first():
    dino = method()
    for step, moves in ((0, False), (1, False), (2, True)):
        dino.zero_grad()
        dino(batch(step))[0].backward()
        assert bool(dino.head.prototypes.weight.grad.any()) == moves
        assert bool(dino.backbone.layer.weight.grad.any())
    # Cosines: the lengths of the rows, which weight decay shortens meanwhile, say nothing.
    x = torch.randn(3, 6).double()
    before = dino.head(x).detach()
    with torch.no_grad():
        dino.head.prototypes.weight *= 0.5
    torch.testing.assert_close(dino.head(x), before)
    assert float(before.abs().max()) <= 1


def test_the_teacher_is_exported_and_follows():
    dino = method()
    before, online = dino.momentum_backbone.layer.weight.clone(), dino.backbone.layer.weight
    dino.after_step(0, 10)
    torch.testing.assert_close(dino.exported().layer.weight, 0.9 * before + 0.1 * online)
    dino(batch(0))[0].backward()
    assert all(p.grad is None for key, p in dino.named_parameters() if key.startswith("momentum_"))


def test_local_views_are_crops_smaller_than_the_two():
    settings = method(local_views=3).view_settings(Views(crop=(0.4, 1.0)))
    assert [view.crop for view in settings] == [(0.4, 1.0)] * 2 + [(0.05, 0.4)] * 3
