"""Which pixels of a scene are foreground."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu

from sslhsi.errors import InputError
from sslhsi.scenes.scene import Scene

METHODS = ("none", "nodata", "otsu")
BLOCK_VALUES = 4_000_000  # cube values per block of rows: 32 MB as float64
SPECK_SHARE = 1 / 2000  # of the scene: foreground specks and holes up to this size are noise
SPECK_PIXELS = 4


def background_mask(scene: Scene, method: str = "none", nodata: float | None = None) -> np.ndarray:
    """Foreground of a scene, always within the mask that the scene brings along.

    ``none`` adds nothing to that mask. ``nodata`` takes out the pixels that are ``nodata`` in all bands
    and those that are not finite in some band. ``otsu`` keeps, of the others, those whose mean over the
    bands exceeds Otsu's threshold (IEEE Trans. Syst. Man Cybern. 9(1), 1979): bright things before a
    dark background, as under a laboratory camera. Specks and holes of at most 1/2000 of the scene
    (4 pixels in a small one) are then removed.

    Args:
        scene: Its cube is read in blocks of rows.
        method: ``none``, ``nodata`` or ``otsu``.
        nodata: Value of the pixels without data, 0 when None.

    Returns:
        (H, W) booleans, True = foreground.

    Raises:
        InputError: The method isn't known, or no foreground pixel is left.
    """
    if method not in METHODS:
        raise InputError(f"scene {scene.name!r}: background {method!r} is not known: use {', '.join(METHODS)}")
    mask = scene.foreground.copy()
    why = "its mask is empty"
    if method != "none" and mask.any():
        brightness, valid = _brightness(scene.cube, 0.0 if nodata is None else nodata)
        mask &= valid
        why = "every pixel is without data in all bands or not finite in one; drop bad bands or give nodata"
        if method == "otsu" and mask.any():
            levels = brightness[mask]
            bright = mask & (brightness > threshold_otsu(levels)) if np.ptp(levels) > 0 else np.zeros_like(mask)
            size = max(SPECK_PIXELS, int(mask.size * SPECK_SHARE))
            # Holes are filled last, and never with pixels that hold no data.
            mask &= ~_without_specks(~_without_specks(bright, size), size)
            why = "Otsu's threshold on brightness finds nothing; use background 'none' or 'nodata'"
    if not mask.any():
        raise InputError(f"scene {scene.name!r}: no foreground pixel is left: {why}")
    return mask


def _without_specks(mask: np.ndarray, size: int) -> np.ndarray:
    """The mask without its pieces of at most ``size`` pixels; neighbours share a side.

    As scikit-image's ``remove_small_objects``, whose arguments differ between versions.
    """
    pieces, _ = ndimage.label(mask)
    large = np.bincount(pieces.ravel()) > size
    large[0] = False
    return large[pieces]


def _brightness(cube: np.ndarray, nodata: float) -> tuple[np.ndarray, np.ndarray]:
    """(H, W) mean over the bands, and (H, W) True where there are data."""
    height, width, bands = cube.shape
    brightness = np.zeros((height, width))
    valid = np.zeros((height, width), dtype=bool)
    rows = max(1, BLOCK_VALUES // (width * bands))
    for top in range(0, height, rows):
        part = np.asarray(cube[top : top + rows])
        empty = np.isnan(part).all(axis=2) if np.isnan(nodata) else (part == nodata).all(axis=2)
        with np.errstate(invalid="ignore", over="ignore"):
            mean = part.mean(axis=2, dtype=np.float64)
        # A single value that is not finite makes the mean so.
        brightness[top : top + rows] = mean
        valid[top : top + rows] = np.isfinite(mean) & ~empty
    return brightness, valid
