"""Means over the surroundings of a pixel, or over a window: features that need no network and no training."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.ndimage import uniform_filter

from sslhsi.bands.moments import Moments, moments
from sslhsi.bands.projection import Projection
from sslhsi.bands.projector import SpectralProjector, noise_whitening_matrix
from sslhsi.corpus.reader import PatchReader
from sslhsi.evaluation.measure import projection_saw
from sslhsi.evaluation.rows import WINDOW_MEANS
from sslhsi.scenes.scene import Scene

SIZES = (1, 3, 7, 13)
"""Sides in pixels of the boxes around a pixel; their means stand side by side."""
# Of the two the first is taken where no training sample can decide, as with one per class.
WHITENED, STANDARDISED = "whitened", "standardised"
# Windows that tell spread and noise of a corpus; more say nothing else.
MOST_WINDOWS = 512


@dataclass(frozen=True)
class WindowMeans:
    """Box means of the components that networks get, as a method among networks: see :func:`window_means`.

    Args:
        method: ``window means``, and which where it is one of the two.
        projector: Gives the components.
        variants: ``whitened``, ``standardised``; of both the better on the training samples is taken.
        corpus: Key of the corpus that the projection is of.
        projection_saw_pixels: Whether it was fitted on the scene's pixels: ``yes``, ``no`` or ``unknown``.
    """

    method: str
    projector: Projection
    variants: Sequence[str]
    corpus: str = ""
    projection_saw_pixels: str = "unknown"
    count = 1
    """Nothing is drawn: there is one of it."""
    window = max(SIZES)
    """Side of the largest box: what is said of a split's leak holds for windows of this size."""

    def of(self, seed: int) -> WindowMeans:
        """What the split of a seed is evaluated with: always the same."""
        return self

    @cached_property
    def digest(self) -> str:
        """Hash of projection and boxes."""
        return hashlib.sha256(str(SIZES).encode() + self.projector.content()).hexdigest()[:12]

    @property
    def columns(self) -> dict[str, Any]:
        """What rows say of it."""
        fitted = projection_saw(self.projector, self.projection_saw_pixels)
        return {
            "method": self.method,
            # Spread and noise are always the scene's.
            "projection_saw_pixels": "statistics" if fitted == "no" else fitted,
            "projection_scope": self.projector.scope,
            "corpus": self.corpus,
            "backbone": self.digest,
        }


def window_means(
    projector: Projection, corpus: str = "", projection_saw_pixels: str = "unknown"
) -> list[WindowMeans]:
    """Window means of standardised and of noise-whitened components, and the better of the two on training samples.

    Arguments as for :class:`WindowMeans`.
    """
    about = (corpus, projection_saw_pixels)
    both = (WHITENED, STANDARDISED)
    each = [WindowMeans(f"{WINDOW_MEANS}, {variant}", projector, (variant,), *about) for variant in both]
    return [WindowMeans(WINDOW_MEANS, projector, both, *about), *each]


def scene_projection(scene: Scene) -> SpectralProjector:
    """A projection fitted on a scene itself, without labels, where there is no network to bring one along."""
    bands = scene.cube.shape[2]
    return SpectralProjector(bands, min(60, bands), "index", standardize="scene").fit([scene])


def pixel_means(components: np.ndarray, pixels: np.ndarray, mask: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Means over boxes of ``SIZES`` around pixels, of standardised and of noise-whitened components.

    A scene is reflected at its border, as for networks. Boxes average what is valid in them: not masked, and finite.
    A box without any such pixel gives the pixel itself.

    Args:
        components: (H, W, K).
        pixels: (n, 2) rows and columns.
        mask: (H, W), True where spread and noise are measured and what boxes average; all when None.

    Returns:
        By variant, (n, len(SIZES) * K) float32, box by box.
    """
    values = np.asarray(components, dtype=np.float32)
    valid = np.logical_and(np.isfinite(values).all(axis=2), True if mask is None else mask)
    at = tuple(pixels.T)
    clean = values if valid.all() else np.where(valid[:, :, None], values, np.float32(0))
    boxes = []
    for size in SIZES:
        means = uniform_filter(clean, (size, size, 1), mode="mirror")[at]
        if clean is not values:
            share = uniform_filter(valid.astype(np.float32), size, mode="mirror")[at][:, None]
            # Less than half a pixel is rounding.
            some = share > 0.5 / size**2
            means = np.where(some, means / np.where(some, share, 1), values[at])
        boxes.append(means)
    return _variants(np.stack(boxes, axis=1), moments(values, valid, noise=1.0))


def central_means(
    reader: PatchReader, masks: PatchReader, windows: np.ndarray, trained: int, batch_size: int = 512
) -> dict[str, np.ndarray]:
    """Means over central boxes of ``SIZES`` of windows, as far as they fit, and over whole windows.

    Args:
        reader: Reads windows of components.
        masks: Reads the same windows of (H, W, 1) masks; masked pixels don't count, unless a box holds no other.
        windows: (n, 3) scene, row and column.
        trained: How many may train, the first ones: these alone tell spread and noise.

    Returns:
        By variant, (n, boxes * K) float32, box by box.
    """
    side = reader.window
    sizes = [*(size for size in SIZES if size < side), side]
    parts = []
    for start in range(0, max(1, len(windows)), batch_size):
        values, weights = (one(windows[start : start + batch_size]) for one in (reader, masks))
        boxes = []
        for size in sizes:
            middle = slice((side - size) // 2, (side - size) // 2 + size)
            x, w = values[:, :, middle, middle], weights[:, :, middle, middle]
            w = w.where(w.sum((2, 3), keepdim=True) > 0, 1.0)
            boxes.append(((x * w).sum((2, 3)) / w.sum((2, 3))).cpu().numpy())
        parts.append(np.stack(boxes, axis=1))
    some = windows[: max(1, trained)][:: max(1, trained // MOST_WINDOWS)][:MOST_WINDOWS]
    # One masked row below each window, so that none is another's neighbour.
    tall, inside = (
        np.pad(one(some).permute(0, 2, 3, 1).cpu().numpy(), ((0, 0), (0, 1), (0, 0), (0, 0))).reshape(
            len(some) * (side + 1), side, -1
        )
        for one in (reader, masks)
    )
    return _variants(np.concatenate(parts), moments(tall, inside[:, :, 0] > 0, noise=1.0))


def _variants(means: np.ndarray, measured: Moments) -> dict[str, np.ndarray]:
    """(n, boxes, K) means -> by variant (n, boxes * K): maps of components and means over boxes change places."""
    spread, noise = measured.spread, measured.noise
    usable = spread > 1e-6 * spread.max(initial=0.0)
    scaling = np.diag(np.divide(1.0, spread, out=np.zeros_like(spread), where=usable))
    maps: Mapping[str, np.ndarray] = {
        # Made-up scenes may be without noise.
        WHITENED: noise_whitening_matrix(noise, 1.0) if noise is not None and noise.any() else scaling,
        STANDARDISED: scaling,
    }
    centred = means - measured.mean
    return {name: (centred @ matrix).reshape(len(means), -1).astype(np.float32) for name, matrix in maps.items()}
