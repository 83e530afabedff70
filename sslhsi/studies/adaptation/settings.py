"""The recipe of domain-adaptive pretraining."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sslhsi.finetune.settings import Drop, FineTuning, HalfShare, check_drops
from sslhsi.recipe import (
    BatchSize,
    Count,
    Network,
    Positive,
    Rate,
    SceneSource,
    Strength,
    TrainingSettings,
    Views,
)
from sslhsi.recipe_file import Section
from sslhsi.studies.adaptation.contrast import Round
from sslhsi.studies.adaptation.image_sets import ImageSet
from sslhsi.studies.sections import Schemes, check_once
from sslhsi.studies.study import Experiment

By = Literal["contrast", "labels"]
PerClass = Annotated[list[Positive], Field(min_length=1)]


class Tuning(TrainingSettings):
    """A supervised training: Adam, warm-up epochs, then a rate that falls by steps or along half a cosine."""

    epochs: Positive = 100
    batch_size: BatchSize = 100
    lr: Rate = 1e-3
    warmup: Count = Field(default=5, description="epochs")
    drops: list[Positive] = Field(default=[], description="epochs after which the rate falls; none: half a cosine")
    drop: Drop = Field(default=0.2, description="what the rate falls to, each time")
    weight_decay: Strength = 0.0
    smoothing: HalfShare = 0.0

    @model_validator(mode="after")
    def in_order(self) -> Self:
        if self.warmup >= self.epochs:
            raise ValueError(f"warmup: {self.warmup} of {self.epochs} epochs leave none to train; lower it")
        check_drops(self.drops, self.epochs, max(1, self.warmup))
        return self

    def tuning(self) -> FineTuning:
        """The settings of :func:`sslhsi.finetune.finetune.fine_tune`."""
        return FineTuning(
            epochs=self.epochs,
            batch_size=self.batch_size,
            lr_head=self.lr,
            lr_backbone=self.lr,
            warmup=self.warmup / self.epochs,
            weight_decay=self.weight_decay,
            smoothing=self.smoothing,
            schedule="steps" if self.drops else "cosine",
            drops=self.drops,
            drop=self.drop,
        )

    def __str__(self) -> str:
        words = f"{self.epochs} epochs of Adam, batch {self.batch_size}, lr {self.lr:g}"
        words += f", warm-up {self.warmup} epochs, "
        words += f"x {self.drop:g} after {'/'.join(map(str, self.drops))}" if self.drops else "then half a cosine"
        words += f", decay {self.weight_decay:g}" if self.weight_decay else ""
        return words + (f", smoothing {self.smoothing:g}" if self.smoothing else "")


class ImageRound(Round):
    """A round by contrast on images."""

    epochs: Positive = 100
    views: Views = Views(crop=(0.2, 1.0), gain=0.3, scaling=0.2, offset=0.2, noise=0.1, dropout=0.0, blur=0.5)

    def __str__(self) -> str:
        return f"{self.epochs} epochs of {super().__str__()}"


class SceneRound(Round):
    """A round by contrast on the windows of a scene."""

    steps: Positive = 100

    def __str__(self) -> str:
        return f"{self.steps} steps of {super().__str__()}"


class ImageStudy(Section):
    """Three-band scene images: given weights, a second round on in-domain images, then the targets."""

    network: Network
    resize: Annotated[int, Field(ge=8)] = Field(default=292, description="pixels that the shorter side becomes")
    crop: Annotated[int, Field(ge=8)] = Field(default=256, description="pixels of the random crop")
    weights: str | None = Field(default=None, description="timm, a .safetensors file, a backbone/ folder or hub id")
    first: ImageSet | None = Field(default=None, description="in place of weights: labelled images to make them on")
    first_training: Tuning = Tuning()
    domain: ImageSet = Field(description="in-domain images of the second round")
    rounds: Annotated[list[By], Field(min_length=1)] = ["contrast", "labels"]
    contrast: ImageRound = ImageRound()
    labels: Tuning = Tuning()
    targets: Annotated[list[ImageSet], Field(min_length=1)]
    per_class: list[Positive] = Field(default=[], description="training images per class, of single-label targets")
    shares: list[Annotated[float, Field(gt=0, lt=1)]] = Field(
        default=[], description="of the images that train, where per_class says nothing"
    )

    @model_validator(mode="after")
    def consistent(self) -> Self:
        if (self.weights is None) == (self.first is None):
            raise ValueError("give either weights, to start from, or first, the images to make them on")
        if self.crop > self.resize:
            raise ValueError(f"crop: {self.crop} pixels can't be cut from {self.resize}; raise resize")
        if (self.resize - self.crop) // 2 < (radius := self.contrast.views.neighbours.radius):
            raise ValueError(
                f"contrast.views.neighbours.radius: {radius} pixels on either side of the crop ({self.crop}) "
                f"are more than an image of {self.resize} has; lower it"
            )
        check_once(rounds=self.rounds, per_class=self.per_class, shares=self.shares)
        return self


class SceneTarget(Section):
    """A labelled cube, and the backbone that is adapted to it."""

    scene: SceneSource
    weights: str = Field(description="a backbone/ folder, a run that holds one, or a hub id")


class SceneStudy(Section):
    """Cubes: a published backbone, a second round on the target's pixels without labels, then its labels."""

    targets: Annotated[list[SceneTarget], Field(min_length=1)]
    contrast: SceneRound = SceneRound()
    per_class: PerClass = [5, 15]
    schemes: Schemes = ["random", "blocks"]


class Settings(Experiment):
    """Recipe of domain-adaptive pretraining, on images or on cubes."""

    experiment: Literal["adaptation"]
    draws: Positive = Field(default=1, description="rounds of pretraining that the seeds take in turn")
    tuning: Tuning = Field(default=Tuning(), description="fine-tuning on the target")
    images: ImageStudy | None = None
    cubes: SceneStudy | None = None

    @model_validator(mode="after")
    def one_kind(self) -> Self:
        if (self.images is None) == (self.cubes is None):
            raise ValueError("give either images or cubes")
        return self
