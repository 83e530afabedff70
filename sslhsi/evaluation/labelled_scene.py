"""What is evaluated on: labelled pixels of scenes, lists of spectra and tree crowns, with the ways to divide them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from sslhsi.bands.projection import Projection
from sslhsi.corpus.corpus import PreparedScene
from sslhsi.corpus.reader import PatchReader
from sslhsi.encoder.encoder import Encoder
from sslhsi.encoder.strips import stored
from sslhsi.errors import InputError
from sslhsi.evaluation.measure import split_columns
from sslhsi.evaluation.network import RAW, Method, Network, widest
from sslhsi.evaluation.window_means import SIZES, WindowMeans, pixel_means
from sslhsi.scenes.crowns import EARLY_LATE, Crop, crown_split, mosaic
from sslhsi.scenes.identity import data_hash, kind_of
from sslhsi.scenes.scene import Scene
from sslhsi.scenes.spectra import Spectra
from sslhsi.splits.protocols import SERIES
from sslhsi.splits.split import Masks, Split, split

Drawn = TypeVar("Drawn")


@dataclass(frozen=True)
class Protocol(Generic[Drawn]):
    """One way to divide labelled samples.

    Args:
        split: ``random``, ``blocks``, ``given``, or what it is in words.
        per_class: Training samples per class; None: all that the split offers.
        draw: Seed -> split.
        title: Of given masks, such as ``DASE``.
        chance: Whether the seed matters; without it a probe is run once.
    """

    split: str
    per_class: int | None
    draw: Callable[[int], Drawn]
    title: str = ""
    chance: bool = True


class Sides(NamedTuple):
    """A drawn split as sample numbers: (n,) of training, (m,) of test, ascending, and what rows say of it."""

    train: np.ndarray
    test: np.ndarray
    columns: dict[str, Any]


@dataclass(frozen=True)
class LabelledScene:
    """Labelled pixels to evaluate on.

    Args:
        scene: With labels: as it was read, or of a prepared corpus, which holds all that is needed.
        protocols: How it is divided.
        window: Side in pixels of the windows that the splits are made for.
        networks: What stands beside the raw spectra; none where samples have no neighbourhood.
        task: ``pixels``, ``spectra`` or ``crowns``.
        groups: (H, W) numbers above 0 where several pixels are one sample (a crown): features are
            averaged over them, and a fine-tuned network's decisions vote.
        note: What a reader of the rows should know.

    Raises:
        InputError: The scene has no labels.
    """

    scene: Scene | PreparedScene
    protocols: Sequence[Protocol[Split]]
    window: int
    networks: Sequence[Method] = ()
    task: str = "pixels"
    groups: np.ndarray | None = None
    note: str = ""
    baseline = RAW

    def __post_init__(self) -> None:
        if self.scene.labels is None:
            raise InputError(f"{self.scene.name}: no labels to evaluate on; give the ground truth")

    @property
    def name(self) -> str:
        return self.scene.name

    @property
    def kind(self) -> str:
        """See :func:`sslhsi.scenes.identity.kind_of`."""
        return kind_of(self.scene) if isinstance(self.scene, Scene) else self.scene.record.kind

    @cached_property
    def digest(self) -> str:
        """Hash of cube, labels and groups: rows of other data are never taken for these."""
        if isinstance(self.scene, Scene):
            return data_hash(self.scene.cube, self.scene.labels, self.groups)
        return self.scene.record.data

    @property
    def label_map(self) -> np.ndarray:
        """(H, W) integers, 0 = unlabelled."""
        assert self.scene.labels is not None
        return np.asarray(self.scene.labels)

    @cached_property
    def pixels(self) -> np.ndarray:
        """(p, 2) rows and columns of the labelled pixels."""
        return np.argwhere(self.label_map > 0)

    @cached_property
    def samples(self) -> np.ndarray:
        """(p,) number of the sample that each labelled pixel belongs to."""
        if self.groups is None:
            return np.arange(len(self.pixels))
        return np.unique(self.groups[tuple(self.pixels.T)], return_inverse=True)[1]

    @cached_property
    def labels(self) -> np.ndarray:
        """(n,) label of each sample."""
        first = np.unique(self.samples, return_index=True)[1]
        return self.label_map[tuple(self.pixels.T)][first]

    @cached_property
    def sample_map(self) -> np.ndarray:
        """(H, W) number of each pixel's sample, -1 where there is none."""
        numbers = np.full(self.label_map.shape, -1)
        numbers[tuple(self.pixels.T)] = self.samples
        return numbers

    def sides(self, drawn: Split, window: int | None = None) -> Sides:
        """The samples of a split, and its leak through windows of some side; the split's when None."""
        columns = split_columns(drawn, window)
        if self.task == "spectra":
            # Where there are no positions, nobody can tell which spectra were neighbours.
            columns |= {"leak": None, "leak_overlap": None}
        train, test = (np.unique(self.sample_map[tuple(side.T)]) for side in (drawn.train, drawn.test))
        return Sides(train, test, columns)

    def features(self, network: Network | None) -> np.ndarray:
        """(n, D) features of all samples; raw spectra without a network."""
        scene = self.scene
        if isinstance(scene, PreparedScene):
            if network is None:
                assert scene.spectra is not None
                x = np.asarray(scene.spectra, dtype=np.float32)
            else:
                x = network.encoder.encode_components(scene.components, self.pixels)
        elif network is None:
            x = np.asarray(scene.cube[tuple(self.pixels.T)], dtype=np.float32)
        else:
            x = network.encoder.encode_pixels(scene.cube, self.pixels, scene.wavelengths, mask=scene.mask)
        return self._of_samples(x)

    def window_means(self, projector: Projection) -> dict[str, np.ndarray]:
        """By variant, (n, D) means over boxes of all samples: see :func:`pixel_means`."""
        scene = self.scene
        if isinstance(scene, PreparedScene):
            components = scene.components
        else:
            components = stored(projector.transform(scene.cube, scene.wavelengths, mask=scene.mask, scaled=True))
        means = pixel_means(components, self.pixels, scene.mask)
        return {name: self._of_samples(x) for name, x in means.items()}

    def _of_samples(self, x: np.ndarray) -> np.ndarray:
        """(p, D) of pixels -> (n, D) of samples."""
        if self.groups is None:
            return x
        total = np.zeros((len(self.labels), x.shape[1]))
        np.add.at(total, self.samples, x)
        return (total / np.bincount(self.samples)[:, None]).astype(np.float32)

    def reader(self, encoder: Encoder) -> PatchReader:
        """Windows of the scene as a backbone takes them."""
        if isinstance(self.scene, PreparedScene):
            return PatchReader([self.scene.components], encoder.window, device=encoder.device)
        return encoder.reader(self.scene.cube, self.scene.wavelengths, mask=self.scene.mask)

    def vote(self, pixels: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        """(n,) labels of the samples of some pixels, in ascending order of the samples, by vote of their pixels."""
        samples = self.sample_map[tuple(pixels.T)]
        classes, number = np.unique(predicted, return_inverse=True)
        which, sample = np.unique(samples, return_inverse=True)
        votes = np.zeros((len(which), classes.size), dtype=np.int64)
        np.add.at(votes, (sample, number), 1)
        return classes[votes.argmax(axis=1)]


def pixel_protocols(
    labels: np.ndarray,
    window: int,
    per_class: Sequence[int],
    schemes: Sequence[str] = ("random", "blocks"),
    masks: Mapping[str, Masks] | None = None,
) -> list[Protocol[Split]]:
    """Every scheme at every number of training pixels per class; arguments as for :func:`labelled_pixels`."""
    draw = functools.partial(split, labels, window=window)
    protocols = [
        Protocol(scheme, n, _seeded(functools.partial(draw, scheme, per_class=n)))
        for scheme in schemes
        for n in per_class
    ]
    for name, mask_pair in (masks or {}).items():
        given = functools.partial(draw, "given", masks=mask_pair)
        protocols += [Protocol("given", n, _seeded(functools.partial(given, per_class=n)), name) for n in per_class]
        protocols.append(Protocol("given", None, _seeded(given), name, chance=False))
    return protocols


def labelled_pixels(
    scene: Scene,
    networks: Sequence[Method] = (),
    *,
    schemes: Sequence[str] = ("random", "blocks"),
    masks: Mapping[str, Masks] | None = None,
    per_class: Sequence[int] = SERIES,
    window: int | None = None,
) -> LabelledScene:
    """The labelled pixels of a scene.

    Args:
        scene: With labels.
        networks: What to evaluate.
        schemes: ``random``, ``blocks``.
        masks: Name -> (H, W) booleans of training and test pixels (None: all other labelled ones), as
            further splits: once with ``per_class`` pixels drawn from the training side, once with all.
        per_class: Training pixels per class.
        window: Side of the windows that splits are made for; the networks' largest when None, else 1.

    Raises:
        InputError: The scene has no labels, no class has twice as many pixels as asked, or the window is
            smaller than a network's.

    Examples:
        >>> labels = np.repeat([[1, 2]], 8, axis=0).repeat(4, axis=1)
        >>> field = labelled_pixels(Scene("field", np.ones((8, 8, 3)), labels=labels), per_class=(5,))
        >>> [(p.split, p.per_class) for p in field.protocols]
        [('random', 5), ('blocks', 5)]
    """
    if scene.labels is None:
        raise InputError(f"{scene.name}: no labels to evaluate on; give the ground truth")
    needed = widest(networks)
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
    return LabelledScene(scene, pixel_protocols(scene.labels, window, per_class, schemes, masks), window, networks)


def labelled_spectra(
    name: str, spectra: np.ndarray | Spectra, labels: np.ndarray | None = None, per_class: Sequence[int] = SERIES
) -> LabelledScene:
    """Labelled spectra without positions: random splits, and methods that look at one spectrum at a time.

    Args:
        name: Of the set.
        spectra: (n, B), or what ``sslhsi.read_spectra`` returns, whose labels are taken where none are given;
            spectra without one are then left out.
        labels: (n,) integers; 0 is a class like any other here.
        per_class: Training spectra per class.

    Raises:
        InputError: Shapes don't fit, or as for :func:`labelled_pixels`.
    """
    wavelengths = spectra.wavelengths if isinstance(spectra, Spectra) else None
    if isinstance(spectra, Spectra) and labels is None and (numbers := spectra.labels) is not None:
        spectra, labels = spectra.spectra[numbers >= 0], numbers[numbers >= 0]
    if labels is None:
        raise InputError(f"{name}: has no labels; give them, or read the spectra with labels=")
    spectra, labels = np.asarray(spectra), np.asarray(labels).ravel()
    if spectra.ndim != 2 or len(spectra) != labels.size:
        raise InputError(f"{name}: {spectra.shape} spectra and {labels.size} labels don't fit")
    if labels.dtype.kind not in "iu" or labels.min(initial=0) < 0:
        raise InputError(f"{name}: labels must be whole numbers from 0 on")
    scene = Scene(name, spectra[:, None, :], wavelengths, labels=labels[:, None].astype(np.int64) + 1)
    protocols = labelled_pixels(scene, schemes=("random",), per_class=per_class, window=1).protocols
    note = "spectra without positions: neighbours may be on both sides"
    return LabelledScene(scene, protocols, 1, task="spectra", note=note)


def labelled_crowns(
    crops: Sequence[Crop], networks: Sequence[Method] = (), *, name: str = "crowns", years: Sequence[int] = (1, 2)
) -> LabelledScene:
    """Tree crowns cut out of flights of several years: earlier years train, later years test.

    A crown's features are the mean over its pixels, reflected at the crop's border; without a network that
    is its mean spectrum. No pixel is in two crops, so nothing leaks through windows; but the trees tested
    are the trees trained on, on another flight, and the rows say so.

    Args:
        crops: Of each tree several, of different years.
        networks: What to evaluate.
        name: Of the data set.
        years: How many of the earliest years of each tree train.

    Raises:
        InputError: The crops don't fit together, or no tree has a later year to test on.
    """
    window = widest(networks)
    # Boxes around the pixels of a crop must not reach into another.
    reach = max([window, *(max(SIZES) for method in networks if isinstance(method, WindowMeans))])
    scene, groups = mosaic(crops, reach // 2, name)
    protocols = [
        Protocol(EARLY_LATE, n, functools.partial(_early_late, crops, scene, groups, n, window), chance=False)
        for n in years
    ]
    note = "the trees tested are those trained on, on later flights: no pixel is shared"
    return LabelledScene(scene, protocols, window, networks, "crowns", groups, note)


def _early_late(crops: Sequence[Crop], scene: Scene, groups: np.ndarray, n: int, window: int, seed: int) -> Split:
    train, test = crown_split(crops, n)
    assert scene.labels is not None
    masks = np.isin(groups, np.array(train) + 1), np.isin(groups, np.array(test) + 1)
    return split(scene.labels, "given", window, masks=masks, seed=seed)


def _seeded(draw: Callable[..., Split]) -> Callable[[int], Split]:
    return lambda seed: draw(seed=seed)
