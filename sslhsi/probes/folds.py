"""Validation parts of few training samples: used by every probe that chooses something."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

FOLDS = 5
MANY = 1000  # samples from which one fold is validation enough


def validation_folds(labels: np.ndarray, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Stratified folds of the training samples.

    Five folds; with more than 1,000 samples the first of them only, which is a fifth held out. A class
    with fewer samples than folds is in as many validation parts as it has samples, and a class with one
    sample is in none: every fitting part holds every class.

    Args:
        labels: (n,) class numbers.
        seed: Same seed, same folds.

    Yields:
        Indices to fit on and to validate on; nothing at all when every class has one sample.
    """
    rng = np.random.default_rng(seed)
    fold = np.full(labels.size, -1)
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        if members.size > 1:
            # The start differs by class, so that small classes don't all fall into the first folds.
            start = rng.integers(FOLDS) if members.size < FOLDS else 0
            fold[members] = (start + np.arange(members.size)) % FOLDS
    for part in range(1 if labels.size > MANY else FOLDS):
        if (fold == part).any():
            yield np.flatnonzero(fold != part), np.flatnonzero(fold == part)
