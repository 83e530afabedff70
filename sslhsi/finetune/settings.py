"""How a network is fine-tuned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from sslhsi.errors import InputError
from sslhsi.finetune.freezing import check_policy

OPTIMISERS = ("adamw", "sgd", "adadelta")
HEADS = ("zero", "probe", "gaussian")
SCHEDULES = ("cosine", "constant", "steps")
PRECISIONS = ("fp32", "bf16")


@dataclass(frozen=True)
class FineTuning:
    """How to fine-tune; the defaults suit 5 to 30 samples per class on a CPU.

    Args:
        policy: What trains, as for :func:`sslhsi.finetune.freezing.freeze`.
        head: ``zero``: the classifier starts at zero, all classes equally likely. ``probe``: it starts as the
            linear probe of the features that the backbone gives before training (Kumar et al., ICLR 2022,
            arXiv:2202.10054: a classifier that starts at random distorts good features). ``gaussian``: a plain
            dense layer on the features as they are, not standardised, drawn from N(0, 2/D) for D features,
            biases zero (He et al., ICCV 2015): what the papers train.
        epochs: Passes over the training samples (over all their mirrored copies).
        batch_size: Samples per step; the last batches are evened out, so that none holds a single sample.
        lr_head: Learning rate of the classifier.
        lr_backbone: Learning rate of the backbone's layers that train.
        warmup: Share of the steps that warm up; then half a cosine to 0. Of no account where ``schedule`` is
            ``constant``.
        weight_decay: Of weights; biases and normalisation layers are exempt.
        optimizer: ``adamw``, ``sgd`` (momentum 0.9) or ``adadelta``.
        smoothing: Share of every target that is spread over all classes (Szegedy et al., CVPR 2016,
            arXiv:1512.00567): a network that fits a hundred samples perfectly stops short of being certain.
        mirror: Train on four copies of each window: as it is, left-right, up-down, and both.
        validation: Share of each class's training samples that is kept for choosing the epoch, at least one;
            classes of fewer than four samples keep all for training. 0: the last epoch is the result.
        patience: Epochs without a better validation accuracy (or, equally accurate, a smaller loss) after which
            training stops; 0: never.
        votes: Checkpoints, one every second epoch and the last the chosen one, whose probabilities are averaged.
        precision: ``fp32`` or ``bf16`` (autocast).
        schedule: ``cosine``: warm-up and half a cosine. ``constant``: the rates as they are. ``steps``: warm-up,
            then the rates as they are, multiplied by ``drop`` after each of the epochs ``drops``.
        slow_epochs: Last epochs, at a tenth of the rates; for ``constant``.
        drops: Epochs, counted from 1, after which the rates fall; for ``steps``.
        drop: What they are multiplied by, each time.
        run_frozen: Run a wholly frozen backbone in every step, with its dropout, as published trainings do.
            Without it the backbone is run once, without dropout, and the classifier trains on what it gave.
    """

    policy: str | Sequence[str] = "none"
    head: str = "zero"
    epochs: int = 40
    batch_size: int = 64
    lr_head: float = 1e-3
    lr_backbone: float = 1e-3
    warmup: float = 0.1
    weight_decay: float = 1e-2
    optimizer: str = "adamw"
    smoothing: float = 0.1
    mirror: bool = False
    validation: float = 0.0
    patience: int = 0
    votes: int = 1
    precision: str = "fp32"
    schedule: str = "cosine"
    slow_epochs: int = 0
    drops: Sequence[int] = ()
    drop: float = 0.2
    run_frozen: bool = False

    def __post_init__(self) -> None:
        check_policy(self.policy)
        named = {"optimizer": OPTIMISERS, "head": HEADS, "precision": PRECISIONS, "schedule": SCHEDULES}
        for key, choices in named.items():
            if getattr(self, key) not in choices:
                raise InputError(
                    f"fine-tuning: {key} must be one of {', '.join(choices)}, not {getattr(self, key)!r}"
                )
        for key, least in (("epochs", 1), ("batch_size", 2), ("votes", 1), ("patience", 0), ("slow_epochs", 0)):
            if getattr(self, key) < least:
                raise InputError(f"fine-tuning: {key} must be at least {least}, not {getattr(self, key)}")
        for key in ("lr_head", "lr_backbone"):
            if not 0 < getattr(self, key) < np.inf:
                raise InputError(f"fine-tuning: {key} must be a number above 0, not {getattr(self, key)}")
        if not 0 <= self.weight_decay < np.inf:
            raise InputError(f"fine-tuning: weight_decay must be 0 or more, not {self.weight_decay}")
        for key, most in (("warmup", 1.0), ("smoothing", 0.5), ("validation", 0.5)):
            if not 0 <= getattr(self, key) <= most:
                raise InputError(f"fine-tuning: {key} must lie between 0 and {most:g}, not {getattr(self, key)}")
        if self.patience and not self.validation:
            raise InputError("fine-tuning: patience needs validation samples; set validation to 0.2, say")
        if bool(self.drops) != (self.schedule == "steps"):
            raise InputError("fine-tuning: drops and schedule 'steps' belong together; give both or neither")
        if list(self.drops) != sorted(set(self.drops)) or not all(0 < epoch < self.epochs for epoch in self.drops):
            raise InputError(
                f"fine-tuning: drops {list(self.drops)} must rise and lie between 0 and the {self.epochs} epochs"
            )
        if not 0 < self.drop <= 1:
            raise InputError(f"fine-tuning: drop must lie above 0 and be 1 at most, not {self.drop}")
        if self.slow_epochs and self.schedule != "constant":
            raise InputError("fine-tuning: slow_epochs belongs to schedule 'constant'; set that, or leave it 0")
        if self.slow_epochs >= self.epochs:
            raise InputError(
                f"fine-tuning: slow_epochs {self.slow_epochs} must be fewer than the {self.epochs} epochs"
            )


# Not named in texts while they are what they were before there was a choice: rows measured then stay known.
_LATER = ("schedule", "slow_epochs", "run_frozen", "drops", "drop")


def described(settings: FineTuning) -> str:
    """All settings as one line, ``policy none; head zero; ...``, for the rows of a table."""
    defaults = {field.name: field.default for field in fields(FineTuning)}
    given = asdict(settings)
    return "; ".join(
        f"{key} {_text(value)}" for key, value in given.items() if key not in _LATER or value != defaults[key]
    )


def _text(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
