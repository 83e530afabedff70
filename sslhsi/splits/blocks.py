"""The search for a spatially disjoint split: blocks of the scene on either side, a buffer between.

A layout gives every pixel to the training side, to the test side or to neither. Many layouts are tried
(block sizes, offsets, shares of training blocks); each is scored by what it really yields once the
training pixels are drawn and every test pixel nearer than the buffer is gone. Small classes that the
best layouts miss are then given a piece of each side by hand.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.ndimage import maximum_filter

BLOCK_SIZES = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0)  # in buffers
TRAIN_SHARES = (0.3, 0.5)
TRIALS = 3  # layouts per block size and share
MOST_BLOCKS = 1500  # finer grids cost time and, with so many blocks, no class is missed anyway
REPAIRED = 4  # layouts that are worth mending
REPAIR_STEPS = 150  # scored options per mended layout


@dataclass(frozen=True)
class Pixels:
    """The labelled pixels of a map, sorted by class and, within a class, in a random order.

    Args:
        shape: (H, W) of the map.
        ids: (K,) label of each class.
        flat: (n,) flat index of each pixel.
        cls: (n,) class number of each pixel, 0 to K - 1, ascending.
    """

    shape: tuple[int, int]
    ids: np.ndarray
    flat: np.ndarray
    cls: np.ndarray

    @classmethod
    def of(cls, labels: np.ndarray, rng: np.random.Generator) -> Pixels:
        """The pixels of an (H, W) map whose label is not 0."""
        flat = np.flatnonzero(labels)
        ids, number = np.unique(labels.ravel()[flat], return_inverse=True)
        order = np.lexsort((rng.permutation(flat.size), number))
        return cls((labels.shape[0], labels.shape[1]), ids, flat[order], number[order])

    @cached_property
    def counts(self) -> np.ndarray:
        """(K,) pixels per class."""
        return np.bincount(self.cls, minlength=self.ids.size)

    @cached_property
    def starts(self) -> np.ndarray:
        """(K,) position in ``flat`` of each class's first pixel."""
        return np.searchsorted(self.cls, np.arange(self.ids.size))

    def draw(self, allowed: np.ndarray, want: np.ndarray) -> np.ndarray:
        """Positions in ``flat`` of the first ``want[k]`` pixels of each class k within ``allowed`` (H, W)."""
        positions = np.flatnonzero(allowed.ravel()[self.flat])
        starts = np.searchsorted(positions, self.starts)
        ends = np.append(starts[1:], positions.size)
        ends = np.minimum(starts + want, ends)
        return np.concatenate([positions[a:b] for a, b in zip(starts, ends, strict=True)])

    def count(self, mask: np.ndarray) -> np.ndarray:
        """(K,) pixels of each class within ``mask`` (H, W)."""
        return np.bincount(self.cls[mask.ravel()[self.flat]], minlength=self.ids.size)

    def extents(self) -> np.ndarray:
        """(K,) greatest Chebyshev distance between two pixels of the same class."""
        row, column = np.divmod(self.flat, self.shape[1])
        starts = self.starts
        spans = [np.maximum.reduceat(v, starts) - np.minimum.reduceat(v, starts) for v in (row, column)]
        return np.maximum(*spans)


@dataclass(frozen=True)
class Layout:
    """Sides, what came of them, and a score to compare layouts by (greater is better)."""

    train_side: np.ndarray
    test_side: np.ndarray
    block: int
    train: np.ndarray
    covered: np.ndarray
    score: tuple[int, float]


def near(mask: np.ndarray, gap: int) -> np.ndarray:
    """(H, W) True where a True pixel of ``mask`` lies at a Chebyshev distance below ``gap``."""
    return maximum_filter(mask.astype(np.uint8), size=2 * gap - 1, mode="constant") > 0


def score_layout(
    pixels: Pixels, want: np.ndarray, gap: int, train_side: np.ndarray, test_side: np.ndarray, block: int
) -> Layout:
    """Draw the training pixels, remove the test pixels too near to them, and score what is left.

    The score puts first the number of classes on both sides, then how much of the asked training
    pixels and of a quarter of each class for testing there is, then the share of pixels tested.
    """
    drawn = pixels.draw(train_side, want)
    train = np.zeros(pixels.shape, dtype=bool)
    train.ravel()[pixels.flat[drawn]] = True
    clear = (test_side & ~near(train, gap)).ravel()[pixels.flat]
    got = np.bincount(pixels.cls[drawn], minlength=want.size)
    tested = np.bincount(pixels.cls, weights=clear, minlength=want.size) * (want > 0)
    there = pixels.counts
    asked = want > 0
    covered = asked & (got > 0) & (tested > 0)
    served = np.minimum(got[asked] / want[asked], 1).mean() if asked.any() else 0.0
    checked = np.minimum(tested[asked] / (there[asked] / 4), 1).mean() if asked.any() else 0.0
    quality = 2 * served + checked + 0.5 * tested.sum() / there.sum()
    score = (int(covered.sum()), round(float(quality), 4))
    return Layout(train_side, test_side, block, train, covered, score)


