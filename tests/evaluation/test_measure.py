"""Rows of results: scores against scikit-learn, and what they say about who saw what."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, cohen_kappa_score, f1_score

from sslhsi.bands.projector import SpectralProjector
from sslhsi.evaluation.measure import projection_saw, score_columns, split_columns
from sslhsi.splits.split import leak, split


def test_scores_are_scikit_learns():
    rng = np.random.default_rng(0)
    truth = rng.integers(1, 5, 400)
    predicted = np.where(rng.random(400) < 0.7, truth, rng.integers(1, 5, 400))
    row = score_columns(truth, predicted)
    assert row["oa"] == pytest.approx(100 * accuracy_score(truth, predicted), abs=1e-3)
    assert row["aa"] == pytest.approx(100 * balanced_accuracy_score(truth, predicted), abs=1e-3)
    assert row["kappa"] == pytest.approx(100 * cohen_kappa_score(truth, predicted), abs=1e-3)
    assert row["f1_macro"] == pytest.approx(100 * f1_score(truth, predicted, average="macro"), abs=1e-3)
    # The bootstrap of a share of n samples is as wide as the binomial distribution says.
    p = row["oa"] / 100
    wide = 2 * 1.96 * 100 * np.sqrt(p * (1 - p) / truth.size)
    assert row["oa_high"] - row["oa_low"] == pytest.approx(wide, rel=0.15)
    assert row["oa_low"] < row["oa"] < row["oa_high"]


def test_a_split_tells_its_leak_and_its_gaps():
    labels = np.kron(np.arange(1, 5).reshape(2, 2), np.ones((12, 12), int))
    labels[0, 0] = 9
    labels[:2, 20:] = 8
    drawn = split(labels, "random", window=5, per_class=6)
    row = split_columns(drawn)
    assert row["leak"] == pytest.approx(leak(drawn).pixel, abs=1e-4)
    assert row["leak_overlap"] == pytest.approx(leak(drawn).window, abs=1e-4)
    assert row["leak_overlap"] > row["leak"] > 0
    assert (row["left_out"], row["short"]) == (1, 1)


def test_what_a_projection_knows():
    assert projection_saw(SpectralProjector(components=5), "yes") == "yes"
    assert projection_saw(SpectralProjector(components=5), "no") == "no"
    assert projection_saw(SpectralProjector(components=5, standardize="scene"), "no") == "statistics"
    assert projection_saw(SpectralProjector(components=5, standardize="scene"), "yes") == "yes"
    assert projection_saw(SpectralProjector(components=5, noise_whitening=0.5), "unknown") == "unknown"
    assert projection_saw(SpectralProjector(components=None), "yes") == "no"
