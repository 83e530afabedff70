"""One way to fit any probe on frozen features."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable

import numpy as np

from sslhsi.errors import InputError
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
    if probe == "linear":
        return linear_probe(x, y, seed=seed).predict
    if probe == "SVM":
        with warnings.catch_warnings():
            # One sample per class is few, but no sign of a regression.
            warnings.filterwarnings("ignore", message="The number of unique classes")
            return svm_probe(x, y, seed=seed).predict
    raise InputError(f"probe {probe!r} is not known: use one of {', '.join(PROBES)}")
