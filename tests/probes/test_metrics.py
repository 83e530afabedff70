"""Metrics against their definitions, scikit-learn and SciPy, intervals against what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import wilcoxon
from sklearn import metrics as reference

from sslhsi.errors import InputError
from sslhsi.probes.metrics import (
    assess,
    bootstrap_interval,
    multilabel_scores,
    paired_comparison,
    summarise,
)

LABELS = st.lists(
    st.tuples(st.sampled_from([1, 2, 5, 16]), st.sampled_from([1, 2, 5, 9, 16])), min_size=1, max_size=60
)


@settings(max_examples=60, deadline=None)
@given(LABELS)
@pytest.mark.filterwarnings("ignore")
def test_scores_are_what_their_definitions_say(pairs: list[tuple[int, int]]) -> None:
    truth, predicted = np.array(pairs).T
    result = assess(truth, predicted)
    assert result.classes.tolist() == sorted(set(truth.tolist()) | set(predicted.tolist()))
    pairs_of = [[int(((truth == a) & (predicted == b)).sum()) for b in result.classes] for a in result.classes]
    assert result.confusion.tolist() == pairs_of
    right = truth == predicted
    assert result.oa == pytest.approx(100 * right.mean())
    # Classes absent from the truth don't count.
    assert result.aa == pytest.approx(100 * np.mean([right[truth == c].mean() for c in np.unique(truth)]))
    chance = sum((truth == c).mean() * (predicted == c).mean() for c in result.classes)
    kappa = 0 if len(result.classes) == 1 else (right.mean() - chance) / (1 - chance)
    assert result.kappa == pytest.approx(100 * kappa, abs=1e-9)
    f1 = [2 * (right & (truth == c)).sum() / ((truth == c).sum() + (predicted == c).sum()) for c in result.classes]
    assert result.macro_f1 == pytest.approx(100 * np.mean(f1))


@pytest.mark.parametrize("seed", range(5))
def test_multilabel_scores_equal_scikit_learns(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.random((50, 7)) < 0.3
    truth[:, 4] = False  # a label that never occurs
    score = np.clip(0.5 * truth + 0.6 * rng.random((50, 7)), 0, 1)
    score[:, 4] = 0.1 + 0.6 * (seed % 2) * (np.arange(50) < 3)
    result = multilabel_scores(truth, score)
    occurs = [0, 1, 2, 3, 5, 6]
    expected = reference.average_precision_score(truth[:, occurs], score[:, occurs], average="macro")
    assert result["map"] == pytest.approx(100 * expected)
    guess = score >= 0.5
    used = occurs + [4] * bool(guess[:, 4].any())
    assert result["macro_f1"] == pytest.approx(
        100 * reference.f1_score(truth[:, used], guess[:, used], average="macro")
    )
    assert result["micro_f1"] == pytest.approx(100 * reference.f1_score(truth, guess, average="micro"))


def test_summary_is_mean_and_sample_deviation() -> None:
    assert summarise([70.0, 72.0, 77.0]) == pytest.approx((73.0, np.std([70, 72, 77], ddof=1), 3))
    assert summarise([5.0]) == (5.0, 0.0, 1)


def test_bootstrap_interval_of_right_and_wrong_is_the_binomial_one() -> None:
    correct = np.repeat([1, 0], [8000, 2000])
    low, high = bootstrap_interval(correct, n=4000)
    error = 1.96 * np.sqrt(0.8 * 0.2 / 10_000)
    assert (low, high) == pytest.approx((0.8 - error, 0.8 + error), abs=0.0007)
    narrow = bootstrap_interval(correct, n=4000, level=0.5)
    assert low < narrow[0] < 0.8 < narrow[1] < high


def test_bootstrap_interval_equals_drawing_samples_one_by_one() -> None:
    values = np.random.default_rng(0).gamma(2.0, size=60)
    rng = np.random.default_rng(1)
    means = values[rng.integers(60, size=(20_000, 60))].mean(axis=1)
    expected = np.percentile(means, [2.5, 97.5])
    assert bootstrap_interval(values, n=20_000) == pytest.approx(expected, abs=0.02)


def test_bootstrap_interval_is_seeded_and_chunked_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(size=40)
    assert bootstrap_interval(values, seed=3) == bootstrap_interval(values, seed=3)
    assert bootstrap_interval(values, seed=3) != bootstrap_interval(values, seed=4)
    assert bootstrap_interval([2.5], seed=3) == (2.5, 2.5)


def test_bootstrap_covers_the_true_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for seed in range(300):
        low, high = bootstrap_interval(rng.normal(size=50), n=300, seed=seed)
        covered += low <= 0 <= high
    assert 0.88 <= covered / 300 <= 0.98


def test_paired_comparison() -> None:
    rng = np.random.default_rng(0)
    level = rng.normal(scale=10, size=10)  # splits differ far more than methods do
    a, b = 70 + level + rng.normal(scale=0.5, size=10), 68 + level + rng.normal(scale=0.5, size=10)
    result = paired_comparison(a, b)
    assert result.difference == pytest.approx((a - b).mean())
    assert 1 < result.low < result.difference < result.high < 3
    assert result.p_value == pytest.approx(wilcoxon(a, b).pvalue)
    assert result.p_value is not None
    assert result.p_value < 0.01
    assert (result.wins, result.n) == (int((a > b).sum()), 10)
    assert paired_comparison([1.0], [0.0]).p_value is None
    assert paired_comparison([1.0, 2.0], [1.0, 2.0]) == (0.0, 0.0, 0.0, None, 0, 2)


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match="equally many"):
        assess(np.array([1, 2]), np.array([1]))
    with pytest.raises(InputError, match="equally many"):
        assess(np.array([]), np.array([]))
    with pytest.raises(InputError, match="same seeds"):
        paired_comparison([1.0, 2.0], [1.0])
    with pytest.raises(InputError, match="finite"):
        summarise([1.0, float("nan")])
    with pytest.raises(InputError, match="level"):
        bootstrap_interval([1.0], level=95)
    with pytest.raises(InputError, match="samples, labels"):
        multilabel_scores(np.ones((3, 2)), np.ones((3, 1)))
    with pytest.raises(InputError, match="any label"):
        multilabel_scores(np.zeros((3, 2)), np.ones((3, 2)))
