"""Smoothed probabilities are what brute force averages."""

from __future__ import annotations

import numpy as np
import pytest

from sslhsi.errors import InputError
from sslhsi.probes.context import smooth

RNG = np.random.default_rng(0)


def brute_force(values, window, valid, guide):
    height, width, _ = values.shape
    reach = window // 2

    def mirrored(i, length):
        period = max(1, 2 * (length - 1))
        return min(i % period, period - i % period) if length > 1 else 0

    def distance(a, b):
        return float(np.square(guide[a] - guide[b]).mean())

    sides = [((r, c), (r + 1, c)) for r in range(height - 1) for c in range(width)]
    sides += [((r, c), (r, c + 1)) for r in range(height) for c in range(width - 1)]
    middle = np.median([distance(a, b) for a, b in sides if valid[a] and valid[b]]) if guide is not None else 1
    out = values.copy()
    for row in range(height):
        for column in range(width):
            total, weights = np.zeros(values.shape[2]), 0.0
            for down in range(-reach, reach + 1):
                for across in range(-reach, reach + 1):
                    at = mirrored(row + down, height), mirrored(column + across, width)
                    if valid[at]:
                        weight = 1.0 if guide is None else np.exp(-distance((row, column), at) / (2 * middle))
                        total, weights = total + weight * values[at], weights + weight
            if weights:
                out[row, column] = total / weights
    return out


@pytest.mark.parametrize("window", [1, 3, 9])
@pytest.mark.parametrize("guided", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.4])
def test_windows_are_averaged_as_by_brute_force(window, guided, share):
    values = RNG.dirichlet([1, 1, 1], (11, 13))
    valid = RNG.random((11, 13)) >= share
    guide = RNG.normal(size=(11, 13, 4)) if guided else None
    if guided:
        # Where a pixel is not valid itself nothing says what it resembles.
        guide[~valid] = 0
    found = smooth(values, window, valid, guide)
    np.testing.assert_allclose(found, brute_force(values, window, valid, guide), atol=1e-12)
    np.testing.assert_allclose(found.sum(axis=2), 1)


def test_edges_stay_where_the_guide_has_them():
    side = np.repeat([[0, 0, 0, 0, 0, 1, 1, 1, 1, 1]], 10, axis=0)
    guide = side[..., None] * 100.0 + RNG.normal(size=(10, 10, 3))
    probabilities = np.stack([1 - side, side], axis=2) * 0.9 + 0.05
    noisy = probabilities.copy()
    noisy[3, 4] = [0.0, 1.0]
    plain, guided = smooth(noisy, 9), smooth(noisy, 9, guide=guide)
    assert np.array_equal(guided.argmax(axis=2), side)
    assert guided[5, 4, 0] > 0.8 > plain[5, 4, 0]


def test_masked_pixels_spoil_nothing():
    values = np.full((7, 7, 2), 0.5)
    values[2, 2] = np.nan
    valid = np.isfinite(values).all(axis=2)
    assert np.isfinite(smooth(values, 3, valid)).all()


def test_bad_input_is_one_sentence():
    with pytest.raises(InputError, match="odd window"):
        smooth(np.ones((4, 4, 2)), 4)
    with pytest.raises(InputError, match="one shape"):
        smooth(np.ones((4, 4, 2)), 3, np.ones((4, 5), bool))
