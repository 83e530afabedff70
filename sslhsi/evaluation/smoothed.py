"""A read-out in context: a linear probe whose class probabilities are averaged over the surroundings of a pixel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from scipy.ndimage import maximum_filter

from sslhsi.corpus.corpus import PreparedScene
from sslhsi.evaluation.labelled_scene import LabelledScene
from sslhsi.probes.context import WINDOW, smooth
from sslhsi.probes.fit import fit_best
from sslhsi.probes.linear import linear_probe

SMOOTHED = {
    f"linear, smoothed {WINDOW}x{WINDOW}": False,
    f"linear, smoothed {WINDOW}x{WINDOW} by likeness": True,
}
"""Read-outs by name, and whether pixels count by how like the one in the middle their spectra are."""


def smoothable(labelled: object, method: object | None) -> bool:
    """Whether samples have surroundings, of which a method (raw spectra when None) has features."""
    if not isinstance(labelled, LabelledScene) or labelled.task != "pixels":
        return False
    return method is not None or not isinstance(labelled.scene, PreparedScene)


def surroundings(labelled: LabelledScene) -> LabelledScene:
    """The same scene with all pixels that smoothing takes into account as its samples."""
    near = maximum_filter(labelled.label_map > 0, WINDOW).astype(np.int64)
    scene = labelled.scene
    if isinstance(scene, PreparedScene):
        return replace(labelled, scene=replace(scene, labels=near, spectra=None))
    return replace(labelled, scene=scene.with_(labels=near))


def smoothed_labels(
    wide: LabelledScene,
    candidates: Mapping[str, np.ndarray],
    train: tuple[np.ndarray, np.ndarray],
    test: np.ndarray,
    *,
    by_likeness: bool,
    seed: int,
) -> tuple[str, np.ndarray]:
    """Labels of test pixels by a linear probe, its probabilities smoothed.

    Args:
        wide: As :func:`surroundings` gives it.
        candidates: Name -> (n, D) features of its samples; of several, those that suit the training pixels best.
        train: (m, 2) pixels and their (m,) labels.
        test: (t, 2) pixels.
        by_likeness: Whether spectra (of a prepared corpus: components) decide how much a pixel counts.
        seed: Of the validation folds.

    Returns:
        Name of the features, and (t,) labels.
    """
    pixels, y = train
    at = wide.sample_map[tuple(pixels.T)]
    known = {name: x[at] for name, x in candidates.items()}
    name = fit_best("linear", known, y, seed=seed)[0] if len(known) > 1 else next(iter(known))
    probe = linear_probe(known[name], y, seed=seed)
    x, places = candidates[name], wide.pixels
    finite = np.isfinite(x).all(axis=1)
    where = tuple(places[finite].T)
    probabilities = np.zeros((*wide.label_map.shape, len(probe.classes)))
    probabilities[where] = probe.predict_proba(x[finite])
    valid = np.zeros(wide.label_map.shape, dtype=bool)
    valid[where] = True
    scene = wide.scene
    if scene.mask is not None:
        valid &= scene.mask
    averages = smooth(probabilities, WINDOW, valid, _spectra(wide, valid) if by_likeness else None)
    return name, probe.classes[averages[tuple(test.T)].argmax(axis=1)]


def _spectra(wide: LabelledScene, valid: np.ndarray) -> np.ndarray:
    """(H, W, K) spectra, or components of a prepared corpus, each band in units of its spread."""
    scene = wide.scene
    values = np.asarray(scene.components if isinstance(scene, PreparedScene) else scene.cube, dtype=np.float32)
    spread = values[valid].std(axis=0)
    return values / np.where(spread > 0, spread, 1)
