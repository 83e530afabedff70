"""Splits on real ground truth and on made-up maps, against brute force."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st

from sslhsi.errors import InputError
from sslhsi.splits.split import Split, describe, leak, split

# Pixels and classes as published.
MAPS = {
    "Indian_pines": (10249, 16),
    "PaviaU": (42776, 9),
    "Salinas": (54129, 16),
    "KSC": (5211, 13),
    "WHU_Hi_HanChuan": (257530, 16),
    "WHU_Hi_HongHu": (386693, 22),
    "WHU_Hi_LongKou": (204542, 9),
}
WINDOWS = (5, 9, 15, 25, 33)
CASES = [
    *((name, window) for name in ("Indian_pines", "KSC") for window in WINDOWS),
    *((name, window) for name in ("PaviaU", "Salinas") for window in (5, 15, 33)),
    ("WHU_Hi_HanChuan", 25),
    ("WHU_Hi_HongHu", 9),
    ("WHU_Hi_LongKou", 33),
]


def _load(folder: Path, name: str) -> np.ndarray:
    path = folder / "gt-only" / f"{name}_gt.mat"
    if h5py.is_hdf5(path):
        with h5py.File(path) as file:
            (key,) = (key for key in file if not key.startswith("#"))
            return np.array(file[key]).T.astype(int)
    (value,) = (value for key, value in scipy.io.loadmat(path).items() if not key.startswith("__"))
    return value.astype(int)


def _painted(pixels: np.ndarray, shape: tuple[int, int], window: int) -> np.ndarray:
    """(H, W) how many windows cover each pixel: corners of rectangles, summed up twice."""
    half = window // 2
    top = np.clip(pixels - half, 0, None)
    bottom = np.minimum(pixels - half + window, shape)
    canvas = np.zeros((shape[0] + 1, shape[1] + 1), dtype=np.int64)
    for rows, columns, sign in (
        (top[:, 0], top[:, 1], 1),
        (bottom[:, 0], bottom[:, 1], 1),
        (top[:, 0], bottom[:, 1], -1),
        (bottom[:, 0], top[:, 1], -1),
    ):
        np.add.at(canvas, (rows, columns), sign)
    return canvas.cumsum(axis=0).cumsum(axis=1)[:-1, :-1]


def _shared(drawn: Split) -> int:
    """Pixels that lie in a training window and in a test window."""
    sides = (_painted(pixels, drawn.shape, drawn.window) for pixels in (drawn.train, drawn.test))
    return int(np.logical_and(*(side > 0 for side in sides)).sum())


def _check(drawn: Split, labels: np.ndarray) -> None:
    """What holds for every split: the parts are disjoint, labelled, and together all there is."""
    times = np.zeros(labels.shape, dtype=int)
    for part in (drawn.train, drawn.test, drawn.dropped):
        np.add.at(times, tuple(part.T), 1)
    assert (times == (labels > 0)).all()


def _per_class(pixels: np.ndarray, labels: np.ndarray) -> dict[int, int]:
    ids, counts = np.unique(labels[tuple(pixels.T)], return_counts=True)
    return dict(zip(ids.tolist(), counts.tolist(), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "window"), CASES)
def test_blocks_share_no_pixel_and_lose_no_class_on_real_maps(data: Path, name: str, window: int) -> None:
    labels = _load(data, name)
    assert (int((labels > 0).sum()), np.unique(labels).size - 1) == MAPS[name]
    drawn = split(labels, "blocks", window=window, per_class=10, seed=window)
    _check(drawn, labels)
    assert _shared(drawn) == 0
    assert leak(drawn) == (0.0, 0.0)

    train, test = _per_class(drawn.train, labels), _per_class(drawn.test, labels)
    assert train.keys() == test.keys()
    for label in np.unique(labels)[1:].tolist():
        row, column = np.nonzero(labels == label)
        wide = max(np.ptp(row), np.ptp(column)) >= window  # two of its pixels have disjoint windows
        assert (label in train) == wide == (label not in drawn.report["left_out"])
        asked = min(10, row.size // 2)
        if wide:
            assert 1 <= train[label] <= asked
            assert (train[label] < 10) == (label in drawn.report["short"])
            assert drawn.report["short"].get(label, [10, 10])[1] == train.get(label)


@pytest.mark.parametrize("amount", [{"per_class": 30}, {"fraction": 0.1}, {"counts": [40] * 9}])
def test_every_way_of_asking_keeps_blocks_apart(data: Path, amount: dict) -> None:
    labels = _load(data, "PaviaU")
    drawn = split(labels, "blocks", window=11, seed=1, **amount)
    _check(drawn, labels)
    assert _shared(drawn) == 0
    assert drawn.report["left_out"] == {}
    if "fraction" in amount:
        assert len(drawn.train) == pytest.approx(0.1 * 42776, rel=0.02)
    else:
        assert set(_per_class(drawn.train, labels).values()) == set(amount.get("counts", [30]))


def test_same_seed_same_split_and_other_seed_another(data: Path) -> None:
    labels = _load(data, "Indian_pines")
    for scheme in ("blocks", "random"):
        first, again, other = (split(labels, scheme, window=9, per_class=5, seed=s) for s in (4, 4, 5))
        for part in ("train", "test", "dropped"):
            assert np.array_equal(getattr(first, part), getattr(again, part))
        assert not np.array_equal(first.train, other.train)
        assert not np.array_equal(first.test, other.test)
        assert first.report == again.report


@pytest.mark.parametrize("n", [5, 15, 30])
def test_random_takes_n_per_class_and_half_of_a_small_one(data: Path, n: int) -> None:
    labels = _load(data, "Indian_pines")
    drawn = split(labels, "random", window=9, per_class=n, seed=0)
    _check(drawn, labels)
    there, train = _per_class(np.argwhere(labels), labels), _per_class(drawn.train, labels)
    assert train == {label: min(n, count // 2) for label, count in there.items()}
    assert drawn.report["short"] == {label: [n, got] for label, got in train.items() if got < n}
    assert len(drawn.dropped) == 0


def test_random_series_of_a_seed_are_nested(data: Path) -> None:
    labels = _load(data, "KSC")
    few, many = ({tuple(p) for p in split(labels, "random", per_class=n, seed=7).train.tolist()} for n in (5, 30))
    assert few < many


def test_fraction_and_counts_leave_a_pixel_to_test_on() -> None:
    labels = np.array([[1] * 10, [2] * 10, [3, 3] + [0] * 8])
    drawn = split(labels, "random", fraction=0.3, seed=0)
    assert _per_class(drawn.train, labels) == {1: 3, 2: 3, 3: 1}
    drawn = split(labels, "random", counts={1: 10, 2: 4, 3: 0}, seed=0)
    assert _per_class(drawn.train, labels) == {1: 9, 2: 4}
    assert _per_class(drawn.test, labels) == {1: 1, 2: 6}
    assert drawn.report["short"] == {1: [10, 9]}
    assert list(drawn.report["left_out"]) == [3]


def test_what_cannot_be_on_both_sides_is_on_neither_and_is_reported() -> None:
    labels = np.zeros((40, 40), dtype=np.uint8)
    labels[:, :15] = 1
    labels[:, 25:] = 7  # a gap in the class ids
    labels[18:22, 18:22] = 3  # narrower than the window
    labels[0, 20] = 9  # one pixel
    drawn = split(labels, "blocks", window=5, per_class=4, seed=0)
    assert set(_per_class(drawn.train, labels)) == set(_per_class(drawn.test, labels)) == {1, 7}
    assert set(drawn.report["left_out"]) == {3, 9}
    lines = describe(drawn, ("meadow", "?", "shed"))
    assert any("shed is left out" in line for line in lines)
    assert "0.0% of the test windows contain" in lines[0]
    assert set(_per_class(split(labels, "random", per_class=4).train, labels)) == {1, 3, 7}


def test_given_masks_are_kept_and_one_sided_classes_reported() -> None:
    labels = np.array([[1, 1, 1, 1], [2, 2, 2, 2], [3, 3, 0, 0]])
    train = np.zeros(labels.shape, dtype=bool)
    train[:2, :2] = True
    train[2, 3] = True  # unlabelled: not a training pixel
    drawn = split(labels, "given", masks=(train, None))
    assert _per_class(drawn.train, labels) == {1: 2, 2: 2}
    assert _per_class(drawn.test, labels) == {1: 2, 2: 2, 3: 2}
    assert drawn.report["one_sided"] == {3: "only the test side"}
    few = split(labels, "given", masks=(train, ~train & (labels != 3)), per_class=5)
    assert few.report["short"] == {1: [5, 2], 2: [5, 2], 3: [5, 0]}
    assert len(few.dropped) == 2


@pytest.mark.parametrize("window", [1, 2, 5, 8, 9])
def test_leak_is_what_counting_window_by_window_gives(window: int) -> None:
    rng = np.random.default_rng(window)
    labels = rng.integers(0, 4, size=(19, 23))
    drawn = split(labels, "random", window=window, per_class=6, seed=0)
    half = window // 2
    covers = {
        tuple(p): {
            (r, c) for r in range(p[0] - half, p[0] - half + window) for c in range(p[1] - half, p[1] - half + window)
        }
        for p in np.concatenate([drawn.train, drawn.test]).tolist()
    }
    train, test = ([tuple(p) for p in part.tolist()] for part in (drawn.train, drawn.test))
    pixel = np.mean([any(t in covers[q] for t in train) for q in test])
    overlap = np.mean([any(covers[t] & covers[q] for t in train) for q in test])
    assert leak(drawn) == pytest.approx((pixel, overlap))
    assert leak(drawn, 1) == (0.0, 0.0)


def test_random_leaks_and_blocks_do_not_on_the_same_scene(data: Path) -> None:
    labels = _load(data, "Indian_pines")
    assert leak(split(labels, "random", window=25, per_class=10)).pixel > 0.7
    assert leak(split(labels, "blocks", window=25, per_class=10)).window == 0


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    window=st.integers(1, 12),
    n=st.integers(1, 8),
    shape=st.tuples(st.integers(14, 40), st.integers(14, 40)),
)
def test_blocks_never_share_a_pixel_reflected_windows_included(
    seed: int, window: int, n: int, shape: tuple[int, int]
) -> None:
    rng = np.random.default_rng(seed)
    labels = np.kron(rng.integers(0, 4, size=(8, 8)), np.ones((5, 5), dtype=int))[: shape[0], : shape[1]]
    try:
        drawn = split(labels, "blocks", window=window, per_class=n, seed=seed)
    except InputError as error:
        assert "leaves no" in str(error) or "no labelled pixel" in str(error)  # noqa: PT017
        return
    _check(drawn, labels)
    half = window // 2
    index = np.pad(np.arange(labels.size).reshape(labels.shape), (half, half), mode="reflect")
    pixels = [
        {i for r, c in part.tolist() for i in index[r : r + window, c : c + window].ravel().tolist()}
        for part in (drawn.train, drawn.test)
    ]
    assert not pixels[0] & pixels[1]


EVERYWHERE = np.ones((8, 8), dtype=bool)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "exactly one of per_class"),
        ({"per_class": 2, "fraction": 0.1}, "exactly one of per_class"),
        ({"per_class": 0}, "per_class must be at least 1"),
        ({"fraction": 1.0}, "fraction must lie between 0 and 1"),
        ({"counts": {9: 3}}, "label 9"),
        ({"counts": [1, -1]}, "0 or more"),
        ({"per_class": 2, "window": 0}, "window must be at least 1"),
        ({"per_class": 2, "scheme": "chessboard"}, "blocks, random, given"),
        ({"per_class": 2, "window": 99}, "leaves no training pixel"),
        ({"per_class": 2, "masks": (EVERYWHERE, None)}, "masks and scheme 'given' go together"),
        ({"scheme": "given"}, "masks and scheme 'given' go together"),
        ({"scheme": "given", "masks": (EVERYWHERE[:3], None)}, "the training mask must be booleans"),
        ({"scheme": "given", "masks": (EVERYWHERE, EVERYWHERE)}, "share 64 labelled pixels"),
        ({"scheme": "given", "masks": (EVERYWHERE, None)}, "leaves no test pixel"),
    ],
)
def test_bad_arguments_name_the_trouble(arguments: dict, message: str) -> None:
    labels = np.repeat([[1, 2]], 8, axis=0).repeat(4, axis=1)
    with pytest.raises(InputError, match=message):
        split(labels, **arguments)


@pytest.mark.parametrize(
    "labels", [np.zeros((4, 4), dtype=int), np.ones((4, 4)), np.ones(4, dtype=int), -np.eye(3, dtype=int)]
)
def test_maps_that_are_no_label_maps_are_refused(labels: np.ndarray) -> None:
    with pytest.raises(InputError, match="labels"):
        split(labels, "random", per_class=1)
