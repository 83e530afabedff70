"""A split drawn on its scene."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import maximum_filter

from sslhsi.report.pictures import stretch
from sslhsi.scenes.bad_bands import bad_bands
from sslhsi.scenes.scene import Scene
from sslhsi.splits.split import Split

# Of Okabe and Ito's colours, three that are apart from each other and from grey.
SIDES = {"training": (0.835, 0.369, 0.0), "test": (0.337, 0.706, 0.914), "unused": (0.35, 0.30, 0.42)}
_SHOWN = 600  # pixels of the longest side that a page shows sharply


def grey_scene(scene: Scene) -> np.ndarray:
    """(H, W) brightness in 0..1 of the middle usable band, between its 2nd and 98th percentile."""
    usable = np.flatnonzero(~bad_bands(scene))
    band = int(usable[len(usable) // 2]) if len(usable) else scene.bands // 2
    values = np.asarray(scene.cube[:, :, band]).astype(np.float32)
    three = np.repeat(values[:, :, None], 3, axis=2)
    return stretch(three, scene.foreground)[:, :, 0]


def split_picture(scene: Scene, split: Split) -> np.ndarray:
    """(H, W, 3) image in 0..1: training, test and unused labelled pixels on the scene in grey.

    On scenes larger than a page's picture training pixels are drawn larger, or they would vanish.
    """
    image = np.repeat(0.25 + 0.6 * grey_scene(scene)[:, :, None], 3, axis=2)
    for side, share, pixels in (
        ("unused", 0.6, split.dropped),
        ("test", 0.6, split.test),
        ("training", 1.0, split.train),
    ):
        mark = np.zeros(split.shape, dtype=bool)
        mark[tuple(pixels.T)] = True
        if side == "training":
            mark = maximum_filter(mark, size=2 * (max(split.shape) // _SHOWN) + 1)
        image[mark] = (1 - share) * image[mark] + share * np.asarray(SIDES[side])
    return image
