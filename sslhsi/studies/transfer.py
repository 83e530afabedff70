"""What freezing and fusion share: networks pretrained on labelled sources, then trained on splits of targets."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Annotated, Any

from pydantic import Field

from sslhsi.finetune.freezing import freeze
from sslhsi.finetune.settings import FineTuning
from sslhsi.recipe import Network, Positive, SceneSource
from sslhsi.splits.protocols import protocol as split_arguments
from sslhsi.splits.split import Split
from sslhsi.studies.rows import PRETRAINING, Epoch, Made, StudyRow, epochs_of
from sslhsi.studies.sections import Bands, Protocol, Schedule, Schemes, input_text
from sslhsi.studies.self_supervised import self_supervised_jobs
from sslhsi.studies.study import Experiment, open_scenes
from sslhsi.studies.table import Job, Table, run_jobs
from sslhsi.studies.training_scene import TrainingScene, check_disjoint, check_transferable, training_scenes
from sslhsi.studies.weights_cache import Kept, Weights, WeightsCache


class TransferSettings(Experiment):
    """Keys of both recipes."""

    targets: Annotated[list[SceneSource], Field(min_length=1)]
    network: Network
    window: Positive
    bands: Bands = Bands()
    protocols: Annotated[list[Protocol], Field(min_length=1)]
    schemes: Schemes = ["random"]
    pretraining: Schedule
    pretrainings: Positive = Field(
        default=1, description="networks pretrained (per chain of sources); seeds take them in turn"
    )
    training: Schedule
    self_supervised: str | None = Field(default=None, description="a backbone/ folder or hub id, for rows beside")

    @property
    def input_text(self) -> str:
        """What the network is given, for the column ``settings``."""
        return input_text(self.network, self.bands, self.window)


@dataclass(frozen=True)
class Method:
    """One method that is compared.

    Args:
        chain: Numbers of the sources that its weights were pretrained on, in order; none: random weights.
        tuning: How it trains on a target.
        words: What else the column ``settings`` says of it.
    """

    chain: tuple[int, ...]
    tuning: FineTuning
    words: str = ""


@dataclass(frozen=True)
class Comparison:
    """What a study compares.

    Args:
        sources: Scenes to pretrain on.
        text: The column ``settings`` of pretraining: all that the weights depend on beside the scenes.
        phases: Position in a chain of sources -> how to train there.
        draw: Number of a source, its scene, number of the pretraining -> the pixels that train, and that show how
            well it went.
        methods: By their names in the rows.
    """

    sources: Sequence[SceneSource]
    text: str
    phases: Callable[[int], FineTuning]
    draw: Callable[[int, TrainingScene, int], Split]
    methods: Mapping[str, Method]


@dataclass(frozen=True)
class Pretraining:
    """Networks trained on chains of scenes: on the first, then on the second from the first one's weights.

    A network's weights, all but the classifier's, and its row are kept when it is trained, so that neither an
    interrupted experiment nor a chain that begins like another trains anything twice. The number of a pretraining is
    the seed of its weights, splits and order.
    """

    settings: TransferSettings
    study: Comparison
    sources: Sequence[TrainingScene]
    cache: WeightsCache

    def weights(self, chain: tuple[int, ...], number: int) -> Weights:
        """Weights after a chain of sources."""
        return self._kept(chain, number).weights

    def job(self, chain: tuple[int, ...], number: int) -> Job:
        """The row that says how well the last scene of a chain was learned, on pixels that didn't train."""

        def make() -> list[Made]:
            about = self._kept(chain, number).about
            return [(StudyRow.from_csv(about["row"]), [Epoch.of(entry) for entry in about["history"]])]

        return Job([self._row(chain, number)], make, needed=True)

    def _row(self, chain: tuple[int, ...], number: int) -> StudyRow:
        *before, scene = (self.sources[place] for place in chain)
        return StudyRow(
            experiment=self.settings.experiment,
            method=PRETRAINING,
            split="random",
            seed=number,
            settings=self.study.text,
            **scene.columns(before),
        )

    def _kept(self, chain: tuple[int, ...], number: int) -> Kept:
        row, scene, before = self._row(chain, number), self.sources[chain[-1]], chain[:-1]

        def train() -> tuple[Weights, dict[str, Any]]:
            weights = self.weights(before, number) if before else None
            drawn = self.study.draw(chain[-1], scene, number)
            tuned = scene.train(drawn, self.study.phases(len(before)), number, weights)
            history = [epoch._asdict() for epoch in epochs_of(tuned, f"source {len(chain)}")]
            about = {"row": scene.tested(row, drawn, tuned).to_csv(), "history": history}
            return tuned.network.backbone.state_dict(), about

        named = {name: getattr(row, name) for name in (*row.KEY, "kind")}
        return self.cache.get({name: "" if value is None else value for name, value in named.items()}, train)


def run_transfer(settings: TransferSettings, study: Comparison, table: Table, show: bool) -> None:
    """Pretrain on sources, then train every method on every split of every target.

    Args:
        settings: Keys that all such studies have.
        study: What is compared.
        table: Gets the rows that it lacks; ``macs`` are multiply-adds per training step of a full batch.
        show: Show progress.

    Raises:
        InputError: A scene can't be read or lacks labels, the network can't take the scenes' bands or has no layer of
            a name, or pretraining fails.
    """
    opened = open_scenes([*study.sources, *settings.targets])
    scenes = training_scenes(opened, settings.network, settings.bands, settings.window)
    sources, targets = scenes[: len(study.sources)], scenes[len(study.sources) :]
    check_disjoint(sources, targets)
    if sources:
        check_transferable(scenes)
    for method in study.methods.values():
        freeze(scenes[0].fresh(0), method.tuning.policy)  # a layer that doesn't exist stops it before any training
    pretraining = Pretraining(settings, study, sources, WeightsCache(settings.folder))
    chains = dict.fromkeys(method.chain for method in study.methods.values() if method.chain)
    numbers = range(min(settings.pretrainings, settings.seeds))
    jobs = [pretraining.job(chain, number) for number in numbers for chain in chains]
    for target, scheme, protocol, seed in product(
        targets, settings.schemes, settings.protocols, range(settings.seeds)
    ):
        asked = split_arguments(protocol)
        row = StudyRow(
            experiment=settings.experiment, split=_split(scheme, asked), per_class=asked.get("per_class"), seed=seed
        )
        draw = functools.partial(target.draw, scheme, seed, **asked)
        number = seed % settings.pretrainings
        for name, method in study.methods.items():
            chain = method.chain
            text = f"{protocol}; {settings.input_text}; {settings.training}{method.words}"
            text += f"; pretraining {number}: {study.text}" if chain else ""
            named = replace(row, **target.columns([sources[place] for place in chain]), method=name, settings=text)
            weights = functools.partial(pretraining.weights, chain, number) if chain else None
            jobs.append(target.job(named, draw, method.tuning, weights=weights))
        if settings.self_supervised is not None:
            jobs += self_supervised_jobs(settings.self_supervised, target.scene, row, draw, words=f"{protocol}; ")
    run_jobs(f"{settings.experiment}: row", jobs, table, show)


def _split(scheme: str, asked: Mapping[str, Any]) -> str:
    """The column ``split``."""
    counted = "given counts" if scheme == "random" else f"{scheme}, given counts"
    return counted if "counts" in asked else scheme
