"""Figures of merit in percent (kappa and F1 too, as the field prints them), intervals, comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.stats import wilcoxon
from sklearn import metrics

from sslhsi.errors import InputError


@dataclass(frozen=True)
class Scores:
    """Single-label scores, in percent.

    Args:
        oa: Overall accuracy: share of the samples that are right.
        aa: Average accuracy: mean over the classes that the truth holds of the share of their samples that is right.
        kappa: Cohen's kappa; 0 when truth and prediction are both one and the same class.
        macro_f1: Mean F1 over the classes that the truth or the prediction holds.
        classes: (C,) label of each class, ascending.
        confusion: (C, C) counts, rows the truth, columns the prediction.
    """

    oa: float
    aa: float
    kappa: float
    macro_f1: float
    classes: np.ndarray
    confusion: np.ndarray


class Summary(NamedTuple):
    """Mean and sample standard deviation (n - 1; 0 for one value) over ``n`` seeds."""

    mean: float
    std: float
    n: int


class Comparison(NamedTuple):
    """Method a against method b over the same seeds and splits.

    ``difference`` is the mean of a - b, ``low`` and ``high`` bound its bootstrap interval over the pairs,
    ``p_value`` is that of the two-sided Wilcoxon signed-rank test (None where it is undefined: fewer
    than two pairs or no difference at all), ``wins`` counts the pairs in which a is greater.
    """

    difference: float
    low: float
    high: float
    p_value: float | None
    wins: int
    n: int


def assess(truth: np.ndarray, predicted: np.ndarray) -> Scores:
    """Single-label scores of a prediction.

    Args:
        truth: (n,) integer labels, gaps allowed.
        predicted: (n,) integer labels.

    Raises:
        InputError: The arrays are empty or differ in length.

    Examples:
        >>> scores = assess(np.array([1, 1, 1, 2]), np.array([1, 1, 2, 2]))
        >>> scores.oa, round(scores.aa, 1), scores.kappa
        (75.0, 83.3, 50.0)
    """
    truth, predicted = np.asarray(truth).ravel(), np.asarray(predicted).ravel()
    if truth.size == 0 or truth.size != predicted.size:
        raise InputError(
            f"{truth.size} true labels and {predicted.size} predicted ones: equally many needed, not none"
        )
    classes, numbers = np.unique(np.stack([truth, predicted]), return_inverse=True)
    rows, columns = numbers.reshape(2, -1)
    confusion = np.bincount(rows * classes.size + columns, minlength=classes.size**2).reshape(classes.size, -1)
    # From the counts alone: a series scores thousands of predictions, and scikit-learn counts anew for each score.
    count, right = truth.size, np.diag(confusion)
    true, given = confusion.sum(axis=1), confusion.sum(axis=0)
    by_chance = float(true @ given) / count
    return Scores(
        oa=100 * float(right.sum() / count),
        aa=100 * float((right[true > 0] / true[true > 0]).mean()),
        kappa=100 * (1 - float(count - right.sum()) / (count - by_chance)) if classes.size > 1 else 0.0,
        macro_f1=100 * float((2 * right / (true + given)).mean()),
        classes=classes,
        confusion=confusion,
    )


def multilabel_scores(truth: np.ndarray, score: np.ndarray, threshold: float = 0.5) -> dict[str, float]:
    """Scores of samples that may bear several labels.

    Args:
        truth: (n, C) booleans or 0/1.
        score: (n, C) probability of each label.
        threshold: A label is predicted where its score reaches this.

    Returns:
        In percent: ``map`` (mean over the labels that occur of the average precision), ``macro_f1`` (mean
        over the labels that occur or are predicted) and ``micro_f1`` (of the pooled decisions).

    Raises:
        InputError: The shapes differ or no label occurs.
    """
    truth, score = np.asarray(truth).astype(bool), np.asarray(score)
    if truth.ndim != 2 or truth.shape != score.shape:
        raise InputError(f"truth is {truth.shape} and score {score.shape}: both must be (samples, labels)")
    occurs = truth.any(axis=0)
    if not occurs.any():
        raise InputError("no sample bears any label: nothing to score")
    predicted = score >= threshold
    marked = occurs | predicted.any(axis=0)
    return {
        "map": 100 * float(metrics.average_precision_score(truth[:, occurs], score[:, occurs], average="macro")),
        "macro_f1": 100 * float(metrics.f1_score(truth[:, marked], predicted[:, marked], average="macro")),
        "micro_f1": 100 * float(metrics.f1_score(truth, predicted, average="micro")),
    }


def summarise(values: Sequence[float] | np.ndarray) -> Summary:
    """Mean and sample standard deviation of one score over seeds."""
    values = _values(values)
    return Summary(float(values.mean()), float(values.std(ddof=1)) if values.size > 1 else 0.0, values.size)


def bootstrap_interval(
    values: Sequence[float] | np.ndarray, *, n: int = 1000, seed: int = 0, level: float = 0.95
) -> tuple[float, float]:
    """Percentile bootstrap interval of a mean (Efron, Ann. Statist. 7, 1979).

    Over test samples (1 where right, 0 where wrong) it is the interval of the overall accuracy of one
    split; neighbouring pixels resemble each other, so it is too narrow for a scene: prefer the one over seeds.

    Args:
        values: (m,) one number per sample, pair or seed.
        n: Resamples.
        seed: Same seed, same interval.
        level: Confidence, between 0 and 1.

    Returns:
        Lower and upper bound.

    Raises:
        InputError: There are no values, or the level is out of range.
    """
    values = _values(values)
    if not 0 < level < 1:
        raise InputError(f"level must lie between 0 and 1, not {level}")
    # A resample is a multinomial draw of how often each distinct value comes: exact, and for right or
    # wrong over 100,000 pixels two numbers instead of 100,000.
    distinct, times = np.unique(values, return_counts=True)
    rng = np.random.default_rng(seed)
    chunk = max(1, 4_000_000 // distinct.size)
    means = [
        rng.multinomial(values.size, times / values.size, size=min(chunk, n - done)) @ distinct / values.size
        for done in range(0, n, chunk)
    ]
    tail = 50 * (1 - level)
    low, high = np.percentile(np.concatenate(means), [tail, 100 - tail])
    return float(low), float(high)


def paired_comparison(
    a: Sequence[float] | np.ndarray,
    b: Sequence[float] | np.ndarray,
    *,
    n: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Comparison:
    """Compare one score of two methods, seed by seed: ``a[i]`` and ``b[i]`` come from the same split.

    Raises:
        InputError: The methods don't have equally many values, or none.
    """
    first, second = _values(a), _values(b)
    if first.size != second.size:
        raise InputError(f"{first.size} values against {second.size}: a paired comparison needs the same seeds")
    difference = first - second
    low, high = bootstrap_interval(difference, n=n, seed=seed, level=level)
    p_value = float(wilcoxon(difference).pvalue) if difference.size > 1 and difference.any() else None
    return Comparison(float(difference.mean()), low, high, p_value, int((difference > 0).sum()), difference.size)


def _values(values: Sequence[float] | np.ndarray) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64).ravel()
    if values.size == 0 or not np.isfinite(values).all():
        raise InputError("scores must be finite numbers, at least one")
    return values
