"""Rows of results: what every probe of every method on every split says about itself."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from sslhsi.bands.projection import Projection
from sslhsi.errors import InputError
from sslhsi.probes.knn import knn_predict
from sslhsi.probes.linear import linear_probe
from sslhsi.probes.metrics import assess, bootstrap_interval
from sslhsi.probes.svm import svm_probe
from sslhsi.splits.split import Split, leak

Row = dict[str, Any]
PROBES = ("k-NN", "linear", "SVM")
NEIGHBOURS = 20


def predict(
    probe: str,
    train_x: np.ndarray,
    train_y: np.ndarray,
    test_x: np.ndarray,
    *,
    seed: int = 0,
    k: int = NEIGHBOURS,
    weighted: bool = True,
) -> np.ndarray:
    """Fit a probe and let it predict.

    Args:
        probe: One of ``PROBES``.
        train_x: (n, D) features.
        train_y: (n,) labels.
        test_x: (m, D) features.
        seed: Of the validation parts on which linear probe and SVM choose.
        k: Neighbours, clamped to the training samples.
        weighted: Whether nearer neighbours count more (see :func:`sslhsi.probes.knn.knn_predict`).

    Returns:
        (m,) labels.

    Raises:
        InputError: The probe is not known, or the samples won't do.
    """
    if probe == "k-NN":
        return knn_predict(train_x, train_y, test_x, k=k, weighted=weighted)
    if probe == "linear":
        return linear_probe(train_x, train_y, seed=seed).predict(test_x)
    if probe == "SVM":
        with warnings.catch_warnings():
            # One sample per class is few, but no sign of a regression.
            warnings.filterwarnings("ignore", message="The number of unique classes")
            return svm_probe(train_x, train_y, seed=seed).predict(test_x)
    raise InputError(f"probe {probe!r} is not known: use one of {', '.join(PROBES)}")


def score_columns(truth: np.ndarray, predicted: np.ndarray) -> Row:
    """oa, aa, kappa and f1_macro in percent; oa_low and oa_high bound the OA over redrawn test samples (95 %).

    The interval holds the chance of which samples are tested, not that of which are trained on: that is the
    spread over seeds.
    """
    found = assess(truth, predicted)
    low, high = bootstrap_interval(np.asarray(truth) == np.asarray(predicted))
    values = {"oa": found.oa, "aa": found.aa, "kappa": found.kappa, "f1_macro": found.macro_f1}
    values |= {"oa_low": 100 * low, "oa_high": 100 * high}
    return {key: round(value, 3) for key, value in values.items()}


def split_columns(drawn: Split) -> Row:
    """What a split is worth: its leak through windows, and classes that it left out or cut short.

    ``leak`` is the share of the test windows that contain a training pixel, ``leak_overlap`` of those that
    share any pixel with a training window, ``left_out`` the number of classes on neither side, ``short`` of
    those with fewer training pixels than asked.
    """
    found = leak(drawn)
    return {
        "leak": round(found.pixel, 4),
        "leak_overlap": round(found.window, 4),
        "left_out": len(drawn.report["left_out"]),
        "short": len(drawn.report["short"]),
    }


def projection_saw(projector: Projection, fitted: str) -> str:
    """Whether a spectral projection knows a scene's test pixels, whose labels it never sees.

    Args:
        projector: The projection.
        fitted: Whether it was fitted on the scene: ``yes``, ``no`` or ``unknown``.

    Returns:
        ``fitted`` itself; ``statistics`` where it was not (or nothing is fitted), but every scene is
        standardised or noise-whitened by the statistics of its own pixels; ``no`` for resampled bands as they are.
    """
    if not projector.learned:
        return "statistics" if projector.per_scene else "no"
    return "statistics" if fitted == "no" and projector.per_scene else fitted


def probe_rows(
    methods: Mapping[str, np.ndarray], labels: np.ndarray, train: np.ndarray, test: np.ndarray, *, k: int, seed: int
) -> Iterator[Row]:
    """k-NN and linear probe of each method's features on one split.

    Args:
        methods: Name -> (n, D) features; all of the same n samples.
        labels: (n,) class ids.
        train, test: Indices of samples.
        k: Neighbours, clamped to the training samples.
        seed: Of the linear probe's validation part.

    Yields:
        A row per method and probe, with method, probe, the scores, k, train, test, seconds.
    """
    for method, x in methods.items():
        for probe in ("k-NN", "linear"):
            began = time.perf_counter()
            predicted = predict(probe, x[train], labels[train], x[test], seed=seed, k=k)
            yield {
                "method": method,
                "probe": probe,
                **score_columns(labels[test], predicted),
                "k": min(k, len(train)) if probe == "k-NN" else "",
                "train": len(train),
                "test": len(test),
                "seconds": round(time.perf_counter() - began, 3),
            }
