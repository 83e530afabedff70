"""Splits of image sets: counted by class, balanced by label, and no content on both sides."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sslhsi.errors import InputError
from sslhsi.studies.adaptation.image_sets import Images
from sslhsi.studies.adaptation.image_split import split_images


def images(labels, digests=None, given=None):
    labels = np.asarray(labels)
    digests = np.arange(len(labels)) if digests is None else np.asarray(digests)
    names = tuple(f"{n}.png" for n in range(len(labels)))
    return Images("set", "real", names, labels, (), digests.astype("U24"), lambda n: None, given)


def test_so_many_per_class_and_the_rest_is_tested():
    labels = np.repeat([0, 1, 2, 3], [10, 6, 3, 1])
    drawn = split_images(images(labels), per_class=4, seed=1)
    assert np.bincount(labels[drawn.train]).tolist() == [4, 3, 1]
    assert np.bincount(labels[drawn.test]).tolist() == [6, 3, 2]
    assert (drawn.left_out, drawn.short) == (1, 2)
    assert not set(drawn.train) & set(drawn.test)
    again, other = (split_images(images(labels), per_class=4, seed=seed) for seed in (1, 2))
    assert again.train.tolist() == drawn.train.tolist()
    assert other.train.tolist() != drawn.train.tolist()


def test_a_share_of_every_class():
    labels = np.repeat([0, 1, 2], [50, 20, 5])
    drawn = split_images(images(labels), share=0.2)
    assert np.bincount(labels[drawn.train]).tolist() == [10, 4, 1]
    assert len(drawn.train) + len(drawn.test) == 75


def test_copies_are_never_on_both_sides_and_contradictions_on_none():
    rng = np.random.default_rng(0)
    digests = rng.integers(0, 40, 120)
    labels = digests % 3
    labels[np.flatnonzero(digests == 7)[:1]] = 0 if 7 % 3 else 1  # one copy of content 7 bears another label
    assert (digests == 7).sum() > 1
    for seed in range(5):
        drawn = split_images(images(labels, digests), share=0.5, seed=seed)
        train, test = set(digests[drawn.train]), set(digests[drawn.test])
        assert not train & test
        assert train | test == set(digests) - {7}
        assert len(drawn.train) + len(drawn.test) == len(train | test)
    assert any("copies of others" in note for note in drawn.notes)
    assert any("1 images have copies with other labels" in note for note in drawn.notes)


def test_given_lists_are_kept_but_for_training_copies_of_tested_images():
    labels = np.array([0, 0, 0, 1, 1, 1, 0, 1])
    digests = np.array([1, 2, 3, 4, 5, 6, 2, 7])
    given = (np.array([0, 1, 2, 3, 4]), np.array([5, 6, 7]))
    drawn = split_images(images(labels, digests, given))
    assert drawn.test.tolist() == [5, 6, 7]
    assert drawn.train.tolist() == [0, 2, 3, 4]
    assert any("1 training images are copies of test images" in note for note in drawn.notes)
    few = split_images(images(labels, digests, given), per_class=1, seed=3)
    assert few.test.tolist() == [5, 6, 7]
    assert sorted(labels[few.train]) == [0, 1]
    assert set(few.train) < set(drawn.train)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_every_label_gets_its_share(share):
    rng = np.random.default_rng(1)
    labels = (rng.random((400, 8)) < np.array([0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9])).astype(np.uint8)
    for seed in range(3):
        drawn = split_images(images(labels), share=share, seed=seed)
        assert abs(len(drawn.train) - share * 400) <= 8
        off = np.abs(labels[drawn.train].sum(0) - share * labels.sum(0))
        # Drawn without regard to labels, the spread of the most frequent ones would be about 4 to 5.
        assert (off <= 3).all(), off


@pytest.mark.parametrize(
    ("change", "how", "words"),
    [
        ({"labels": None}, {"share": 0.5}, "no labels"),
        ({"labels": np.eye(6, dtype=np.uint8)}, {"per_class": 2}, "several labels"),
        ({}, {}, "per_class or shares"),
        ({"labels": np.arange(6)}, {"per_class": 1}, "nothing is left"),
    ],
)
def test_splits_that_cannot_be_are_told(change, how, words):
    with pytest.raises(InputError, match=words):
        split_images(replace(images([0, 0, 0, 1, 1, 1]), **change), **how)
