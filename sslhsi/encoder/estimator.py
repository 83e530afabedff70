"""A scikit-learn transformer of spectra: the spectral projection, and a backbone on it where one is given."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from sslhsi.bands.moments import Moments, moments
from sslhsi.bands.projection import Projection
from sslhsi.bands.projector import SpectralProjector
from sslhsi.encoder.encoder import Encoder
from sslhsi.encoder.load import load_backbone
from sslhsi.errors import InputError
from sslhsi.scenes.labelled_array import unpack
from sslhsi.scenes.scene import Scene

DEFAULT_COMPONENTS = 30


class SpectralEncoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Spectra (n, B) of one camera -> components, or a backbone's features (n, D).

    Without a backbone, ``fit`` learns the spectral projection of these spectra: resampling to a grid, every band
    brought to mean 0 and variance 1, principal components. With one, whose network looks at single pixels, ``fit``
    learns the statistics that the backbone standardises with, and no more. ``transform`` treats every spectrum by
    itself, with what ``fit`` learned, so that nothing of test spectra leaks in cross-validation. Labels are not used.

    For networks that look at windows, take ``encoder.encode_pixels(cube, pixels)`` and give its features to
    scikit-learn.

    Args:
        backbone: None, a folder, a hub id, or an ``Encoder``.
        wavelengths: (B,) band centres in nm; None aligns bands by index. Needed by a backbone that aligns by
            wavelength.
        components: Number of components without a backbone; None: 30, or as many as there are bands and spectra.
        grid: Points of the spectral grid without a backbone; None: as many as bands.
        standardize: Without a backbone: bring every band to variance 1 first.

    Attributes:
        projector_: The fitted projection.
        n_features_in_: Bands, B.
    """

    def __init__(
        self,
        backbone: str | Path | Encoder | None = None,
        wavelengths: Any = None,
        components: int | None = None,
        grid: int | None = None,
        standardize: bool = True,
    ) -> None:
        self.backbone = backbone
        self.wavelengths = wavelengths
        self.components = components
        self.grid = grid
        self.standardize = standardize

    projector_: Projection
    encoder_: Encoder | None
    moments_: Moments | None
    n_features_in_: int

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn from spectra (n, B), an array or as ``read_spectra`` returns them, n and B at least 2; no ``y``."""
        X = validate_data(
            self, unpack(X, None)[0], dtype=[np.float64, np.float32], ensure_min_samples=2, ensure_min_features=2
        )
        cube, centres = X[:, None], self._centres()
        if self.backbone is None:
            self.encoder_ = None
            grid = X.shape[1] if self.grid is None else self.grid
            most = min(X.shape[0], X.shape[1], grid)
            components = min(DEFAULT_COMPONENTS, most) if self.components is None else self.components
            if components > most:
                raise InputError(
                    f"components={components}: {X.shape[0]} spectra of {X.shape[1]} bands on a grid of {grid} allow "
                    f"{most} at most"
                )
            projector = SpectralProjector(
                grid=grid,
                components=components,
                align="index" if centres is None else "wavelength",
                standardize="scene" if self.standardize else "none",
                scope="all",
            )
            self.moments_ = moments(cube)
            self.projector_ = projector.fit_moments([Scene("the spectra", cube, centres)], [self.moments_])
        else:
            given = self.backbone if isinstance(self.backbone, Encoder) else load_backbone(self.backbone)
            self.encoder_, self.projector_ = given, given.projector
            self.moments_ = moments(cube) if self.projector_.per_scene else None
            # A network that needs windows, or a camera that doesn't fit, is known here.
            given.encode_spectra(X[:2], centres, moments=self.moments_)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Spectra (n, B) -> components (n, K) in the dtype of ``X``, or features (n, D) float32."""
        check_is_fitted(self)
        X = validate_data(self, unpack(X, None)[0], dtype=[np.float64, np.float32], reset=False)
        centres = self._centres()
        if self.encoder_ is not None:
            return self.encoder_.encode_spectra(X, centres, moments=self.moments_)
        matrix, offset = self.projector_.affine(centres, X.shape[1], self.moments_, "the spectra")
        return (X @ matrix + offset).astype(X.dtype, copy=False)

    @property
    def _n_features_out(self) -> int:
        return self.projector_.channels if self.encoder_ is None else self.encoder_.num_features

    def _centres(self) -> np.ndarray | None:
        if self.wavelengths is None:
            return None
        centres = np.asarray(self.wavelengths, dtype=np.float64)
        if centres.shape != (self.n_features_in_,):
            raise InputError(f"wavelengths are {centres.shape}, the spectra have {self.n_features_in_} bands")
        return centres

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        if self.backbone is None:
            tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        else:
            tags.transformer_tags.preserves_dtype = []
        return tags
