"""Splits of a scene's labelled pixels into training and test pixels, and how much they leak.

Windows of neighbouring pixels overlap, so a random split tests on pixels that the training windows
contain: accuracies of 98 % fall to 65-85 % once the sides are spatially disjoint (Nalepa et al., GRSL
2019; Audebert et al., GRSM 2019). ``blocks`` is the scheme to report; ``random`` is there to compare
with published numbers; ``leak`` measures any of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from scipy.ndimage import maximum_filter

from sslhsi.errors import InputError
from sslhsi.splits.blocks import Pixels, near, search

SCHEMES = ("blocks", "random", "given")
Masks = tuple[np.ndarray, np.ndarray | None]


@dataclass(frozen=True)
class Split:
    """Training and test pixels of one scene.

    Args:
        train: (n, 2) row and column of each training pixel, in scanning order.
        test: (m, 2) row and column of each test pixel, in scanning order.
        dropped: (k, 2) labelled pixels that neither side uses: the buffer, training blocks' pixels that
            were not drawn, classes left out.
        scheme: ``blocks``, ``random`` or ``given``.
        window: Side in pixels of the windows that the split is for.
        shape: (H, W) of the label map.
        seed: The seed it was drawn with.
        report: What could not be had, as plain JSON values: ``left_out`` {label: why} are classes that
            could not be on both sides and are on neither; ``one_sided`` {label: why} are classes of
            given masks that only one side has; ``short`` {label: [asked, got]} are classes with fewer
            training pixels than asked; ``block`` is the side of the blocks.
    """

    train: np.ndarray
    test: np.ndarray
    dropped: np.ndarray
    scheme: str
    window: int
    shape: tuple[int, int]
    seed: int = 0
    report: dict[str, Any] = field(default_factory=dict)


class Leak(NamedTuple):
    """How much test windows share with training, as shares of the test pixels (0 to 1)."""

    pixel: float
    """Test windows that contain at least one training pixel (a labelled one, trained on)."""
    window: float
    """Test windows that share at least one pixel, labelled or not, with any training window."""


def split(
    labels: np.ndarray,
    scheme: str = "blocks",
    window: int = 1,
    *,
    per_class: int | None = None,
    fraction: float | None = None,
    counts: Mapping[int, int] | Sequence[int] | None = None,
    masks: Masks | None = None,
    seed: int = 0,
) -> Split:
    """Divide the labelled pixels of a scene into training and test pixels.

    ``random`` draws the training pixels of each class at random and tests on all the others.
    ``blocks`` cuts the scene into square blocks, of the size that keeps most classes on both sides, draws
    the training pixels in some of them and tests on the pixels of the other blocks that lie far enough from
    every drawn training pixel: no test window shares a pixel with a training window, nor does it when
    windows that stick out of the scene are reflected. ``given`` takes the sides from two masks, of which
    the training side may be subsampled.

    How many training pixels: exactly one of ``per_class``, ``fraction`` and ``counts`` (``given`` may do
    without: all of them). A class never loses its last pixels to training: ``per_class`` takes half of
    a class at most, ``fraction`` and ``counts`` leave at least one pixel. A training side of ``blocks``
    or ``given`` that holds fewer than asked gives what it has. The report names every class concerned.

    Classes that can't be on both sides (a single pixel; under ``blocks`` one no wider than the buffer,
    or for which there is no layout) are left out of both and reported.

    Args:
        labels: (H, W) integers, 0 = unlabelled.
        scheme: ``blocks``, ``random`` or ``given``.
        window: Side in pixels of the windows that will be cut around the pixels.
        per_class: Training pixels per class.
        fraction: Share of every class that trains, between 0 and 1.
        counts: Training pixels by label: a mapping, or a sequence whose item i is for label i + 1. A
            label that is not listed, or listed with 0, is left out.
        masks: For ``given``: (H, W) booleans of the training and of the test pixels; None for the latter
            takes every labelled pixel outside the training mask.
        seed: Same seed, same split. Under ``random`` the pixels drawn for n per class are among those
            drawn for more per class with the same seed.

    Returns:
        The split.

    Raises:
        InputError: An argument makes no sense, or nothing is left to test on.

    Examples:
        >>> field = np.repeat([1, 2], 18).reshape(6, 6)
        >>> drawn = split(field, "random", window=3, per_class=4)
        >>> len(drawn.train), len(drawn.test)
        (8, 28)
    """
    labels = _checked(labels, window)
    if scheme not in SCHEMES:
        raise InputError(f"scheme {scheme!r} is not known: use one of {', '.join(SCHEMES)}")
    if (masks is None) == (scheme == "given"):
        raise InputError("masks and scheme 'given' go together: give both or neither")
    rng = np.random.default_rng([seed, window if scheme == "blocks" else 0])
    pixels = Pixels.of(labels, rng)
    report: dict[str, Any] = {"left_out": {}, "one_sided": {}, "short": {}}
    all_of_them = per_class is None and fraction is None and counts is None
    if masks is not None:
        asked = None if all_of_them else _asked(pixels, per_class, fraction, counts)
        train, test, asked = _given(labels, masks, pixels, asked, report)
    else:
        asked = _asked(pixels, per_class, fraction, counts)
        want = np.minimum(asked, pixels.counts // 2 if per_class is not None else pixels.counts - 1)
        _leave_out(report, pixels, (asked > 0) & (pixels.counts < 2), "a single labelled pixel")
        _leave_out(report, pixels, asked == 0, "no training pixel asked for")
        if scheme == "random":
            train = _mask(pixels, pixels.draw(np.ones(labels.shape, dtype=bool), want))
            test = _of_classes(pixels, want > 0) & ~train
        else:
            train, test, want = _blocks(pixels, want, _gap(window), rng, report)
        asked = np.where(want > 0, asked, 0)
    got = pixels.count(train)
    report["short"] = {int(pixels.ids[k]): [int(asked[k]), int(got[k])] for k in np.flatnonzero(got < asked)}
    if not train.any() or not test.any():
        side = "test" if train.any() else "training"
        raise InputError(
            f"scheme {scheme!r} with window {window} leaves no {side} pixel on this {labels.shape} map: "
            "take a smaller window or fewer training pixels"
        )
    train_at, test_at, rest = (np.argwhere(side) for side in (train, test, (labels > 0) & ~train & ~test))
    return Split(train_at, test_at, rest, scheme, window, pixels.shape, seed, report)


def leak(split: Split, window: int | None = None) -> Leak:
    """How much a split leaks through windows: the number to print beside every accuracy.

    Args:
        split: Any split.
        window: Side of the windows in pixels; that of the split when None. A window of even side w at
            row r covers rows r - w/2 to r + w/2 - 1.

    Returns:
        Shares of the test pixels, 0 to 1.
    """
    window = split.window if window is None else window
    train = np.zeros(split.shape, dtype=np.uint8)
    train[tuple(split.train.T)] = 1
    at = tuple(split.test.T)
    held = maximum_filter(train, size=window, mode="constant")[at]
    return Leak(pixel=float(held.mean()), window=float(near(train, window)[at].mean()))


def describe(split: Split, classes: Sequence[str] = ()) -> list[str]:
    """The split and its report as plain lines, classes by name where ``classes[label - 1]`` has one."""
    amount = leak(split)
    lines = [
        f"{split.scheme} split, window {split.window}, seed {split.seed}: {len(split.train)} training and "
        f"{len(split.test)} test pixels, {len(split.dropped)} unused; {amount.pixel:.1%} of the test "
        f"windows contain a training pixel, {amount.window:.1%} touch a training window"
    ]
    for key, words in (("left_out", "left out"), ("one_sided", "on one side only")):
        for label, why in split.report.get(key, {}).items():
            lines.append(f"{_name(label, classes)} is {words}: {why}")
    for label, (asked, got) in split.report.get("short", {}).items():
        lines.append(f"{_name(label, classes)} trains on {got} pixels, not on {asked}")
    return lines


def _name(label: int, classes: Sequence[str]) -> str:
    return classes[label - 1] if 0 < label <= len(classes) else f"class {label}"


def _gap(window: int) -> int:
    """Least distance between a training and a test pixel for windows that share no pixel.

    That is the window's side. A window of even side is not symmetric: reflected at the border it reaches
    one pixel further than within the scene, hence one more.
    """
    return 2 * (window // 2) + 1


def _checked(labels: np.ndarray, window: int) -> np.ndarray:
    labels = np.asarray(labels)
    if labels.ndim != 2 or labels.dtype.kind not in "iu":
        raise InputError(f"labels must be an (H, W) map of integers, not {labels.shape} of {labels.dtype}")
    if not (labels > 0).any():
        raise InputError("labels hold no labelled pixel: every value is 0")
    if (labels < 0).any():
        raise InputError(f"labels must be 0 (unlabelled) or more, and the least one is {labels.min()}")
    if window < 1:
        raise InputError(f"window must be at least 1 pixel, not {window}")
    return labels


def _asked(
    pixels: Pixels,
    per_class: int | None,
    fraction: float | None,
    counts: Mapping[int, int] | Sequence[int] | None,
) -> np.ndarray:
    """(K,) training pixels asked for, before looking at what there is."""
    if sum(value is not None for value in (per_class, fraction, counts)) != 1:
        raise InputError("give exactly one of per_class, fraction and counts")
    if per_class is not None:
        if per_class < 1:
            raise InputError(f"per_class must be at least 1, not {per_class}")
        return np.full(pixels.ids.size, per_class)
    if fraction is not None:
        if not 0 < fraction < 1:
            raise InputError(f"fraction must lie between 0 and 1, not {fraction}")
        return np.maximum(np.rint(fraction * pixels.counts).astype(int), 1)
    assert counts is not None
    listed = dict(counts) if isinstance(counts, Mapping) else {i + 1: n for i, n in enumerate(counts)}
    if unknown := sorted(set(listed) - set(pixels.ids.tolist())):
        raise InputError(f"counts list label {unknown[0]}, which the map does not have")
    if min(listed.values(), default=0) < 0:
        raise InputError("counts must be 0 or more")
    return np.array([int(listed.get(label, 0)) for label in pixels.ids.tolist()])


def _given(
    labels: np.ndarray, masks: Masks, pixels: Pixels, asked: np.ndarray | None, report: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Training mask, test mask and the training pixels asked for: all of the mask's where nothing is asked."""
    given = {"training": masks[0], "test": ~np.asarray(masks[0], dtype=bool) if masks[1] is None else masks[1]}
    for name, mask in given.items():
        mask = np.asarray(mask)
        if mask.shape != labels.shape or mask.dtype != bool:
            raise InputError(f"the {name} mask must be booleans of {labels.shape}, not {mask.dtype} of {mask.shape}")
    train, test = (np.asarray(mask) & (labels > 0) for mask in given.values())
    if both := int((train & test).sum()):
        raise InputError(f"training and test mask share {both} labelled pixels: they must be disjoint")
    if asked is None:
        asked = pixels.count(train)
    else:
        train = _mask(pixels, pixels.draw(train, asked))
    in_train, in_test = pixels.count(train) > 0, pixels.count(test) > 0
    for k in np.flatnonzero(in_train != in_test):
        report["one_sided"][int(pixels.ids[k])] = f"only the {'training' if in_train[k] else 'test'} side"
    return train, test, asked


