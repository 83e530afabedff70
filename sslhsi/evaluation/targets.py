"""What a series judges: scenes, lists of spectra and tree crowns, with their splits and the networks beside them."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from sslhsi.backbones.registry import create_backbone
from sslhsi.encoder.encoder import Encoder
from sslhsi.errors import InputError
from sslhsi.scenes.crowns import EARLY_LATE, Crop, crown_split, mosaic
from sslhsi.scenes.identity import data_hash, kind_of
from sslhsi.scenes.scene import Scene
from sslhsi.splits.protocols import SERIES
from sslhsi.splits.split import Split, split

PRETRAINED, RANDOM, RAW, SCRATCH = "pretrained", "random weights", "raw spectra", "from scratch"
# Untrained networks that splits are judged with in turn: one lucky initialisation must not stand for all.
INITIALISATIONS = 5
# Options of timm that would bring weights, of ImageNet or from any file: random means random.
_WEIGHTS = ("pretrained", "load", "checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay", "cache_dir")
Masks = tuple[np.ndarray, np.ndarray | None]


@dataclass(frozen=True)
class Network:
    """A backbone with what has to be said about it beside every score.

    Args:
        method: ``pretrained`` or ``random weights``.
        encoder: The backbone with its projection; left as it is.
        pretraining: What it was pretrained on, in words.
        saw: Whether pretraining saw the target's pixels: ``yes``, ``no`` or ``unknown``.
        fitted: Whether the projection was fitted on them: ``yes``, ``no`` or ``unknown``.
        others: The same pretraining from other seeds, which splits take in turn; where weights are random, the
            backbones whose starts they take in turn.
    """

    method: str
    encoder: Encoder
    pretraining: str = "none"
    saw: str = "no"
    fitted: str = "unknown"
    others: Sequence[Encoder] = ()

    @cached_property
    def _drawn(self) -> dict[int, Network]:
        return {}

    def of(self, seed: int) -> Network:
        """What the split of a seed is judged with: one of the ``count`` networks, in turn."""
        which = seed % self.count
        if which not in self._drawn:
            own = (self.encoder, *self.others)[which] if self.others else self.encoder
            own = untrained(own, which) if self.method == RANDOM else own
            self._drawn[which] = replace(self, encoder=own, others=())
        return self._drawn[which]

    @property
    def count(self) -> int:
        """Networks that splits take in turn."""
        return INITIALISATIONS if self.method == RANDOM and not self.others else 1 + len(self.others)

    @cached_property
    def digest(self) -> str:
        """Hash of weights, projection and window: another backbone is never taken for this one."""
        digest = hashlib.sha256(str(self.encoder.window).encode())
        for name, tensor in self.encoder.backbone.state_dict().items():
            digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
        digest.update(self.encoder.projector.content())
        return digest.hexdigest()[:12]


@dataclass(frozen=True)
class Protocol:
    """One way to divide a target.

    Args:
        split: ``random``, ``blocks``, ``given``, or what it is in words.
        per_class: Training samples per class; None: all that the split offers.
        draw: Seed -> split.
        title: Of given masks, such as ``DASE``.
        chance: Whether the seed matters; without it a probe is run once.
    """

    split: str
    per_class: int | None
    draw: Callable[[int], Split]
    title: str = ""
    chance: bool = True

    @property
    def name(self) -> str:
        """As result rows give it: ``blocks, 5 per class``."""
        return f"{self.title or self.split}, " + ("all" if self.per_class is None else f"{self.per_class} per class")


@dataclass(frozen=True)
class Target:
    """Labelled ground to judge on.

    Args:
        scene: With labels.
        protocols: How it is divided.
        window: Side in pixels of the windows that the splits are made for.
        networks: What is judged beside the raw spectra; none where samples have no neighbourhood.
        task: ``pixels``, ``spectra`` or ``crowns``.
        groups: (H, W) numbers above 0 where several pixels are one sample (a crown): features are
            averaged over them, and a fine-tuned network's decisions vote.
        note: What a reader of the rows should know.
    """

    scene: Scene
    protocols: Sequence[Protocol]
    window: int
    networks: Sequence[Network] = ()
    task: str = "pixels"
    groups: np.ndarray | None = None
    note: str = ""

    @property
    def kind(self) -> str:
        """See :func:`sslhsi.scenes.identity.kind_of`."""
        return kind_of(self.scene)

    @cached_property
    def digest(self) -> str:
        """Hash of cube, labels and groups: rows of other data are never taken for these."""
        return data_hash(self.scene.cube, self.scene.labels, self.groups)


def untrained(encoder: Encoder, seed: int = 0) -> Encoder:
    """The same network with random weights, behind the same projection.

    Raises:
        InputError: The backbone doesn't say which network it is.
    """
    config = encoder.config
    if "architecture" not in config:
        raise InputError("the backbone's config.json names no architecture: give a backbone/ folder that a run wrote")
    options = {key: value for key, value in config.get("options", {}).items() if key not in _WEIGHTS}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = create_backbone(config["architecture"], encoder.projector.channels, encoder.window, **options)
    return Encoder(fresh.eval(), encoder.projector, config).to(encoder.device)


def beside(
    encoder: Encoder, *, pretraining: str, saw: str, fitted: str, others: Sequence[Encoder] = ()
) -> list[Network]:
    """A pretrained backbone and the same network with random weights; arguments as for :class:`Network`.

    Several pretrainings stand beside as many untrained networks: given in the order of their seeds from 0 on, each
    meets its own start.

    Raises:
        InputError: The others are another network, or look at other windows.
    """
    keys = ("architecture", "options", "window")
    for other in others:
        if odd := [key for key in keys if other.config.get(key) != encoder.config.get(key)]:
            raise InputError(
                f"backbones that take turns must be one network, not of {odd[0]} {encoder.config.get(odd[0])!r} and "
                f"{other.config.get(odd[0])!r}"
            )
    return [
        Network(PRETRAINED, encoder, pretraining, saw, fitted, others),
        Network(RANDOM, untrained(encoder), "none", "no", fitted, others),
    ]


def pixel_target(
    scene: Scene,
    networks: Sequence[Network] = (),
    *,
    schemes: Sequence[str] = ("random", "blocks"),
    masks: Mapping[str, Masks] | None = None,
    per_class: Sequence[int] = SERIES,
    window: int | None = None,
) -> Target:
    """The labelled pixels of a scene.

    Args:
        scene: With labels.
        networks: What to judge.
        schemes: ``random``, ``blocks``.
        masks: Name -> (H, W) booleans of training and test pixels (None: all other labelled ones), as
            further splits: once with ``per_class`` pixels drawn from the training side, once with all.
        per_class: Training pixels per class.
        window: Side of the windows that splits are made for; the networks' largest when None, else 1.

    Raises:
        InputError: The scene has no labels, no class has twice as many pixels as asked, or the window is
            smaller than a network's.
    """
    if scene.labels is None:
        raise InputError(f"{scene.name}: no labels to judge on; give the ground truth")
    needed = max((network.encoder.window for network in networks), default=1)
    window = needed if window is None else window
    if window < needed:
        raise InputError(f"window {window}: a network looks at {needed}x{needed} pixels, splits must allow for that")
    most = int(np.bincount(scene.labels[scene.labels > 0].ravel()).max(initial=0))
    # Half of a class is the most that trains: beyond that no class would have what the row says.
    if per_class and (asked := max(per_class)) > most // 2:
        raise InputError(
            f"{scene.name}: {asked} training pixels per class are too many, the largest class has {most} pixels "
            "and half of a class is kept for testing"
        )
    draw = functools.partial(split, scene.labels, window=window)
    found = [
        Protocol(scheme, n, _seeded(functools.partial(draw, scheme, per_class=n)))
        for scheme in schemes
        for n in per_class
    ]
    for name, (train, test) in (masks or {}).items():
        given = functools.partial(draw, "given", train_mask=train, test_mask=test)
        found += [Protocol("given", n, _seeded(functools.partial(given, per_class=n)), name) for n in per_class]
        found.append(Protocol("given", None, _seeded(given), name, chance=False))
    return Target(scene, found, window, networks)


def spectra_target(name: str, spectra: np.ndarray, labels: np.ndarray, per_class: Sequence[int] = SERIES) -> Target:
    """Labelled spectra without positions: random splits, and methods that look at one spectrum at a time.

    Args:
        name: Of the set.
        spectra: (n, B).
        labels: (n,) integers; 0 is a class like any other here.
        per_class: Training spectra per class.

    Raises:
        InputError: Shapes don't fit, or as for :func:`pixel_target`.
    """
    spectra, labels = np.asarray(spectra), np.asarray(labels).ravel()
    if spectra.ndim != 2 or len(spectra) != labels.size:
        raise InputError(f"{name}: {spectra.shape} spectra and {labels.size} labels don't fit")
    if labels.dtype.kind not in "iu" or labels.min(initial=0) < 0:
        raise InputError(f"{name}: labels must be whole numbers from 0 on")
    scene = Scene(name, spectra[:, None, :], labels=labels[:, None].astype(np.int64) + 1)
    found = pixel_target(scene, schemes=("random",), per_class=per_class, window=1)
    return Target(
        scene, found.protocols, 1, task="spectra", note="spectra without positions: neighbours may be on both sides"
    )


def crown_target(
    crops: Sequence[Crop], networks: Sequence[Network] = (), *, name: str = "crowns", years: Sequence[int] = (1, 2)
) -> Target:
    """Tree crowns cut out of flights of several years: earlier years train, later years test.

    A crown's features are the mean over its pixels, reflected at the crop's border; without a network that
    is its mean spectrum. No pixel is in two crops, so nothing leaks through windows; but the trees tested
    are the trees trained on, seen on another flight, and the rows say so.

    Args:
        crops: Of each tree several, of different years.
        networks: What to judge.
        name: Of the data set.
        years: How many of the earliest years of each tree train.

    Raises:
        InputError: The crops don't fit together, or no tree has a later year to test on.
    """
    window = max((network.encoder.window for network in networks), default=1)
    scene, groups = mosaic(crops, window // 2, name)
    found = [
        Protocol(EARLY_LATE, n, functools.partial(_early_late, crops, scene, groups, n, window), chance=False)
        for n in years
    ]
    note = "the trees tested are those trained on, on later flights: no pixel is shared"
    return Target(scene, found, window, networks, "crowns", groups, note)


def _early_late(crops: Sequence[Crop], scene: Scene, groups: np.ndarray, n: int, window: int, seed: int) -> Split:
    train, test = crown_split(crops, n)
    assert scene.labels is not None
    masks = [np.isin(groups, np.array(side) + 1) for side in (train, test)]
    return split(scene.labels, "given", window, train_mask=masks[0], test_mask=masks[1], seed=seed)


def _seeded(draw: Callable[..., Split]) -> Callable[[int], Split]:
    return lambda seed: draw(seed=seed)
