"""Figures of merit in percent (kappa and F1 too, as the field prints them), intervals, comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.stats import wilcoxon
from sklearn.metrics import average_precision_score

from sslhsi.errors import InputError


@dataclass(frozen=True)
class Scores:
    """Single-label scores, in percent.

    Args:
        oa: Overall accuracy: share of the samples that are right.
        aa: Average accuracy: mean of ``per_class`` over the classes that the truth holds.
        kappa: Cohen's kappa; 0 when truth and prediction are both one and the same class.
        macro_f1: Mean F1 over the classes that the truth or the prediction holds.
        micro_f1: F1 of the pooled decisions; equals ``oa`` with one label per sample.
        per_class: (C,) share of each class's samples that are right, NaN for a class not in the truth.
        classes: (C,) label of each class, ascending.
        confusion: (C, C) counts, rows the truth, columns the prediction.
    """

    oa: float
    aa: float
    kappa: float
    macro_f1: float
    micro_f1: float
    per_class: np.ndarray
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


def confusion_matrix(
    truth: np.ndarray, predicted: np.ndarray, classes: Sequence[int] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Counts of every pair of true and predicted class.

    Args:
        truth: (n,) integer labels, gaps allowed.
        predicted: (n,) integer labels.
        classes: Labels to tabulate; every label of either array when None.

    Returns:
        (C, C) counts, rows the truth, and (C,) labels, ascending.

    Raises:
        InputError: The arrays are empty or differ in length, or hold a label that ``classes`` lacks.
    """
    truth, predicted = np.asarray(truth).ravel(), np.asarray(predicted).ravel()
    if truth.size == 0 or truth.size != predicted.size:
        raise InputError(
            f"{truth.size} true labels and {predicted.size} predicted ones: equally many needed, not none"
        )
    found = np.union1d(truth, predicted)
    labels = found if classes is None else np.unique(np.asarray(classes))
    if missing := np.setdiff1d(found, labels).tolist():
        raise InputError(f"label {missing[0]} is not among the classes {labels.tolist()}")
    cell = np.searchsorted(labels, truth) * labels.size + np.searchsorted(labels, predicted)
    return np.bincount(cell, minlength=labels.size**2).reshape(labels.size, labels.size), labels


def assess(truth: np.ndarray, predicted: np.ndarray, classes: Sequence[int] | None = None) -> Scores:
    """Single-label scores of a prediction; arguments and errors as for :func:`confusion_matrix`."""
    confusion, labels = confusion_matrix(truth, predicted, classes)
    total, right = confusion.sum(), np.diag(confusion)
    true, guessed = confusion.sum(axis=1), confusion.sum(axis=0)
    per_class = np.divide(100 * right, true, out=np.full(labels.size, np.nan), where=true > 0)
    oa = right.sum() / total
    chance = (true / total) @ (guessed / total)
    # Compared as counts: a chance of 1 would be missed by rounding, and divide by nearly nothing.
    settled = (true == total).any() and (guessed == true).all()
    either = true + guessed > 0
    return Scores(
        oa=float(100 * oa),
        aa=float(per_class[true > 0].mean()),
        kappa=0.0 if settled else float(100 * (oa - chance) / (1 - chance)),
        macro_f1=float(100 * (2 * right[either] / (true + guessed)[either]).mean()),
        micro_f1=float(100 * oa),
        per_class=per_class,
        classes=labels,
        confusion=confusion,
    )


def scores(truth: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """``oa``, ``aa`` and ``kappa`` in percent: the columns of a result row."""
    result = assess(truth, predicted)
    return {"oa": result.oa, "aa": result.aa, "kappa": result.kappa}


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
    right, marked = (truth & predicted).sum(axis=0), truth.sum(axis=0) + predicted.sum(axis=0)
    return {
        "map": 100 * float(average_precision_score(truth[:, occurs], score[:, occurs], average="macro")),
        "macro_f1": 100 * float((2 * right[marked > 0] / marked[marked > 0]).mean()),
        "micro_f1": 100 * float(2 * right.sum() / marked.sum()),
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
    split; neighbouring pixels are alike, so it is too narrow for a scene: prefer the one over seeds.

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
