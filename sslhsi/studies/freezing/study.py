"""Freezing policies: a network trained on one scene, fine-tuned on others with some of its layers held.

The study is Zhang, "Hyperspectral image classification based on different fine-tuning methods and HybridSN":
HybridSN, pretrained on Indian Pines, fine-tuned on Urban for 100 epochs at learning rate 0.01 in batches of 256,
under the policies of :mod:`sslhsi.finetune.freezing`. Frozen layers run in every step, with their dropout.

What the study leaves open, and what is done here. It says that its Network_Original trains all layers, and also that
it is the direct training that the others are compared with: both are measured, ``original`` from pretrained and
``from scratch`` from random weights. It names no optimiser: SGD with momentum trains HybridSN at the rate of 0.01,
where Adam, with which HybridSN's authors train at 0.001, goes astray. It pretrains for 6,700 epochs, where HybridSN's
authors train for 100. Every scene has its PCA, whitened, as HybridSN's authors do it; windows that leave a scene
are mirrored here and padded with zeros there.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sslhsi.finetune.freezing import HYBRIDSN, known_policy
from sslhsi.recipe import Network, Positive, SceneSource
from sslhsi.recipe_file import Section
from sslhsi.splits.protocols import protocol as split_arguments
from sslhsi.studies.sections import Bands, Protocol, Schedule, check_once
from sslhsi.studies.table import Table
from sslhsi.studies.training_scene import SCRATCH
from sslhsi.studies.transfer import Comparison, Method, TransferSettings, run_transfer


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
    """Measure the rows that the table lacks; see :func:`sslhsi.studies.transfer.run_transfer`."""
    study = Comparison(
        sources=[settings.source],
        text=f"{settings.source_protocol}; {settings.input_text}; {settings.pretraining}",
        phases=lambda position: settings.pretraining.tuning(),
        draw=lambda source, scene, number: scene.draw("random", number, **split_arguments(settings.source_protocol)),
        methods=dict(_method(settings, policy) for policy in settings.policies),
    )
    run_transfer(settings, study, table, show)


def _method(settings: Settings, policy: str | Policy) -> tuple[str, Method]:
    if isinstance(policy, Policy):
        return policy.method, Method((0,), settings.training.tuning(policy.hold), f"; holds {' '.join(policy.hold)}")
    if policy == SCRATCH:
        return policy, Method((), settings.training.tuning())
    return policy, Method((0,), settings.training.tuning(policy))
