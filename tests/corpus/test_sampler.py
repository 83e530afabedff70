"""The stream of batches: stratified, without duplicates, resumable, the same for any number of ranks."""

from __future__ import annotations

import numpy as np
import pytest

from sslhsi.corpus.sampler import DomainSampler
from sslhsi.errors import InputError

CASES = [((100, 50, 20, 3), 64), ((1000,) * 7, 64), ((10, 10, 10), 30), ((64,), 64), ((9, 10, 11, 700), 40)]


def numbers(sizes: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))


@pytest.mark.parametrize(("sizes", "batch"), CASES)
def test_no_duplicates_and_a_fair_share_of_each_domain(sizes, batch):
    domains = numbers(sizes)
    sampler = DomainSampler(domains, batch, seed=3)
    drawn = np.zeros(len(sizes))
    for step in range(300):
        chosen = sampler.batch(step)
        assert len(chosen) == batch == len(np.unique(chosen))
        counts = np.bincount(domains[chosen], minlength=len(sizes))
        assert (np.abs(counts - sampler.shares) < 1).all()
        drawn += counts
    np.testing.assert_allclose(drawn / 300, sampler.shares, atol=0.02)
    assert sum(sampler.shares) == pytest.approx(batch)
    # Equal shares, except for domains that have no more to give.
    largest = max(sampler.shares)
    for share, size in zip(sampler.shares, sizes, strict=True):
        assert share == pytest.approx(largest) or share == size


@pytest.mark.parametrize("world", [1, 2, 4, 8])
def test_the_stream_does_not_depend_on_the_number_of_ranks(world):
    sampler = DomainSampler(numbers((200, 100, 30)), 32, seed=1)
    for step in (0, 1, 17, 400):
        parts = [DomainSampler(numbers((200, 100, 30)), 32, seed=1).indices(step, r, world) for r in range(world)]
        np.testing.assert_array_equal(np.concatenate(parts), sampler.batch(step))


def test_every_patch_is_seen_within_two_turns():
    sampler = DomainSampler(numbers((96, 64)), 32, seed=0)
    drawn = np.unique(np.concatenate([sampler.batch(step) for step in range(12)]))
    assert len(drawn) == 160


def test_seeds_differ():
    a, b = (DomainSampler(numbers((500, 500)), 64, seed=s).batch(5) for s in (0, 1))
    assert len(np.intersect1d(a, b)) < 32


def test_what_can_not_be_sampled():
    with pytest.raises(InputError, match="the corpus has 10"):
        DomainSampler(numbers((10,)), 16)
    with pytest.raises(InputError, match="use a multiple of 3"):
        DomainSampler(numbers((100,)), 16).indices(0, 0, 3)
