"""Domain-adaptive pretraining on three-band scene images: networks given, pretrained, adapted."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.transforms.v2.functional import center_crop

from sslhsi.backbones.build import BackboneConfig, build_backbone
from sslhsi.backbones.transfer_weights import load_weights
from sslhsi.encoder.load import plain, read_weights
from sslhsi.errors import InputError
from sslhsi.evaluation.labelled_scene import Protocol, Sides
from sslhsi.finetune.classifier import features_of
from sslhsi.finetune.finetune import fine_tune
from sslhsi.finetune.samples import Samples
from sslhsi.studies.adaptation.bench import AdaptationRow, Initialisation, Stage, Target, run_round
from sslhsi.studies.adaptation.contrast import Round, augmented, contrast
from sslhsi.studies.adaptation.image_sets import Images, open_images
from sslhsi.studies.adaptation.image_split import split_images
from sslhsi.studies.adaptation.image_views import MEAN, STD, ImageNetwork, ImageReader
from sslhsi.studies.adaptation.settings import ImageStudy, Settings, Tuning
from sslhsi.studies.rows import Epoch, epochs_of
from sslhsi.studies.weights_cache import Kept, Weights, WeightsCache

# Of timm: red, green and blue through the trained filters as they are.
_RGB = {"pretrained": True, "stem": "wavelengths", "wavelengths": [640, 550, 460], "rgb": [640, 550, 460]}


@dataclass(frozen=True)
class Set:
    """A set of images with its reader."""

    images: Images
    side: int

    @cached_property
    def reader(self) -> ImageReader:
        return ImageReader(self.images, self.side)

    @property
    def labels(self) -> np.ndarray:
        """(n,) integers, or (n, L) zeros and ones."""
        assert self.images.labels is not None
        return self.images.labels

    def tensor(self, numbers: np.ndarray) -> Tensor:
        return self.reader(self.reader.windows(numbers))


class ImageWeights:
    """Sets of images, and weights of a network at every stage; what is trained for a row is kept for the others.

    Args:
        settings: The recipe.
        study: Its part on images.

    Raises:
        InputError: Images or weights can't be read or don't fit.
    """

    def __init__(self, settings: Settings, study: ImageStudy) -> None:
        self.settings, self.study = settings, study
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.cache, self.not_fitting = WeightsCache(settings.folder), list[str]()
        side = study.resize
        self.targets = [Set(open_images(source), side) for source in study.targets]
        self.domain = Set(open_images(study.domain), side)
        self.first = None if study.first is None else Set(open_images(study.first), side)
        for one, wanted in ((self.first, True), (self.domain, "labels" in study.rounds)):
            if one is not None and wanted and one.images.labels is None:
                raise InputError(
                    f"{one.images.name}: pretraining by labels needs class folders or a table of labels; give them, "
                    "or set images.rounds to [contrast]"
                )
        names = [target.images.name for target in self.targets]
        if double := next((name for name in names if names.count(name) > 1), None):
            raise InputError(f"images.targets: two are named {double!r}; give each another name")
        for target in self.targets:
            if target.images.labels is None:
                raise InputError(
                    f"{target.images.name}: no labels to test on; give class folders, or a table as labels"
                )
        # What can't be read, and a name, option or file that won't do, is known before any training.
        for one in (*self.targets, self.domain, self.first):
            if one is not None:
                one.reader  # noqa: B018
        options = {**study.network.options, **(_RGB if study.weights == "timm" else {})}
        self.config = BackboneConfig(architecture=study.network.name, options=options, window=study.crop)
        self.network(0)
        self.given = self._given()

    def network(self, seed: int, weights: Mapping[str, Tensor] | None = None) -> ImageNetwork:
        """A network with random weights, or with given ones but for what does not fit."""
        backbone = build_backbone(self.config, 3, trained=self.study.weights != "timm", seed=seed)
        if weights is not None:
            load_weights(backbone, weights)
        return ImageNetwork(backbone, self.study.crop).to(self.device)

    def _given(self) -> Weights | None:
        """Weights that the recipe names; None where the experiment makes them."""
        source = self.study.weights
        if source is None:
            return None
        if source == "timm":
            return plain(build_backbone(self.config, 3, trained=True)).state_dict()
        weights = read_weights(source, "images.weights")
        # What doesn't fit, such as a stem for other bands, starts at random, once for all rows.
        backbone = self.network(0).backbone
        try:
            record = load_weights(backbone, weights)
        except InputError as error:
            raise InputError(f"images.weights {source}: {error}") from None
        if record["not_carried"]:
            self.not_fitting.append(f"images.weights {Path(source).name}: {record['summary']}")
        return plain(backbone).state_dict()

    @property
    def weights_name(self) -> str:
        """What the pretrained weights are, for the column ``source``."""
        if self.first is not None:
            return self.first.images.name
        assert self.study.weights is not None
        return f"timm {self.study.network.name}" if self.study.weights == "timm" else Path(self.study.weights).name

    def weights(self, init: Initialisation, draw: int, tested: np.ndarray) -> Kept:
        """Weights of an initialisation, trained if need be; no image whose content is tested is ever trained on.

        Args:
            init: Which, but random weights.
            draw: Number of the round: its seed.
            tested: (m,) hashes of the contents that the target's split tests.
        """
        study = self.study
        if init.by is not None:
            how = study.contrast if init.by == "contrast" else study.labels
            return self._kept("second", self.domain, init, how, draw, tested)
        if self.first is not None:
            return self._kept(
                "first", self.first, Initialisation(False, "labels"), study.first_training, draw, tested
            )
        assert self.given is not None
        return Kept("given", self.given, {"notes": self.not_fitting})

    def _kept(
        self, stage: str, of: Set, init: Initialisation, how: Round | Tuning, draw: int, tested: np.ndarray
    ) -> Kept:
        used, study = np.flatnonzero(~np.isin(of.images.digests, tested)), self.study
        before = self.weights(Initialisation(True), draw, tested) if init.given else Kept("random", {}, {})
        what = {
            "from": before.key,
            "source": str(study.weights),
            "by": init.by,
            "how": how.model_dump(mode="json"),
            "draw": draw,
            "images": of.images.digest,
            "left_out": sorted(set(of.images.digests.tolist()) & set(tested.tolist())),
            "network": {**study.network.model_dump(mode="json"), "resize": study.resize, "crop": study.crop},
        }

        def train() -> tuple[nn.Module, Iterable[Epoch]]:
            if len(used) < 2:
                raise InputError(
                    f"{of.images.name}: pretraining needs two images that are not tested, not {len(used)}"
                )
            network = self.network(draw, before.weights if init.given else None)
            if not isinstance(how, Tuning):
                history = self._contrast(of, used, network, draw)
            else:
                windows = of.reader.windows(used)
                tuned = fine_tune(network, of.reader, windows, of.labels[used], how.tuning(), seed=draw)
                network, history = tuned.network.backbone, epochs_of(tuned, f"{stage} round")  # type: ignore[assignment]
            return plain(network.backbone), history

        left = len(of.images) - len(used)
        notes = [f"{of.images.name}: {left} images are tested on the target and left out of pretraining"]
        return run_round(self.cache, what, train, stage, notes if left else ())

    def _contrast(self, of: Set, used: np.ndarray, network: ImageNetwork, seed: int) -> list[Epoch]:
        how = self.study.contrast
        size = min(how.batch_size, len(used))
        per_epoch = len(used) // size
        side = self.study.crop + 2 * how.views.neighbours.radius
        zero = -torch.tensor(MEAN, device=self.device) / torch.tensor(STD, device=self.device)

        def batch(step: int) -> Tensor:
            epoch, place = divmod(step, per_epoch)
            order = np.random.default_rng([seed, epoch]).permutation(used)
            images = of.tensor(order[place * size : (place + 1) * size]).to(self.device)
            return network.normalised(center_crop(images, [side, side]))

        views = augmented(batch, how, torch.ones(3, device=self.device), zero, seed)
        return contrast(network.backbone, views, how.epochs * per_epoch, per_epoch, how, seed)


def image_targets(settings: Settings) -> list[ImageTarget]:
    """The sets of images of a recipe that are tested."""
    assert settings.images is not None
    weights = ImageWeights(settings, settings.images)
    return [ImageTarget(weights, of) for of in weights.targets]


class ImageTarget(Target):
    """A labelled set of images.

    Args:
        weights: At every stage.
        of: The set.
    """

    def __init__(self, weights: ImageWeights, of: Set) -> None:
        self.weights, self.set, study, images = weights, of, weights.study, of.images
        super().__init__(
            weights.settings,
            AdaptationRow(
                experiment=weights.settings.experiment,
                network=study.network.name,
                target=images.name,
                kind=images.kind,
                data=images.digest,
            ),
            of.labels,
            of.reader,
            (3, study.resize, study.resize),
            self._divisions(study, images),
            study.rounds,
            needed=True,
            samples="images",
        )

    def _divisions(self, study: ImageStudy, images: Images) -> list[Protocol[Sides]]:
        way = "random" if images.given is None else "given"
        few = [] if images.multilabel else study.per_class
        made = [Protocol(way, n, functools.partial(self.draw, per_class=n)) for n in few]
        made = made or [
            Protocol(f"{way}, {100 * share:g} % train", None, functools.partial(self.draw, share=share))
            for share in study.shares
        ]
        if not made and images.given is not None:
            made = [Protocol(f"{way}, all of the training list", None, self.draw)]
        if not made:
            keys = "images.shares" if images.multilabel else "images.shares or per_class"
            raise InputError(f"{images.name}: say how many images train: {keys}")
        return made

    def draw(self, seed: int, **size: Any) -> Sides:
        """Images by number."""
        drawn = split_images(self.set.images, **size, seed=seed)
        columns = {"left_out": drawn.left_out, "short": drawn.short, "note": "; ".join(drawn.notes)}
        return Sides(drawn.train, drawn.test, columns)

    def windows(self, numbers: np.ndarray) -> np.ndarray:
        return self.set.reader.windows(numbers)

    def stage(self, init: Initialisation, seed: int, tested: np.ndarray) -> Stage:
        if init.by is None and not init.given:
            return Stage(f"random-{seed}", self.weights.network(seed), {})
        hashes = self.set.images.digests[tested]
        key, weights, about = self.weights.weights(init, seed % self.settings.draws, hashes)
        return Stage(key, self.weights.network(seed, weights), about)

    def encode(self, network: nn.Module) -> np.ndarray:
        windows = self.windows(np.arange(len(self.labels)))
        samples = Samples(network, self.reader, windows, self.weights.device, mirror=False)
        return features_of(network, samples).cpu().numpy()

    def words(self, init: Initialisation) -> dict[str, Any]:
        weights, study = self.weights, self.weights.study
        sources = [weights.weights_name] * init.given + [weights.domain.images.name] * (init.by is not None)
        parts = [f"{study.resize} pixels, crop {study.crop}"]
        parts += [f"{key} {value}" for key, value in study.network.options.items()]
        if init.given and study.first is not None:
            parts.append(f"first round by labels: {study.first_training}")
        if init.by:
            parts.append(f"second round by {init.by}: {study.contrast if init.by == 'contrast' else study.labels}")
        if init.given or init.by:
            parts.append(f"{self.settings.draws} draws of each round")
        overlap = "unknown" if init.given and study.first is None else "no"
        return {"source": " -> ".join(sources), "settings": "; ".join(parts), "pretraining_saw_pixels": overlap}
