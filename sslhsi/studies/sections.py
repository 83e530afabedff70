"""Parts that the recipes of supervised transfer share: network, bands, schedule, splits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from sslhsi.finetune.settings import FineTuning, check_slow_epochs
from sslhsi.recipe import Count, Network, Positive, Share, Strength, TrainingSettings
from sslhsi.recipe_file import Section
from sslhsi.splits.protocols import protocol

Schemes = Annotated[list[Literal["random", "blocks"]], Field(min_length=1)]
RateShare = Annotated[float, Field(gt=0, le=1)]


def _known(name: str) -> str:
    protocol(name)
    return name


def check_once(**lists: Sequence[Any]) -> None:
    """Raise ``ValueError`` where a key's list holds something twice."""
    for key, listed in lists.items():
        if double := next((value for value in listed if listed.count(value) > 1), None):
            raise ValueError(f"{key}: {double!r} is there twice; list it once")


Protocol = Annotated[str, AfterValidator(_known)]


class Bands(Section):
    """What a network is given of a spectrum; every scene is projected by itself, aligned by relative band number.

    With neither grid nor components a network gets all bands of a scene, as those do that run on any number.
    """

    grid: Annotated[int, Field(ge=2)] | None = Field(default=None, description="null: as many as the scene has bands")
    components: Positive | None = Field(default=None, description="principal components; null: bands, no PCA")
    whiten: Share = 0.0
    standardize: Literal["none", "scene"] = "none"

    def __str__(self) -> str:
        grid = "own bands" if self.grid is None else f"{self.grid} bands"
        pca = f"{self.components} components of {grid} (PCA of all pixels of each scene)"
        parts = [grid if self.components is None else pca]
        parts += [f"whitened {self.whiten:g}"] if self.whiten else []
        parts += ["standardised"] if self.standardize == "scene" else []
        return ", ".join(parts)


class Schedule(TrainingSettings):
    """A plain supervised training: constant rate, perhaps a tenth of it at the end; the last epoch is the result."""

    epochs: Positive
    optimizer: Literal["adamw", "sgd", "adadelta"]
    weight_decay: Strength = 0.0
    slow_epochs: Count = Field(default=0, description="last epochs, at a tenth of the rate")

    @model_validator(mode="after")
    def possible(self) -> Self:
        check_slow_epochs(self.slow_epochs, self.epochs)
        return self

    def tuning(
        self, policy: str | list[str] = "none", *, extractor: float = 1.0, epochs: int | None = None
    ) -> FineTuning:
        """The settings of :func:`sslhsi.finetune.finetune.fine_tune`.

        Args:
            policy: What trains.
            extractor: Share of the rate at which everything but the classifier trains.
            epochs: In place of the schedule's.
        """
        return FineTuning(
            policy=policy,
            head="gaussian",
            epochs=epochs or self.epochs,
            batch_size=self.batch_size,
            lr_head=self.lr,
            lr_backbone=self.lr * extractor,
            weight_decay=self.weight_decay,
            optimizer=self.optimizer,
            smoothing=0.0,
            schedule="constant",
            slow_epochs=self.slow_epochs,
            run_frozen=True,
        )

    def __str__(self) -> str:
        words = f"{self.epochs} epochs of {self.optimizer}, lr {self.lr:g}"
        words += f" (a tenth for the last {self.slow_epochs})" if self.slow_epochs else ""
        return f"{words}, batch {self.batch_size}, decay {self.weight_decay:g}"


def input_text(network: Network, bands: Bands, window: int) -> str:
    """What a network sees and how it was built, for the column ``settings``."""
    options = "".join(f", {key} {value}" for key, value in network.options.items())
    return f"window {window}; {bands}{options}"
