"""What a run trains on: windows of a prepared corpus, which of them make up a step, and their views."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch

from sslhsi.corpus.corpus import Corpus
from sslhsi.corpus.reader import PatchReader
from sslhsi.corpus.sampler import DomainSampler
from sslhsi.errors import InputError
from sslhsi.methods.base import Batch, Method
from sslhsi.recipe import Recipe
from sslhsi.views import make_views, margin


class TrainingData(NamedTuple):
    """The patches of a corpus, and how many steps are made of them."""

    corpus: Corpus
    windows: np.ndarray  # (n, 3) scene, row, column
    sampler: DomainSampler
    steps: int  # of the whole run

    @classmethod
    def of(cls, recipe: Recipe, corpus: Corpus, world: int) -> TrainingData:
        """The patches that a recipe asks for.

        Raises:
            InputError: There are fewer than a batch takes, or the processes can't share a batch.
        """
        windows, training = corpus.windows(recipe.corpus.patches), recipe.training
        sampler = DomainSampler(corpus.domain_numbers(windows), training.batch_size, recipe.seed)
        sampler.indices(0, world=world)
        return cls(corpus, windows, sampler, training.steps or (training.epochs or 0) * sampler.steps_per_epoch)


class Batches:
    """The batch of any step, on the device of this process: a function of (seed, step, rank).

    Args:
        recipe: Seed, window and views.
        data: What the batches are made of.
        method: Says what is done to each view.
        device: Where the views shall be.
        rank, world: This process and their number.

    Raises:
        InputError: The method learns from labels, and there are none.
    """

    def __init__(
        self, recipe: Recipe, data: TrainingData, method: Method, device: torch.device, rank: int = 0, world: int = 1
    ) -> None:
        self.data, self.device, self.rank, self.world = data, device, rank, world
        self.settings = method.view_settings(recipe.views)
        self.seed, window = recipe.seed, recipe.corpus.patches.window
        self.reader = PatchReader(data.corpus.arrays, window, margin(self.settings), device)
        self.component_spread = torch.from_numpy(data.corpus.component_spread).to(device)
        self.labels: np.ndarray | None = None
        if method.uses_labels:
            self.labels = data.corpus.centre_labels(data.windows, window)
            if not (self.labels >= 0).any():
                raise InputError(
                    f"method.name: {recipe.method.name} learns from labels, and no window of the pretraining scenes "
                    "has one; give labels to a scene under corpus.scenes that is not held out, or take "
                    "method.name=simclr"
                )

    def __call__(self, step: int) -> Batch:
        chosen = self.data.sampler.indices(step, self.rank, self.world)
        windows = self.data.windows[chosen]
        first, total = self.rank * len(windows), self.world * len(windows)
        views = make_views(
            self.reader(windows),
            self.settings,
            component_spread=self.component_spread,
            zero_spectrum=torch.from_numpy(self.data.corpus.zero_spectrum(windows)).to(self.device),
            seed=self.seed,
            step=step,
            first=first,
            total=total,
        )
        batch = Batch(views, step, self.data.steps, first, total, self.seed)
        if self.labels is None:
            return batch
        scenes = windows[:, 0].astype(np.int64)
        labels, scenes = (torch.from_numpy(numbers).to(self.device) for numbers in (self.labels[chosen], scenes))
        return batch._replace(labels=labels, scenes=scenes)

    def windows_of(self, step: int) -> np.ndarray:
        """(n, 3) windows of the global batch of a step."""
        return self.data.windows[self.data.sampler.batch(step)]


def ahead(batches: Callable[[int], Batch], start: int, steps: int) -> Iterator[Batch]:
    """The batches of the steps from ``start`` on, each made by a thread while the network works on the one before.

    A batch is a function of its step alone, so that nothing depends on how far the thread is. What goes wrong there
    is raised here, at the step that it belongs to. The thread computes with a quarter of this one's threads: it takes
    a small part of a step, and more of them would stand in the network's way.

    Args:
        batches: The batch of a step; it draws no number from PyTorch's global stream.
        start, steps: The first step, and the number of steps of the whole run.

    Examples:
        >>> list(ahead(lambda step: 10 * step, 2, 5))
        [20, 30, 40]
    """
    threads = torch.get_num_threads()
    with ThreadPoolExecutor(1, "batches") as pool:
        # A thread's number is its alone, but is also the one that later threads begin with.
        pool.submit(torch.set_num_threads, max(1, threads // 4)).result()
        torch.set_num_threads(threads)
        coming: Future[Batch] | None = None
        for step in range(start, steps):
            batch = (coming or pool.submit(batches, step)).result()
            coming = pool.submit(batches, step + 1) if step + 1 < steps else None
            yield batch
