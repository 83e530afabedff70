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

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from sslhsi.finetune.freezing import HYBRIDSN, freeze, known_policy
from sslhsi.recipe import Network, Positive, SceneSource
from sslhsi.recipe_file import Section
from sslhsi.studies.jobs import Job, run_jobs
from sslhsi.studies.pretraining import Pretraining
from sslhsi.studies.sections import Bands, Protocol, Schedule, check_once
from sslhsi.studies.study import open_scenes
from sslhsi.studies.table import Table
from sslhsi.studies.training_scene import SCRATCH, TrainingScene, check_disjoint, check_transferable
from sslhsi.studies.transfer import TransferSettings, method_job, target_jobs


class Policy(Section):
    """A policy for any network: which of its layers are held."""

    method: str = Field(description="what the table calls it")
    hold: Annotated[list[str], Field(min_length=1)] = Field(description="layers, or patterns such as stages.[01]")


class Settings(TransferSettings):
    """Recipe of a freezing study."""

    experiment: Literal["freezing"]
    source: SceneSource
    network: Network = Network(name="hybridsn")
    window: Positive = 25
    bands: Bands = Bands(components=15, whiten=1.0)
    policies: Annotated[list[str | Policy], Field(min_length=1)] = [SCRATCH, *HYBRIDSN]
    source_protocol: Protocol = "hybridsn_30_percent"
    protocols: Annotated[list[Protocol], Field(min_length=1)] = ["hybridsn_30_percent"]
    pretraining: Schedule = Schedule(epochs=100, batch_size=256, lr=0.01, optimizer="sgd")
    training: Schedule = Schedule(epochs=100, batch_size=256, lr=0.01, optimizer="sgd")

    @model_validator(mode="after")
    def known_policies(self) -> Self:
        names = [policy if isinstance(policy, str) else policy.method for policy in self.policies]
        check_once(policies=names, protocols=self.protocols, schemes=self.schemes)
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
    text = f"{settings.source_protocol}; {settings.input_text}; {settings.pretraining}"
    pretraining = Pretraining(
        settings.folder,
        {"experiment": settings.experiment, "settings": text},
        lambda position: settings.pretraining.tuning(),
        lambda scene, number: scene.draw(settings.source_protocol, "random", number),
    )
    trains = any(policy != SCRATCH for policy in settings.policies)
    jobs = [pretraining.job([source], number) for number in settings.numbers] if trains else []

    def job(policy: str | Policy, target: TrainingScene, place: dict[str, Any]) -> Job:
        named = policy.method if isinstance(policy, Policy) else policy
        words = f"; holds {' '.join(policy.hold)}" if isinstance(policy, Policy) else ""
        chain = [] if policy == SCRATCH else [source]
        tuning = settings.training.tuning(_holds(policy))
        return method_job(settings, named, target, place, tuning, pretraining=pretraining, chain=chain, words=words)

    return jobs + target_jobs(
        settings, targets, lambda target, place: [job(policy, target, place) for policy in settings.policies]
    )


def _holds(policy: str | Policy) -> str | list[str]:
    """As ``freeze`` takes it."""
    if isinstance(policy, Policy):
        return policy.hold
    return "none" if policy == SCRATCH else policy
