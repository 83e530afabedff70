"""Background masks: what counts as foreground, and the errors when nothing does."""

from __future__ import annotations

import numpy as np
import pytest

from sslhsi.corpus.masks import background_mask
from sslhsi.errors import InputError
from sslhsi.scenes.scene import Scene


def _disc(noise: float = 5.0) -> tuple[Scene, np.ndarray]:
    """A bright disc on a dark table, with isolated hot and dead pixels."""
    rng = np.random.default_rng(0)
    row, column = np.mgrid[:80, :90]
    disc = (row - 40) ** 2 + (column - 45) ** 2 < 25**2
    cube = np.where(disc, 200.0, 20.0)[..., None] + rng.normal(scale=noise, size=(80, 90, 12))
    cube[5, 5] = cube[70, 80] = 250  # specks
    cube[40, 45] = cube[38, 50] = 10  # holes
    return Scene("disc", cube.astype(np.float32)), disc


def test_otsu_finds_the_bright_thing_without_specks_and_holes() -> None:
    scene, disc = _disc()
    assert (background_mask(scene, "otsu") == disc).all()


def test_every_method_stays_within_the_scenes_own_mask() -> None:
    scene, disc = _disc()
    given = np.zeros(disc.shape, dtype=bool)
    given[:40] = True
    scene = scene.with_(mask=given)
    assert (background_mask(scene, "none") == given).all()
    assert (background_mask(scene, "nodata") == given).all()
    assert (background_mask(scene, "otsu") == (disc & given)).all()
    assert given[:40].all()  # the scene's own array is untouched
    assert not given[40:].any()


def test_holes_are_never_filled_with_pixels_that_hold_no_data() -> None:
    scene, disc = _disc()
    scene.cube[40, 45] = np.nan
    mask = background_mask(scene, "otsu")
    assert not mask[40, 45]
    assert mask.sum() == disc.sum() - 1


def test_nodata_takes_out_empty_and_broken_pixels_only() -> None:
    cube = np.random.default_rng(1).integers(1, 100, size=(6, 7, 5)).astype(np.float32)
    cube[0] = 0  # empty row
    cube[1, :, :4] = 0  # one band still holds data
    cube[2, 3, 2] = np.nan
    cube[3, 3, 0] = np.inf
    expected = np.ones((6, 7), dtype=bool)
    expected[0] = expected[2, 3] = expected[3, 3] = False
    assert (background_mask(Scene("s", cube), "nodata") == expected).all()
    cube[4, 4] = -9999
    expected[0] = True
    expected[4, 4] = False
    assert (background_mask(Scene("s", cube), "nodata", nodata=-9999) == expected).all()


def test_nan_as_nodata_and_integer_cubes() -> None:
    cube = np.ones((4, 5, 3))
    cube[1, 1] = np.nan
    assert background_mask(Scene("s", cube), "nodata", nodata=float("nan")).sum() == 19
    counts = np.ones((4, 5, 3), dtype=np.uint16)
    counts[2, 2] = 0
    assert background_mask(Scene("s", counts), "nodata").sum() == 19


def test_blocks_of_rows_give_the_same_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    scene, _ = _disc()
    whole = background_mask(scene, "otsu")
    monkeypatch.setattr("sslhsi.corpus.masks.BLOCK_VALUES", 90 * 12 * 7)
    assert (background_mask(scene, "otsu") == whole).all()


@pytest.mark.parametrize(
    ("cube", "mask", "method"),
    [
        (np.ones((4, 4, 3)), np.zeros((4, 4), dtype=bool), "none"),
        (np.zeros((4, 4, 3)), None, "nodata"),
        (np.full((4, 4, 3), np.nan), None, "otsu"),
        (np.ones((4, 4, 3)), None, "otsu"),
    ],
)
def test_no_foreground_is_an_error_that_names_the_scene(
    cube: np.ndarray, mask: np.ndarray | None, method: str
) -> None:
    with pytest.raises(InputError, match=r"scene 'bare': no foreground pixel is left"):
        background_mask(Scene("bare", cube, mask=mask), method)


def test_unknown_method_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match="none, nodata, otsu"):
        background_mask(Scene("s", np.ones((2, 2, 2))), "bright")
