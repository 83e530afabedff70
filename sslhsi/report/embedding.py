"""Features in the plane: principal components, t-SNE, and pixels of a split by class."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from sslhsi.report.plots import INK, legend_below, new_figure


def principal(x: np.ndarray) -> np.ndarray | None:
    """(n, 2) first principal components of (n, D) features; None where there are fewer than two."""
    if min(x.shape) < 2:
        return None
    left, sizes, _ = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    return left[:, :2] * sizes[:2]


def tsne(x: np.ndarray) -> np.ndarray | None:
    """(n, 2) t-SNE of the directions of (n, D) features; None below 20 samples, or when all point one way.

    Directions, because cosine is what k-NN and the objective go by.
    """
    if min(x.shape) < 2 or len(x) < 20:
        return None
    directions = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    # Features that collapsed to a point: scikit-learn would start from 0 / 0 and crash the process.
    if np.ptp(directions, axis=0).max() < 1e-6:
        return None
    # So few points gain nothing from threads, and lose a lot where other processes hold the cores.
    with threadpool_limits(1):
        return TSNE(perplexity=min(30.0, (len(x) - 1) / 3), init="pca", random_state=0).fit_transform(directions)


def class_scatter(
    points: np.ndarray, labels: np.ndarray, train: np.ndarray, colours: np.ndarray, title: str, axis_name: str
) -> Figure:
    """Pixels of a split in the plane of their features.

    Args:
        points: (n, 2).
        labels: (n,) labels from 1 on.
        train: (n,) booleans: training pixels are ringed triangles, test pixels dots.
        colours: (C, 4) colour of label i + 1.
        title: Of the figure.
        axis_name: What the axes are.
    """
    figure, axis = new_figure(height=3.6, title=title, x=f"{axis_name} 1", y=f"{axis_name} 2")
    shade = colours[labels - 1]
    axis.scatter(
        points[~train, 0], points[~train, 1], s=7, c=shade[~train], alpha=0.65, linewidths=0, rasterized=True
    )
    axis.scatter(points[train, 0], points[train, 1], s=34, c=shade[train], marker="^", edgecolors=INK, linewidths=0.9)
    for marker, size, edge, text in (("o", 4, "none", "test"), ("^", 6, INK, "training")):
        axis.plot([], [], linestyle="", marker=marker, color="#8C8C8C", markeredgecolor=edge, ms=size, label=text)
    legend_below(figure, 2)
    return figure


def thinned(train: int, test: int, most: int) -> np.ndarray:
    """Indices of at most ``most`` of train + test samples, training first: a scatter of thousands shows less."""
    rng = np.random.default_rng(0)
    first = rng.permutation(train)[: most // 2]
    second = train + rng.permutation(test)[: most - len(first)]
    return np.sort(np.concatenate([first, second]))
