"""How the axes of a cube run: matrices of (bands, pixels), and bands that may come first."""

from __future__ import annotations

import numpy as np

from sslhsi.scenes.notes import note

_FEWEST_BANDS = 10  # an axis shorter than this is not the spectral one of an imaging spectrometer


def unfold(matrix: np.ndarray, shape: tuple[int, int], order: str) -> np.ndarray:
    """View a (bands, pixels) matrix as an (H, W, bands) image.

    Args:
        matrix: (B, H * W).
        shape: (H, W).
        order: "F" when the pixels run down the columns (MATLAB), "C" when they run along the rows.
    """
    height, width = shape
    if order == "F":
        return matrix.reshape(len(matrix), width, height).transpose(2, 1, 0)
    return matrix.reshape(len(matrix), height, width).transpose(1, 2, 0)


def _few_bands(matrix: np.ndarray) -> np.ndarray:
    """At most eight bands of a matrix, spread over its range, as float64 with mean 0 and spread 1."""
    picked = np.unique(np.linspace(0, len(matrix) - 1, 8).round().astype(int))
    few = np.nan_to_num(np.asarray(matrix[picked], dtype=np.float64))
    few = few - few.mean(axis=1, keepdims=True)
    spread = few.std(axis=1, keepdims=True)
    return few / np.where(spread > 0, spread, 1.0)


def _roughness(image: np.ndarray) -> float:
    """Mean squared step between neighbours, in units of each band's variance."""
    return float(np.mean(np.diff(image, axis=0) ** 2) + np.mean(np.diff(image, axis=1) ** 2))


def _spread_within(image: np.ndarray, labels: np.ndarray) -> float:
    """Mean variance of the bands inside the labelled classes."""
    values, ids = image[labels > 0], labels[labels > 0]
    residual = values.copy()
    for label in np.unique(ids):
        residual[ids == label] -= values[ids == label].mean(axis=0)
    return float(np.mean(residual**2)) if residual.size else 0.0


def decide_order(
    matrix: np.ndarray, shape: tuple[int, int], labels: np.ndarray | None, default: str, where: str
) -> str:
    """Row-major or column-major, by which reading makes a sensible image.

    The two readings of a square image are each other's transpose and equally smooth: there the label
    map decides (the reading whose classes are the more homogeneous), and without one the ``default``.
    Otherwise the spatially smoother reading wins.

    Args:
        matrix: (B, H * W).
        shape: (H, W).
        labels: (H, W) label map, 0 = unlabelled, or None.
        default: "C" or "F", for want of evidence.
        where: File, for the message.
    """
    few = _few_bands(matrix)
    images = {order: unfold(few, shape, order) for order in "FC"}
    if min(shape) == 1:
        return default
    if shape[0] != shape[1]:
        score = {order: _roughness(image) for order, image in images.items()}
        reason = "spatial smoothness"
    elif labels is not None and len(np.unique(labels[labels > 0])) > 1:
        score = {order: _spread_within(image, labels) for order, image in images.items()}
        reason = "homogeneity of the labelled classes"
    else:
        score, reason = {"C": 0.0, "F": 0.0}, "convention"
    order = default if score["C"] == score["F"] else min(score, key=lambda key: score[key])
    note(where, f"pixels read {'column' if order == 'F' else 'row'}-major by {reason} (pass order= to override)")
    return order


def bands_may_come_first(array: np.ndarray) -> bool:
    """True when the first axis of a 3-D array may rather be the spectral one than the last.

    Spectra of a scene are mixtures of few: along the spectral axis, a few principal components hold nearly all
    variance, along rows or columns many do. Where this doesn't decide (small or smooth images, noise), the last
    axis is taken for the spectral one if it is the longest or the shortest and the means don't vary much more over
    the first; else it stays open.

    Args:
        array: Real numbers; at most 48 positions along each axis are looked at.
    """
    first, second, last = array.shape
    if first < _FEWEST_BANDS or first == second:
        return False
    few = np.nan_to_num(np.asarray(array[np.ix_(*map(_spread_out, array.shape))], dtype=np.float64))
    share = {axis: _components(few, axis) / few.shape[axis] for axis in (0, 2)}
    if share[2] <= share[0] / 2:
        return False
    if share[0] <= share[2] / 2 or last < _FEWEST_BANDS:
        return True
    # Variance of the means, as a multiple of what noise would give them.
    means = {axis: few.mean(axis=tuple({0, 1, 2} - {axis})).var() / few.shape[axis] for axis in (0, 2)}
    if last > max(first, second):
        return bool(means[0] > 10 * means[2])
    return last >= min(first, second) or bool(means[0] > 3 * means[2])


def _spread_out(length: int) -> np.ndarray:
    return np.unique(np.linspace(0, length - 1, 48).round().astype(int))


def _components(array: np.ndarray, axis: int) -> int:
    """How many principal components along an axis hold 95 % of the variance."""
    rows = np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1)
    rows = rows - rows.mean(axis=1, keepdims=True)
    variances = np.linalg.eigvalsh(rows @ rows.T)[::-1]
    total = variances.sum()
    return int(np.searchsorted(np.cumsum(variances) / total, 0.95) + 1) if total > 0 else len(rows)
