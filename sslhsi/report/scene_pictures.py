"""A scene as pictures: three of its bands, class maps, where they are wrong, and a split drawn on it."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import to_hex
from scipy.ndimage import maximum_filter

from sslhsi.report.pictures import label_colours, stretch
from sslhsi.scenes.bad_bands import bad_bands
from sslhsi.scenes.scene import Scene
from sslhsi.splits.split import Split

UNCLASSIFIED = (0.93, 0.93, 0.93)
ERRORS = {"right": (0.66, 0.76, 0.84), "wrong": (0.835, 0.369, 0.0), "training": (0.1, 0.1, 0.12)}
# Of Okabe and Ito's colours, three that are apart from each other and from grey.
SIDES = {"training": (0.835, 0.369, 0.0), "test": (0.337, 0.706, 0.914), "unused": (0.35, 0.30, 0.42)}
_SHOWN = 600  # pixels of the longest side that a page shows sharply
# Red, green and blue as tried in turn: true colour, near infrared, short-wave infrared (nm).
_COMPOSITES = (("true colour", (650, 550, 450)), ("near infrared", (860, 650, 550)), ("infrared", (1650, 1250, 1050)))
_TOLERANCE = 30.0  # nm that a band may lie off


def choose_bands(wavelengths: np.ndarray | None, usable: np.ndarray) -> tuple[str, tuple[int, int, int]]:
    """Three bands for red, green and blue.

    Args:
        wavelengths: (B,) nm or None.
        usable: (B,) booleans.

    Returns:
        What the composite shows and its three band numbers: near 650, 550 and 450 nm where the camera sees
        them, else near-infrared or infrared equivalents, else bands at 1/4, 1/2 and 3/4 of the usable ones.
    """
    numbers = np.flatnonzero(usable) if usable.any() else np.arange(len(usable))
    if wavelengths is not None:
        for title, targets in _COMPOSITES:
            nearest = [int(numbers[np.argmin(np.abs(wavelengths[numbers] - target))]) for target in targets]
            off = [abs(wavelengths[band] - target) for band, target in zip(nearest, targets, strict=True)]
            if max(off) <= _TOLERANCE and len(set(nearest)) == 3:
                red, green, blue = nearest
                return title, (red, green, blue)
    blue, green, red = (int(numbers[round(share * (len(numbers) - 1))]) for share in (0.25, 0.5, 0.75))
    return "bands over the range", (red, green, blue)


def composite(scene: Scene, step: int = 1) -> tuple[str, tuple[int, int, int], np.ndarray]:
    """What three bands show, which they are, and the (h, w, 3) image in 0..1 of every ``step``-th pixel."""
    title, bands = choose_bands(scene.wavelengths, ~bad_bands(scene))
    picture = np.stack([np.asarray(scene.cube[::step, ::step, band]) for band in bands], axis=2)
    return title, bands, stretch(picture, scene.foreground[::step, ::step])


def legend(scene: Scene) -> list[tuple[str, str]]:
    """Colour, as CSS has it, and name of every class that the scene's labels hold."""
    assert scene.labels is not None
    colours = label_colours(scene.labels, scene.classes)
    return [(to_hex(colours[n - 1]), scene.class_name(n)) for n in np.unique(scene.labels[scene.labels > 0]).tolist()]


def class_picture(labels: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """(H, W) labels 0 to C and (C, 4) colours -> (H, W, 3) image; 0 is blank."""
    return np.vstack([[UNCLASSIFIED], colours[:, :3]])[labels]


def error_picture(truth: np.ndarray, predicted: np.ndarray, test: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Where a map is right and wrong on the test pixels.

    Args:
        truth: (H, W) labels.
        predicted: (H, W) labels.
        test: (m, 2) rows and columns.
        train: (n, 2) rows and columns, marked as such.

    Returns:
        (H, W, 3) image in 0..1.
    """
    image = np.empty((*truth.shape, 3))
    image[:] = UNCLASSIFIED
    at = tuple(test.T)
    right = truth[at] == predicted[at]
    image[at] = np.where(right[:, None], ERRORS["right"], ERRORS["wrong"])
    image[tuple(train.T)] = ERRORS["training"]
    return image


def split_picture(scene: Scene, split: Split) -> np.ndarray:
    """(H, W, 3) image in 0..1: training, test and unused labelled pixels on the scene's middle usable band in grey.

    On scenes larger than a page's picture training pixels are drawn larger, or they would vanish.
    """
    usable = np.flatnonzero(~bad_bands(scene))
    band = int(usable[len(usable) // 2]) if len(usable) else scene.bands // 2
    values = np.asarray(scene.cube[:, :, band]).astype(np.float32)
    image = 0.25 + 0.6 * stretch(np.repeat(values[:, :, None], 3, axis=2), scene.foreground)
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
