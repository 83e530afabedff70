"""Class maps beside the ground truth, and where they are wrong."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import to_hex

from sslhsi.report.pictures import label_colours, stretch
from sslhsi.report.quicklook import choose_bands
from sslhsi.scenes.bad_bands import bad_bands
from sslhsi.scenes.scene import Scene

_BLANK = (0.93, 0.93, 0.93)
ERRORS = {"right": (0.66, 0.76, 0.84), "wrong": (0.835, 0.369, 0.0), "training": (0.1, 0.1, 0.12)}


def scene_picture(scene: Scene) -> tuple[str, np.ndarray]:
    """What a composite of three bands shows, and the (H, W, 3) image in 0..1."""
    title, bands = choose_bands(scene.wavelengths, ~bad_bands(scene))
    picture = np.stack([np.asarray(scene.cube[:, :, band]) for band in bands], axis=2)
    return title, stretch(picture, scene.foreground)


def legend(scene: Scene) -> list[tuple[str, str]]:
    """Colour, as CSS has it, and name of every class that the scene's labels hold."""
    assert scene.labels is not None
    colours = label_colours(scene.labels, scene.classes)
    return [(to_hex(colours[n - 1]), scene.class_name(n)) for n in np.unique(scene.labels[scene.labels > 0]).tolist()]


def class_picture(labels: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """(H, W) labels 0 to C and (C, 4) colours -> (H, W, 3) image; 0 is blank."""
    return np.vstack([[_BLANK], colours[:, :3]])[labels]


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
    image[:] = _BLANK
    at = tuple(test.T)
    right = truth[at] == predicted[at]
    image[at] = np.where(right[:, None], ERRORS["right"], ERRORS["wrong"])
    image[tuple(train.T)] = ERRORS["training"]
    return image
