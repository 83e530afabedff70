"""The steps of fine-tuning, and the checkpoints that are kept."""

from __future__ import annotations

import copy
import time
from collections import deque
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sslhsi.errors import InputError
from sslhsi.finetune.classifier import Classifier, features_of
from sslhsi.finetune.freezing import training_mode
from sslhsi.finetune.samples import Samples
from sslhsi.finetune.settings import FineTuning
from sslhsi.training.optimiser import optimiser, parameter_groups
from sslhsi.training.schedule import warmup_cosine

# Epochs between checkpoints that vote.
VOTE_EVERY = 2
# Of the rates, in the last epochs of a constant schedule.
SLOW = 0.1


def train(
    model: Classifier,
    account: dict[str, Any],
    training: Samples,
    y: Tensor,
    checks: Samples,
    y_checks: Tensor,
    settings: FineTuning,
    *,
    seed: int,
    progress: Callable[[dict[str, Any]], None] | None = None,
) -> tuple[list[dict[str, Any]], int, tuple[Classifier, ...], float]:
    """Train a model in place.

    Args:
        model: Ready to train.
        account: What :func:`~sslhsi.finetune.freezing.freeze` said of ``model.backbone``.
        training: Training samples.
        y: (n,) class numbers or (n, C) zeros and ones; mirrored copies share them.
        checks: Validation samples, perhaps none.
        y_checks: Of the same kind.
        settings: How.
        seed: Of the order of the samples.
        progress: Called with each entry of the history.

    Returns:
        History, the chosen epoch, the networks that vote, that of the chosen epoch last, and the seconds that
        a step took, reading its batch included (the median over the epochs).

    Raises:
        InputError: The loss is not a finite number.
    """
    groups = parameter_groups(model.backbone, settings.lr_backbone, settings.weight_decay)
    still = not (settings.run_frozen or any(group["params"] for group in groups))
    groups += parameter_groups(model.head, settings.lr_head, settings.weight_decay)
    groups = [group for group in groups if group["params"]]
    rates = [group["lr"] for group in groups]
    solver = optimiser(settings.optimizer, groups, fused=True)
    forward = model.classify if still else model
    if still:  # features stay what they are
        training.held = features_of(model.backbone, training)
        checks.held = features_of(model.backbone, checks) if len(checks) else None
    order = torch.Generator().manual_seed(seed)
    per_epoch = len(list(training.batches(settings.batch_size)))
    step, history, kept, paces = 0, [], Kept(model, settings.votes), []
    for epoch in range(settings.epochs + 1):
        entry: dict[str, Any] = {"epoch": epoch, "loss": None, "accuracy": None}
        if epoch:
            model.eval() if still else training_mode(model.backbone, account)
            began = time.perf_counter()
            total, right = torch.zeros((), device=y.device), torch.zeros((), device=y.device)
            for numbers in training.batches(settings.batch_size, order):
                factor = rate_factor(settings, epoch, step, per_epoch)
                for group, rate in zip(solver.param_groups, rates, strict=True):
                    group["lr"] = rate * factor
                with autocast(y.device, settings.precision):
                    logits = forward(training(numbers))
                goal = y[numbers.to(y.device) % len(y)]
                loss = loss_of(logits.float(), goal, settings.smoothing)
                solver.zero_grad()
                loss.backward()
                solver.step()
                total += loss.detach() * len(numbers)
                right += share_right(logits.detach(), goal) * len(numbers)
                step += 1
            entry |= {"loss": float(total) / len(training), "accuracy": float(right) / len(training)}
            paces.append((time.perf_counter() - began) / per_epoch)
            if not np.isfinite(entry["loss"]):
                raise InputError(
                    f"fine-tuning: the loss is {entry['loss']} in epoch {epoch}; lower lr_backbone "
                    f"({settings.lr_backbone:g}) or lr_head ({settings.lr_head:g})"
                )
        if len(checks):
            model.eval()
            entry |= _validate(forward, checks, y_checks, settings)
        history.append(entry)
        kept.take(entry, last=epoch == settings.epochs)
        if progress is not None:
            progress(entry)
        if settings.patience and len(checks) and epoch - kept.best >= settings.patience:
            break
    return history, kept.best, kept.networks(), median(paces)


def rate_factor(settings: FineTuning, epoch: int, step: int, per_epoch: int) -> float:
    """What the rates are multiplied by in a step.

    Args:
        settings: With the schedule.
        epoch: Of the step, from 1 on.
        step: From 0 on, over all epochs.
        per_epoch: Steps of an epoch.
    """
    if settings.schedule == "constant":
        return SLOW if epoch > settings.epochs - settings.slow_epochs else 1.0
    if settings.schedule == "steps":
        rising = round(settings.warmup * settings.epochs * per_epoch)
        fallen = sum(epoch > last for last in settings.drops)
        return min(1.0, (step + 1) / max(1, rising)) * settings.drop**fallen
    return warmup_cosine(step, settings.epochs * per_epoch, settings.warmup)


class Kept:
    """Checkpoints of the epochs that may vote: the chosen one and those two, four ... epochs before it."""

    def __init__(self, model: Classifier, votes: int) -> None:
        self.model, self.votes = model, votes
        self.fixed = {name for name, p in model.named_parameters() if not p.requires_grad}
        self.recent: tuple[deque, deque] = (deque(maxlen=votes), deque(maxlen=votes))
        self.chosen: list[dict[str, Tensor]] = []
        self.best, self.score = 0, (-np.inf, -np.inf)

    def take(self, entry: dict[str, Any], last: bool) -> None:
        """Look at an epoch that has just ended."""
        validated = "validation_loss" in entry
        score = (entry.get("validation_accuracy", 0.0), -entry.get("validation_loss", 0.0))
        better = score > self.score if validated else last
        if not better and self.votes == 1:
            return
        epoch, state = entry["epoch"], self.model.state_dict()
        now = {name: value.clone() for name, value in state.items() if name not in self.fixed}
        turn = self.recent[epoch % VOTE_EVERY]
        if epoch:  # a network that isn't trained yet has no vote, unless it is the best
            turn.append(now)
        if better:
            self.best, self.score, self.chosen = epoch, score, list(turn) if epoch else [now]

    def networks(self) -> tuple[Classifier, ...]:
        """One network per checkpoint, the chosen one last."""
        made = []
        for state in self.chosen:
            network = copy.deepcopy(self.model).eval()
            network.load_state_dict(state, strict=False)
            made.append(network)
        return tuple(made)


def loss_of(logits: Tensor, y: Tensor, smoothing: float = 0.0) -> Tensor:
    """Cross-entropy for (n,) class numbers, binary cross-entropy for (n, C) zeros and ones."""
    if y.ndim == 1:
        return F.cross_entropy(logits, y, label_smoothing=smoothing)
    return F.binary_cross_entropy_with_logits(logits, y * (1 - smoothing) + smoothing / 2)


def share_right(logits: Tensor, y: Tensor) -> Tensor:
    """Share of right classes, or of right single decisions where samples bear several labels."""
    return ((logits > 0) == (y > 0) if y.ndim == 2 else logits.argmax(1) == y).float().mean()


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """bfloat16 where the settings ask for it."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


@torch.no_grad()
def _validate(
    forward: Callable[[Tensor], Tensor], checks: Samples, y: Tensor, settings: FineTuning
) -> dict[str, float]:
    with autocast(y.device, settings.precision):
        logits = torch.cat(
            [forward(checks(part)).float() for part in torch.arange(len(checks)).split(checks.at_once)]
        )
    return {"validation_accuracy": float(share_right(logits, y)), "validation_loss": float(loss_of(logits, y))}
