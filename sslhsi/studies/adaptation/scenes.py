"""Domain-adaptive pretraining on cubes: a published backbone is shown the target's pixels, without labels.

The second round sees the whole target scene, its test pixels, too, but no label (column
``pretraining_saw_pixels``): it is what can be done with a new scene before anybody has labelled it. The projection
stays that of the given backbone.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterable
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import nn

from sslhsi.corpus.prepare import neutralise
from sslhsi.corpus.reader import PatchReader
from sslhsi.corpus.sampler import DomainSampler
from sslhsi.encoder.encoder import Encoder, untrained
from sslhsi.evaluation.labelled_scene import Protocol, Sides
from sslhsi.evaluation.measure import split_columns
from sslhsi.evaluation.network import INITIALISATIONS
from sslhsi.evaluation.pretraining_scenes import pretraining_of
from sslhsi.scenes.scene import Scene
from sslhsi.studies.adaptation.bench import AdaptationRow, Initialisation, Stage, Target, run_round
from sslhsi.studies.adaptation.contrast import augmented, contrast
from sslhsi.studies.adaptation.settings import SceneRound, Settings
from sslhsi.studies.rows import Epoch
from sslhsi.studies.self_supervised import opened
from sslhsi.studies.study import open_scenes
from sslhsi.studies.training_scene import TrainingScene
from sslhsi.studies.weights_cache import WeightsCache

# Parts of a round whose mean loss goes into the history: a scene has fewer windows than most rounds have samples.
NOTED = 20


def scene_targets(settings: Settings) -> list[SceneTarget]:
    """The cubes of a recipe, each with its backbone."""
    assert settings.cubes is not None
    targets, cache = settings.cubes.targets, WeightsCache(settings.folder)
    scenes = open_scenes([target.scene for target in targets])
    return [SceneTarget(settings, scene, one.weights, cache) for one, scene in zip(targets, scenes, strict=True)]


class SceneTarget(Target):
    """A labelled cube, and its backbone at every stage.

    Args:
        settings: The recipe.
        scene: With labels.
        weights: Where the backbone is.
        cache: Keeps what is trained.
    """

    def __init__(self, settings: Settings, scene: Scene, weights: str, cache: WeightsCache) -> None:
        assert settings.cubes is not None
        self.study, self.cache = settings.cubes, cache
        self.encoder, self.backbone_digest = opened(weights)
        self.pretraining, self.pretraining_saw, _ = pretraining_of(weights, scene.source)
        self.place = place = TrainingScene(scene, self.encoder)
        super().__init__(
            settings,
            AdaptationRow(experiment=settings.experiment, **place.columns()),
            place.labelled.labels,
            place.reader,
            (place.channels, self.encoder.window, self.encoder.window),
            [
                Protocol(scheme, n, functools.partial(self.draw, scheme, n))
                for scheme, n in product(self.study.schemes, self.study.per_class)
            ],
        )

    def draw(self, scheme: str, per_class: int, seed: int) -> Sides:
        """Labelled pixels by number."""
        drawn = self.place.draw(scheme, seed, per_class=per_class)
        train, test = (self.place.labelled.sample_map[tuple(side.T)] for side in (drawn.train, drawn.test))
        return Sides(train, test, split_columns(drawn))

    def windows(self, numbers: np.ndarray) -> np.ndarray:
        return self.encoder.windows(self.place.labelled.pixels[numbers])

    def stage(self, init: Initialisation, seed: int, tested: np.ndarray) -> Stage:
        """Test pixels, too, are part of the second round; see ``pretraining_saw_pixels``."""
        if init.by is None:
            if init.given:
                return Stage("given", self.encoder.backbone, {})
            number = seed % INITIALISATIONS
            return Stage(f"random-{number}", untrained(self.encoder, number).backbone, {})
        draw = seed % self.settings.draws
        adapted = copy.deepcopy(self.encoder) if init.given else untrained(self.encoder, draw)
        what = {
            "from": self.backbone_digest,
            "given": init.given,
            "scene": self.row.data,
            "how": self.study.contrast.model_dump(mode="json"),
            "draw": draw,
        }

        def train() -> tuple[nn.Module, Iterable[Epoch]]:
            return adapted.backbone, adapt(adapted, self.place.scene, self.study.contrast, draw)

        key, weights, about = run_round(self.cache, what, train)
        adapted.backbone.load_state_dict(weights)
        return Stage(key, adapted.backbone, about)

    def encode(self, network: nn.Module) -> np.ndarray:
        scene, encoder = self.place.scene, Encoder(network, self.encoder.projector, self.encoder.config)
        pixels = self.place.labelled.pixels
        return encoder.encode_pixels(scene.cube, pixels, scene.wavelengths, mask=scene.mask)

    def words(self, init: Initialisation) -> dict[str, Any]:
        sources = [self.pretraining] * init.given + [f"{self.row.target}, unlabelled"] * (init.by is not None)
        text = [f"window {self.encoder.window}"]
        text += [f"backbone {self.backbone_digest}"] if init.given else []
        text += [f"second round: {self.study.contrast}; {self.settings.draws} draws of it"] if init.by else []
        overlap = "yes" if init.by else self.pretraining_saw if init.given else "no"
        return {"source": " -> ".join(sources), "settings": "; ".join(text), "pretraining_saw_pixels": overlap}


def adapt(encoder: Encoder, scene: Scene, how: SceneRound, seed: int = 0) -> list[Epoch]:
    """Train an encoder's network in place by contrast, on the windows around a scene's foreground pixels.

    Args:
        encoder: The projection stays as it is.
        scene: Labels are not looked at.
        how: Steps, rates and views.
        seed: Of the windows' order, the views and the projection head.

    Returns:
        Losses of the round in ``NOTED`` parts, fewer of a short one.

    Raises:
        InputError: The loss is not a finite number, or the camera doesn't fit the backbone.
    """
    projector, window, device = encoder.projector, encoder.window, encoder.device
    components = encoder.reader(scene.cube, scene.wavelengths, mask=scene.mask).scenes[0]
    neutralise(components, scene.foreground)
    reader = PatchReader([components], window, how.views.neighbours.radius, device)
    # As a prepared corpus has them: what noise is measured in, and the components of a spectrum of zeros.
    values = components[scene.foreground].astype(np.float32)
    width = np.ones(values.shape[1]) if projector.noise_whitening else np.sqrt(np.square(values).mean(axis=0))
    spread = torch.tensor(width, dtype=torch.float32, device=device)
    raw = projector.scene_moments(scene.cube, scene.mask)
    _, offset = projector.affine(scene.wavelengths, scene.bands, raw, scene.name)
    zero = torch.tensor(offset / projector.scale, dtype=torch.float32, device=device)
    windows = encoder.windows(np.argwhere(scene.foreground))
    domains = np.zeros(len(windows), dtype=np.int64)
    sampler = DomainSampler(domains, min(how.batch_size, len(windows)), seed)

    views = augmented(lambda step: reader(windows[sampler.batch(step)]), how, spread, zero, seed)
    return contrast(encoder.backbone, views, how.steps, -(-how.steps // NOTED), how, seed)
