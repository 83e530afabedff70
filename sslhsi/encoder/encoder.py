"""A frozen backbone with all that is done to a spectrum before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from sslhsi.backbones.build import BackboneConfig, build_backbone
from sslhsi.bands.moments import Moments
from sslhsi.bands.projection import Projection
from sslhsi.corpus.reader import PatchReader
from sslhsi.encoder.strips import Components, WholeImage, corners, projected, stored, window_features
from sslhsi.errors import InputError
from sslhsi.scenes.labelled_array import unpack
from sslhsi.scenes.scene import check_cube

# Projected pixels, and features, that are held at a time.
STRIP_BYTES, FEATURE_BYTES = 64 << 20, 256 << 20


class Encoder:
    """Cubes of any camera -> features.

    Args:
        backbone: (N, K, S, S) -> (N, D); put into evaluation mode.
        projector: Bands of any camera -> K components.
        config: What the backbone is, or its keys: ``window`` S, ``border`` (``reflect``: one feature per pixel;
            ``inside``: windows that lie within the cube), and whatever else is worth keeping.
    """

    def __init__(
        self, backbone: nn.Module, projector: Projection, config: BackboneConfig | Mapping[str, Any]
    ) -> None:
        self.backbone, self.projector, self.config = backbone.eval(), projector, BackboneConfig.of(config)
        self.window = self.config.window
        self.num_features = int(backbone.num_features)  # type: ignore[arg-type]

    def to(self, device: torch.device | str) -> Encoder:
        """Move the network."""
        self.backbone.to(device)
        return self

    @property
    def name(self) -> str:
        """Which network it is, for tables."""
        return self.config.architecture or type(self.backbone).__name__

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
        batch_size: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> np.ndarray:
        """Features of a whole cube.

        Networks with :meth:`~sslhsi.backbones.base.Backbone.whole_image` share the work of neighbouring windows; the
        features are the same to rounding. Others, and large strides, go window by window.

        Args:
            cube: (H, W, B), any real dtype, memory-mapped or not.
            wavelengths: (B,) nm, needed when the backbone aligns by wavelength.
            mask: (H, W) pixels that per-scene statistics count; all when None.
            stride: Step between windows, in pixels.
            batch_size: Windows per forward pass; chosen by their size when None.
            progress: Called with the number of windows that are done, and of all.

        Returns:
            (H', W', D) float32. With border ``reflect`` there is one window around every pixel (H' = H at
            stride 1); otherwise H' = (H - window) // stride + 1.

        Raises:
            InputError: The camera does not cover the backbone's range, or the cube is smaller than a window.
        """
        scene = self._check(cube, wavelengths, mask)
        rows, columns = self._corners(scene, stride, self.config.border)
        out = np.empty((rows.size, columns.size, self.num_features), dtype=np.float32)
        for lines, features in self._strips(scene, rows, columns, stride, batch_size, progress):
            out[lines] = features
        return out

    def strips(
        self,
        cube: np.ndarray,
        wavelengths: np.ndarray | None = None,
        *,
        mask: np.ndarray | None = None,
        stride: int = 1,
        border: str | None = None,
        batch_size: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Iterator[tuple[slice, np.ndarray]]:
        """What :meth:`encode` gives, a strip of rows at a time, so that memory does not grow with the cube.

        Args:
            cube, wavelengths, mask, stride, batch_size, progress: See :meth:`encode`.
            border: ``reflect`` or ``inside``; the backbone's own when None.

        Returns:
            Row slice of the result and its (rows, W', D) float32 features, from the first row to the last.

        Raises:
            InputError: As for :meth:`encode`, before the first strip is asked for.
        """
        scene = self._check(cube, wavelengths, mask)
        rows, columns = self._corners(scene, stride, border or self.config.border)
        return self._strips(scene, rows, columns, stride, batch_size, progress)

    def _corners(self, scene: Components, stride: int, border: str | None) -> tuple[np.ndarray, np.ndarray]:
        """First row and first column of the windows."""
        height, width = scene.shape
        rows, columns = (corners(n, self.window, border == "reflect", stride) for n in (height, width))
        if not (rows.size and columns.size):
            raise InputError(f"the cube is {height}x{width}, smaller than the backbone's window of {self.window}")
        return rows, columns

    def _strips(
        self,
        scene: Components,
        rows: np.ndarray,
        columns: np.ndarray,
        stride: int,
        batch_size: int | None,
        progress: Callable[[int, int], None] | None,
    ) -> Iterator[tuple[slice, np.ndarray]]:
        advance = _counting(progress, rows.size * columns.size)
        whole = WholeImage.of(self.backbone, self.window)
        if whole and stride**2 > whole.gain:
            whole = None
        lines = max(1, self._lines(scene, columns.size, whole) // stride)
        across = (int(columns[0]), int(columns[-1]) + self.window)
        for start in range(0, rows.size, lines):
            some = rows[start : start + lines]
            strip = scene.strip((int(some[0]), int(some[-1]) + self.window), across)
            if whole:
                features = whole.features(strip, self.window, self.device, stride, advance)
            else:
                grid = np.meshgrid(some - some[0], columns - columns[0], indexing="ij")
                at = np.stack(grid, axis=-1).reshape(-1, 2)
                features = window_features(self.backbone, strip, at, self.window, self.device, batch_size, advance)
            yield slice(start, start + some.size), features.reshape(some.size, columns.size, -1)

    def _lines(self, scene: Components, columns: int, whole: WholeImage | None) -> int:
        """Rows of a strip, without what its windows overlap the next."""
        # No fewer than a window has: neighbouring strips project the rows between them twice.
        row = 4 * scene.shape[1] * self.projector.channels
        lines = max(self.window, STRIP_BYTES // row - self.window)
        lines = min(lines, max(1, FEATURE_BYTES // (4 * columns * self.num_features)))
        return min(lines, whole.tile) if whole else lines

    def encode_pixels(
        self,
        cube: np.ndarray,
        pixels: np.ndarray,
        wavelengths: np.ndarray | None = None,
        *,
        mask: np.ndarray | None = None,
        batch_size: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> np.ndarray:
        """(n, D) features of the windows around (n, 2) pixels, reflected at the border, as :meth:`encode` gives."""
        return self._pixels(self._check(cube, wavelengths, mask), pixels, batch_size, progress)

    def encode_components(self, components: np.ndarray, pixels: np.ndarray) -> np.ndarray:
        """What :meth:`encode_pixels` gives, of a scene that a corpus holds as (H, W, K) float16 components."""
        height, width = components.shape[:2]
        return self._pixels(Components((height, width), lambda top, bottom: components[top:bottom]), pixels)

    def _pixels(
        self,
        scene: Components,
        pixels: np.ndarray,
        batch_size: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> np.ndarray:
        pixels = np.asarray(pixels, dtype=np.int64).reshape(-1, 2)
        out = np.empty((len(pixels), self.num_features), dtype=np.float32)
        whole = WholeImage.of(self.backbone, self.window)
        strip_of = pixels[:, 0] // self._lines(scene, scene.shape[1], whole)
        advance = _counting(progress, len(pixels))
        for number in np.unique(strip_of):
            mine = np.flatnonzero(strip_of == number)
            corner = pixels[mine] - self.window // 2
            first, last = corner.min(axis=0), corner.max(axis=0)
            rows, columns = ((int(a), int(b) + self.window) for a, b in zip(first, last, strict=True))
            strip, at = scene.strip(rows, columns), corner - first
            # Where the pixels lie close together, a whole image costs less than their windows.
            if whole and np.prod(last - first + 1) <= whole.gain * len(mine):
                out[mine] = whole.features(strip, self.window, self.device)[tuple(at.T)]
                advance(len(mine))
            else:
                out[mine] = window_features(self.backbone, strip, at, self.window, self.device, batch_size, advance)
        return out

    def reader(
        self, cube: np.ndarray, wavelengths: np.ndarray | None = None, *, mask: np.ndarray | None = None
    ) -> PatchReader:
        """Windows of a projected cube as the backbone takes them; arguments and errors as for :meth:`encode`."""
        scene = self._check(cube, wavelengths, mask)
        return PatchReader([scene.rows(0, scene.shape[0])], self.window, device=self.device)

    def windows(self, pixels: np.ndarray) -> np.ndarray:
        """(n, 2) rows and columns -> (n, 3) windows around them, for :meth:`reader`."""
        corners = np.asarray(pixels, dtype=np.int64) - self.window // 2
        return np.column_stack([np.zeros(len(corners), np.int64), corners])

    def encode_spectra(
        self,
        spectra: np.ndarray,
        wavelengths: np.ndarray | None = None,
        *,
        moments: Moments | None = None,
        batch_size: int = 8192,
        progress: Callable[[int, int], None] | None = None,
    ) -> np.ndarray:
        """Features of single spectra without a place, for networks that look at one pixel.

        Args:
            spectra: (N, B), any real dtype, memory-mapped or not; or what ``sslhsi.read_spectra`` returns, which
                brings its wavelengths along.
            wavelengths: (B,) nm, needed when the backbone aligns by wavelength.
            moments: Statistics to standardise with, where the backbone standardises scenes; those of
                ``spectra`` when None.
            batch_size: Spectra per forward pass.
            progress: Called with the number of spectra that are done, and of all.

        Returns:
            (N, D) float32.

        Raises:
            InputError: The network needs a window, the projection needs neighbours, or as for :meth:`encode`.
        """
        if self.window > 1 and not getattr(self.backbone, "one_pixel", False):
            raise InputError(
                f"this backbone looks at windows of {self.window}x{self.window} pixels, and single spectra have no "
                "neighbours; give a cube to encode, or take a backbone of window 1 or cnn1d"
            )
        if self.projector.noise_whitening:
            raise InputError(
                "this backbone whitens noise, which is measured between neighbouring pixels, and single spectra have "
                "none; give a cube to encode, or take a backbone without noise_whitening"
            )
        spectra, wavelengths = unpack(spectra, wavelengths)
        spectra = np.asanyarray(spectra)
        if spectra.ndim != 2:
            raise InputError(f"spectra must be (number, bands), not {spectra.shape}")
        if not len(spectra):
            return np.zeros((0, self.num_features), dtype=np.float32)
        # One pixel a row, so that whatever streams over rows holds a few at a time.
        column = spectra[:, None]
        if moments is None and self.projector.per_scene:
            if len(spectra) < 2:
                raise InputError("one spectrum has no statistics to be standardised with; give several, or moments")
            moments = self.projector.scene_moments(column)
        if wavelengths is not None:
            wavelengths = np.asarray(wavelengths, dtype=np.float64)
        check_cube(column)
        out = np.empty((len(spectra), self.num_features), dtype=np.float32)
        for start in range(0, len(spectra), batch_size):
            part = column[start : start + batch_size]
            components = stored(self.projector.transform(part, wavelengths, moments=moments, scaled=True))
            with torch.inference_mode():
                batch = torch.from_numpy(components).permute(0, 2, 1)[..., None].float().to(self.device)
                out[start : start + len(part)] = self.backbone(batch).float().cpu().numpy()
            if progress:
                progress(start + len(part), len(spectra))
        return out

    def _check(self, cube: np.ndarray, wavelengths: Any, mask: np.ndarray | None) -> Components:
        """The arguments, and the scene's moments where the projection needs them."""
        cube, wavelengths = unpack(cube, wavelengths)
        cube = np.asanyarray(cube)
        mask = None if mask is None else np.asarray(mask)
        check_cube(cube, mask)
        if wavelengths is not None:
            wavelengths = np.asarray(wavelengths, dtype=np.float64)
        if self.projector.per_scene:
            moments = self.projector.scene_moments(cube, mask)
        else:
            # Projected about one spectrum, strips round as the whole cube does.
            moments = Moments(1, np.asarray(cube[:1], dtype=np.float64).mean(axis=(0, 1)), np.zeros((0, 0)))
        # Checks the camera before anything long starts.
        self.projector.affine(wavelengths, cube.shape[2], moments)
        return projected(self.projector, cube, wavelengths, moments)


def untrained(encoder: Encoder, seed: int = 0) -> Encoder:
    """The same network with random weights, behind the same projection.

    Raises:
        InputError: The backbone doesn't say which network it is.
    """
    network = build_backbone(encoder.config, encoder.projector.channels, seed=seed)
    return Encoder(network, encoder.projector, encoder.config).to(encoder.device)


def _counting(progress: Callable[[int, int], None] | None, total: int) -> Callable[[int], None]:
    """Adds up what parts report, and passes the sum on."""
    done = 0

    def advance(windows: int) -> None:
        nonlocal done
        done += windows
        if progress:
            progress(done, total)

    return advance
