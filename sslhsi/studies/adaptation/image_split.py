"""Splits of image sets: stratified by class or by label, and copies of a file never on both sides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sslhsi.errors import InputError
from sslhsi.studies.adaptation.image_sets import Images


@dataclass(frozen=True)
class ImageSplit:
    """Training and test images.

    Args:
        train: (n,) numbers of images, ascending.
        test: (m,) numbers of images, ascending.
        left_out: Classes that are on neither side: fewer than two images.
        short: Classes with fewer training images than asked.
        notes: What was left out, in sentences.
    """

    train: np.ndarray
    test: np.ndarray
    left_out: int = 0
    short: int = 0
    notes: tuple[str, ...] = ()


def split_images(
    images: Images, *, per_class: int | None = None, share: float | None = None, seed: int = 0
) -> ImageSplit:
    """Divide labelled images into training and test images.

    Of several files with the same content only the first is used, and none where they bear different labels. Where
    the set brings its lists, all of its test list is tested, and training images that are copies of a test
    image are left out.

    Args:
        images: Labelled.
        per_class: Training images per class, half of a class at most; for single labels.
        share: Share that trains, between 0 and 1: of every class, or of images with every label (iterative
            stratification: Sechidis et al., ECML PKDD 2011). Neither: the whole training list.
        seed: Same seed, same split.

    Raises:
        InputError: There are no labels, ``per_class`` for several labels, or nothing is left on a side.
    """
    if images.labels is None:
        raise InputError(f"{images.name}: has no labels to test on; give class folders, or a table as labels")
    if per_class is not None and images.multilabel:
        raise InputError(f"{images.name}: images bear several labels, so per_class means nothing; give shares")
    if per_class is None and share is None and images.given is None:
        raise InputError(f"{images.name}: has no lists; give per_class or shares")
    rng = np.random.default_rng(seed)
    if images.given is None:
        pool, notes = _distinct(images, np.arange(len(images)))
        test = None
    else:
        listed, test = images.given
        pool, notes = _distinct(images, listed)
        copies = np.isin(images.digests[pool], images.digests[test])
        if copies.any():
            notes.append(f"{images.name}: {copies.sum()} training images are copies of test images, left out")
        pool = pool[~copies]
    left_out = short = 0
    if images.multilabel:
        labels = images.labels[pool]
        chosen = np.ones(pool.size, dtype=bool) if share is None else _by_label(labels, share, rng)
    else:
        chosen = np.zeros(pool.size, dtype=bool)
        used = np.zeros(pool.size, dtype=bool)
        for number in np.unique(images.labels):
            members = rng.permutation(np.flatnonzero(images.labels[pool] == number))
            keep = 1 if images.given is None else 0  # for testing
            most = members.size - keep if per_class is None else (members.size // 2 if keep else members.size)
            want = per_class if share is None else round(share * members.size)
            want = members.size if want is None else max(1, want)
            if most < 1:
                left_out += 1
                continue
            short += per_class is not None and most < per_class
            used[members] = True
            chosen[members[: min(want, most)]] = True
        if test is None:
            chosen, pool = chosen[used], pool[used]
    train = pool[chosen]
    test = pool[~chosen] if test is None else test
    if not (train.size and test.size):
        raise InputError(
            f"{images.name}: nothing is left to {'test' if train.size else 'train'} on; change the share"
        )
    return ImageSplit(np.sort(train), np.sort(test), left_out, short, tuple(notes))


def _distinct(images: Images, among: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """The first of every content, where all copies bear the same label; and what was left out."""
    assert images.labels is not None
    labels = images.labels[among].reshape(among.size, -1)
    _, first, which = np.unique(images.digests[among], return_index=True, return_inverse=True)
    differs = np.zeros(first.size, dtype=bool)
    np.logical_or.at(differs, which, (labels != labels[first][which]).any(axis=1))
    notes = []
    if (copies := among.size - first.size) > 0:
        notes.append(f"{images.name}: {copies} images are copies of others, left out")
    if differs.any():
        notes.append(f"{images.name}: {differs.sum()} images have copies with other labels, left out with them")
    return np.sort(among[first[~differs]]), notes


def _by_label(labels: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """(n,) booleans: ``share`` of the samples, and of those with each label, as nearly as can be."""
    sides = np.array([share, 1 - share])
    wanted = sides[:, None] * labels.sum(axis=0)  # (2, L) samples with a label that a side still lacks
    room = sides * len(labels)
    open_, chosen = np.ones(len(labels), dtype=bool), np.zeros(len(labels), dtype=bool)
    while open_.any():
        left = labels[open_].sum(axis=0)
        label = int(np.where(left > 0, left, np.iinfo(np.int64).max).argmin()) if left.any() else None
        members = np.flatnonzero(open_ if label is None else open_ & (labels[:, label] > 0))
        for sample in rng.permutation(members):
            needs = room if label is None else wanted[:, label]
            tied = needs == needs.max()
            side = int(np.where(tied, room, -np.inf).argmax())
            chosen[sample] = side == 0
            wanted[:, labels[sample] > 0] -= np.eye(2)[side][:, None]
            room[side] -= 1
            open_[sample] = False
    return chosen
