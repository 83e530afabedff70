"""Three laboratory push-broom cameras: what each does to a scene of reflectances."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_ROWS = 8  # lines worked on at a time, so that they stay in the processor's cache


@dataclass(frozen=True)
class Camera:
    """A line-scan camera; columns are across the slit, rows along the scan.

    Args:
        name: For tables.
        bands: Number of bands.
        first, last: Band centres at both ends, nm.
        bend: Departure of the centres from even spacing in the middle of the range, nm.
        width: Full width at half maximum of a band, nm.
        peak, breadth: Sensitivity over wavelength, a Gaussian in nm.
        electrons: Signal of a white pixel at peak sensitivity, in electrons: sets the shot noise.
        read_noise: In electrons.
        stripe: Gain differences left between columns after the white reference, relative.
        smile: Shift of the band centres at the slit's ends, nm.
        keystone: Shift across the slit between the first and the last band, pixels.
        blur: Weight of each neighbour in the optics' 3-tap point spread, per axis.
    """

    name: str
    bands: int
    first: float
    last: float
    bend: float
    width: float
    peak: float
    breadth: float
    electrons: float
    read_noise: float
    stripe: float
    smile: float
    keystone: float
    blur: float

    @property
    def wavelengths(self) -> np.ndarray:
        """(bands,) centres in nm."""
        t = np.linspace(0.0, 1.0, self.bands)
        return self.first + (self.last - self.first) * t + self.bend * 4 * t * (1 - t)

    def response(self, fine: np.ndarray) -> np.ndarray:
        """(bands, len(fine)) weights that turn a spectrum sampled at ``fine`` nm into bands; rows sum to 1."""
        sigma = self.width / np.sqrt(8 * np.log(2))
        weights = np.exp(-0.5 * ((fine - self.wavelengths[:, None]) / sigma) ** 2)
        return weights / weights.sum(axis=1, keepdims=True)


CAMERAS = {
    "vnir-288": Camera(
        name="vnir-288",
        bands=288,
        first=392.0,
        last=1012.0,
        bend=-3.0,
        width=4.5,
        peak=640.0,
        breadth=210.0,
        electrons=14_000.0,
        read_noise=28.0,
        stripe=0.004,
        smile=0.9,
        keystone=0.5,
        blur=0.14,
    ),
    "vnir-256": Camera(
        name="vnir-256",
        bands=256,
        first=398.0,
        last=1003.0,
        bend=2.0,
        width=5.5,
        peak=600.0,
        breadth=190.0,
        electrons=9_000.0,
        read_noise=22.0,
        stripe=0.007,
        smile=1.4,
        keystone=0.8,
        blur=0.17,
    ),
    "vnir-160": Camera(
        name="vnir-160",
        bands=160,
        first=405.0,
        last=996.0,
        bend=0.0,
        width=8.0,
        peak=700.0,
        breadth=230.0,
        electrons=20_000.0,
        read_noise=40.0,
        stripe=0.003,
        smile=0.5,
        keystone=0.3,
        blur=0.12,
    ),
}


def expose(camera: Camera, cube: np.ndarray, lamp: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Record a scene and divide by the white reference.

    In order: the optics' blur, keystone and smile (first-order in the shift), shot and read noise in
    electrons, a white reference with noise, column stripes. Dark current is taken as removed.

    Args:
        camera: Which camera.
        cube: (H, W, B) float32 light from each pixel relative to a white target; overwritten.
        lamp: (B,) spectrum of the lamp, 1 at its maximum.
        rng: Source of noise.

    Returns:
        (H, W, B) uint16 reflectance x 10,000.
    """
    height, width, bands = cube.shape
    across = np.linspace(-1.0, 1.0, width, dtype=np.float32)[:, None]
    along = np.linspace(-0.5, 0.5, bands, dtype=np.float32)
    step = np.gradient(camera.wavelengths).astype(np.float32)
    smile, keystone = camera.smile * across**2 / step, camera.keystone * along
    sensitivity = lamp * np.exp(-0.5 * ((camera.wavelengths - camera.peak) / camera.breadth) ** 2)
    full = (camera.electrons * sensitivity).astype(np.float32)
    # The white target is averaged over a hundred lines, so a tenth of one line's noise stays in every row.
    white = 1.0 + rng.standard_normal((width, bands), dtype=np.float32) * (0.1 / np.sqrt(full))
    scale = (1.0 + camera.stripe * rng.standard_normal((width, 1), dtype=np.float32)) / white * 10_000.0

    recorded = np.empty(cube.shape, dtype=np.uint16)
    _blur(cube, 0, camera.blur)
    for top in range(0, height, _ROWS):
        rows = cube[top : top + _ROWS]
        _blur(rows, 1, camera.blur)
        rows += np.gradient(rows, axis=1) * keystone
        rows += np.gradient(rows, axis=2) * smile
        np.maximum(rows, 0.0, out=rows)
        noise = rng.standard_normal(rows.shape, dtype=np.float32)
        noise *= np.sqrt(rows / full + (camera.read_noise / full) ** 2)
        rows += noise
        rows *= scale
        recorded[top : top + _ROWS] = np.clip(np.rint(rows, out=rows), 0, 65535)
    return recorded


def _blur(cube: np.ndarray, axis: int, weight: float) -> None:
    """3-tap point spread along one axis, edges repeated; in place."""
    moved = np.moveaxis(cube, axis, 0)
    before = np.concatenate((moved[:1], moved[:-1]))
    after = np.concatenate((moved[1:], moved[-1:]))
    before += after
    before *= np.float32(weight)
    moved *= np.float32(1 - 2 * weight)
    moved += before
