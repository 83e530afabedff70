"""The steps of fine-tuning, and the checkpoints that are kept."""

from __future__ import annotations

import copy
import time
from collections import deque
from collections.abc import Callable
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sslhsi.finetune.classifier import Classifier, features_of
from sslhsi.finetune.freezing import training_mode
from sslhsi.finetune.samples import Samples
from sslhsi.finetune.settings import FineTuning
from sslhsi.training.loss import check_loss
from sslhsi.training.optimiser import optimiser, parameter_groups, scale_rates
from sslhsi.training.schedule import warmup_cosine

# Epochs between checkpoints that vote.
VOTE_EVERY = 2
# Of the rates, in the last epochs of a constant schedule.
SLOW = 0.1


class Labelled(NamedTuple):
    """Samples with (n,) class numbers or (n, C) zeros and ones; mirrored copies share them."""

    samples: Samples
    targets: Tensor

    def targets_of(self, numbers: Tensor) -> Tensor:
        """The targets of samples by number."""
        return self.targets[numbers.to(self.targets.device) % len(self.targets)]


class Trained(NamedTuple):
    """What a training gave.

    ``networks`` are those that vote, that of ``best_epoch`` last; a step's seconds, reading its batch included, are
    the median over the epochs.
    """

    history: list[dict[str, Any]]
    best_epoch: int
    networks: tuple[Classifier, ...]
    seconds_per_step: float


def train(
    model: Classifier,
    account: dict[str, Any],
    training: Labelled,
    checks: Labelled,
    settings: FineTuning,
    *,
    seed: int,
    progress: Callable[[dict[str, Any]], None] | None = None,
) -> Trained:
    """Train a model in place.

    Args:
        model: Ready to train.
        account: What :func:`~sslhsi.finetune.freezing.freeze` said of ``model.backbone``.
        training: Training samples.
        checks: Validation samples, perhaps none.
        settings: How.
        seed: Of the order of the samples.
        progress: Called with each entry of the history.

    Raises:
        InputError: The loss is not a finite number.
    """
    steps = _Steps(model, account, training, settings, seed)
    if steps.frozen and len(checks.samples):
        checks.samples.held = features_of(model.backbone, checks.samples)
    history: list[dict[str, Any]] = []
    checkpoints, paces = Checkpoints(model, settings.votes), []
    for epoch in range(settings.epochs + 1):
        entry: dict[str, Any] = {"epoch": epoch, "loss": None, "accuracy": None}
        if epoch:
            began = time.perf_counter()
            entry["loss"], entry["accuracy"] = steps.run(epoch)
            paces.append((time.perf_counter() - began) / steps.per_epoch)
            way_out = f"lower lr_backbone ({settings.lr_backbone:g}) or lr_head ({settings.lr_head:g})"
            check_loss(entry["loss"], f"fine-tuning, epoch {epoch}", way_out)
        if len(checks.samples):
            model.eval()
            entry |= _validate(steps.forward, checks, settings)
        history.append(entry)
        checkpoints.take(entry, last=epoch == settings.epochs)
        if progress is not None:
            progress(entry)
        if settings.patience and len(checks.samples) and epoch - checkpoints.best >= settings.patience:
            break
    return Trained(history, checkpoints.best, checkpoints.networks(), median(paces))


class _Steps:
    """The steps of a training, epoch by epoch: the order of the samples, rates, and where the forward pass begins."""

    def __init__(
        self, model: Classifier, account: dict[str, Any], training: Labelled, settings: FineTuning, seed: int
    ) -> None:
        self.model, self.account, self.training, self.settings = model, account, training, settings
        groups = parameter_groups(model.backbone, settings.lr_backbone, settings.weight_decay)
        self.frozen = not (settings.run_frozen or any(group["params"] for group in groups))
        groups += parameter_groups(model.head, settings.lr_head, settings.weight_decay)
        groups = [group for group in groups if group["params"]]
        self.rates = [group["lr"] for group in groups]
        self.solver = optimiser(settings.optimizer, groups, fused=True)
        self.forward: Callable[[Tensor], Tensor] = model.classify if self.frozen else model
        if self.frozen:  # features stay what they are
            training.samples.held = features_of(model.backbone, training.samples)
        self.order = torch.Generator().manual_seed(seed)
        self.per_epoch = len(list(training.samples.batches(settings.batch_size)))

    def run(self, epoch: int) -> tuple[float, float]:
        """One pass over all samples; their mean loss and accuracy, as they trained."""
        samples, settings, device = self.training.samples, self.settings, self.training.targets.device
        self.model.eval() if self.frozen else training_mode(self.model.backbone, self.account)
        total, right = torch.zeros((), device=device), torch.zeros((), device=device)
        first = (epoch - 1) * self.per_epoch
        for step, numbers in enumerate(samples.batches(settings.batch_size, self.order), first):
            scale_rates(self.solver, self.rates, rate_factor(settings, epoch, step, self.per_epoch))
            with autocast(device, settings.precision):
                logits = self.forward(samples(numbers))
            goal = self.training.targets_of(numbers)
            loss = loss_of(logits.float(), goal, settings.smoothing)
            self.solver.zero_grad()
            loss.backward()
            self.solver.step()
            total += loss.detach() * len(numbers)
            right += share_right(logits.detach(), goal) * len(numbers)
        return float(total) / len(samples), float(right) / len(samples)


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


class Checkpoints:
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
def _validate(forward: Callable[[Tensor], Tensor], checks: Labelled, settings: FineTuning) -> dict[str, float]:
    samples, y = checks
    parts = torch.arange(len(samples)).split(samples.at_once)
    with autocast(y.device, settings.precision):
        logits = torch.cat([forward(samples(part)).float() for part in parts])
    return {"validation_accuracy": float(share_right(logits, y)), "validation_loss": float(loss_of(logits, y))}
