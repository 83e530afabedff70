"""What freezing and fusion share: networks pretrained on labelled sources, then trained on splits of targets."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from itertools import product
from typing import Annotated, Any

from pydantic import Field

from sslhsi.finetune.settings import FineTuning
from sslhsi.recipe import Network, Positive, SceneSource
from sslhsi.studies.jobs import Job, target_job
from sslhsi.studies.pretraining import Pretraining
from sslhsi.studies.rows import data_columns, protocol_columns
from sslhsi.studies.sections import Bands, Protocol, Schedule, Schemes, input_text
from sslhsi.studies.self_supervised import self_supervised_jobs
from sslhsi.studies.study import Experiment
from sslhsi.studies.training_scene import TrainingScene


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

    @property
    def numbers(self) -> range:
        """The pretrainings that seeds use."""
        return range(min(self.pretrainings, self.seeds))


def target_jobs(
    settings: TransferSettings,
    targets: Sequence[TrainingScene],
    methods: Callable[[TrainingScene, dict[str, Any]], list[Job]],
) -> list[Job]:
    """Jobs of all methods on every target, scheme, protocol and seed, with those of a self-supervised backbone.

    Args:
        settings: Of the study.
        targets: Scenes.
        methods: Target and its split (``protocol``, ``scheme``, ``seed``) -> a job per method.
    """
    jobs: list[Job] = []
    for target, scheme, protocol, seed in product(
        targets, settings.schemes, settings.protocols, range(settings.seeds)
    ):
        place: dict[str, Any] = {"protocol": protocol, "scheme": scheme, "seed": seed}
        jobs += methods(target, place)
        if settings.self_supervised is not None:
            columns = {"experiment": settings.experiment, **data_columns(target), "seed": seed}
            columns |= protocol_columns(protocol, scheme)
            draw = functools.partial(target.draw, protocol, scheme, seed)
            jobs += self_supervised_jobs(settings.self_supervised, target.scene, columns, draw, words=f"{protocol}; ")
    return jobs


def method_job(
    settings: TransferSettings,
    method: str,
    target: TrainingScene,
    place: dict[str, Any],
    tuning: FineTuning,
    *,
    pretraining: Pretraining,
    chain: Sequence[TrainingScene] = (),
    words: str = "",
) -> Job:
    """One method on one split of a target.

    Args:
        settings: Of the study.
        method: As rows call it.
        target: The scene.
        place: Its split.
        tuning: How it trains.
        pretraining: Where weights come from.
        chain: The sources that they were pretrained on, in order; none: random weights.
        words: What else the column ``settings`` says of the method.
    """
    text = f"{place['protocol']}; {settings.input_text}; {settings.training}{words}"
    more: dict[str, Any] = {}
    if chain:
        number = place["seed"] % settings.pretrainings
        text += f"; pretraining {number}: {pretraining.method['settings']}"
        more = {"sources": chain, "weights": lambda: pretraining.weights(chain, number)}
    columns = {"experiment": settings.experiment, "method": method, "settings": text}
    return target_job(target, columns, tuning, **place, **more)
