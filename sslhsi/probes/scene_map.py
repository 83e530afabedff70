"""A class for every pixel of a scene, from a frozen backbone and some labelled pixels of the scene itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from sslhsi.errors import InputError
from sslhsi.patches.splits import Split, leak_share, split
from sslhsi.probes.encoder import Encoder
from sslhsi.probes.knn import knn_predict
from sslhsi.probes.linear import linear_probe
from sslhsi.probes.metrics import scores
from sslhsi.probes.svm import svm_probe
from sslhsi.scenes.scene import Scene

CLASSIFIERS = ("linear", "knn", "svm")
Predict = Callable[[np.ndarray], np.ndarray]
# Pixels classified at once; and the most that an SVM, whose kernel is their square, may train on (3.2 GB).
_AT_ONCE, _MOST_SVM = 1 << 16, 20_000


@dataclass(frozen=True)
class Fitted:
    """A classifier of a scene's pixels.

    Args:
        predict: (n, D) features -> (n,) labels; 0 where a feature is not finite.
        split: The pixels that it was fitted on, and those left to test on (none when all were used).
        dropped: Training pixels whose features are not finite.
    """

    predict: Predict
    split: Split
    dropped: int


def fit_classifier(
    encoder: Encoder,
    scene: Scene,
    classifier: str = "linear",
    *,
    per_class: int | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Fitted:
    """Fit a classifier on a scene's labelled pixels.

    Args:
        encoder: The backbone.
        scene: With labels.
        classifier: ``linear`` (the linear probe), ``knn`` (20 neighbours, weighted) or ``svm`` (RBF).
        per_class: Training pixels per class, drawn at random, half of a class at most; None: all.
        seed: Of the draw and of the validation folds.
        progress: Called with the number of training pixels that are encoded, and of all.

    Raises:
        InputError: No labels, fewer than two classes, too many pixels for an SVM, or as ``Encoder.encode``.
    """
    labels = scene.labels
    if labels is None or not (labels > 0).any():
        raise InputError(f"{scene.name}: there are no labels to fit a classifier on; give --labels FILE")
    drawn = _draw(labels, encoder.window, per_class, seed)
    if classifier == "svm" and len(drawn.train) > _MOST_SVM:
        raise InputError(
            f"{scene.name}: an SVM on {len(drawn.train):,} pixels would need their square in memory; "
            "give --per-class, or take the linear classifier"
        )
    y = labels[tuple(drawn.train.T)]
    x = encoder.encode_pixels(scene.cube, drawn.train, scene.wavelengths, mask=scene.mask, progress=progress)
    finite = np.isfinite(x).all(axis=1)
    x, y = x[finite], y[finite]
    if np.unique(y).size < 2:
        raise InputError(f"{scene.name}: a map needs training pixels of two classes, there are {np.unique(y).size}")
    predict: Predict
    if classifier == "linear":
        predict = linear_probe(x, y, seed=seed).predict
    elif classifier == "svm":
        predict = svm_probe(x, y, seed=seed).predict
    else:

        def predict(queries: np.ndarray) -> np.ndarray:
            return knn_predict(x, y, queries)

    return Fitted(_of_finite(predict), drawn, int((~finite).sum()))


def _draw(labels: np.ndarray, window: int, per_class: int | None, seed: int) -> Split:
    if per_class is not None:
        return split(labels, "random", window=window, per_class=per_class, seed=seed)
    none = np.zeros((0, 2), dtype=np.int64)
    shape = (labels.shape[0], labels.shape[1])
    return Split(np.argwhere(labels > 0), none, none, "all", window, shape, seed, {})


def _of_finite(predict: Predict) -> Predict:
    def guarded(x: np.ndarray) -> np.ndarray:
        found = np.zeros(len(x), dtype=np.int64)
        for start in range(0, len(x), _AT_ONCE):
            part = x[start : start + _AT_ONCE]
            finite = np.flatnonzero(np.isfinite(part).all(axis=1))
            if finite.size:
                found[start + finite] = predict(part[finite])
        return found

    return guarded


def classified(
    strips: Iterator[tuple[slice, np.ndarray]], predict: Predict, out: np.ndarray
) -> Iterator[tuple[slice, np.ndarray]]:
    """Hand strips of features on, and put the class of every pixel into ``out`` (H, W) on the way."""
    for rows, found in strips:
        out[rows] = predict(found.reshape(-1, found.shape[2])).reshape(found.shape[:2])
        yield rows, found


def held_out_scores(classes: np.ndarray, labels: np.ndarray, drawn: Split) -> dict[str, float]:
    """OA, AA and kappa (percent) on the labelled pixels that trained nothing, and the share of them that leaks.

    Args:
        classes: (H, W) map.
        labels: (H, W) truth.
        drawn: Which pixels trained.

    Returns:
        ``oa``, ``aa``, ``kappa``, ``tested`` (pixels) and ``leak`` (share of their windows that hold a training
        pixel); nothing when every labelled pixel trained.
    """
    if not len(drawn.test):
        return {}
    at = tuple(drawn.test.T)
    return {**scores(labels[at], classes[at]), "tested": len(drawn.test), "leak": leak_share(drawn)}
