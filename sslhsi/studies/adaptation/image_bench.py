"""Networks on scene images at every stage of adaptation: given, pretrained, adapted."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2.functional import center_crop

from sslhsi.backbones.registry import create_backbone
from sslhsi.backbones.transfer_weights import load_weights
from sslhsi.encoder.load import plain, read_weights
from sslhsi.errors import InputError
from sslhsi.finetune.classifier import features_of
from sslhsi.finetune.finetune import fine_tune
from sslhsi.finetune.samples import Samples
from sslhsi.studies.adaptation.contrast import contrast
from sslhsi.studies.adaptation.image_sets import Images, open_images
from sslhsi.studies.adaptation.image_views import MEAN, STD, ImageNetwork, ImageReader
from sslhsi.studies.adaptation.initialisations import Initialisation
from sslhsi.studies.adaptation.settings import ImageStudy, Settings, Tuning
from sslhsi.studies.rows import epoch_entries
from sslhsi.studies.weights_cache import Weights, cache_key, cached
from sslhsi.training.seeded import seeded
from sslhsi.views import make_views

# Of timm: red, green and blue through the trained filters as they are.
_RGB = {"stem": "wavelengths", "wavelengths": [640, 550, 460], "rgb": [640, 550, 460]}
# Of weights that nothing had to be trained for.
_NONE: dict[str, Any] = {"history": [], "seconds": 0.0, "notes": []}


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


@dataclass
class Bench:
    """Sets, and networks at every stage; what is trained for a row is kept for the others."""

    settings: Settings
    study: ImageStudy
    device: torch.device = field(default_factory=lambda: torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    known: dict[str, tuple[Weights, dict[str, Any]]] = field(default_factory=dict)
    features: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)
    not_fitting: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        study, side = self.study, self.study.resize
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
            raise InputError(f"images.targets: two are named {double!r}; give each a name of its own")
        for target in self.targets:
            if target.images.labels is None:
                raise InputError(
                    f"{target.images.name}: no labels to test on; give class folders, or a table as labels"
                )
        # What can't be read, and a name, option or file that won't do, is known before any training.
        for one in (*self.targets, self.domain, self.first):
            if one is not None:
                one.reader  # noqa: B018
        self.network(0)
        self.given = self._given()

    def network(self, seed: int, weights: Mapping[str, Tensor] | None = None) -> ImageNetwork:
        """A network with random weights, or with given ones but for what does not fit."""
        study = self.study
        options: dict[str, Any] = dict(study.network.options)
        if study.weights == "timm":
            options |= {"pretrained": True, "load": False, **_RGB}
        with seeded(seed):
            backbone = create_backbone(study.network.name, 3, study.crop, **options)
        if weights is not None:
            load_weights(backbone, weights)
        return ImageNetwork(backbone, study.crop).to(self.device)

    def _given(self) -> Weights | None:
        """Weights that the recipe names; None where the experiment makes them."""
        source = self.study.weights
        if source is None:
            return None
        if source == "timm":
            options = {**self.study.network.options, "pretrained": True, **_RGB}
            return plain(create_backbone(self.study.network.name, 3, self.study.crop, **options)).state_dict()
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

    def weights(
        self, init: Initialisation, draw: int, tested: np.ndarray
    ) -> tuple[str, Weights | None, dict[str, Any]]:
        """Weights of an initialisation, trained if need be; no image whose content is tested is ever trained on.

        Args:
            init: Which; random weights are the caller's.
            draw: Number of the round: its seed.
            tested: (m,) hashes of the contents that the target's split tests.

        Returns:
            A key that stands for them, the tensors, and what is known: ``history``, ``seconds``, ``notes``.
        """
        if init.by is None and not init.given:
            return "", None, _NONE
        if init.by is None:
            if self.first is None:
                assert self.given is not None
                return "given", self.given, {**_NONE, "notes": self.not_fitting}
            return self._kept(self.first, Initialisation(False, "labels"), "first", draw, tested)
        return self._kept(self.domain, init, "second", draw, tested)

    def _kept(
        self, of: Set, init: Initialisation, stage: str, draw: int, tested: np.ndarray
    ) -> tuple[str, Weights, dict[str, Any]]:
        used = np.flatnonzero(~np.isin(of.images.digests, tested))
        study = self.study
        before = self.weights(Initialisation(True), draw, tested)[0] if init.given else "random"
        how = study.first_training if stage == "first" else study.contrast if init.by == "contrast" else study.labels
        network = {**study.network.model_dump(mode="json"), "resize": study.resize, "crop": study.crop}
        what = {
            "from": before,
            "source": str(study.weights),
            "by": init.by,
            "how": how.model_dump(mode="json"),
            "draw": draw,
            "images": of.images.digest,
            "left_out": sorted(set(of.images.digests.tolist()) & set(tested.tolist())),
            "network": network,
        }
        key = cache_key(what)
        if key not in self.known:
            path = self.settings.folder / "pretrained" / f"{stage}-{key}.safetensors"
            self.known[key] = cached(path, lambda: self._train(of, used, init, how, stage, draw, tested))
        return key, *self.known[key]

    def _train(
        self, of: Set, used: np.ndarray, init: Initialisation, how: Any, stage: str, draw: int, tested: np.ndarray
    ) -> tuple[Mapping[str, Tensor], dict[str, Any]]:
        """One round: weights, and what is known about them."""
        if len(used) < 2:
            raise InputError(f"{of.images.name}: pretraining needs two images that are not tested, not {len(used)}")
        network = self.network(draw, self.weights(Initialisation(True), draw, tested)[1] if init.given else None)
        phase = f"{stage} round"
        began = time.perf_counter()
        if init.by == "contrast":
            history = self._contrast(of, used, network, draw)
            history = [{"phase": phase, **entry} for entry in history]
        else:
            assert isinstance(how, Tuning)
            labels = of.labels[used]
            tuned = fine_tune(network, of.reader, of.reader.windows(used), labels, how.tuning(), seed=draw)
            network, history = tuned.network.backbone, epoch_entries(tuned, phase)  # type: ignore[assignment]
        notes = []
        if left := len(of.images) - len(used):
            notes = [f"{of.images.name}: {left} images are tested on the target and left out of pretraining"]
        seconds = round(time.perf_counter() - began, 3)
        state = plain(network.backbone).state_dict()
        return state, {"history": history, "seconds": seconds, "notes": notes}

    def _contrast(self, of: Set, used: np.ndarray, network: ImageNetwork, seed: int) -> list[dict[str, Any]]:
        how, crop = self.study.contrast, self.study.crop
        size = min(how.batch_size, len(used))
        per_epoch = len(used) // size
        side = crop + 2 * how.views.neighbours.radius
        spread = torch.ones(3, device=self.device)
        zero = -torch.tensor(MEAN, device=self.device) / torch.tensor(STD, device=self.device)

        def views(step: int) -> list[Tensor]:
            epoch, place = divmod(step, per_epoch)
            order = np.random.default_rng([seed, epoch]).permutation(used)
            batch = center_crop(of.tensor(order[place * size : (place + 1) * size]).to(self.device), [side, side])
            return make_views(
                network.normalised(batch),
                [how.views, how.views],
                component_spread=spread,
                zero_spectrum=zero.expand(size, 3),
                seed=seed,
                step=step,
            )

        return contrast(network.backbone, views, how.epochs * per_epoch, per_epoch, how, seed)

    def encoded(self, key: str, network: ImageNetwork, target: Set) -> np.ndarray:
        """(n, D) frozen features of all of a target's images."""
        place = (key, target.images.digest)
        if key == "" or place not in self.features:
            windows = target.reader.windows(np.arange(len(target.images)))
            network.eval()
            samples = Samples(network, target.reader, windows, self.device, mirror=False)
            self.features[place] = features_of(network, samples).cpu().numpy()
        return self.features[place]
