"""From any camera's bands to one spectral space, as a single matrix per camera."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from sslhsi.bands.moments import Moments, moments, pool
from sslhsi.bands.resample import band_positions, common_grid, resampling_matrix
from sslhsi.bands.stripes import over_stripes
from sslhsi.errors import InputError
from sslhsi.scenes.scene import Scene


class SpectralProjector:
    """Resampling, standardisation, centring and PCA, fused into one affine map per scene.

    Interpolation onto the grid is a matrix W (G, B), standardisation a diagonal, PCA a matrix P (G, K):
    so a raw spectrum s becomes ``s @ M + b`` with M of shape (B, K), and the covariance on the grid is
    W C W^T with C the raw (B, B) covariance. Nothing is interpolated or flattened in memory.

    Args:
        grid: Number of points on the common spectral axis.
        components: K; None keeps the resampled bands themselves (then K = grid, nothing is centred).
        align: ``wavelength`` (nm; the range that all cameras share) or ``index`` (relative band number).
        whiten: Power of the whitening: False or 0 none, True or 1 unit variances, between them a part.
        denoise: Power of a noise whitening, scene by scene: 1 brings the noise of the components (what
            neighbouring pixels don't share) to unit covariance in every scene, without turning the axes.
        quiet: Share of the neighbouring pairs, the quietest, that count as noise; 1 takes all, edges too.
        standardize: ``scene`` brings every band of every scene to mean 0 and variance 1 by itself first.
        scope: Pixels to fit on: ``all``, ``foreground`` (the scene's mask), or ``train`` (foreground
            pixels that are not held out; see ``fit``).

    Attributes:
        axis: (G,) positions of the grid: nm, or relative index.
        mean: (G,) mean on the grid.
        basis: (G, K) orthonormal columns; the largest entry of each is positive, as in scikit-learn.
        variances: (K,) variances of the components before whitening (divided by n - 1).
        ratio: (K,) share of the total variance.
        pixels: Number of pixels that the fit saw.
    """

    def __init__(
        self,
        grid: int = 256,
        components: int | None = 30,
        align: Literal["wavelength", "index"] = "wavelength",
        whiten: bool | float = False,
        denoise: float = 0.0,
        quiet: float = 1.0,
        standardize: Literal["none", "scene"] = "none",
        scope: Literal["all", "foreground", "train"] = "foreground",
    ) -> None:
        if align not in ("wavelength", "index"):
            raise InputError(f"align={align!r}: use 'wavelength' or 'index'")
        if standardize not in ("none", "scene"):
            raise InputError(f"standardize={standardize!r}: use 'none' or 'scene'")
        if components is not None and not 1 <= components <= grid:
            raise InputError(f"components={components}: use 1 to {grid} (the grid), or None for bands")
        if not 0 <= float(whiten) <= 1:
            raise InputError(f"whiten={whiten}: use a power between 0 and 1")
        if not 0 <= denoise <= 1:
            raise InputError(f"denoise={denoise}: use a power between 0 and 1")
        if denoise and (components is None or whiten):
            raise InputError("denoise works on components that are not whitened; give components, and whiten=0")
        if not 0 < quiet <= 1:
            raise InputError(f"quiet={quiet}: use a share above 0 and up to 1")
        self.denoise, self.quiet = float(denoise), float(quiet)
        self.grid, self.components, self.align = grid, components, align
        self.whiten, self.standardize, self.scope = float(whiten), standardize, scope
        self.axis: np.ndarray | None = None
        self.mean: np.ndarray = np.zeros(grid)
        self.basis: np.ndarray = np.eye(grid)
        self.variances: np.ndarray = np.ones(grid)
        self.ratio: np.ndarray = np.zeros(0)
        self.pixels = 0

    @property
    def channels(self) -> int:
        """K of the projected cubes."""
        return self.components or self.grid

    @property
    def gains(self) -> np.ndarray:
        """(K,) factors of the whitening."""
        if self.components is None:
            return np.ones(self.grid)
        floor = np.finfo(np.float32).eps * self.variances.max(initial=0.0)
        return np.maximum(self.variances, max(floor, np.finfo(float).tiny)) ** (-self.whiten / 2)

    @property
    def per_scene(self) -> bool:
        """Whether the map of a scene depends on the scene's own moments."""
        return self.standardize == "scene" or self.denoise > 0

    @property
    def scale(self) -> float:
        """One number that brings components to order one for a network (and for float16)."""
        # Noise whitening ends in units of the noise.
        return 1.0 if self.denoise else float(np.sqrt(np.max(self.variances * self.gains**2)))

    def fit(self, scenes: Sequence[Scene], train: Sequence[np.ndarray | None] | None = None) -> Self:
        """Fit grid and PCA on scenes of any cameras.

        Args:
            scenes: The scenes; each is streamed once.
            train: For ``scope="train"``: an (H, W) mask of usable pixels per scene, or None for all.

        Raises:
            InputError: No scene, no pixel, or cameras whose ranges don't overlap.
        """
        masks = [self.fit_mask(s, train[i] if train else None) for i, s in enumerate(scenes)]
        parts = [moments(s.cube, mask) for s, mask in zip(scenes, masks, strict=True)]
        return self.fit_moments(scenes, parts)

    def fit_mask(self, scene: Scene, train: np.ndarray | None = None) -> np.ndarray | None:
        """(H, W) pixels that the scope takes from a scene; None = all."""
        mask = None if self.scope == "all" else scene.mask
        if self.scope == "train" and train is not None:
            mask = train if mask is None else mask & train
        return mask

    def fit_moments(self, scenes: Sequence[Scene], parts: Sequence[Moments]) -> Self:
        """Fit on moments already taken, one per scene (summed over processes, say)."""
        if not scenes:
            raise InputError("there is no scene to fit the projection on")
        positions = [band_positions(s.wavelengths, s.bands, self.align, s.name) for s in scenes]
        self.axis = common_grid(positions, self.grid, self.align)
        on_grid = []
        for scene, where, raw in zip(scenes, positions, parts, strict=True):
            if raw.count:
                matrix, offset = self._to_grid(where, raw, scene.name)
                on_grid.append(Moments(raw.count, raw.mean @ matrix + offset, matrix.T @ raw.covariance @ matrix))
        if not on_grid:
            raise InputError(f"no pixel is left to fit the projection on (scope {self.scope!r})")
        total = pool(on_grid)
        if not np.isfinite(total.covariance).all():
            raise InputError("the spectra hold values that are not finite; mask those pixels or drop those bands")
        self.pixels = total.count
        if self.components is None:
            self.variances = np.diag(total.covariance).copy()
            return self
        self.mean = total.mean
        unbiased = total.count / max(1, total.count - 1)
        values, vectors = np.linalg.eigh(total.covariance * unbiased)
        values, vectors = values[::-1].clip(0.0), vectors[:, ::-1]
        basis = vectors[:, : self.components]
        largest = np.abs(basis).argmax(axis=0)
        self.basis = basis * np.where(basis[largest, np.arange(basis.shape[1])] < 0, -1.0, 1.0)
        self.variances = values[: self.components]
        self.ratio = self.variances / max(values.sum(), np.finfo(float).tiny)
        return self

    def _to_grid(self, positions: np.ndarray, raw: Moments | None, where: str) -> tuple[np.ndarray, np.ndarray]:
        """(B, G) matrix and (G,) offset from raw bands to the grid, standardised if asked."""
        assert self.axis is not None
        matrix = resampling_matrix(positions, self.axis, where).T
        if self.standardize == "none":
            return matrix, np.zeros(self.grid)
        assert raw is not None
        spread = raw.spread
        # A constant band carries nothing; dividing by its rounding noise would make it loud.
        usable = spread > 1e-6 * max(float(np.abs(raw.mean).max(initial=0.0)), np.finfo(float).tiny)
        inverse = np.divide(1.0, spread, out=np.zeros_like(spread), where=usable)
        matrix = inverse[:, None] * matrix
        return matrix, -(raw.mean @ matrix)

    def affine(
        self, wavelengths: np.ndarray | None, bands: int, raw: Moments | None = None, where: str = "the cube"
    ) -> tuple[np.ndarray, np.ndarray]:
        """The fused map of one camera: ``components = spectrum @ matrix + offset``.

        Args:
            wavelengths: (B,) nm, or None when aligned by index.
            bands: B.
            raw: The scene's moments, needed where ``per_scene`` says so (with ``noise`` to denoise).
            where: Name of the scene, for messages.

        Returns:
            (B, K) and (K,), float64.
        """
        if self.axis is None:
            raise InputError("the projector is not fitted; call fit or load first")
        positions = band_positions(wavelengths, bands, self.align, where)
        matrix, offset = self._to_grid(positions, raw, where)
        if self.components is None:
            return matrix, offset
        matrix, offset = matrix @ self.basis * self.gains, (offset - self.mean) @ self.basis * self.gains
        if self.denoise:
            assert raw is not None
            assert raw.noise is not None
            turned = noise_whitening(matrix.T @ raw.noise @ matrix, self.denoise)
            matrix, offset = matrix @ turned, offset @ turned
        return matrix, offset

    def transform(
        self,
        cube: np.ndarray,
        wavelengths: np.ndarray | None = None,
        mask: np.ndarray | None = None,
        raw: Moments | None = None,
        out: np.ndarray | None = None,
        scaled: bool = False,
    ) -> np.ndarray:
        """Project a cube, block by block.

        Args:
            cube: (H, W, B), any real dtype.
            wavelengths: (B,) nm, or None when aligned by index.
            mask: (H, W) pixels whose statistics standardise or denoise the scene; all when None.
            raw: Those statistics, where they are at hand already.
            out: (H, W, K) array to fill, possibly memory-mapped; a float32 array when None.
            scaled: Divide by ``scale``, as networks get it.

        Returns:
            (H, W, K).
        """
        check_cube(cube, mask)
        if self.per_scene and raw is None:
            raw = self.scene_moments(cube, mask)
        if raw is not None and not raw.count:
            raise InputError("the mask leaves no pixel to standardise the cube with")
        matrix, offset = self.affine(wavelengths, cube.shape[2], raw)
        factor = 1.0 / self.scale if scaled else 1.0
        # Project about the mean spectrum: float32 products then lose nothing to a large offset.
        shift = raw.mean if raw else np.asarray(cube[:1], dtype=np.float64).mean(axis=(0, 1))
        # A pixel that is not finite must spoil no other.
        shift = np.where(np.isfinite(shift), shift, 0.0).astype(np.float32)
        constant = ((shift @ matrix + offset) * factor).astype(np.float32)
        weights = (matrix * factor).astype(np.float32)
        if out is None:
            out = np.empty((*cube.shape[:2], self.channels), dtype=np.float32)
        filled = out

        def project(part: Sequence[slice]) -> None:
            size = (max(rows.stop - rows.start for rows in part), cube.shape[1])
            room, scores = np.empty((*size, cube.shape[2]), np.float32), np.empty((*size, len(constant)), np.float32)
            for rows in part:
                n = rows.stop - rows.start
                centred = np.subtract(cube[rows], shift, out=room[:n], dtype=np.float32)
                np.matmul(centred, weights, out=scores[:n])
                np.add(scores[:n], constant, out=scores[:n])
                # NumPy converts to float16 one number at a time.
                filled[rows] = (
                    torch.from_numpy(scores[:n]).half().numpy() if filled.dtype == np.float16 else scores[:n]
                )

        over_stripes(cube, project)
        return out

    def scene_moments(self, cube: np.ndarray, mask: np.ndarray | None = None) -> Moments:
        """All that the map of a scene needs to know of it."""
        found = moments(cube, None if mask is None else mask.astype(bool), noise=self.quiet if self.denoise else 0.0)
        if found.count and not np.isfinite(found.covariance).all():
            raise InputError("the cube holds values that are not finite; give a mask that leaves those pixels out")
        if found.noise is not None and not found.noise.any():
            raise InputError("neighbouring pixels of the cube do not differ, so that there is no noise to whiten")
        return found

    def state(self) -> dict[str, Any]:
        """Settings and provenance, as plain JSON values."""
        keys = ("grid", "components", "align", "whiten", "denoise", "quiet", "standardize", "scope", "pixels")
        return {key: getattr(self, key) for key in keys} | {"scale": self.scale}

    def save(self, folder: str | Path) -> None:
        """Write projector.json and projector.safetensors."""
        if self.axis is None:
            raise InputError("the projector is not fitted; there is nothing to save")
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        arrays = {k: np.ascontiguousarray(getattr(self, k)) for k in ("axis", "mean", "basis", "variances", "ratio")}
        save_file(arrays, folder / "projector.safetensors")
        (folder / "projector.json").write_text(json.dumps(self.state(), indent=2) + "\n")

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what ``save`` wrote."""
        folder = Path(folder)
        try:
            state = json.loads((folder / "projector.json").read_text())
            arrays = load_file(folder / "projector.safetensors")
            state.pop("scale")
            pixels = state.pop("pixels")
            projector = cls(**state)
            for key, value in arrays.items():
                setattr(projector, key, value)
        except InputError:
            raise
        except Exception as error:
            raise InputError(f"{folder}: not a saved projector ({error}); give a folder that holds one") from None
        projector.pixels = pixels
        return projector


def check_cube(cube: np.ndarray, mask: np.ndarray | None = None) -> None:
    """Refuse what is no (H, W, B) cube of real numbers, or a mask that doesn't lie on it."""
    if cube.ndim != 3 or 0 in cube.shape:
        raise InputError(f"a cube must be (height, width, bands), not {cube.shape}")
    if cube.dtype.kind not in "biuf":
        raise InputError(f"a cube must hold real numbers, not {cube.dtype}")
    if mask is not None and mask.shape != cube.shape[:2]:
        raise InputError(f"the mask is {mask.shape}, the cube is {cube.shape[:2]}")


def noise_whitening(covariance: np.ndarray, power: float) -> np.ndarray:
    """Symmetric (K, K) matrix that brings a noise covariance to its (1 - power)-th power, at mean variance 1.

    Symmetric (ZCA), so that a component stays the one it was and scenes remain comparable.
    """
    values, vectors = np.linalg.eigh(covariance)
    # Directions without noise (synthetic or resampled bands) would be blown up without bound.
    values = np.maximum(values, max(1e-4 * values.max(), np.finfo(float).tiny))
    matrix = (vectors * values ** (-power / 2)) @ vectors.T
    return matrix * np.sqrt(len(values) / (values ** (1 - power)).sum())
