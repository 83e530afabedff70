"""Data-fusion transfer: a network pretrained on one or two scenes in turn, fine-tuned on few pixels of another.

Zhang, Liu et al., "Hyperspectral Classification Based on 3D Asymmetric Inception Network with Data Fusion Transfer
Learning" (arXiv:2002.04227), section 3.3:

1. AINet, drawn from a Gaussian, is trained on source 1 for N epochs (N = 10).
2. Its classifier is drawn anew from a Gaussian, the extractor left as it is. Both are trained on source 2 for N/2
   epochs, the extractor at a tenth of the classifier's rate.
3. All but the classifier, batch norms' statistics included, moves to the target, where a new classifier and the
   extractor are trained "with the same learning rate as the one used for training the second source": 0.01 for both.

T1 is source 1 alone, T2 source 2 alone, T3 the first then the second, T4 the second then the first, and ``from
scratch`` the network trained on the target only. Everything is SGD with momentum 0.9 in batches of 20, on the target
for 60 epochs, the last 12 at a tenth of the rate.

The released code differs: it means to train the extractor at a tenth of the rate on the target, too
(``target_extractor: 0.1``), but overwrites that rate in every epoch. Where this module differs from the paper:
biases and batch norms are exempt from weight decay (1e-5). The paper's scaling of each cube to [0, 1] needs no
counterpart: batch normalisation right after a first convolution without bias or padding makes AINet's training the
same, but for its epsilon, for any factor and offset common to all bands. Windows that leave a scene are mirrored.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sslhsi.finetune.settings import FineTuning, check_slow_epochs
from sslhsi.recipe import Network, Positive, SceneSource
from sslhsi.recipe_file import Section
from sslhsi.splits.split import Split
from sslhsi.studies.sections import Protocol, RateShare, Schedule, check_once
from sslhsi.studies.table import Table
from sslhsi.studies.training_scene import SCRATCH, TrainingScene
from sslhsi.studies.transfer import Comparison, Method, TransferSettings, run_transfer

# The sources of each method, by number, in order.
CHAINS: dict[str, tuple[int, ...]] = {SCRATCH: (), "T1": (0,), "T2": (1,), "T3": (0, 1), "T4": (1, 0)}
MethodName = Literal["from scratch", "T1", "T2", "T3", "T4"]


class Source(Section):
    """A scene to pretrain on."""

    scene: SceneSource
    test_per_class: Positive = Field(default=200, description="pixels that show how well it was learned")
    train_per_class: Positive | None = Field(default=None, description="of the rest; null: all of them")


class Settings(TransferSettings):
    """Recipe of data-fusion transfer; with ``from scratch`` alone, of a plain supervised table."""

    experiment: Literal["fusion"]
    sources: Annotated[list[Source], Field(max_length=2)] = []
    network: Network = Network(name="ainet")
    window: Positive = 27
    methods: Annotated[list[MethodName], Field(min_length=1)] = ["from scratch", "T1", "T2", "T3", "T4"]
    protocols: Annotated[list[Protocol], Field(min_length=1)] = ["per_class_15", "per_class_30"]
    pretraining: Schedule = Schedule(epochs=10, batch_size=20, lr=0.01, optimizer="sgd", weight_decay=1e-5)
    second_extractor: RateShare = Field(
        default=0.1, description="share of the rate at which source 2 trains the extractor"
    )
    training: Schedule = Schedule(
        epochs=60, batch_size=20, lr=0.01, optimizer="sgd", weight_decay=1e-5, slow_epochs=12
    )
    target_extractor: RateShare = Field(default=1.0, description="the same share on the target")

    @model_validator(mode="after")
    def enough_sources(self) -> Self:
        check_once(methods=self.methods, protocols=self.protocols, schemes=self.schemes)
        for method in self.methods:
            needed = max((number + 1 for number in CHAINS[method]), default=0)
            if needed > len(self.sources):
                raise ValueError(
                    f"methods: {method} needs {needed} source{'s' if needed > 1 else ''}, and sources has "
                    f"{len(self.sources)}; add one, or leave {method} out"
                )
        if self.pretraining.epochs < 2 and any(len(CHAINS[method]) == 2 for method in self.methods):
            raise ValueError("pretraining.epochs: the second source takes half of them; give 2 or more, or no T3, T4")
        check_slow_epochs(self.pretraining.slow_epochs, second_epochs(self))
        return self


def run(settings: Settings, table: Table, show: bool) -> None:
    """Measure the rows that the table lacks; see :func:`sslhsi.studies.transfer.run_transfer`."""
    first, second, target = phases(settings)
    words = f"; extractor at {settings.target_extractor:g} of the rate"
    study = Comparison(
        sources=[source.scene for source in settings.sources],
        text=_pretraining_text(settings),
        phases=lambda position: second if position else first,
        draw=lambda source, scene, number: _source_split(settings.sources[source], scene, number),
        methods={
            name: Method(chain, target, words) if (chain := CHAINS[name]) else Method((), settings.training.tuning())
            for name in settings.methods
        },
    )
    run_transfer(settings, study, table, show)


def second_epochs(settings: Settings) -> int:
    """Epochs on the second source: half as many as on the first."""
    return max(1, settings.pretraining.epochs // 2)


def phases(settings: Settings) -> tuple[FineTuning, FineTuning, FineTuning]:
    """How the network trains on the first source, on the second, and on the target (after pretraining)."""
    return (
        settings.pretraining.tuning(),
        settings.pretraining.tuning(extractor=settings.second_extractor, epochs=second_epochs(settings)),
        settings.training.tuning(extractor=settings.target_extractor),
    )


def _source_split(source: Source, scene: TrainingScene, number: int) -> Split:
    return scene.swapped(source.test_per_class, source.train_per_class, number)


def _pretraining_text(settings: Settings) -> str:
    counts = ", ".join(
        f"{source.test_per_class} tested and {source.train_per_class or 'all other'} trained per class"
        for source in settings.sources
    )
    return (
        f"{settings.input_text}; {settings.pretraining}; second source half the epochs, extractor at "
        f"{settings.second_extractor:g} of the rate; sources: {counts}"
    )
