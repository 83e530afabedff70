"""Where windows may lie, against a brute-force search."""

from __future__ import annotations

import numpy as np
import pytest

from sslhsi.corpus.holdout import holdout_map
from sslhsi.corpus.windows import window_positions
from sslhsi.recipe import SceneSource


@pytest.mark.parametrize("window", [1, 4, 7])
@pytest.mark.parametrize("stride", [1, 3])
def test_inside_equals_brute_force(window, stride):
    rng = np.random.default_rng(window)
    foreground, barred = rng.random((17, 23)) < 0.6, rng.random((17, 23)) < 0.02
    expected = []
    for row in range(0, 17 - window + 1, stride):
        for column in range(0, 23 - window + 1, stride):
            part = (slice(row, row + window), slice(column, column + window))
            if not barred[part].any() and foreground[part].mean() >= 0.5:
                expected.append((row, column))
    result = window_positions(foreground, barred, window=window, stride=stride, min_foreground=0.5)
    np.testing.assert_array_equal(result, np.array(expected, dtype=np.int32).reshape(-1, 2))


def test_reflected_windows_surround_every_free_foreground_pixel():
    rng = np.random.default_rng(0)
    foreground, barred = rng.random((12, 15)) < 0.7, np.zeros((12, 15), dtype=bool)
    barred[:, 11:] = True
    result = window_positions(foreground, barred, window=5, stride=1, border="reflect")
    expected = [(r - 2, c - 2) for r, c in np.argwhere(foreground) if c + 2 < 11]
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("border", ["inside", "reflect"])
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_strip_as_tall_as_a_window_offers_windows_side_by_side(axis, first, border):
    """At either end of the scene, wherever the scene's own grid would fall."""
    barred = np.ones((31, 31), dtype=bool)
    strip = slice(0, 9) if first else slice(22, 31)
    barred[(strip, slice(None)) if axis == 0 else (slice(None), strip)] = False
    result = window_positions(
        np.ones_like(barred), barred, window=9, stride=9, min_foreground=0.5, border=border, from_first=True
    )
    assert len(result) >= 3
    assert sorted(set(np.diff(np.unique(result[:, 1 - axis])))) == [9]
    for row, column in result:
        assert not barred[max(0, row) : row + 9, max(0, column) : column + 9].any()


def test_a_scene_smaller_than_the_window_offers_none():
    assert len(window_positions(np.ones((4, 40), bool), np.zeros((4, 40), bool), window=5, stride=1)) == 0


def test_the_held_out_strip_is_compact_and_of_the_size_asked():
    source = SceneSource(path="a.npy", name="a")
    held = holdout_map(source, (40, 100), 0.25, shared_site=False, seed=0)
    assert held.sum() == 40 * 25
    columns = np.flatnonzero(held.any(axis=0))
    assert columns[-1] - columns[0] == 24
    assert held[:, columns].all()
    assert not holdout_map(source, (40, 100), 0.25, shared_site=True, seed=0).any()
    assert holdout_map(source.model_copy(update={"holdout": True}), (4, 4), 0.0, False, 0).all()
