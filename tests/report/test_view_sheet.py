"""The view sheet shows each augmentation by itself, and nothing where it is off."""

import numpy as np
import pytest

from sslhsi.corpus.prepare import prepare
from sslhsi.recipe import Neighbours, Views
from sslhsi.report.pictures import shown_channels, thumbnail
from sslhsi.report.view_sheet import AUGMENTATIONS, neutral, only, strength, view_sheet

STRONG = {
    "crop": (0.3, 0.6),
    "flip": 1.0,
    "neighbours": Neighbours(radius=3),
    "scaling": 0.5,
    "gain": 0.5,
    "offset": 0.5,
    "noise": 0.5,
    "dropout": 0.5,
    "blur": 1.0,
}
OFF = {
    "crop": (1.0, 1.0),
    "flip": 0.0,
    "quarter_turns": False,
    "scaling": 0.0,
    "noise": 0.0,
    "dropout": 0.0,
    "blur": 0.0,
}


def column(sheet, name):
    return np.stack([row[sheet.columns.index(name)] for row in sheet.tiles])


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_an_augmentation_changes_its_column_and_only_when_it_is_on(corpus, make_recipe, name):
    patches = make_recipe().corpus.patches
    on = view_sheet(corpus, patches, only(Views(**STRONG), name))
    original = column(on, "original")
    for row, tile in zip(original, column(on, name), strict=True):
        assert np.abs(row - tile).max() > 0.01
    for other in set(AUGMENTATIONS) - {name}:
        np.testing.assert_array_equal(column(on, other), original)
    assert set(on.off) == set(AUGMENTATIONS) - {name}
    assert on.strengths[on.columns.index(name)] != "off"


def test_full_views_differ_from_the_original_and_from_each_other(corpus, make_recipe):
    sheet = view_sheet(corpus, make_recipe().corpus.patches, Views(**STRONG))
    original, first, second = (column(sheet, name) for name in ("original", "view 1", "view 2"))
    for a, b in ((original, first), (original, second), (first, second)):
        assert all(np.abs(x - y).max() > 0.01 for x, y in zip(a, b, strict=True))
    assert sheet.rows == corpus.domains


def test_everything_off_leaves_every_column_as_it_is(corpus, make_recipe):
    sheet = view_sheet(corpus, make_recipe().corpus.patches, Views(**OFF))
    for name in sheet.columns:
        np.testing.assert_array_equal(column(sheet, name), column(sheet, "original"))
    assert neutral(Views(**STRONG)).model_dump() == Views(**OFF).model_dump()


def test_no_more_rows_than_asked_for(make_recipe):
    recipe = make_recipe(domains=4)
    sheet = view_sheet(prepare(recipe), recipe.corpus.patches, recipe.views, rows=3)
    assert sheet.rows == ["crop <0>", "crop <2>", "crop <3>"]
    assert [len(row) for row in sheet.tiles] == [len(sheet.columns)] * 3


def test_strengths_are_the_recipes(make_recipe):
    views = Views(**STRONG)
    assert strength(views, "neighbours") == "up to 3 px"
    assert strength(views, "crop") == "area 0.3-0.6"
    assert strength(views, "blur") == "p 1, σ 0.3-1"
    assert strength(Views(flip=0.0, quarter_turns=True), "flip, turn") == "any turn"


@pytest.mark.parametrize(
    ("components", "channels"), [(1, (0, 0, 0)), (2, (0, 1, 1)), (4, (0, 1, 2)), (None, (9, 6, 3))]
)
def test_three_channels_are_shown_whatever_there_are(make_recipe, components, channels):
    recipe = make_recipe(components=components)
    corpus = prepare(recipe)
    assert shown_channels(corpus) == channels
    assert view_sheet(corpus, recipe.corpus.patches, recipe.views).tiles[0][0].shape == (8, 8, 3)


def test_a_thumbnail_marks_held_out_ground_and_stays_small(corpus):
    scene = corpus.scenes[0]
    plain = thumbnail(scene, (0, 1, 2), side=48)
    changed = (np.abs(plain - thumbnail(_without_strip(scene), (0, 1, 2), side=48)) > 1e-6).any(axis=2)
    np.testing.assert_array_equal(changed, np.asarray(scene.held))
    assert max(thumbnail(scene, (0, 1, 2), side=20).shape) <= 20


def _without_strip(scene):
    return type(scene)(**{**vars(scene), "held": np.zeros_like(np.asarray(scene.held))})
