"""Pieces of whole-scene inference: where windows lie, mirrored borders, strips, tiles that share their work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from sslhsi.bands.moments import Moments
from sslhsi.bands.projection import Projection
from sslhsi.corpus.reader import PatchReader
from sslhsi.encoder.features import Advance, features
from sslhsi.errors import InputError

# Values of a batch of windows on a CPU: larger batches fall out of its caches.
BATCH_VALUES = 1 << 20


def corners(length: int, window: int, reflect: bool, stride: int = 1) -> np.ndarray:
    """First row (or column) of the windows along one side of a scene.

    Args:
        length: Of the side, in pixels.
        window: Side of a window.
        reflect: One window around every pixel, its corner negative at the border; otherwise those inside.
        stride: Between windows.
    """
    return np.arange(0, length if reflect else length - window + 1, stride) - (window // 2 if reflect else 0)


def mirrored(first: int, stop: int, length: int) -> np.ndarray:
    """Positions first .. stop - 1 mirrored into 0 .. length - 1, the edge not repeated, as ``PatchReader`` does."""
    period = max(1, 2 * (length - 1))
    index = np.arange(first, stop) % period
    return np.minimum(np.where(index >= length, period - index, index), length - 1)


def stored(components: np.ndarray) -> np.ndarray:
    """Through float16, as the corpus stores it, so that features here and there are the same."""
    # Beyond this float16 has no numbers; pixels that were not finite before stay what they are.
    if np.nanmax(np.abs(components), initial=0.0) > np.finfo(np.float16).max:
        raise InputError(
            "the cube's values are far beyond those that the backbone was fitted on; bring it to the same unit "
            "(reflectance or digital numbers)"
        )
    return components.astype(np.float16)


@dataclass(frozen=True)
class Components:
    """The components of a scene, a strip at a time.

    Args:
        shape: Height and width of the scene.
        rows: First row and the one after the last -> (h, W, K) float16.
    """

    shape: tuple[int, int]
    rows: Callable[[int, int], np.ndarray]

    def strip(self, rows: tuple[int, int], columns: tuple[int, int]) -> np.ndarray:
        """(h, w, K) float16 of rows and columns from .. to, mirrored where they leave the scene."""
        down, across = (mirrored(*side, length) for side, length in zip((rows, columns), self.shape, strict=True))
        top, bottom = int(down.min()), int(down.max()) + 1
        return self.rows(top, bottom)[np.ix_(down - top, across)]


def projected(
    projector: Projection, cube: np.ndarray, wavelengths: np.ndarray | None, moments: Moments
) -> Components:
    """Components of a cube, computed where they are wanted.

    Args:
        projector: What makes them.
        cube: (H, W, B).
        wavelengths: (B,) nm or None.
        moments: The scene's; where the projection doesn't need them, the spectrum that it is done about.
    """

    def rows(top: int, bottom: int) -> np.ndarray:
        return stored(projector.transform(cube[top:bottom], wavelengths, moments=moments, scaled=True))

    return Components((cube.shape[0], cube.shape[1]), rows)


def window_features(
    backbone: nn.Module,
    strip: np.ndarray,
    corner: np.ndarray,
    window: int,
    device: torch.device,
    batch_size: int | None = None,
    advance: Advance = lambda windows: None,
) -> np.ndarray:
    """Features of windows of a strip, window by window.

    Args:
        backbone: (n, K, window, window) -> (n, D).
        strip: (h, w, K) components.
        corner: (n, 2) first row and column of each window, inside the strip.
        window: Side of a window.
        device: Where to compute.
        batch_size: Windows per forward pass; chosen by their size when None.
        advance: Called with the number of windows in each batch.

    Returns:
        (n, D) float32.
    """
    if batch_size is None:
        batch_size = 512 if device.type != "cpu" else min(512, max(1, BATCH_VALUES // (window**2 * strip.shape[2])))
    reader = PatchReader([strip], window, device=device, resident=True)
    windows = np.column_stack([np.zeros(len(corner), np.int64), corner])
    return features(backbone, reader, windows, batch_size, advance)


@dataclass(frozen=True)
class WholeImage:
    """A network that is run on whole images, see ``Backbone.whole_image``.

    Args:
        run: (1, K, h, w) -> (1, D, h - window + 1, w - window + 1).
        tile: Side in windows of the squares that it is best given.
        gain: Pixels that it does in the time of a window.
    """

    run: Callable[[Tensor], Tensor]
    tile: int
    gain: float

    @classmethod
    def of(cls, backbone: nn.Module, window: int) -> WholeImage | None:
        """None for networks that can't, or whose windows are of another size than they were built for."""
        network: object = backbone
        gain, tile = float(getattr(network, "whole_image_gain", 0.0)), int(getattr(network, "whole_image_tile", 0))
        if not gain or getattr(network, "window", None) != window:
            return None
        backbone.eval()
        with torch.inference_mode():
            return cls(backbone.whole_image(), tile, gain)  # type: ignore[operator]

    def features(
        self,
        strip: np.ndarray,
        window: int,
        device: torch.device,
        stride: int = 1,
        advance: Advance = lambda windows: None,
    ) -> np.ndarray:
        """(h', w', D) float32 of the windows on the stride of an (h, w, K) strip, tile by tile."""
        height, width = (n - window + 1 for n in strip.shape[:2])
        across = max(stride, self.tile**2 // height // stride * stride)
        parts = []
        for left in range(0, width, across):
            part = np.ascontiguousarray(np.moveaxis(strip[:, left : min(left + across, width) + window - 1], 2, 0))
            with torch.inference_mode():
                features = self.run(torch.from_numpy(part).to(device).float()[None])[0, :, ::stride, ::stride]
                parts.append(features.permute(1, 2, 0).float().cpu().numpy())
            advance(parts[-1].shape[0] * parts[-1].shape[1])
        return np.concatenate(parts, axis=1)
