"""One way to fit any probe on frozen features."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping

import numpy as np

from sslhsi.errors import InputError
from sslhsi.probes.folds import validation_folds
from sslhsi.probes.knn import knn_predict
from sslhsi.probes.linear import linear_probe
from sslhsi.probes.svm import svm_probe

PROBES = ("k-NN", "linear", "SVM")
NEIGHBOURS = 20
Predict = Callable[[np.ndarray], np.ndarray]


def fit_probe(
    probe: str, x: np.ndarray, y: np.ndarray, *, seed: int = 0, k: int = NEIGHBOURS, weighted: bool = True
) -> Predict:
    """Fit a probe on training samples.

    Args:
        probe: One of ``PROBES``.
        x: (n, D) features.
        y: (n,) labels.
        seed: Of the validation folds on which linear probe and SVM choose.
        k: Neighbours, clamped to the training samples.
        weighted: Whether nearer neighbours count more (see :func:`sslhsi.probes.knn.knn_predict`).

    Returns:
        (m, D) features -> (m,) labels.

    Raises:
        InputError: The probe is not known, or the samples won't do.

    Examples:
        >>> x = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.2, 0.8]])
        >>> fit_probe("k-NN", x, np.array([1, 1, 2, 2]), k=1)(x + 0.01).tolist()
        [1, 1, 2, 2]
    """
    if probe == "k-NN":
        return functools.partial(knn_predict, x, y, k=k, weighted=weighted)
    return _fit(probe, x, y, seed)[0]


def fit_best(
    probe: str,
    candidates: Mapping[str, np.ndarray],
    y: np.ndarray,
    *,
    seed: int = 0,
    k: int = NEIGHBOURS,
    weighted: bool = True,
) -> tuple[str, Predict]:
    """Fit a probe on those of several features that suit the training samples best.

    That is what gives the probe the best accuracy on validation folds of the training samples; the first of them
    where several are equal, as where nothing can be validated with one sample per class.

    Args:
        candidates: Name -> (n, D) features of the training samples.
        probe, y, seed, k, weighted: As for :func:`fit_probe`, and so are the errors.

    Returns:
        The name, and the probe that was fitted on these features.

    Examples:
        >>> y = np.array([1, 1, 2, 2])
        >>> useful, useless = np.array([[1.0, 0], [1, 0.1], [0, 1], [0.1, 1]]), np.ones((4, 2))
        >>> fit_best("k-NN", {"useless": useless, "useful": useful}, y, k=1)[0]
        'useful'
    """
    fit = functools.partial(fit_probe, probe, seed=seed, k=k, weighted=weighted)
    if len(candidates) == 1:
        ((name, x),) = candidates.items()
        return name, fit(x, y)
    if probe != "k-NN":
        fitted = {name: _fit(probe, x, y, seed) for name, x in candidates.items()}
        name = max(fitted, key=lambda name: fitted[name][1])
        return name, fitted[name][0]
    folds = list(validation_folds(y, seed))
    right = {
        name: sum(int((fit(x[known], y[known])(x[held]) == y[held]).sum()) for known, held in folds)
        for name, x in candidates.items()
    }
    name = max(right, key=lambda name: right[name])
    return name, fit(candidates[name], y)


def _fit(probe: str, x: np.ndarray, y: np.ndarray, seed: int) -> tuple[Predict, float]:
    """A probe that validates its settings, and the accuracy of those that it took; 0 where there was nothing to."""
    if probe == "linear":
        linear = linear_probe(x, y, seed=seed)
        return linear.predict, linear.accuracy.get(linear.c, 0.0)
    if probe == "SVM":
        with warnings.catch_warnings():
            # One sample per class is few, but no sign of a regression.
            warnings.filterwarnings("ignore", message="The number of unique classes")
            machine = svm_probe(x, y, seed=seed)
            return machine.predict, max(machine.accuracy.values(), default=0.0)
    raise InputError(f"probe {probe!r} is not known: use one of {', '.join(PROBES)}")
