"""What a spectrum goes through before a network: the seam that corpus, encoder, hub and ONNX export go through."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self, TypeVar

import numpy as np
import torch
from safetensors.numpy import save_file

from sslhsi.bands.moments import Moments
from sslhsi.bands.moments import moments as moments_of
from sslhsi.bands.stripes import over_stripes
from sslhsi.errors import InputError
from sslhsi.scenes.scene import check_cube

PROJECTIONS: dict[str, type[Projection]] = {}
T = TypeVar("T", bound="type[Projection]")


class Projection(Protocol):
    """Any camera's bands -> K channels, by one matrix per camera (or scene): ``spectrum @ matrix + offset``.

    A new one inherits from here, is entered with :func:`register_projection`, and writes ``channels``,
    ``affine``, ``state``, ``arrays`` and ``from_state``; all else follows from these.

    Attributes:
        kind: Its name in projector.json.
        scope: Which pixels it was fitted on: ``all``, ``foreground``, ``train``, or ``none``.
        noise_whitening: Power of a noise whitening, scene by scene; above 0 channels are in units of the noise.
        quietest_share: Share of the neighbouring pairs, the quietest, that count as noise.
        ratio: (K,) share of the variance in each channel; empty where that is not known.
    """

    kind: ClassVar[str] = ""
    scope: str = "none"
    noise_whitening: float = 0.0
    quietest_share: float = 1.0
    ratio: np.ndarray = np.zeros(0)

    @property
    @abstractmethod
    def channels(self) -> int:
        """K of the projected cubes."""

    @property
    def per_scene(self) -> bool:
        """Whether the map of a scene depends on the scene's own moments."""
        return False

    @property
    def learned(self) -> bool:
        """False where channels are resampled bands as they are, so that no pixel has shaped them."""
        return True

    @property
    def scale(self) -> float:
        """Divides the channels for a network, which wants numbers of order one (and so does float16)."""
        return 1.0

    @property
    def wavelength_range(self) -> tuple[float, float] | None:
        """Lowest and highest wavelength in nm that a camera must cover; None: any camera fits."""
        return None

    @abstractmethod
    def affine(
        self, wavelengths: np.ndarray | None, bands: int, moments: Moments | None = None, where: str = "the cube"
    ) -> tuple[np.ndarray, np.ndarray]:
        """The map of one camera.

        Args:
            wavelengths: (B,) nm, or None where they are not known.
            bands: B.
            moments: The scene's, needed where ``per_scene`` says so.
            where: Name of the scene, for messages.

        Returns:
            (B, K) and (K,), float64.

        Raises:
            InputError: The camera does not fit.
        """

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Settings and provenance, as plain JSON values."""

    @abstractmethod
    def arrays(self) -> dict[str, np.ndarray]:
        """What it has learned, by name.

        Raises:
            InputError: It is not fitted.
        """

    @classmethod
    @abstractmethod
    def from_state(cls, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Self:
        """From what ``state`` and ``arrays`` gave."""

    def content(self) -> bytes:
        """All that the map depends on, for hashes."""
        arrays = self.arrays()
        parts = [np.ascontiguousarray(arrays[name]).tobytes() for name in sorted(arrays)]
        return b"".join([json.dumps(self.state(), sort_keys=True).encode(), *parts])

    def save(self, folder: str | Path) -> None:
        """Write projector.json and projector.safetensors, which ``load_projection`` reads."""
        arrays = {name: np.ascontiguousarray(value) for name, value in self.arrays().items()}
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        save_file(arrays, folder / "projector.safetensors")
        (folder / "projector.json").write_text(json.dumps({"kind": self.kind, **self.state()}, indent=2) + "\n")

    def scene_moments(self, cube: np.ndarray, mask: np.ndarray | None = None) -> Moments:
        """All that the map of a scene may need to know of it.

        Args:
            cube: (H, W, B).
            mask: (H, W) pixels to count; all when None.

        Raises:
            InputError: The cube holds values that are not finite, or no noise where noise is to be whitened.
        """
        share = self.quietest_share if self.noise_whitening else 0.0
        measured = moments_of(cube, None if mask is None else mask.astype(bool), noise=share)
        if measured.count and not np.isfinite(measured.covariance).all():
            raise InputError("the cube holds values that are not finite; give a mask that leaves those pixels out")
        if measured.noise is not None and not measured.noise.any():
            raise InputError("neighbouring pixels of the cube do not differ, so that there is no noise to whiten")
        return measured

    def centred(
        self,
        cube: np.ndarray,
        wavelengths: np.ndarray | None = None,
        moments: Moments | None = None,
        *,
        scaled: bool = False,
        where: str = "the cube",
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The map of a cube about a spectrum of its own: ``(spectrum - shift) @ weights + constant``.

        Float32 products then lose nothing to a large offset.

        Returns:
            (B,), (B, K) and (K,), float32.
        """
        matrix, offset = self.affine(wavelengths, cube.shape[2], moments, where)
        factor = 1.0 / self.scale if scaled else 1.0
        shift = moments.mean if moments else np.asarray(cube[:1], dtype=np.float64).mean(axis=(0, 1))
        # A pixel that is not finite must spoil no other.
        shift = np.where(np.isfinite(shift), shift, 0.0).astype(np.float32)
        constant = ((shift @ matrix + offset) * factor).astype(np.float32)
        return shift, (matrix * factor).astype(np.float32), constant

    def transform(
        self,
        cube: np.ndarray,
        wavelengths: np.ndarray | None = None,
        mask: np.ndarray | None = None,
        moments: Moments | None = None,
        out: np.ndarray | None = None,
        scaled: bool = False,
    ) -> np.ndarray:
        """Project a cube, block by block.

        Args:
            cube: (H, W, B), any real dtype.
            wavelengths: (B,) nm, or None where they are not known.
            mask: (H, W) pixels whose statistics count where the map depends on the scene; all when None.
            moments: Those statistics, where they are at hand already.
            out: (H, W, K) array to fill, possibly memory-mapped; a float32 array when None.
            scaled: Divide by ``scale``, as networks get it.

        Returns:
            (H, W, K).

        Raises:
            InputError: The camera does not fit, or the mask leaves no pixel.
        """
        check_cube(cube, mask)
        if self.per_scene and moments is None:
            moments = self.scene_moments(cube, mask)
        if moments is not None and not moments.count:
            raise InputError("the mask leaves no pixel to standardise the cube with")
        shift, weights, constant = self.centred(cube, wavelengths, moments, scaled=scaled)
        if out is None:
            out = np.empty((*cube.shape[:2], self.channels), dtype=np.float32)
        filled = out

        def project(part: Sequence[slice]) -> None:
            size = (max(rows.stop - rows.start for rows in part), cube.shape[1])
            room, scores = np.empty((*size, cube.shape[2]), np.float32), np.empty((*size, len(constant)), np.float32)
            for rows in part:
                n = rows.stop - rows.start
                # Converted first: NumPy subtracts numbers of two kinds piece by piece.
                np.copyto(room[:n], cube[rows], casting="same_kind")
                np.subtract(room[:n], shift, out=room[:n])
                np.matmul(room[:n], weights, out=scores[:n])
                np.add(scores[:n], constant, out=scores[:n])
                # NumPy converts to float16 one number at a time.
                filled[rows] = (
                    torch.from_numpy(scores[:n]).half().numpy() if filled.dtype == np.float16 else scores[:n]
                )

        over_stripes(cube, project)
        return out


def register_projection(kind: str) -> Callable[[T], T]:
    """Class decorator: enter a projection under the name that projector.json bears."""

    def enter(cls: T) -> T:
        cls.kind = kind
        PROJECTIONS[kind] = cls
        return cls

    return enter
