"""What optimisers did while an experiment ran, through PyTorch's hooks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer, register_optimizer_step_pre_hook


@dataclass
class Training:
    """One optimiser: its groups' parameters as they were before its first step and as they are, and all its rates."""

    solver: Optimizer
    begun: list[list[Tensor]]
    rates: list[tuple[float, ...]] = field(default_factory=list)

    @property
    def ended(self) -> list[list[Tensor]]:
        return [group["params"] for group in self.solver.param_groups]

    def named(self, weights: dict[str, Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
        """By name, parameters as they were and as they are: those that were equal to one of some weights."""
        pairs = [pair for both in zip(self.begun, self.ended, strict=True) for pair in zip(*both, strict=True)]
        return {
            name: (before, after.detach())
            for before, after in pairs
            for name, value in weights.items()
            if value.shape == before.shape and torch.equal(value, before)
        }


@pytest.fixture
def trainings() -> Iterator[list[Training]]:
    """All trainings of a test, in order."""
    all_of_them: list[Training] = []

    def noted(solver: Optimizer, args: object, kwargs: object) -> None:
        if not any(training.solver is solver for training in all_of_them):
            all_of_them.append(
                Training(solver, [[p.detach().clone() for p in g["params"]] for g in solver.param_groups])
            )
        training = next(training for training in all_of_them if training.solver is solver)
        training.rates.append(tuple(group["lr"] for group in solver.param_groups))

    hook = register_optimizer_step_pre_hook(noted)
    yield all_of_them
    hook.remove()
