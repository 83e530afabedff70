"""A labelled scene as a network trains on it, and how a training on it becomes a row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sslhsi.backbones.build import BackboneConfig, build_backbone
from sslhsi.bands.projector import SpectralProjector
from sslhsi.encoder.encoder import Encoder
from sslhsi.errors import InputError
from sslhsi.evaluation.labelled_scene import LabelledScene
from sslhsi.finetune.cost import step_macs
from sslhsi.finetune.finetune import FineTuned, fine_tune
from sslhsi.finetune.samples import Reader, Remembered
from sslhsi.finetune.settings import FineTuning
from sslhsi.recipe import Network
from sslhsi.scenes.scene import Scene
from sslhsi.splits.split import Split, split
from sslhsi.studies.rows import Made, StudyRow, cost_columns, epochs_of, tested_columns
from sslhsi.studies.sections import Bands
from sslhsi.studies.table import Job

SCRATCH = "from scratch"


@dataclass(frozen=True, eq=False)
class TrainingScene:
    """A labelled scene with what a network is given of it.

    Args:
        scene: With labels.
        encoder: The projection before a network, which trainings leave as it is; its windows are mirrored where they
            leave the scene.
    """

    scene: Scene
    encoder: Encoder

    @cached_property
    def labelled(self) -> LabelledScene:
        """The scene as evaluations know it: its digest, kind and labelled pixels."""
        return LabelledScene(self.scene, (), self.encoder.window)

    @property
    def labels(self) -> np.ndarray:
        """(H, W) integers, 0 = unlabelled."""
        return self.labelled.label_map

    @cached_property
    def reader(self) -> Reader:
        plain = self.encoder.reader(self.scene.cube, self.scene.wavelengths, mask=self.scene.mask)
        return Remembered(self.encoder.backbone, plain, self.encoder.windows(self.labelled.pixels))

    @property
    def channels(self) -> int:
        return self.encoder.projector.channels

    def columns(self, sources: Sequence[TrainingScene] = ()) -> dict[str, Any]:
        """The columns of rows that name network and data."""
        return {
            "network": self.encoder.name,
            "source": " -> ".join(source.scene.name for source in sources),
            "target": self.scene.name,
            "kind": self.labelled.kind,
            "data": "-".join(s.labelled.digest for s in (self, *sources)),
        }

    def draw(self, scheme: str, seed: int, **asked: Any) -> Split:
        """A split by a scheme; ``asked`` as for :func:`sslhsi.splits.split.split`."""
        return split(self.labels, scheme, self.encoder.window, seed=seed, **asked)

    def fresh(self, seed: int) -> nn.Module:
        """The network with random weights, others for other seeds."""
        network = build_backbone(self.encoder.config, self.channels, trained=True, seed=seed)
        return network.to(self.encoder.device)

    def train(
        self,
        drawn: Split,
        tuning: FineTuning,
        seed: int,
        weights: Mapping[str, Tensor] | None = None,
        network: nn.Module | None = None,
    ) -> FineTuned:
        """Train on a split's training pixels.

        Args:
            drawn: The split.
            tuning: How.
            seed: Of the weights that start at random, and of the order.
            weights: Of the whole network but its classifier, from another scene; every tensor must fit.
            network: To begin from, which is left as it is; random weights when None.

        Raises:
            InputError: As for :func:`sslhsi.finetune.finetune.fine_tune`; or a layer would be left behind.
        """
        network = self.fresh(seed) if network is None else network
        windows, targets = self.encoder.windows(drawn.train), self.labels[tuple(drawn.train.T)]
        tuned = fine_tune(network, self.reader, windows, targets, tuning, weights=weights, seed=seed)
        if weights is not None and (left := tuned.record["weights"]["not_carried"]):
            name, why = next(iter(left.items()))
            raise InputError(
                f"{self.scene.name}: {name} of {self.encoder.name} can't be carried over ({why}); give all scenes "
                "the same number of bands by bands.grid or bands.components"
            )
        return tuned

    def tested(self, row: StudyRow, drawn: Split, tuned: FineTuned) -> StudyRow:
        """The row of a training on a split, tested on its test pixels; ``macs`` are per step of a full batch."""
        predicted = tuned.predict(self.reader, self.encoder.windows(drawn.test))
        scores = tested_columns(drawn, self.labels[tuple(drawn.test.T)], predicted)
        costs = cost_columns(tuned, self.macs_of_step(tuned, len(drawn.train)))
        return replace(row, **scores, **costs, seconds=tuned.record["seconds"])

    def macs_of_step(self, tuned: FineTuned, samples: int) -> int:
        """Multiply-adds of a training step of a full batch, or of all samples where they are fewer."""
        size = min(tuned.record["settings"]["batch_size"], samples)
        shape = (self.channels, self.encoder.window, self.encoder.window)
        return step_macs(tuned.network, tuned.record, shape, size)

    def job(
        self,
        row: StudyRow,
        draw: Callable[[], Split],
        tuning: FineTuning,
        *,
        weights: Callable[[], Mapping[str, Tensor]] | None = None,
        network: Callable[[], nn.Module] | None = None,
        phase: str = "target",
    ) -> Job:
        """Train on a split and test on the rest.

        Args:
            row: All that is known beforehand; its seed is that of weights and order.
            draw: Gives the split.
            tuning: How to train.
            weights, network: Give what to begin from, as for :meth:`train`.
            phase: As the history calls it.
        """

        def make() -> list[Made]:
            assert row.seed is not None
            drawn = draw()
            tuned = self.train(drawn, tuning, row.seed, weights and weights(), network and network())
            return [(self.tested(row, drawn, tuned), epochs_of(tuned, phase))]

        return Job([row], make)

    def swapped(self, per_class: int, train_per_class: int | None, seed: int) -> Split:
        """Some pixels of every class are tested, and the rest train, or some of the rest of every class."""
        held = self.draw("random", seed, per_class=per_class)
        drawn = replace(held, train=held.test, test=held.train)
        if train_per_class is None:
            return drawn
        train, test = np.zeros((2, *self.labels.shape), dtype=bool)
        train[tuple(drawn.train.T)] = test[tuple(drawn.test.T)] = True
        return self.draw("given", seed, masks=(train, test), per_class=train_per_class)


def training_scenes(scenes: Sequence[Scene], network: Network, bands: Bands, window: int) -> list[TrainingScene]:
    """Scenes as a network trains on them, each with a projection fitted on itself.

    Args:
        scenes: With labels.
        network: Which network trains on them.
        bands: What it is given.
        window: Side of its windows.

    Raises:
        InputError: The bands can't be had, or the network can't be built on them.
    """
    config = BackboneConfig(architecture=network.name, options=network.options, window=window)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    made = []
    for scene in scenes:
        projector = SpectralProjector(
            bands.grid or scene.bands, bands.components, align="index", whiten=bands.whiten,
            standardize=bands.standardize,
        ).fit([scene])  # fmt: skip
        backbone = build_backbone(config, projector.channels, trained=True)
        made.append(TrainingScene(scene, Encoder(backbone, projector, config).to(device)))
    return made


def check_transferable(scenes: Sequence[TrainingScene]) -> None:
    """Refuse scenes between which a network's weights can't move.

    Raises:
        InputError: A network that is tied to its number of bands would get another one; or two scenes are one.
    """
    first = scenes[0]
    for scene in scenes[1:]:
        if scene.channels != first.channels and not getattr(first.encoder.backbone, "any_bands", False):
            raise InputError(
                f"{first.encoder.name} is tied to its number of bands, and {first.scene.name} gives "
                f"{first.channels}, {scene.scene.name} {scene.channels}; set bands.grid or bands.components"
            )


def check_disjoint(sources: Sequence[TrainingScene], targets: Sequence[TrainingScene]) -> None:
    """Refuse a target whose labels a source has already shown.

    Raises:
        InputError: A scene is on both sides.
    """
    names = {source.labelled.digest: source.scene.name for source in sources}
    for target in targets:
        if target.labelled.digest in names:
            raise InputError(
                f"targets: {target.scene.name} is the source {names[target.labelled.digest]} again, whose labels "
                "pretraining sees; name another scene"
            )