def _blocks(
    pixels: Pixels, want: np.ndarray, gap: int, rng: np.random.Generator, report: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Training mask, test mask and the wanted numbers, 0 for the classes that were left out."""
    small = (want > 0) & (pixels.extents() < gap)
    _leave_out(report, pixels, small, f"no two of its pixels are {gap} apart, so its windows all overlap")
    want = np.where(small, 0, want)
    layout = search(pixels, want, gap, rng)
    missed = (want > 0) & ~layout.covered
    _leave_out(report, pixels, missed, "no layout has it on both sides")
    want = np.where(missed, 0, want)
    report["block"] = layout.block
    kept = _of_classes(pixels, want > 0)
    # Without the classes left out there are fewer training windows, so more test pixels are clear.
    train = layout.train & kept
    return train, layout.test_side & kept & ~near(train, gap), want


def _leave_out(report: dict, pixels: Pixels, which: np.ndarray, why: str) -> None:
    report["left_out"].update({int(label): why for label in pixels.ids[which]})


def _mask(pixels: Pixels, positions: np.ndarray) -> np.ndarray:
    """(H, W) True on the pixels at some positions of ``flat``."""
    mask = np.zeros(pixels.shape, dtype=bool)
    mask.ravel()[pixels.flat[positions]] = True
    return mask


def _of_classes(pixels: Pixels, which: np.ndarray) -> np.ndarray:
    """(H, W) True on the pixels of the classes k with ``which[k]``."""
    mask = np.zeros(pixels.shape, dtype=bool)
    mask.ravel()[pixels.flat] = which[pixels.cls]
    return mask
