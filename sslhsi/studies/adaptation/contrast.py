"""A further round of self-supervised pretraining: a backbone trained by contrast on unlabelled samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from sslhsi.backbones.fast import fastest_safe_setting, set_memory_format
from sslhsi.errors import InputError
from sslhsi.methods.contrastive import Contrastive
from sslhsi.methods.registry import create_objective
from sslhsi.recipe import Objective, Share, Strength
from sslhsi.recipe_file import Section
from sslhsi.training.optimiser import optimiser, parameter_groups
from sslhsi.training.schedule import warmup_cosine


class Round(Section):
    """How long and how fast: AdamW, warm-up and half a cosine."""

    batch_size: Annotated[int, Field(ge=2)] = 256
    lr: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Strength = 1e-4
    warmup: Share = Field(default=0.1, description="share of the steps")
    clip: Annotated[float, Field(gt=0)] = Field(default=1.0, description="largest norm of the gradients")
    objective: Objective = Objective()

    def __str__(self) -> str:
        return f"NT-Xent, batch {self.batch_size}, lr {self.lr:g}"


def contrast(
    backbone: nn.Module, views: Callable[[int], Tensor], steps: int, per_epoch: int, settings: Round, seed: int = 0
) -> list[dict[str, Any]]:
    """Train a backbone in place; the projection head is thrown away.

    Args:
        backbone: (N, K, S, S) -> (N, D), on the device where it shall train.
        views: Step -> (2n, K, S, S): the first views of a batch, then the second, in the same order.
        steps: Optimiser steps.
        per_epoch: Steps of an epoch, for the history.
        settings: How.
        seed: Of the head, and of whatever the views draw from torch's generator.

    Returns:
        Per epoch ``epoch`` and ``loss``.

    Raises:
        InputError: The loss is not a finite number.
    """
    device = next(backbone.parameters()).device
    history: list[dict[str, Any]] = []
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        set_memory_format(backbone, fastest_safe_setting(backbone, device)["memory_format"])
        model = Contrastive(backbone, settings.objective).to(device).train()
        solver = optimiser("adamw", parameter_groups(model, settings.lr, settings.weight_decay), fused=True)
        objective = create_objective(settings.objective)
        losses: list[Tensor] = []
        for step in range(steps):
            for group in solver.param_groups:
                group["lr"] = settings.lr * warmup_cosine(step, steps, settings.warmup)
            z1, z2 = model(views(step)).float().chunk(2)
            loss = objective(z1, z2)
            solver.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
            solver.step()
            losses.append(loss.detach())
            if len(losses) == per_epoch or step + 1 == steps:
                value = float(torch.stack(losses).mean())
                if not torch.isfinite(torch.tensor(value)):
                    raise InputError(f"contrast: the loss is {value} at step {step + 1}; lower lr ({settings.lr:g})")
                history.append({"epoch": len(history) + 1, "loss": round(value, 6)})
                losses = []
    backbone.eval()
    return history
