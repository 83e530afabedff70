"""Moments of short integers in float32: the same numbers as in float64, whatever the values are like."""

from __future__ import annotations

import numpy as np
import pytest

from sslhsi.bands.moments import moments

RNG = np.random.default_rng(0)
SMOOTH = np.cumsum(RNG.normal(scale=20, size=(60, 30, 40)), axis=2) + 3000


def with_outliers() -> np.ndarray:
    """Smooth spectra, and a few pixels far off that a sample of rows is not sure to hold."""
    cube = SMOOTH.copy()
    cube[13, :9, ::2] = 65_000
    return cube.astype(np.uint16)


CUBES = {
    "smooth": SMOOTH.astype(np.int16),
    "8 bits": (SMOOTH / 20).astype(np.uint8),
    "a jump between detectors": (SMOOTH + 9000 * (np.arange(40) > 17) * RNG.random((60, 30, 1))).astype(np.uint16),
    "outliers": with_outliers(),
    "noise over the whole range": RNG.integers(-(1 << 15), 1 << 15, (60, 30, 40), dtype=np.int16),
    "one band": SMOOTH[..., :1].astype(np.uint16),
    "constant": np.full((5, 4, 3), 65_535, np.uint16),
}


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", CUBES)
def test_covariance_of_short_integers_is_exact(name, masked):
    cube = CUBES[name]
    mask = (np.indices(cube.shape[:2]).sum(axis=0) % 3 > 0) & (np.arange(len(cube)) > 1)[:, None] if masked else None
    got = moments(cube, mask)
    # Whole numbers in Python's own integers, which never round.
    flat = (cube.reshape(-1, cube.shape[2]) if mask is None else cube[mask]).astype(object)
    count, total = len(flat), flat.sum(axis=0)
    exact = (count * (flat.T @ flat) - np.outer(total, total)).astype(float) / count**2
    assert got.count == count
    np.testing.assert_allclose(got.mean, total.astype(float) / count, rtol=1e-12, atol=1e-11)
    spread = np.sqrt(np.diag(exact))
    assert (abs(got.covariance - exact) <= 1e-14 * np.outer(spread, spread) + 1e-11).all()


def test_no_pixel_that_counts():
    got = moments(CUBES["smooth"], np.zeros((60, 30), bool))
    assert got.count == 0
    assert not got.covariance.any()
