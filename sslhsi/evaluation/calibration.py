"""Stand-ins against published figures: is an SVM as accurate on the made-up cube as on the real scene?"""

from __future__ import annotations

from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np

from sslhsi.errors import InputError
from sslhsi.evaluation.series import series
from sslhsi.evaluation.targets import pixel_target
from sslhsi.scenes.simulated.stand_in import CALIBRATED, stand_in
from sslhsi.splits.protocols import SERIES

PUBLISHED_SVM = {
    "pavia_university": (62.17, 68.32, 73.60, 77.57, 78.51, 81.83),
    "salinas": (76.21, 80.63, 83.56, 84.84, 85.35, 87.33),
}
"""OA of an SVM on the real scenes at 5, 10, 15, 20, 25 and 30 random pixels per class, as printed in Liu and Shi,
"Multitask Deep Learning With Spectral Knowledge for Hyperspectral Image Classification", IEEE GRSL 17(12), 2020."""


def calibration_rows(
    name: str, labels: np.ndarray, seeds: int = 10, path: str | Path | None = None, *, show: bool = True
) -> list[dict[str, Any]]:
    """Measure the SVM on a calibrated stand-in and set it beside the published figures.

    Args:
        name: ``pavia_university`` or ``salinas``.
        labels: (H, W) label map of the real scene.
        seeds: Splits per number of samples; all other labelled pixels are tested.
        path: CSV of :func:`sslhsi.evaluation.series.series` to keep the single rows in, and to resume from.
        show: Show progress.

    Returns:
        For each number of samples: ``scene``, ``per_class``, ``seeds``, ``measured`` and ``std`` (OA in
        percent), ``published``, ``difference``.

    Raises:
        InputError: The name is not known, or as for ``series``.
    """
    if name not in PUBLISHED_SVM:
        raise InputError(f"no published row for {name!r}: known are {', '.join(PUBLISHED_SVM)}")
    scene = stand_in(labels, **CALIBRATED[name])
    target = pixel_target(scene, schemes=("random",), per_class=SERIES)
    rows = series([target], path, probes={"SVM": seeds}, show=show)
    found = []
    for n, published in zip(SERIES, PUBLISHED_SVM[name], strict=True):
        values = [float(row["oa"]) for row in rows if row["per_class"] == str(n)]
        found.append({
            "scene": scene.name,
            "per_class": n,
            "seeds": len(values),
            "measured": round(fmean(values), 2),
            "std": round(stdev(values), 2) if len(values) > 1 else 0.0,
            "published": published,
            "difference": round(fmean(values) - published, 2),
        })  # fmt: skip
    return found
