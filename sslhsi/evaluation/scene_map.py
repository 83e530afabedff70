"""A class for every pixel of a scene, from a frozen backbone and some labelled pixels of the scene itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from sslhsi.encoder.encoder import Encoder
from sslhsi.errors import InputError
from sslhsi.probes.fit import Predict, fit_probe
from sslhsi.probes.metrics import assess
from sslhsi.scenes.scene import Scene
from sslhsi.splits.split import Split, leak, split

# Pixels classified at once; and the most that an SVM, whose kernel is their square, may train on (3.2 GB).
_AT_ONCE, _MOST_SVM = 1 << 16, 20_000


def training_split(scene: Scene, window: int, per_class: int | None = None, seed: int = 0) -> Split:
    """Which labelled pixels of a scene a classifier of its map is fitted on.

    Args:
        scene: With labels.
        window: Of the backbone.
        per_class: Pixels per class, drawn at random, half of a class at most; None: all, and none to test on.
        seed: Of the draw.

    Raises:
        InputError: There are no labels.
    """
    labels = scene.labels
    if labels is None or not (labels > 0).any():
        raise InputError(f"{scene.name}: there are no labels to fit a classifier on; give --labels FILE")
    if per_class is not None:
        return split(labels, "random", window=window, per_class=per_class, seed=seed)
    none = np.zeros((0, 2), dtype=np.int64)
    return Split(np.argwhere(labels > 0), none, none, "all", window, (labels.shape[0], labels.shape[1]), seed)


def fit_classifier(
    encoder: Encoder,
    scene: Scene,
    pixels: np.ndarray,
    probe: str = "linear",
    *,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Predict:
    """Fit a classifier on some pixels of a scene.

    Args:
        encoder: The backbone.
        scene: With labels.
        pixels: (n, 2) rows and columns; those without finite features are passed over.
        probe: One of :data:`sslhsi.probes.fit.PROBES`.
        seed: Of the validation folds.
        progress: Called with the number of pixels that are encoded, and of all.

    Returns:
        (n, D) features -> (n,) labels; 0 where a feature is not finite.

    Raises:
        InputError: Fewer than two classes, too many pixels for an SVM, or as ``Encoder.encode``.
    """
    assert scene.labels is not None
    if probe == "SVM" and len(pixels) > _MOST_SVM:
        raise InputError(
            f"{scene.name}: an SVM on {len(pixels):,} pixels would need their square in memory; "
            "give --per-class, or take the linear classifier"
        )
    y = scene.labels[tuple(pixels.T)]
    x = encoder.encode_pixels(scene.cube, pixels, scene.wavelengths, mask=scene.mask, progress=progress)
    finite = np.isfinite(x).all(axis=1)
    x, y = x[finite], y[finite]
    if np.unique(y).size < 2:
        raise InputError(f"{scene.name}: a map needs training pixels of two classes, there are {np.unique(y).size}")
    predict = fit_probe(probe, x, y, seed=seed)

    def of_finite(x: np.ndarray) -> np.ndarray:
        labels = np.zeros(len(x), dtype=np.int64)
        for start in range(0, len(x), _AT_ONCE):
            part = x[start : start + _AT_ONCE]
            finite = np.flatnonzero(np.isfinite(part).all(axis=1))
            if finite.size:
                labels[start + finite] = predict(part[finite])
        return labels

    return of_finite


def classified(
    strips: Iterator[tuple[slice, np.ndarray]], predict: Predict, out: np.ndarray
) -> Iterator[tuple[slice, np.ndarray]]:
    """Hand strips of features on, and put the class of every pixel into ``out`` (H, W) on the way."""
    for rows, features in strips:
        out[rows] = predict(features.reshape(-1, features.shape[2])).reshape(features.shape[:2])
        yield rows, features


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
    scores = assess(labels[at], classes[at])
    about = {"tested": len(drawn.test), "leak": leak(drawn).pixel}
    return {"oa": scores.oa, "aa": scores.aa, "kappa": scores.kappa, **about}
