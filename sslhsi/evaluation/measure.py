"""What a prediction, a split and a projection put into a row of results."""

from __future__ import annotations

from typing import Any

import numpy as np

from sslhsi.bands.projection import Projection
from sslhsi.probes.metrics import assess, bootstrap_interval
from sslhsi.splits.split import Split, leak


def score_columns(truth: np.ndarray, predicted: np.ndarray) -> dict[str, Any]:
    """oa, aa, kappa and f1_macro in percent; oa_low and oa_high bound the OA over redrawn test samples (95 %).

    The interval holds the chance of which samples are tested, not that of which are trained on: that is the
    spread over seeds.

    Examples:
        >>> score_columns(np.array([1, 1, 2, 2]), np.array([1, 1, 2, 1]))["oa"]
        75.0
    """
    scores = assess(truth, predicted)
    low, high = bootstrap_interval(np.asarray(truth) == np.asarray(predicted))
    values = {"oa": scores.oa, "aa": scores.aa, "kappa": scores.kappa, "f1_macro": scores.macro_f1}
    values |= {"oa_low": 100 * low, "oa_high": 100 * high}
    return {key: round(value, 3) for key, value in values.items()}


def split_columns(split: Split, window: int | None = None) -> dict[str, Any]:
    """What a split is worth: its leak through windows, and classes that it left out or cut short.

    ``leak`` is the share of the test windows that contain a training pixel, ``leak_overlap`` of those that
    share any pixel with a training window, ``left_out`` the number of classes on neither side, ``short`` of
    those with fewer training pixels than asked. ``window`` is the side of the windows; the split's when None.
    """
    shares = leak(split, window)
    return {
        "leak": round(shares.pixel, 4),
        "leak_overlap": round(shares.window, 4),
        "left_out": len(split.report["left_out"]),
        "short": len(split.report["short"]),
    }


def projection_saw(projector: Projection, fitted: str) -> str:
    """Whether a spectral projection knows a scene's test pixels, whose labels it never sees.

    Args:
        projector: The projection.
        fitted: Whether it was fitted on the scene: ``yes``, ``no`` or ``unknown``.

    Returns:
        ``fitted`` itself; ``statistics`` where it was not (or nothing is fitted), but every scene is
        standardised or noise-whitened by the statistics of its pixels; ``no`` for resampled bands as they are.
    """
    if not projector.learned:
        return "statistics" if projector.per_scene else "no"
    return "statistics" if fitted == "no" and projector.per_scene else fitted
