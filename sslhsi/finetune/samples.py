"""Labelled windows for training: targets, held-out samples, mirrored copies, batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from sslhsi.errors import InputError

Reader = Callable[[np.ndarray], Tensor]
# As they are, left-right, up-down, both: the axes of (n, K, S, S) that are reversed.
MIRRORS: tuple[tuple[int, ...], ...] = ((), (3,), (2,), (2, 3))
# Windows are read once and held if they take no more.
HELD_BYTES = 1 << 30
# Windows that are read or run at a time where nothing is trained: fewer where they hold more values than this.
BATCH, BATCH_VALUES = 512, 1 << 24
# Classes of fewer samples hold out none.
LEAST_TO_HOLD_OUT = 4


@dataclass(frozen=True)
class Targets:
    """What windows shall be classified as.

    Args:
        classes: (C,) class ids, ascending; 0..C-1 for multi-label targets.
        coded: (n,) int64 positions in ``classes``, or (n, C) float32 zeros and ones.
        multilabel: Which of the two.
    """

    classes: np.ndarray
    coded: np.ndarray
    multilabel: bool

    @classmethod
    def of(cls, targets: np.ndarray, windows: int) -> Targets:
        """Check and code targets for a number of windows.

        Raises:
            InputError: There are no windows or one, numbers differ, or there is nothing to tell apart.
        """
        values = np.asarray(targets)
        if windows < 2:
            raise InputError(f"fine-tuning needs at least two training windows, not {windows}")
        if len(values) != windows or values.ndim not in (1, 2) or not values.size:
            raise InputError(
                f"fine-tuning: {windows} windows and targets of shape {values.shape}; give one class id or one row "
                "of zeros and ones per window"
            )
        if values.ndim == 2:
            if not np.isin(values, (0, 1)).all():
                raise InputError("fine-tuning: multi-label targets must be zeros and ones")
            if not values.any():
                raise InputError("fine-tuning: no training window bears any label")
            return cls(np.arange(values.shape[1]), values.astype(np.float32), True)
        if not np.issubdtype(values.dtype, np.integer):
            raise InputError(f"fine-tuning: class ids must be integers, not {values.dtype}")
        classes, coded = np.unique(values, return_inverse=True)
        if classes.size < 2:
            raise InputError(f"fine-tuning: training holds only class {classes[0]}, and two are needed")
        return cls(classes, coded.astype(np.int64), False)


def hold_out(targets: Targets, share: float, seed: int) -> np.ndarray:
    """(n,) booleans: the samples that choose the epoch.

    Of every class its share, rounded, at least one; none of a class with fewer than four samples. Samples
    that may bear several labels are drawn without regard to them.
    """
    held = np.zeros(len(targets.coded), dtype=bool)
    if not share:
        return held
    rng = np.random.default_rng(seed)
    groups = np.zeros(held.size, dtype=np.int64) if targets.multilabel else targets.coded
    for group in np.unique(groups):
        members = rng.permutation(np.flatnonzero(groups == group))
        if members.size >= LEAST_TO_HOLD_OUT:
            held[members[: max(1, round(share * members.size))]] = True
    return held


class Remembered:
    """A reader that does once, for many trainings, what a backbone does without parameters.

    For backbones that have such a part (``precompute``, as PixelNet's pooling); others read as before.

    Args:
        backbone: The network that will be trained, or another of the same make.
        reader: (n, 3) windows -> (n, K, S, S) tensor.
        windows: (n, 3) all windows that will be asked for; others are read anew.
    """

    def __init__(self, backbone: nn.Module, reader: Reader, windows: np.ndarray) -> None:
        self.reader, self.precompute = reader, _precompute(backbone)
        self.keys, first = np.unique(_keys(windows), return_index=True)
        self.known: Tensor | None = None
        if self.precompute is not None and len(windows):
            parts = np.array_split(np.asarray(windows)[first], -(-first.size // BATCH))
            self.known = torch.cat([self.precompute(reader(part)) for part in parts])

    def __call__(self, windows: np.ndarray) -> Tensor:
        """(n, 3) windows -> what ``backbone.forward_features`` takes."""
        if self.known is None:
            return self.reader(windows)
        keys = _keys(windows)
        place = np.searchsorted(self.keys, keys).clip(max=self.keys.size - 1)
        if (self.keys[place] != keys).any():
            return self.reader(windows)
        return self.known[torch.from_numpy(place)]


def _keys(windows: np.ndarray) -> np.ndarray:
    """One number per window; corners may lie outside the scene."""
    scene, row, column = np.asarray(windows, dtype=np.int64).reshape(-1, 3).T
    return (scene << 42) + ((row + (1 << 20)) << 21) + column + (1 << 20)


def _precompute(backbone: nn.Module) -> Callable[[Tensor], Tensor] | None:
    return getattr(backbone, "precompute", None)


@torch.no_grad()
def read(backbone: nn.Module, reader: Reader, windows: np.ndarray, device: torch.device) -> Tensor:
    """Windows as ``backbone.forward_features`` takes them, the part without parameters done."""
    x, precompute = reader(windows).to(device), _precompute(backbone)
    return precompute(x) if precompute is not None and x.ndim == 4 else x


def at_once(sample: Tensor) -> int:
    """How many samples like (1, ...) are run at a time where nothing is trained; two at least."""
    return max(2, min(BATCH, BATCH_VALUES // max(1, sample.numel())))


class Samples:
    """Windows by number, mirrored copies behind one another.

    Args:
        backbone: What they are for.
        reader: (n, 3) windows -> (n, K, S, S) tensor.
        windows: (n, 3).
        device: Where batches go.
        mirror: Offer four copies of every window.

    Attributes:
        at_once: Samples that are run at a time where nothing is trained.
    """

    def __init__(
        self, backbone: nn.Module, reader: Reader, windows: np.ndarray, device: torch.device, mirror: bool
    ) -> None:
        if mirror and isinstance(reader, Remembered):
            reader = reader.reader
        self.backbone, self.reader, self.windows, self.device = backbone, reader, windows, device
        self.copies = len(MIRRORS) if mirror else 1
        self.held: Tensor | None = None
        self.at_once = BATCH
        if len(windows):
            first = self._make(torch.arange(1))
            self.at_once = at_once(first)
            if first.numel() * 4 * len(self) <= HELD_BYTES:
                self.held = torch.cat([self._make(part) for part in torch.arange(len(self)).split(self.at_once)])

    def __len__(self) -> int:
        return len(self.windows) * self.copies

    def __call__(self, numbers: Tensor) -> Tensor:
        """What ``backbone.forward_features`` takes, for sample numbers below ``len``, on the CPU."""
        return self._make(numbers) if self.held is None else self.held[numbers.to(self.device)]

    def _make(self, numbers: Tensor) -> Tensor:
        copy, which = numbers // len(self.windows), numbers % len(self.windows)
        reader = self.reader

        def mirrored(windows: np.ndarray) -> Tensor:
            x = reader(windows)
            for number, axes in enumerate(MIRRORS[1 : self.copies], 1):
                mine = (copy == number).to(x.device)
                x[mine] = x[mine].flip(axes)
            return x

        x = read(self.backbone, mirrored if self.copies > 1 else reader, self.windows[which.numpy()], self.device)
        if not bool(torch.isfinite(x).all()):
            raise InputError("fine-tuning: some windows hold NaN or infinity; mask those pixels out")
        return x

    def batches(self, size: int, generator: torch.Generator | None = None) -> Iterator[Tensor]:
        """Numbers of all samples in even batches of two samples or more; shuffled if a generator is given."""
        n = len(self)
        order = torch.arange(n) if generator is None else torch.randperm(n, generator=generator)
        # Batch normalisation in training has no use for a batch of one.
        yield from order.tensor_split(max(1, min(-(-n // size), n // 2)))
