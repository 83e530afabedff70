"""How a network is fine-tuned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from sslhsi.finetune.freezing import known_policy
from sslhsi.recipe import BatchSize, Count, Positive, Rate, Share, Strength
from sslhsi.recipe_file import Section

HalfShare = Annotated[float, Field(ge=0, le=0.5)]
Drop = Annotated[float, Field(gt=0, le=1)]


class FineTuning(Section):
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

    Examples:
        >>> FineTuning(epochs=10, policy=["stages.0"]).optimizer
        'adamw'
    """

    policy: Annotated[str | list[str], AfterValidator(known_policy)] = "none"
    head: Literal["zero", "probe", "gaussian"] = "zero"
    epochs: Positive = 40
    batch_size: BatchSize = 64
    lr_head: Rate = 1e-3
    lr_backbone: Rate = 1e-3
    warmup: Share = 0.1
    weight_decay: Strength = 1e-2
    optimizer: Literal["adamw", "sgd", "adadelta"] = "adamw"
    smoothing: HalfShare = 0.1
    mirror: bool = False
    validation: HalfShare = 0.0
    patience: Count = 0
    votes: Positive = 1
    precision: Literal["fp32", "bf16"] = "fp32"
    schedule: Literal["cosine", "constant", "steps"] = "cosine"
    slow_epochs: Count = 0
    drops: list[Positive] = []
    drop: Drop = 0.2
    run_frozen: bool = False

    @model_validator(mode="after")
    def consistent(self) -> Self:
        if self.patience and not self.validation:
            raise ValueError("patience needs validation samples; set validation to 0.2, say")
        if bool(self.drops) != (self.schedule == "steps"):
            raise ValueError("drops and schedule 'steps' belong together; give both or neither")
        check_drops(self.drops, self.epochs)
        if self.slow_epochs and self.schedule != "constant":
            raise ValueError("slow_epochs belongs to schedule 'constant'; set that, or leave it 0")
        check_slow_epochs(self.slow_epochs, self.epochs)
        return self


def check_drops(drops: Sequence[int], epochs: int, first: int = 1) -> None:
    """Raise ``ValueError`` unless the epochs after which the rates fall rise from ``first`` on, before the end."""
    if list(drops) != sorted(set(drops)) or not all(first <= epoch < epochs for epoch in drops):
        raise ValueError(f"drops: {list(drops)} must rise and lie between {first} and the {epochs} epochs")


def check_slow_epochs(slow_epochs: int, epochs: int) -> None:
    """Raise ``ValueError`` where all epochs would be slow ones."""
    if slow_epochs >= epochs:
        raise ValueError(f"slow_epochs {slow_epochs} must be fewer than the {epochs} epochs")


# Not named in texts while they are what they were before there was a choice: rows measured then stay known.
_LATER = {"schedule", "slow_epochs", "run_frozen", "drops", "drop"}


def described(settings: FineTuning) -> str:
    """All settings as one line, ``policy none; head zero; ...``, for the rows of a table."""
    given = settings.model_dump(exclude=_LATER) | settings.model_dump(include=_LATER, exclude_defaults=True)
    words = {key: " ".join(map(str, value)) if isinstance(value, list) else value for key, value in given.items()}
    return "; ".join(f"{key} {value}" for key, value in words.items())
