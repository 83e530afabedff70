"""Principal components on a common spectral grid, as a single matrix per camera."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, Self

import numpy as np
from safetensors.numpy import load_file

from sslhsi.bands.moments import Moments, moments, pool
from sslhsi.bands.projection import PROJECTIONS, Projection, register_projection
from sslhsi.bands.resample import band_positions, common_grid, resampling_matrix
from sslhsi.errors import InputError
from sslhsi.scenes.scene import Scene

_SETTINGS = ("grid", "components", "align", "whiten", "noise_whitening", "quietest_share", "standardize", "scope")
# What projector.json of 0.1 calls them.
_FORMERLY = {"denoise": "noise_whitening", "quiet": "quietest_share"}
# The kind of folders that were written before there was more than one.
FIRST = "pca"
_ARRAYS = ("axis", "mean", "basis", "variances", "ratio")


class Camera(Protocol):
    """What the grid needs to know of a scene."""

    @property
    def name(self) -> str: ...
    @property
    def bands(self) -> int: ...
    @property
    def wavelengths(self) -> np.ndarray | None: ...


@register_projection(FIRST)
class SpectralProjector(Projection):
    """Resampling, standardisation, centring and PCA, fused into one affine map per scene.

    Interpolation onto the grid is a matrix W (G, B), standardisation a diagonal, PCA a matrix P (G, K):
    so a raw spectrum s becomes ``s @ M + b`` with M of shape (B, K), and the covariance on the grid is
    W C W^T with C the raw (B, B) covariance. Nothing is interpolated or flattened in memory.

    Args:
        grid: Number of points on the common spectral axis.
        components: K; None keeps the resampled bands themselves (then K = grid, nothing is centred).
        align: ``wavelength`` (nm; the range that all cameras share) or ``index`` (relative band number).
        whiten: Power of the whitening: False or 0 none, True or 1 unit variances, between them a part.
        noise_whitening: Power of a noise whitening, scene by scene: 1 brings the noise of the components (what
            neighbouring pixels don't share) to unit covariance in every scene, without turning the axes.
        quietest_share: Share of the neighbouring pairs, the quietest, that count as noise; 1 takes all, edges too.
        standardize: ``scene`` brings every band of every scene to mean 0 and variance 1 by itself first.
        scope: Pixels to fit on: ``all``, ``foreground`` (the scene's mask), or ``train`` (foreground
            pixels that are not held out; see ``fit``).

    Attributes:
        axis: (G,) positions of the grid: nm, or relative index.
        mean: (G,) mean on the grid.
        basis: (G, K) orthonormal columns; the largest entry of each is positive, as in scikit-learn.
        variances: (K,) variances of the components before whitening (divided by n - 1).
        ratio: (K,) share of the total variance.
        pixels: Number of pixels that it was fitted on.

    Examples:
        >>> rng = np.random.default_rng(0)
        >>> cameras = [
        ...     Scene(f"{bands} bands", rng.random((8, 9, bands)), np.linspace(400, 1000, bands))
        ...     for bands in (40, 61)
        ... ]
        >>> projector = SpectralProjector(grid=32, components=6).fit(cameras)
        >>> [projector.transform(camera.cube, camera.wavelengths).shape for camera in cameras]
        [(8, 9, 6), (8, 9, 6)]
    """

    def __init__(
        self,
        grid: int = 256,
        components: int | None = 30,
        align: Literal["wavelength", "index"] = "wavelength",
        whiten: bool | float = False,
        noise_whitening: float = 0.0,
        quietest_share: float = 1.0,
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
        if not 0 <= noise_whitening <= 1:
            raise InputError(f"noise_whitening={noise_whitening}: use a power between 0 and 1")
        if noise_whitening and (components is None or whiten):
            raise InputError(
                "noise_whitening works on components that are not whitened; give components, and whiten=0"
            )
        if not 0 < quietest_share <= 1:
            raise InputError(f"quietest_share={quietest_share}: use a share above 0 and up to 1")
        self.noise_whitening, self.quietest_share = float(noise_whitening), float(quietest_share)
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
    def learned(self) -> bool:
        """False without components: the resampled bands themselves."""
        return self.components is not None

    @property
    def wavelength_range(self) -> tuple[float, float] | None:
        """Ends of the grid in nm; None when aligned by index."""
        if self.align == "index" or self.axis is None:
            return None
        return float(self.axis[0]), float(self.axis[-1])

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
        return self.standardize == "scene" or self.noise_whitening > 0

    @property
    def scale(self) -> float:
        """One number that brings components to order one for a network (and for float16)."""
        # Noise whitening ends in units of the noise.
        return 1.0 if self.noise_whitening else float(np.sqrt(np.max(self.variances * self.gains**2)))

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

    def fit_moments(self, scenes: Sequence[Camera], parts: Sequence[Moments]) -> Self:
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
        self, wavelengths: np.ndarray | None, bands: int, moments: Moments | None = None, where: str = "the cube"
    ) -> tuple[np.ndarray, np.ndarray]:
        """The fused map of one camera: ``components = spectrum @ matrix + offset``.

        Args:
            wavelengths: (B,) nm, or None when aligned by index.
            bands: B.
            moments: The scene's, needed where ``per_scene`` says so (with ``noise`` to whiten noise).
            where: Name of the scene, for messages.

        Returns:
            (B, K) and (K,), float64.
        """
        if self.axis is None:
            raise InputError("the projector is not fitted; call fit or load first")
        positions = band_positions(wavelengths, bands, self.align, where)
        matrix, offset = self._to_grid(positions, moments, where)
        if self.components is None:
            return matrix, offset
        matrix, offset = matrix @ self.basis * self.gains, (offset - self.mean) @ self.basis * self.gains
        if self.noise_whitening:
            assert moments is not None
            assert moments.noise is not None
            turned = noise_whitening_matrix(matrix.T @ moments.noise @ matrix, self.noise_whitening)
            matrix, offset = matrix @ turned, offset @ turned
        return matrix, offset

    def state(self) -> dict[str, Any]:
        """Settings and provenance, as plain JSON values."""
        return {key: getattr(self, key) for key in (*_SETTINGS, "pixels")} | {"scale": self.scale}

    def arrays(self) -> dict[str, np.ndarray]:
        """``axis``, ``mean``, ``basis``, ``variances`` and ``ratio``."""
        if self.axis is None:
            raise InputError("the projector is not fitted; there is nothing to save")
        return {key: getattr(self, key) for key in _ARRAYS}

    def content(self) -> bytes:
        """As 0.1 hashed it, so that results name the same backbone as before."""
        former = {new: old for old, new in _FORMERLY.items()}
        state = {former.get(key, key): value for key, value in self.state().items()}
        parts = [np.asarray(self.arrays()[key], dtype=np.float32).tobytes() for key in ("axis", "mean", "basis")]
        return b"".join([json.dumps(state, sort_keys=True, default=str).encode(), *parts])

    @classmethod
    def from_state(cls, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Self:
        """From what ``state`` and ``arrays`` gave, or a projector.json of 0.1."""
        settings = {_FORMERLY.get(key, key): value for key, value in state.items() if key not in ("scale", "pixels")}
        projector = cls(**settings)
        projector.pixels = state["pixels"]
        for key in _ARRAYS:
            setattr(projector, key, arrays[key])
        return projector

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what ``save`` wrote.

        Raises:
            InputError: The folder holds no projection, or one of another kind.
        """
        projection = load_projection(folder)
        if not isinstance(projection, cls):
            raise InputError(f"{folder}: holds a projection of kind {projection.kind!r}; use load_projection")
        return projection


def load_projection(folder: str | Path) -> Projection:
    """Read what :meth:`Projection.save` wrote, whichever kind it is.

    Raises:
        InputError: The folder holds no projection, or one of a kind that is not known here.
    """
    folder = Path(folder)
    try:
        state = json.loads((folder / "projector.json").read_text())
        arrays = load_file(folder / "projector.safetensors")
        kind = state.pop("kind", FIRST)
        if kind not in PROJECTIONS:
            raise InputError(
                f"{folder}: projector.json is of kind {kind!r}, known here are {', '.join(PROJECTIONS)}; import the "
                "module that registers it first"
            )
        return PROJECTIONS[kind].from_state(state, arrays)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{folder}: not a saved projector ({error}); give a folder that holds one") from None


def noise_whitening_matrix(covariance: np.ndarray, power: float) -> np.ndarray:
    """Symmetric (K, K) matrix that brings a noise covariance to its (1 - power)-th power, at mean variance 1.

    Symmetric (ZCA), so that a component stays the one it was and scenes remain comparable.
    """
    values, vectors = np.linalg.eigh(covariance)
    # Directions without noise (synthetic or resampled bands) would be blown up without bound.
    values = np.maximum(values, max(1e-4 * values.max(), np.finfo(float).tiny))
    matrix = (vectors * values ** (-power / 2)) @ vectors.T
    return matrix * np.sqrt(len(values) / (values ** (1 - power)).sum())
