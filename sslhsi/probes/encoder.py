"""A frozen backbone with all that is done to a spectrum before it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from sslhsi.bands.projector import SpectralProjector, check_cube
from sslhsi.errors import InputError
from sslhsi.patches.reader import PatchReader
from sslhsi.probes.features import features

# Projected pixels that are held at a time.
STRIP_BYTES = 64 << 20


class Encoder:
    """Cubes of any camera -> features.

    Args:
        backbone: (N, K, S, S) -> (N, D); put into evaluation mode.
        projector: Bands of any camera -> K components.
        config: ``window`` S, ``border`` (``reflect``: one feature per pixel; ``inside``: windows that lie
            within the cube), and whatever else is worth keeping.
    """

    def __init__(self, backbone: nn.Module, projector: SpectralProjector, config: dict[str, Any]) -> None:
        self.backbone, self.projector, self.config = backbone.eval(), projector, config
        self.window: int = config["window"]
        self.num_features = int(backbone.num_features)  # type: ignore[arg-type]

    def to(self, device: torch.device | str) -> Encoder:
        """Move the network."""
        self.backbone.to(device)
        return self

    @property
    def device(self) -> torch.device:
        return next(self.backbone.parameters()).device

    def encode(
        self,
        cube: np.ndarray,
        wavelengths: np.ndarray | None = None,
        *,
        mask: np.ndarray | None = None,
        stride: int = 1,
        batch_size: int = 512,
    ) -> np.ndarray:
        """Features of a whole cube, strip by strip.

        Args:
            cube: (H, W, B), any real dtype, memory-mapped or not.
            wavelengths: (B,) nm, needed when the backbone aligns by wavelength.
            mask: (H, W) pixels that per-scene statistics count; all when None.
            stride: Step between windows, in pixels.
            batch_size: Windows per forward pass.

        Returns:
            (H', W', D) float32. With border ``reflect`` there is one window around every pixel (H' = H at
            stride 1); otherwise H' = (H - window) // stride + 1.

        Raises:
            InputError: The camera does not cover the backbone's range, or the cube is smaller than a window.
        """
        cube, wavelengths, raw = self._check(cube, wavelengths, mask)
        height, width, _ = cube.shape
        reflect = self.config.get("border") == "reflect"
        before = self.window // 2 if reflect else 0
        rows, columns = (
            np.arange(0, n if reflect else n - self.window + 1, stride) - before for n in (height, width)
        )
        if not (rows.size and columns.size):
            raise InputError(f"the cube is {height}x{width}, smaller than the backbone's window of {self.window}")
        out = np.empty((rows.size, columns.size, self.num_features), dtype=np.float32)
        lines = max(1, STRIP_BYTES // (4 * width * self.projector.channels) - self.window)
        for start in range(0, rows.size, max(1, lines // stride)):
            some = rows[start : start + max(1, lines // stride)]
            top, bottom = max(0, some[0]), min(height, some[-1] + self.window)
            # Reflection at a border reaches back as far as the window sticks out.
            top, bottom = min(top, max(0, height - self.window)), max(bottom, min(height, self.window))
            strip = self.projector.transform(cube[top:bottom], wavelengths, raw=raw, scaled=True)
            stored = self._stored(strip)
            reader = PatchReader([stored], self.window, device=self.device, resident=True)
            grid = np.stack(np.meshgrid(some - top, columns, indexing="ij"), -1).reshape(-1, 2)
            windows = np.column_stack([np.zeros(len(grid), np.int64), grid])
            found = features(self.backbone, reader, windows, batch_size)
            out[start : start + some.size] = found.reshape(some.size, columns.size, -1)
        return out

    def encode_pixels(
        self,
        cube: np.ndarray,
        pixels: np.ndarray,
        wavelengths: np.ndarray | None = None,
        *,
        mask: np.ndarray | None = None,
        batch_size: int = 512,
    ) -> np.ndarray:
        """(n, D) features of the windows around (n, 2) pixels, reflected at the border."""
        cube, wavelengths, raw = self._check(cube, wavelengths, mask)
        if not len(pixels):
            return np.zeros((0, self.num_features), dtype=np.float32)
        projected = self._stored(self.projector.transform(cube, wavelengths, raw=raw, scaled=True))
        corners = np.asarray(pixels, dtype=np.int64) - self.window // 2
        windows = np.column_stack([np.zeros(len(corners), np.int64), corners])
        reader = PatchReader([projected], self.window, device=self.device)
        return features(self.backbone, reader, windows, batch_size)

    @staticmethod
    def _stored(components: np.ndarray) -> np.ndarray:
        """Through float16, as the corpus stores it, so that features here and there are the same."""
        # Beyond this float16 has no numbers; pixels that were not finite before stay what they are.
        if np.nanmax(np.abs(components), initial=0.0) > np.finfo(np.float16).max:
            raise InputError(
                "the cube's values are far beyond those that the backbone was fitted on; bring it to the same unit "
                "(reflectance or digital numbers)"
            )
        return components.astype(np.float16)

    def _check(self, cube: np.ndarray, wavelengths: Any, mask: np.ndarray | None) -> tuple[np.ndarray, Any, Any]:
        """The arguments, and the scene's moments where the projection needs them."""
        cube = np.asanyarray(cube)
        mask = None if mask is None else np.asarray(mask)
        check_cube(cube, mask)
        if wavelengths is not None:
            wavelengths = np.asarray(wavelengths, dtype=np.float64)
        raw = self.projector.scene_moments(cube, mask) if self.projector.per_scene else None
        # Checks the camera before anything long starts.
        self.projector.affine(wavelengths, cube.shape[2], raw)
        return cube, wavelengths, raw
