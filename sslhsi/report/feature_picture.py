"""Features as false colour."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from sslhsi.bands.moments import moments
from sslhsi.bands.stripes import blocks
from sslhsi.errors import InputError
from sslhsi.files import write_atomic
from sslhsi.report.pictures import BACKGROUND, png, stretch


def feature_picture(path: str | os.PathLike[str], features: np.ndarray, mask: np.ndarray | None = None) -> Path:
    """Write the first three principal components of a scene's features as red, green and blue.

    A pixel of the picture is a pixel of the scene; each colour runs from the component's 2nd to its 98th
    percentile. Pixels outside the mask and without finite features are grey and count for nothing.

    Args:
        path: PNG to write, whole or not at all.
        features: (H, W, D), memory-mapped or not.
        mask: (H, W) True = foreground; None: everywhere.

    Returns:
        The path.

    Raises:
        InputError: No pixel has finite features, or the file can't be written.
    """
    path = Path(path)
    height, width, count = features.shape
    there = np.ones((height, width), dtype=bool) if mask is None else mask.astype(bool)
    for rows in blocks(features):
        there[rows] &= np.isfinite(features[rows]).all(axis=2)
    if not there.any():
        raise InputError(f"{path}: no pixel has finite features, so that there is nothing to show")
    statistics = moments(features, there)
    vectors = np.linalg.eigh(statistics.covariance)[1][:, ::-1][:, : min(3, count)]
    # Signs by rule: the same scene has the same colours again.
    largest = np.abs(vectors).argmax(axis=0)
    vectors = vectors * np.where(vectors[largest, np.arange(vectors.shape[1])] < 0, -1.0, 1.0)
    vectors = vectors[:, [min(n, vectors.shape[1] - 1) for n in range(3)]].astype(np.float32)
    values = np.empty((height, width, 3), dtype=np.float32)
    for rows in blocks(features):
        values[rows] = (features[rows] - statistics.mean.astype(np.float32)) @ vectors
    image = stretch(values, there)
    image[~there] = BACKGROUND
    return write_atomic(path, png(image))