def grid_side(pixels: Pixels, block: int, share: float, rng: np.random.Generator) -> np.ndarray:
    """(H, W) True for training: square blocks at a random offset, dealt out class by class in balance.

    Blocks come in a random order; each goes to the side that brings the classes' shares of training
    pixels closer to ``share``.
    """
    height, width = pixels.shape
    top, left = rng.integers(block, size=2)
    rows, columns = (np.arange(height) + top) // block, (np.arange(width) + left) // block
    across = int(columns[-1]) + 1
    blocks = (int(rows[-1]) + 1) * across
    member = np.add.outer(rows * across, columns).ravel()[pixels.flat]
    classes = pixels.ids.size
    content = np.bincount(member * classes + pixels.cls, minlength=blocks * classes)
    content = content.reshape(blocks, classes) / pixels.counts
    train, test = np.zeros(classes), np.zeros(classes)
    chosen = np.zeros(blocks, dtype=bool)
    for i in rng.permutation(np.flatnonzero(content.any(axis=1))):
        # Each side's load is the sum over classes of (share of the class held / share due) squared.
        here = content[i]
        to_train = (here * (2 * train + here)).sum() / share**2
        to_test = (here * (2 * test + here)).sum() / (1 - share) ** 2
        side = to_train < to_test if to_train != to_test else rng.random() < share
        chosen[i] = side
        if side:
            train += here
        else:
            test += here
    return chosen.reshape(-1, across)[rows][:, columns]


def pieces(pixels: Pixels, k: int, gap: int, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Ways to cut class ``k`` into a training and a test piece at least ``gap`` apart (flat indices)."""
    flat = pixels.flat[pixels.cls == k]
    row, column = np.divmod(flat, pixels.shape[1])
    for axis in (row, -row, column, -column):
        first, room = axis.min(), np.ptp(axis) - gap
        for part in (0.0, 0.25, 0.5) if room >= 0 else ():
            edge = first + int(room * part)
            yield flat[axis >= edge + gap], flat[axis <= edge]
    for half in (gap // 4, gap // 4, gap // 2, gap // 2, gap // 2, gap):
        i = rng.integers(flat.size)
        distance = np.maximum(abs(row - row[i]), abs(column - column[i]))
        far = np.flatnonzero(distance >= half + gap)
        if far.size:
            yield flat[far], flat[distance <= half]
            j = rng.choice(far)
            beside = np.maximum(abs(row[far] - row[j]), abs(column[far] - column[j])) <= half
            yield flat[distance <= half], flat[far[beside]]


def mend(pixels: Pixels, want: np.ndarray, gap: int, start: Layout, rng: np.random.Generator) -> Layout:
    """Give classes that ``start`` has on one side only a piece of each side, while that helps."""
    layout, steps = start, 0
    while steps < REPAIR_STEPS:
        best = layout
        for k in np.flatnonzero((want > 0) & ~layout.covered):
            for train_piece, test_piece in pieces(pixels, int(k), gap, rng):
                inside = train_piece[layout.train_side.ravel()[train_piece]]
                train_piece = inside if inside.size else train_piece
                tested = np.zeros(pixels.shape, dtype=bool)
                tested.ravel()[test_piece] = True
                train_side = layout.train_side & ~near(tested, gap)
                train_side.ravel()[train_piece] = True
                test_side = layout.test_side | tested
                test_side.ravel()[train_piece] = False
                option = score_layout(pixels, want, gap, train_side, test_side, layout.block)
                best = option if option.score > best.score else best
                steps += 1
        if best is layout:
            break
        layout = best
    return layout


def search(pixels: Pixels, want: np.ndarray, gap: int, rng: np.random.Generator) -> Layout:
    """The best layout of all that are tried for ``want[k]`` training pixels of each class and a buffer of ``gap``.

    Args:
        pixels: The labelled pixels.
        want: (K,) training pixels asked per class; 0 leaves the class out.
        gap: Least Chebyshev distance between a training and a test pixel.
        rng: Source of every random choice.

    Returns:
        The layout; ``covered`` tells which classes are on both sides.
    """
    longest = max(pixels.shape)
    smallest = max(gap, int(np.sqrt(pixels.shape[0] * pixels.shape[1] / MOST_BLOCKS)), 2)
    sizes = sorted({min(int(smallest * f), max(longest // 2, 1)) for f in BLOCK_SIZES})
    tried: list[Layout] = []
    for size in sizes:
        for share in TRAIN_SHARES:
            for _ in range(TRIALS):
                side = grid_side(pixels, size, share, rng)
                tried.append(score_layout(pixels, want, gap, side, ~side, size))
    tried.sort(key=lambda layout: layout.score, reverse=True)
    best = tried[0]
    for layout in tried[:REPAIRED]:
        if best.score[0] == np.count_nonzero(want):
            break
        mended = mend(pixels, want, gap, layout, rng)
        best = mended if mended.score > best.score else best
    return best
