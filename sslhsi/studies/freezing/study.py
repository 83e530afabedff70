"""Freezing policies: a network trained on one scene, fine-tuned on others with some of its layers held.

The study is Zhang, "Hyperspectral image classification based on different fine-tuning methods and HybridSN":
HybridSN, pretrained on Indian Pines, fine-tuned on Urban for 100 epochs at learning rate 0.01 in batches of 256,
under the policies of :mod:`sslhsi.finetune.freezing`. Frozen layers run in every step, with their dropout.

What the study leaves open, and what is done here. It says that its Network_Original trains all layers, and also that
it is the direct training that the others are compared with: both are measured, ``original`` from pretrained and
``from scratch`` from random weights. It names no optimiser: SGD with momentum trains HybridSN at the rate of 0.01,
where Adam, with which HybridSN's authors train at 0.001, goes astray. It pretrains for 6,700 epochs, where HybridSN's
authors train for 100. Each scene has its own PCA, whitened, as HybridSN's authors do it; windows that leave a scene
are mirrored here and padded with zeros there.
"""

from __future__ import annotations

from itertools import product
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from sslhsi.finetune.freezing import HYBRIDSN, freeze, known_policy
from sslhsi.recipe import Network, Positive, SceneSource
from sslhsi.recipe_file import Section
from sslhsi.studies.jobs import Job, run_jobs, self_supervised_jobs, target_job
from sslhsi.studies.pretraining import Pretraining
from sslhsi.studies.sections import Bands, Protocol, Schedule, Schemes, check_once, input_text
from sslhsi.studies.study import Experiment, open_scenes
from sslhsi.studies.table import Table
from sslhsi.studies.training_scene import SCRATCH, TrainingScene, check_disjoint, check_transferable


class Policy(Section):
    """A policy for any network: which of its layers are held."""

    method: str = Field(description="what the table calls it")
    hold: Annotated[list[str], Field(min_length=1)] = Field(description="layers, or patterns such as stages.[01]")


class Settings(Experiment):
    """Recipe of a freezing study."""

    experiment: Literal["freezing"]
    source: SceneSource
    targets: Annotated[list[SceneSource], Field(min_length=1)]
    network: Network = Network(name="hybridsn")
    window: Positive = 25
    bands: Bands = Bands(components=15, whiten=1.0)
    policies: Annotated[list[str | Policy], Field(min_length=1)] = [SCRATCH, *HYBRIDSN]
    source_protocol: Protocol = "hybridsn_30_percent"
    protocols: Annotated[list[Protocol], Field(min_length=1)] = ["hybridsn_30_percent"]
    schemes: Schemes = ["random"]
    pretraining: Schedule = Schedule(epochs=100, batch_size=256, lr=0.01, optimizer="sgd")
    pretrainings: Positive = Field(default=1, description="networks pretrained; seeds take them in turn")
    training: Schedule = Schedule(epochs=100, batch_size=256, lr=0.01, optimizer="sgd")
    self_supervised: str | None = Field(default=None, description="a backbone/ folder or hub id, for rows beside")

    @model_validator(mode="after")
    def known_policies(self) -> Self:
        names = [policy if isinstance(policy, str) else policy.method for policy in self.policies]
        for key, listed in (("policies", names), ("protocols", self.protocols), ("schemes", self.schemes)):
            check_once(key, listed)
        for policy in self.policies:
            if not isinstance(policy, str) or policy == SCRATCH:
                continue
            known_policy(policy)
            if policy in HYBRIDSN and self.network.name != "hybridsn":
                raise ValueError(
                    f"policies: {policy!r} names layers of hybridsn, and the network is {self.network.name!r}; use "
                    f"{SCRATCH!r}, 'none', 'all', or method and hold, a list of its layers"
                )
        return self


def run(settings: Settings, table: Table, show: bool) -> None:
    """Measure the rows that the table lacks; ``macs`` are multiply-adds per training step of a full batch.

    Raises:
        InputError: A scene can't be read or lacks labels, a layer to be held doesn't exist, or pretraining fails.
    """
    make = (settings.network, settings.bands, settings.window)
    source, *targets = (TrainingScene(scene, *make) for scene in open_scenes([settings.source, *settings.targets]))
    check_disjoint([source], targets)
    check_transferable([source, *targets])
    for policy in settings.policies:
        freeze(source.fresh(0), _holds(policy))  # a layer that doesn't exist stops it before anything is trained
    run_jobs("freezing: row", _jobs(settings, source, targets), table, show)


def _jobs(settings: Settings, source: TrainingScene, targets: list[TrainingScene]) -> list[Job]:
    pretraining = Pretraining(
        settings.folder,
        {"experiment": settings.experiment, "settings": _pretraining_text(settings)},
        lambda position: settings.pretraining.tuning(),
        lambda scene, number: scene.draw(settings.source_protocol, "random", number),
    )
    used = range(min(settings.pretrainings, settings.seeds))
    trains = any(policy != SCRATCH for policy in settings.policies)
    jobs = [pretraining.job([source], number) for number in used] if trains else []
    for target, scheme, protocol, seed in product(
        targets, settings.schemes, settings.protocols, range(settings.seeds)
    ):
        place: dict[str, Any] = {"protocol": protocol, "scheme": scheme, "seed": seed}
        jobs += [_job(settings, policy, pretraining, source, target, place) for policy in settings.policies]
        if settings.self_supervised is not None:
            jobs += self_supervised_jobs(settings.self_supervised, target, settings.experiment, **place)
    return jobs


def _job(
    settings: Settings,
    policy: str | Policy,
    pretraining: Pretraining,
    source: TrainingScene,
    target: TrainingScene,
    place: dict[str, Any],
) -> Job:
    name = policy if isinstance(policy, str) else policy.method
    text = f"{place['protocol']}; {_input_text(settings)}; {settings.training}"
    if isinstance(policy, Policy):
        text += f"; holds {' '.join(policy.hold)}"
    more: dict[str, Any] = {}
    if policy != SCRATCH:
        number = place["seed"] % settings.pretrainings
        text += f"; pretraining {number}: {_pretraining_text(settings)}"
        more = {"sources": [source], "weights": lambda: pretraining.weights([source], number)}
    columns = {"experiment": settings.experiment, "method": name, "settings": text}
    return target_job(target, columns, settings.training.tuning(_holds(policy)), **place, **more)


def _holds(policy: str | Policy) -> str | list[str]:
    """As ``freeze`` takes it."""
    if isinstance(policy, Policy):
        return policy.hold
    return "none" if policy == SCRATCH else policy


def _input_text(settings: Settings) -> str:
    return input_text(settings.network, settings.bands, settings.window)


def _pretraining_text(settings: Settings) -> str:
    return f"{settings.source_protocol}; {_input_text(settings)}; {settings.pretraining}"
