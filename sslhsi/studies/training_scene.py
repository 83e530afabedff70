"""A labelled scene as a network trains on it, and how a training on it becomes a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from sslhsi.backbones.registry import create_backbone
from sslhsi.bands.projector import SpectralProjector
from sslhsi.encoder.encoder import Encoder
from sslhsi.errors import InputError
from sslhsi.evaluation.labelled_scene import LabelledScene
from sslhsi.finetune.finetune import FineTuned, fine_tune
from sslhsi.finetune.samples import Reader
from sslhsi.finetune.settings import FineTuning
from sslhsi.recipe import Network
from sslhsi.scenes.scene import Scene
from sslhsi.splits.protocols import protocol
from sslhsi.splits.split import Split, split
from sslhsi.studies.sections import Bands
from sslhsi.training.seeded import seeded

SCRATCH = "from scratch"


@dataclass(frozen=True, eq=False)
class TrainingScene:
    """A labelled scene with what a network is given of it.

    Args:
        scene: With labels.
        network: Which network trains on it.
        bands: What it is given.
        window: Side of the windows, which are mirrored where they leave the scene.
    """

    scene: Scene
    network: Network
    bands: Bands
    window: int

    @cached_property
    def labelled(self) -> LabelledScene:
        """The scene as evaluations know it: its digest, kind and labelled pixels."""
        return LabelledScene(self.scene, (), self.window)

    @property
    def labels(self) -> np.ndarray:
        """(H, W) integers, 0 = unlabelled."""
        return self.labelled.label_map

    @cached_property
    def encoder(self) -> Encoder:
        """The projection fitted on the scene, before a network that is not trained."""
        bands = self.bands
        projector = SpectralProjector(
            bands.grid or self.scene.bands,
            bands.components,
            align="index",
            whiten=bands.whiten,
            standardize=bands.standardize,
        ).fit([self.scene])
        backbone = create_backbone(self.network.name, projector.channels, self.window, **self.network.options)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        return Encoder(backbone, projector, {"window": self.window}).to(device)

    @cached_property
    def reader(self) -> Reader:
        return self.encoder.reader(self.scene.cube, self.scene.wavelengths, mask=self.scene.mask)

    @property
    def channels(self) -> int:
        return self.encoder.projector.channels

    def draw(self, name: str, scheme: str, seed: int) -> Split:
        """A split by a protocol's name and a scheme."""
        return split(self.labels, scheme, self.window, seed=seed, **protocol(name))

    def fresh(self, seed: int) -> nn.Module:
        """The network with random weights, others for other seeds."""
        with seeded(seed):
            made = create_backbone(self.network.name, self.channels, self.window, **self.network.options)
        return made.to(self.encoder.device)

    def train(
        self, drawn: Split, tuning: FineTuning, seed: int, weights: Mapping[str, Tensor] | None = None
    ) -> FineTuned:
        """Train on a split's training pixels.

        Args:
            drawn: The split.
            tuning: How.
            seed: Of the weights that start at random, and of the order.
            weights: Of the whole network but its classifier, from another scene; every tensor must fit.

        Raises:
            InputError: As for :func:`sslhsi.finetune.finetune.fine_tune`; or a layer would be left behind.
        """
        targets = self.labels[tuple(drawn.train.T)]
        tuned = fine_tune(
            self.fresh(seed),
            self.reader,
            self.encoder.windows(drawn.train),
            targets,
            tuning,
            weights=weights,
            seed=seed,
        )
        if weights is not None and (left := tuned.record["weights"]["not_carried"]):
            name, why = next(iter(left.items()))
            raise InputError(
                f"{self.scene.name}: {name} of {self.network.name} can't be carried over ({why}); give all scenes "
                "the same number of bands by bands.grid or bands.components"
            )
        return tuned

    def predict(self, tuned: FineTuned, pixels: np.ndarray) -> np.ndarray:
        """(n,) class ids of (n, 2) pixels."""
        return tuned.predict(self.reader, self.encoder.windows(pixels))

    def swapped(self, per_class: int, train_per_class: int | None, seed: int) -> Split:
        """Some pixels of every class are tested, and the rest train, or some of the rest of every class."""
        held = split(self.labels, "random", self.window, per_class=per_class, seed=seed)
        drawn = replace(held, train=held.test, test=held.train)
        if train_per_class is None:
            return drawn
        masks = [np.zeros(self.labels.shape, dtype=bool) for _ in range(2)]
        for mask, side in zip(masks, (drawn.train, drawn.test), strict=True):
            mask[tuple(side.T)] = True
        train, test = masks
        return split(self.labels, "given", self.window, masks=(train, test), per_class=train_per_class, seed=seed)


def check_transferable(scenes: Sequence[TrainingScene]) -> None:
    """Refuse scenes between which a network's weights can't move.

    Raises:
        InputError: A network that is tied to its number of bands would get another one; or two scenes are one.
    """
    first = scenes[0]
    for scene in scenes[1:]:
        if scene.channels != first.channels and not getattr(first.encoder.backbone, "any_bands", False):
            raise InputError(
                f"{first.network.name} is tied to its number of bands, and {first.scene.name} gives "
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
