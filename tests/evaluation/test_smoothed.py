"""Smoothed read-outs are rows of their own, and are what the probe's averaged probabilities say."""

from __future__ import annotations

import numpy as np
import pytest

from sslhsi.evaluation.labelled_scene import labelled_pixels, labelled_spectra
from sslhsi.evaluation.runner import evaluate
from sslhsi.evaluation.smoothed import SMOOTHED
from sslhsi.evaluation.window_means import scene_projection, window_means
from sslhsi.probes.linear import linear_probe
from sslhsi.scenes.scene import Scene
from sslhsi.splits.split import leak, split

BOX, BY_LIKENESS = SMOOTHED


@pytest.fixture(scope="module")
def scene() -> Scene:
    rng = np.random.default_rng(0)
    labels = np.kron(np.array([[1, 2, 3], [3, 1, 2]]), np.ones((10, 10), int))
    cube = rng.random((4, 8))[labels] + 0.5 * rng.standard_normal((20, 30, 8))
    known = np.where(rng.random(labels.shape) < 0.3, 0, labels)
    mask = np.ones(labels.shape, dtype=bool)
    mask[:2, :3] = False
    return Scene("field", cube.astype(np.float32), labels=np.where(mask, known, 0), mask=mask)


def test_probabilities_of_all_pixels_around_are_averaged(scene):
    labelled = labelled_pixels(scene, per_class=(6,), schemes=("random",))
    rows = evaluate([labelled], probes={"linear": 2, BOX: 2, BY_LIKENESS: 2}, show=False)
    by_probe = {(row.probe, row.seed): row for row in rows}
    assert len(rows) == len(by_probe) == 6
    for seed in range(2):
        drawn = split(scene.labels, "random", per_class=6, seed=seed)
        train, test = tuple(drawn.train.T), tuple(drawn.test.T)
        probe = linear_probe(scene.cube[train], scene.labels[train], seed=seed)
        maps = probe.predict_proba(scene.cube.reshape(-1, 8)).reshape(20, 30, 3)
        padded = np.pad(np.where(scene.mask[..., None], maps, 0), ((4, 4), (4, 4), (0, 0)), mode="reflect")
        summed = sum(padded[r : r + 20, c : c + 30] for r in range(9) for c in range(9))
        predicted = probe.classes[summed.argmax(axis=2)][test]
        row = by_probe[BOX, seed]
        assert row.oa == pytest.approx(100 * np.mean(predicted == scene.labels[test]), abs=1e-3)
        # What a decision depends on reaches as far as the windows that are averaged.
        assert row.leak == pytest.approx(leak(drawn, 9).pixel, abs=1e-4)
        assert by_probe["linear", seed].leak == pytest.approx(leak(drawn, 1).pixel, abs=1e-4)
    mean = {probe: np.mean([by_probe[probe, seed].oa for seed in range(2)]) for probe in ("linear", BOX, BY_LIKENESS)}
    assert min(mean[BOX], mean[BY_LIKENESS]) > mean["linear"]


def test_other_rows_stay_and_lists_of_spectra_have_no_surroundings(scene):
    methods = window_means(scene_projection(scene))
    labelled = labelled_pixels(scene, methods, per_class=(6,), schemes=("random",))
    alone = evaluate([labelled], probes={"linear": 1}, show=False)
    both = evaluate([labelled], probes={"linear": 1, BOX: 1}, show=False)
    assert [(r.method, r.oa) for r in both if r.probe == "linear"] == [(r.method, r.oa) for r in alone]
    smoothed = {row.method: row for row in both if row.probe == BOX}
    assert len(smoothed) == 4
    chosen = smoothed["window means"]
    assert chosen.oa == smoothed[f"window means, {chosen.chosen}"].oa
    known = scene.labels > 0
    spectra = labelled_spectra("list", scene.cube[known], scene.labels[known], per_class=(3,))
    assert evaluate([spectra], probes={BOX: 1}, show=False) == []
