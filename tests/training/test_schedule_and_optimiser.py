"""Learning rate and optimisers, against PyTorch's own and by definition."""

from __future__ import annotations

import copy

import pytest
import torch
from lightly.utils.lars import LARS
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR

from sslhsi.recipe import Training
from sslhsi.training.optimiser import create_optimiser
from sslhsi.training.schedule import warmup_cosine


def test_cosine_equals_pytorchs_after_the_warm_up():
    steps, rising = 50, 10
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    peer = CosineAnnealingLR(optimiser, T_max=steps - rising)
    for step in range(rising, steps):
        assert warmup_cosine(step, steps, 0.2) == pytest.approx(optimiser.param_groups[0]["lr"], abs=1e-12)
        optimiser.step()
        peer.step()


def test_warm_up_rises_linearly_to_one():
    assert [warmup_cosine(s, 100, 0.04) for s in range(4)] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert warmup_cosine(0, 100, 0.0) == 1.0


@pytest.mark.parametrize(("name", "kind"), [("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD), ("lars", LARS)])
def test_every_parameter_is_trained_and_biases_are_not_decayed(name, kind):
    network = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(3, 2))
    optimiser = create_optimiser(network, Training(steps=1, optimizer=name, lr=0.1, weight_decay=0.5))
    assert isinstance(optimiser, kind)
    decay = {id(p): g["weight_decay"] for g in optimiser.param_groups for p in g["params"]}
    assert len(decay) == len(list(network.parameters()))
    for parameter in network.parameters():
        assert decay[id(parameter)] == (0.5 if parameter.ndim > 1 else 0.0)


@pytest.mark.parametrize("name", ["adamw", "sgd", "lars"])
def test_a_step_lowers_a_simple_loss(name):
    torch.manual_seed(0)
    network = nn.Linear(4, 1)
    x = torch.randn(64, 4)
    y = x @ torch.tensor([[1.0], [-2.0], [0.5], [0.0]])
    optimiser = create_optimiser(network, Training(steps=1, optimizer=name, lr=0.05, weight_decay=0.0))
    losses = []
    for _ in range(30):
        loss = (network(x) - y).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_adamw_by_one_kernel_is_pytorchs_adamw_in_any_layout():
    """One kernel walks parameters, gradients and moments in memory's order: they must lie in the same one."""
    torch.manual_seed(0)
    ours = nn.Sequential(nn.Conv2d(3, 5, 3, bias=False), nn.BatchNorm2d(5), nn.Flatten(), nn.Linear(20, 2))
    ours[0].weight.data = ours[0].weight.data.contiguous(memory_format=torch.channels_last)
    plain = copy.deepcopy(ours)
    solver = create_optimiser(ours, Training(steps=1, lr=0.01, weight_decay=0.1))
    decayed, free = ([p for p in plain.parameters() if (p.ndim > 1) == many] for many in (True, False))
    peer = torch.optim.AdamW(decayed, lr=0.01, weight_decay=0.1, foreach=False, fused=False)
    peer.add_param_group({"params": free, "weight_decay": 0.0})
    x = torch.randn(8, 3, 4, 4)
    for _ in range(5):
        for network, optimiser in ((ours, solver), (plain, peer)):
            optimiser.zero_grad()
            network(x).square().mean().backward()
            optimiser.step()
    for a, b in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_a_run_that_plain_adamw_began_goes_on_as_it_would_have():
    """Bit for bit: a checkpoint's groups say how they are updated."""
    torch.manual_seed(0)
    ours, x = nn.Linear(4, 3), torch.randn(8, 4)
    plain = copy.deepcopy(ours)
    groups = [
        {"params": [plain.weight], "weight_decay": 1e-4},
        {"params": [plain.bias], "weight_decay": 0.0},
    ]
    peer = torch.optim.AdamW(groups, lr=0.01)

    def step(network: nn.Module, optimiser: torch.optim.Optimizer) -> None:
        optimiser.zero_grad()
        network(x).square().mean().backward()
        optimiser.step()

    for _ in range(3):
        step(plain, peer)
    ours.load_state_dict(plain.state_dict())
    solver = create_optimiser(ours, Training(steps=1, lr=0.01))
    solver.load_state_dict(copy.deepcopy(peer.state_dict()))
    for _ in range(3):
        step(plain, peer)
        step(ours, solver)
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), plain.parameters(), strict=True))
