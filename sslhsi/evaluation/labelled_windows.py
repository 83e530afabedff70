"""Windows of a prepared corpus to classify by domain, or by any class of their scenes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from sslhsi.bands.projection import Projection
from sslhsi.corpus.corpus import Corpus, PreparedScene
from sslhsi.corpus.reader import PatchReader
from sslhsi.encoder.features import features, mean_spectra
from sslhsi.errors import InputError
from sslhsi.evaluation.labelled_scene import Protocol, Sides
from sslhsi.evaluation.network import Method, Network
from sslhsi.evaluation.window_means import central_means
from sslhsi.recipe import Patches


@dataclass(frozen=True)
class LabelledWindows:
    """Windows to evaluate on; see :func:`labelled_windows`, which makes them.

    Args:
        name: What rows of results call them.
        reader: Reads them.
        masks: Reads what is foreground in them.
        windows: (n, 3) scene, row and column; those that may train come first.
        labels: (n,) class of each.
        trained: How many may train; all others are tested.
        protocols: How many windows of each class train.
        networks: What stands beside the mean spectra.
        task: ``domain`` or ``scene type``.
        kind: ``real``, ``8-bit real``, ``stand-in`` or ``simulated``; empty for a mixture.
        digest: Key of the corpus.
        note: What a reader of the rows should know.
    """

    name: str
    reader: PatchReader
    masks: PatchReader
    windows: np.ndarray
    labels: np.ndarray
    trained: int
    protocols: Sequence[Protocol[np.ndarray]]
    networks: Sequence[Method]
    task: str
    kind: str
    digest: str
    note: str = ""
    baseline = "mean spectrum"

    @property
    def window(self) -> int:
        """Side in pixels."""
        return self.reader.window

    def sides(self, drawn: np.ndarray, window: int | None = None) -> Sides:
        """Training windows lie side by side, and none shares a pixel with a test window."""
        return Sides(drawn, np.arange(self.trained, len(self.windows)), {"leak": 0.0, "leak_overlap": 0.0})

    def features(self, network: Network | None) -> np.ndarray:
        """(n, D) features of all windows; mean spectra without a network."""
        if network is None:
            return mean_spectra(self.reader, self.windows)
        return features(network.encoder.backbone, self.reader, self.windows)

    def window_means(self, projector: Projection) -> dict[str, np.ndarray]:
        """By variant, (n, D) means over central boxes of all windows: see :func:`central_means`."""
        return central_means(self.reader, self.masks, self.windows, self.trained)


def labelled_windows(
    corpus: Corpus,
    patches: Patches,
    networks: Sequence[Method],
    *,
    per_class: Sequence[int],
    limit: int | None = None,
    class_of: Callable[[PreparedScene], str] = lambda scene: scene.domain,
    tested: str | None = None,
    **about: str,
) -> LabelledWindows:
    """Side-by-side windows of a corpus by domain: those pretraining could see train, held-out ones are tested.

    Args:
        corpus: With held-out pixels.
        patches: What a window is.
        networks: What to evaluate.
        per_class: Training windows per class; in the end all of them train, too.
        limit: Most training windows and most test windows, drawn at random.
        class_of: The class of a scene's windows.
        tested: Name of the one scene whose held-out windows are tested; all when None.
        about: ``name``, ``task`` and ``split`` of the rows, where they aren't the domains of all scenes.

    Raises:
        InputError: Fewer than two classes have windows to train on and windows to test on.
    """
    train = corpus.windows(patches, stride=patches.window)
    test = corpus.windows(patches, held=True, stride=patches.window)
    classes = sorted({class_of(scene) for scene in corpus.scenes})
    of_scene = np.array([classes.index(class_of(scene)) + 1 for scene in corpus.scenes])
    both = np.intersect1d(of_scene[train[:, 0]], of_scene[test[:, 0]])
    if len(both) < 2:
        size = patches.window
        raise InputError(
            f"fewer than two domains have a {size}x{size} window among the held-out and among the other pixels"
        )
    rng = np.random.default_rng(0)
    train = train[np.sort(rng.permutation(len(train))[:limit])]
    test = test[np.isin(of_scene[test[:, 0]], both)]
    test = test[np.sort(rng.permutation(len(test))[:limit])]
    if tested is not None:
        test = test[[corpus.scenes[number].name == tested for number in test[:, 0]]]
    windows = np.concatenate([train, test])
    labels = of_scene[windows[:, 0]]
    device = next((one.encoder.device for one in networks if isinstance(one, Network)), "cpu")
    masks = [np.asarray(scene.mask, dtype=np.float16)[:, :, None] for scene in corpus.scenes]
    split = about.pop("split", "held-out ground")
    draw = partial(_draw, labels[: len(train)])
    protocols = [Protocol(split, n, partial(draw, n), chance=n is not None) for n in (*per_class, None)]
    kinds = {scene.record.kind for scene in corpus.scenes}
    return LabelledWindows(
        about.pop("name", "all scenes"),
        PatchReader(corpus.arrays, patches.window, device=device),
        PatchReader(masks, patches.window, device=device),
        windows,
        labels,
        len(train),
        protocols,
        networks,
        about.pop("task", "domain"),
        kinds.pop() if len(kinds) == 1 else "",
        corpus.key,
    )


def _draw(labels: np.ndarray, per_class: int | None, seed: int) -> np.ndarray:
    """Numbers of the training windows, ascending."""
    if per_class is None:
        return np.arange(len(labels))
    rng = np.random.default_rng(seed)
    parts = [rng.permutation(np.flatnonzero(labels == c))[:per_class] for c in np.unique(labels)]
    return np.sort(np.concatenate(parts))
