"""Work on rows by many threads: the same sums on any number of them."""

from __future__ import annotations

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from sslhsi.bands import stripes
from sslhsi.bands.moments import moments
from sslhsi.bands.projector import SpectralProjector
from sslhsi.scenes.scene import Scene


@pytest.fixture
def cube(monkeypatch):
    # Blocks of a few rows, so that there are more than stripes.
    monkeypatch.setattr(stripes, "BLOCK_BYTES", 4 * 31 * 12 * 3)
    return np.random.default_rng(0).integers(0, 5000, (170, 31, 12)).astype(np.uint16)


def test_stripes_hold_every_row_once_and_in_order(cube):
    parts = stripes.over_stripes(cube, lambda part: [row for rows in part for row in range(rows.start, rows.stop)])
    assert len(parts) == stripes.STRIPES
    assert [row for part in parts for row in part] == list(range(len(cube)))


def test_sums_do_not_depend_on_the_number_of_threads(cube):
    result = []
    for threads in (1, 2, 5):
        with threadpool_limits(threads, "blas"):
            result.append(moments(cube, noise=0.7))
    for other in result[1:]:
        for name in ("mean", "covariance", "noise"):
            np.testing.assert_array_equal(getattr(result[0], name), getattr(other, name))
    flat = cube.reshape(-1, 12).astype(float)
    np.testing.assert_allclose(result[0].covariance, np.cov(flat.T, bias=True), rtol=1e-12, atol=1e-6)


def test_half_precision_is_that_of_numpy(cube):
    projector = SpectralProjector(12, 4, align="index").fit([Scene("a", cube)])
    plain = projector.transform(cube, scaled=True)
    half = projector.transform(cube, scaled=True, out=np.empty(plain.shape, np.float16))
    np.testing.assert_array_equal(half, plain.astype(np.float16))


def test_an_error_in_one_stripe_is_raised(cube):
    def work(part):
        if part[0].start:
            raise ValueError("row 3")

    with pytest.raises(ValueError, match="row 3"):
        stripes.over_stripes(cube, work)


def test_numpy_error_settings_hold_within(cube):
    def work(part):
        return float(np.float32(1e30) * np.float32(1e30))

    with np.errstate(over="raise"), threadpool_limits(2, "blas"), pytest.raises(FloatingPointError):
        stripes.over_stripes(cube, work)
