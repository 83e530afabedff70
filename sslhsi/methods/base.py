"""What a self-supervised method is: a module around a backbone that turns views of a batch into a loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from sslhsi.recipe import Views
from sslhsi.recipe_file import Section
from sslhsi.views import hash_seed

# Sets a method's own random numbers apart from those of the views, whose streams are numbered from 0.
METHOD_STREAM = 1 << 32


class Batch(NamedTuple):
    """The views of one step, and where this process stands in the global batch."""

    views: Sequence[Tensor]  # each (n, K, S, S), samples in the same order
    step: int  # 0 for the first optimiser step
    steps: int  # of the whole run
    first: int  # place of the first sample in the global batch
    total: int  # samples of the global batch
    seed: int  # of the run
    # For methods with ``uses_labels`` alone, (n,) each: class number of the pixel at each window's centre, -1 where
    # it has none or is held out, and the number of its scene.
    labels: Tensor | None = None
    scenes: Tensor | None = None

    def uniform(self, *shape: int) -> Tensor:
        """(n, *shape) numbers in [0, 1) on the views' device, for masks and the like.

        They depend on seed, step and place in the global batch, not on the number of processes. Every call
        in a step gives the same numbers: ask once for as many as are needed.

        Examples:
            >>> views = [torch.zeros(8, 3, 5, 5)] * 2
            >>> whole = Batch(views, step=0, steps=10, first=0, total=8, seed=0)
            >>> half = whole._replace(views=[view[4:] for view in views], first=4)
            >>> torch.equal(half.uniform(6), whole.uniform(6)[4:])
            True
        """
        generator = torch.Generator().manual_seed(hash_seed(self.seed, self.step, METHOD_STREAM))
        numbers = torch.rand(self.total, *shape, generator=generator)
        like = self.views[0]
        return numbers[self.first : self.first + len(like)].to(like.device, non_blocking=True)


class Method(nn.Module):
    """Base of the methods: a subclass under ``@register_method("its_name")`` writes ``__init__`` and ``forward``.

    All that lasts between steps is a parameter or a persistent buffer, and what the optimiser must leave alone
    has ``requires_grad=False``: then it is on the device, a checkpoint is a state dict, and a run that was
    killed goes on bit for bit. Random numbers come from :meth:`Batch.uniform`. The loss is the mean over this
    process's samples of what one process would compute for them in the global batch, so that its mean over
    processes is that process's loss; where samples meet those of others, they are gathered
    (:func:`sslhsi.methods.gather.gather_rows`).

    Args:
        backbone: (N, K, S, S) -> (N, ``num_features``); kept under this name, for the exported weights.
        options: The method's own settings.
    """

    class Options(Section):
        """Settings of the method, ``method.options`` of a recipe."""

    uses_labels: ClassVar[bool] = False  # True: batches bring ``labels`` and ``scenes``
    columns: ClassVar[tuple[str, ...]] = ()  # further columns of metrics.csv, those of ``forward``
    backbone: nn.Module

    def __init__(self, backbone: nn.Module, options: Any) -> None:
        super().__init__()
        self.backbone = backbone

    def view_settings(self, views: Views) -> Sequence[Views]:
        """What is done to each view, given the recipe's ``views``; two of the same by default."""
        return views, views

    def forward(self, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Loss of this process's samples, and scalars for ``columns``, without gradient."""
        raise NotImplementedError

    def after_step(self, step: int, steps: int) -> None:
        """Called after the optimiser's step, for moving averages.

        Args:
            step: 0 for the first optimiser step.
            steps: Length of the run.
        """

    def exported(self) -> nn.Module:
        """The network to keep and to evaluate."""
        return self.backbone


class JointEmbedding(Method):
    """A method whose loss is a function of all views' embeddings alone, made by one network.

    Gradient caching (``training.micro_batch``) works for these: the backbone sees the batch in parts, head and
    criterion the whole of it.
    """

    head: nn.Module  # (N, num_features) -> (N, D)
    criterion: Callable[..., Tensor]  # (n, D) embeddings of each view -> loss

    def embed(self, x: Tensor) -> Tensor:
        """(N, K, S, S) -> (N, D)."""
        return self.head(self.backbone(x))

    def loss(self, embeddings: Tensor, views: int) -> Tensor:
        """The criterion of (views x n, D) stacked embeddings, at least in float32 whatever autocast says."""
        with torch.autocast(embeddings.device.type, enabled=False):
            return self.criterion(*embeddings.to(torch.promote_types(embeddings.dtype, torch.float32)).chunk(views))

    def forward(self, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        return self.loss(self.embed(torch.cat(tuple(batch.views))), len(batch.views)), {}


METHODS: dict[str, type[Method]] = {}
M = TypeVar("M", bound=type[Method])


def register_method(name: str) -> Callable[[M], M]:
    """Decorator: put a method into the table, for ``method.name`` of a recipe."""

    def register(cls: M) -> M:
        METHODS[name] = cls
        return cls

    return register
