"""Which patches make up a step: a stateless function of (seed, step, rank)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from sslhsi.errors import InputError


class DomainSampler:
    """Domain-stratified batches without duplicates, resumable at any step.

    Every global batch takes the same share from each domain (shares that don't divide take turns), and a
    domain is walked through in a random order that is drawn anew each time it has been used up. The
    global batch at a step depends on the seed and the step alone; rank r of w takes its r-th slice, so
    the stream is the same whatever the number of processes.

    Args:
        domains: (n,) domain number of each patch.
        batch_size: Global, over all ranks.
        seed: Of the random orders.

    Raises:
        InputError: A batch asks for more patches of a domain than it has.
    """

    def __init__(self, domains: np.ndarray, batch_size: int, seed: int = 0) -> None:
        self.batch_size, self.seed = batch_size, seed
        self.members = [np.flatnonzero(domains == d) for d in np.unique(domains)]
        if len(domains) < batch_size:
            raise InputError(
                f"a batch of {batch_size} needs as many different patches, the corpus has {len(domains)}; "
                "lower training.batch_size or corpus.patches.stride"
            )
        self.shares = self._shares()
        self._order = lru_cache(maxsize=2 * len(self.members))(self._draw_order)

    def _shares(self) -> list[float]:
        """Patches of each domain per batch: equal, except that a small domain gives no more than it has."""
        sizes = [len(m) for m in self.members]
        shares = [0.0] * len(sizes)
        left, open_ = float(self.batch_size), list(range(len(sizes)))
        while open_:
            equal = left / len(open_)
            full = [d for d in open_ if sizes[d] < np.ceil(equal)]
            if not full:
                for d in open_:
                    shares[d] = equal
                break
            for d in full:
                shares[d] = float(sizes[d])
                left -= sizes[d]
                open_.remove(d)
        return shares

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which as many patches are drawn as there are."""
        return max(1, sum(len(m) for m in self.members) // self.batch_size)

    def _counts(self, step: int) -> np.ndarray:
        """(domains + 1,) positions in the batch where each domain's part starts."""
        # Rounding the cumulated shares with an offset that moves on each step gives remainders in turn.
        bounds = np.concatenate([[0.0], np.cumsum(self.shares)])
        offset = (step * 0.6180339887498949) % 1.0
        inner = np.floor(bounds[1:-1] + offset).astype(int)
        return np.concatenate([[0], inner, [self.batch_size]])

    def _draw_order(self, domain: int, turn: int) -> np.ndarray:
        return np.random.default_rng([self.seed, domain, turn]).permutation(self.members[domain])

    def batch(self, step: int) -> np.ndarray:
        """(batch_size,) patch numbers of the global batch at a step, in random order."""
        counts = np.diff(self._counts(step))
        chosen = []
        for d, count in enumerate(counts):
            # A turn holds a whole number of the largest batches, so that no batch spans two orders.
            largest = int(np.ceil(self.shares[d] - 1e-9))
            per_turn = max(1, len(self.members[d]) // max(1, largest))
            turn, place = divmod(step, per_turn)
            start = place * largest
            chosen.append(self._order(d, turn)[start : start + count])
        batch = np.concatenate(chosen)
        return np.random.default_rng([self.seed, len(self.members), step]).permutation(batch)

    def indices(self, step: int, rank: int = 0, world: int = 1) -> np.ndarray:
        """(batch_size / world,) patch numbers of one rank."""
        if self.batch_size % world:
            raise InputError(
                f"a global batch of {self.batch_size} can't be shared by {world} processes; use a multiple of {world}"
            )
        share = self.batch_size // world
        return self.batch(step)[rank * share : (rank + 1) * share]
