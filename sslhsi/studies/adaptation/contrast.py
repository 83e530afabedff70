"""A further round of self-supervised pretraining: a backbone trained by contrast on unlabelled samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from sslhsi.backbones.fast import fastest_safe_setting, set_memory_format
from sslhsi.methods.base import Batch
from sslhsi.methods.registry import create_method, method_options
from sslhsi.recipe import BatchSize, MethodChoice, Rate, Share, Strength, TrainingSettings, Views
from sslhsi.studies.rows import Epoch
from sslhsi.training.loss import check_loss
from sslhsi.training.optimiser import optimiser, parameter_groups, scale_rates
from sslhsi.training.schedule import warmup_cosine
from sslhsi.training.seeded import seeded
from sslhsi.views import make_views

# As the history calls it.
SECOND = "second round"


class Round(TrainingSettings):
    """How long and how fast: AdamW, warm-up and half a cosine."""

    renamed: ClassVar[Mapping[str, str]] = {"objective": "method"}

    batch_size: BatchSize = 256
    lr: Rate = 1e-3
    weight_decay: Strength = 1e-4
    warmup: Share = Field(default=0.1, description="share of the steps")
    clip: Rate = Field(default=1.0, description="largest norm of the gradients")
    method: MethodChoice = MethodChoice()
    views: Views = Views()

    @model_validator(mode="after")
    def known_method(self) -> Self:
        method_options(self.method.name, self.method.options)
        return self

    def __str__(self) -> str:
        # What the rows of SimCLR, whose loss this is, have said from the first: it is part of their key.
        name = "NT-Xent" if self.method.name == "simclr" else self.method.name
        return f"{name}, batch {self.batch_size}, lr {self.lr:g}"


def contrast(
    backbone: nn.Module,
    views: Callable[[int], Sequence[Tensor]],
    steps: int,
    per_epoch: int,
    settings: Round,
    seed: int = 0,
) -> list[Epoch]:
    """Train a backbone in place; the projection head is thrown away.

    Args:
        backbone: (N, K, S, S) -> (N, D), on the device where it shall train.
        views: Step -> the views of a batch, (n, K, S, S) each, samples in the same order.
        steps: Optimiser steps.
        per_epoch: Steps of an epoch, for the history.
        settings: How.
        seed: Of the head, and of whatever the views draw from torch's generator.

    Raises:
        InputError: The loss is not a finite number.
    """
    device = next(backbone.parameters()).device
    history: list[Epoch] = []
    with seeded(seed, device):
        set_memory_format(backbone, fastest_safe_setting(backbone, device)["memory_format"])
        method = create_method(settings.method.name, backbone, settings.method.options).to(device).train()
        solver = optimiser("adamw", parameter_groups(method, settings.lr, settings.weight_decay), fused=True)
        rates, losses = [group["lr"] for group in solver.param_groups], list[Tensor]()
        for step in range(steps):
            scale_rates(solver, rates, warmup_cosine(step, steps, settings.warmup))
            batch = views(step)
            loss, _ = method(Batch(batch, step, steps, 0, len(batch[0]), seed))
            solver.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(method.parameters(), settings.clip)
            solver.step()
            method.after_step(step, steps)
            losses.append(loss.detach())
            if len(losses) == per_epoch or step + 1 == steps:
                value = float(torch.stack(losses).mean())
                check_loss(value, f"contrast, step {step + 1}", f"lower lr ({settings.lr:g})")
                history.append(Epoch(len(history) + 1, SECOND, round(value, 6)))
                losses = []
    backbone.eval()
    return history


def augmented(
    batch: Callable[[int], Tensor], settings: Round, spread: Tensor, zero: Tensor, seed: int
) -> Callable[[int], list[Tensor]]:
    """Two views of a batch by step, for :func:`contrast`.

    Args:
        batch: Step -> (n, K, S, S) windows with their neighbourhood.
        settings: With the views.
        spread: (K,) what noise is measured in.
        zero: (K,) the components of a spectrum of zeros.
        seed: Of the views.
    """

    def views(step: int) -> list[Tensor]:
        x = batch(step)
        both, zeros = [settings.views, settings.views], zero.expand(len(x), -1)
        return make_views(x, both, component_spread=spread, zero_spectrum=zeros, seed=seed, step=step)

    return views
