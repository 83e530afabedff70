"""Window means are the averages that brute force gives, and their choice knows training samples alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sslhsi.bands.projector import SpectralProjector
from sslhsi.corpus.reader import PatchReader
from sslhsi.evaluation.labelled_scene import labelled_pixels
from sslhsi.evaluation.runner import evaluate
from sslhsi.evaluation.window_means import SIZES, central_means, pixel_means, window_means
from sslhsi.probes.fit import fit_best, fit_probe
from sslhsi.probes.folds import validation_folds
from sslhsi.scenes.scene import Scene

RNG = np.random.default_rng(0)


def brute_force(components: np.ndarray, valid: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """(n, boxes, K): every box gathered by itself out of the mirrored scene; the pixel where none is valid."""
    reach = max(SIZES) // 2
    frame = ((reach, reach), (reach, reach))
    padded, inside = np.pad(components, (*frame, (0, 0)), mode="reflect"), np.pad(valid, frame, mode="reflect")
    out = np.empty((len(pixels), len(SIZES), components.shape[2]))
    for n, (row, column) in enumerate(pixels):
        for b, size in enumerate(SIZES):
            at = tuple(slice(i + reach - size // 2, i + reach + size // 2 + 1) for i in (row, column))
            counted = padded[at][inside[at]]
            out[n, b] = counted.mean(axis=0) if len(counted) else components[row, column]
    return out


def noise_covariance(components: np.ndarray, valid: np.ndarray) -> np.ndarray:
    pairs = [
        (components[1:] - components[:-1])[valid[1:] & valid[:-1]],
        (components[:, 1:] - components[:, :-1])[valid[:, 1:] & valid[:, :-1]],
    ]
    differences = np.concatenate(pairs)
    return differences.T @ differences / (2 * len(differences))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.8])
def test_boxes_are_averages_of_what_is_valid(share):
    components = RNG.normal(size=(19, 23, 4)).cumsum(axis=2)
    mask = RNG.random((19, 23)) >= share
    components[3, 4] = np.nan
    valid = mask & np.isfinite(components).all(axis=2)
    pixels = np.argwhere(np.isfinite(components).all(axis=2))
    found = pixel_means(components.astype(np.float32), pixels, mask)
    expected = brute_force(components, valid, pixels) - components[valid].mean(axis=0)
    spread = components[valid].std(axis=0)
    np.testing.assert_allclose(found["standardised"], (expected / spread).reshape(len(pixels), -1), atol=1e-4)
    # Whitened: the noise of the components has become white, and the axes are not turned (a symmetric map).
    noise = noise_covariance(np.where(valid[:, :, None], components, 0), valid)
    values, vectors = np.linalg.eigh(noise)
    matrix = vectors / np.sqrt(np.maximum(values, 1e-4 * values.max())) @ vectors.T
    np.testing.assert_allclose(found["whitened"], (expected @ matrix).reshape(len(pixels), -1), rtol=2e-3, atol=2e-3)


def test_a_scene_smaller_than_the_boxes_is_mirrored_as_often_as_it_takes():
    components = RNG.normal(size=(4, 1, 2)).astype(np.float32)
    pixels = np.argwhere(np.ones((4, 1), bool))
    reader = PatchReader([components], 13, device="cpu")
    corners = np.column_stack([np.zeros(4, int), pixels - 6])
    whole = reader(corners).numpy().mean(axis=(2, 3))
    found = pixel_means(components.astype(np.float16), pixels)["standardised"].reshape(4, len(SIZES), 2)[:, -1]
    stored = components.astype(np.float16).astype(float)
    scaled = (whole - stored.mean(axis=(0, 1))) / stored.std(axis=(0, 1))
    np.testing.assert_allclose(found, scaled, atol=1e-3)


@pytest.mark.parametrize("side", [1, 8, 15])
def test_windows_have_means_of_their_middle_and_of_all(side):
    scene = RNG.normal(size=(40, 37, 3)).astype(np.float16)
    mask = RNG.random((40, 37)) < 0.8
    windows = np.array([[0, 0, 0], [0, 20, 3], [0, 25, 22], [0, 11, 19]])
    readers = PatchReader([scene], side), PatchReader([mask[:, :, None].astype(np.float16)], side)
    found = central_means(*readers, windows, trained=3)["standardised"]
    sizes = [*(size for size in (1, 3, 7, 13) if size < side), side]
    cut = [(scene[r : r + side, c : c + side].astype(float), mask[r : r + side, c : c + side]) for _, r, c in windows]
    train = np.concatenate([x[m] for x, m in cut[:3]])
    for n, (x, m) in enumerate(cut):
        for b, size in enumerate(sizes):
            middle = slice((side - size) // 2, (side - size) // 2 + size)
            inner, inside = x[middle, middle], m[middle, middle]
            mean = inner[inside].mean(axis=0) if inside.any() else inner.reshape(-1, 3).mean(axis=0)
            spread = train.std(axis=0)
            usable = spread > 1e-6 * spread.max()
            scaled = np.where(usable, (mean - train.mean(axis=0)) / np.where(usable, spread, 1), 0)
            np.testing.assert_allclose(found[n, 3 * b : 3 * b + 3], scaled, atol=1e-3)


@pytest.mark.parametrize("probe", ["k-NN", "linear", "SVM"])
def test_the_choice_is_that_of_validation_folds_of_the_training_samples(probe):
    y = np.repeat(np.arange(4), 8)
    good = np.eye(4)[y] + 0.3 * RNG.normal(size=(32, 4))
    bad = RNG.normal(size=(32, 4))
    right = {}
    for name, x in {"bad": bad, "good": good}.items():
        right[name] = sum(
            int((fit_probe(probe, x[fit], y[fit], k=3)(x[held]) == y[held]).sum())
            for fit, held in validation_folds(y, 0)
        )
    assert right["good"] > right["bad"]
    name, predict = fit_best(probe, {"bad": bad, "good": good}, y, k=3)
    assert name == "good"
    np.testing.assert_array_equal(predict(good), fit_probe(probe, good, y, k=3)(good))
    # One sample a class: nothing can be validated, and the first stands.
    assert fit_best(probe, {"bad": bad[::8], "good": good[::8]}, y[::8])[0] == "bad"


def test_rows_of_the_choice_are_those_of_what_it_names():
    labels = np.kron(np.array([[1, 2, 3], [3, 1, 2]]), np.ones((9, 9), int))
    cube = RNG.random((4, 8))[labels].cumsum(axis=2) + 0.8 * RNG.standard_normal((18, 27, 8))
    scene = Scene("field", cube.astype(np.float32), labels=labels)
    projector = SpectralProjector(grid=8, components=4, align="index").fit([scene])
    labelled = labelled_pixels(scene, window_means(projector, projection_saw_pixels="no"), per_class=(1, 6))
    rows = evaluate([labelled], probes={"k-NN": 3, "linear": 3}, show=False)
    by_key = {(row.method, row.probe, row.setting, row.seed): row for row in rows if row.oa is not None}
    chosen = [row for row in by_key.values() if row.method == "window means"]
    assert chosen
    for row in chosen:
        named = by_key[f"window means, {row.chosen}", row.probe, row.setting, row.seed]
        assert (row.oa, row.kappa, row.leak) == (named.oa, named.kappa, named.leak)
        assert row.projection_saw_pixels == "statistics"
        if row.per_class == 1:
            assert row.chosen == "whitened"
    assert all(not row.chosen for row in rows if row.method != "window means")
    # A permutation of the test pixels' labels changes scores, never the choice.
    train = labelled.protocols[1].draw(0).train
    other = np.where(labels > 0, RNG.permutation(labels.ravel()).reshape(labels.shape), 0)
    other[tuple(train.T)] = labels[tuple(train.T)]
    again = labelled_pixels(scene.with_(labels=other), labelled.networks, per_class=(6,))
    fixed = replace(labelled.protocols[1], draw=lambda seed: labelled.protocols[1].draw(0))
    both = [
        evaluate([replace(one, protocols=[fixed])], probes={"k-NN": 1, "linear": 1}, show=False)
        for one in (labelled, again)
    ]
    first, second = ([row for row in some if row.method == "window means"] for some in both)
    assert [row.chosen for row in first] == [row.chosen for row in second]
    assert [row.oa for row in first] != [row.oa for row in second]
