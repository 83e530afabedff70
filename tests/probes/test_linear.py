"""Linear probes against scikit-learn."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from sslhsi.errors import InputError
from sslhsi.probes.folds import FOLDS, MANY, validation_folds
from sslhsi.probes.linear import C_GRID, linear_probe


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Thousands of tiny products: a second thread only waits for the first."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _clouds(
    classes: list[int], per_class: int, dimensions: int, seed: int = 0, spread: float = 1.0
) -> tuple[np.ndarray, ...]:
    """Overlapping classes in correlated features of very different scale, as spectra are."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(8, dimensions)) * rng.uniform(0.01, 100, size=dimensions)
    centres = rng.normal(size=(len(classes), 8))
    out = []
    for n in (per_class, 40):
        number = np.repeat(np.arange(len(classes)), n)
        x = (centres[number] + spread * rng.normal(size=(number.size, 8))) @ mixing
        x += rng.normal(scale=0.05, size=x.shape) * abs(mixing).max(axis=0) + 1000
        out += [x, np.array(classes)[number]]
    return tuple(out)


@pytest.mark.parametrize(
    ("classes", "per_class", "dimensions"),
    [([1, 2, 5, 9], 10, 60), ([1, 2, 5, 9], 60, 20), (list(range(3, 19)), 4, 60), ([4, 7], 15, 30)],
    ids=["fewer samples than features", "more", "16 classes", "two classes"],
)
@pytest.mark.parametrize("c", [1e-3, 1.0, 100.0])
def test_probabilities_equal_scikit_learns(classes: list[int], per_class: int, dimensions: int, c: float) -> None:
    x, y, test_x, _ = _clouds(classes, per_class, dimensions)
    probe = linear_probe(x, y, c_grid=(c,))
    scaler = StandardScaler().fit(x)
    reference = LogisticRegression(C=c, solver="newton-cg", tol=1e-7, max_iter=1000).fit(scaler.transform(x), y)
    assert probe.c == c
    assert probe.classes.tolist() == classes
    expected = reference.predict_proba(scaler.transform(test_x))
    assert abs(probe.predict_proba(test_x) - expected).max() < 1e-3
    assert abs(probe.predict_proba(x) - reference.predict_proba(scaler.transform(x))).max() < 1e-3
    sure = np.diff(np.sort(expected, axis=1)[:, -2:]).ravel() > 1e-2
    assert (probe.predict(test_x) == reference.predict(scaler.transform(test_x)))[sure].all()


def test_validation_equals_scikit_learn_on_the_same_folds() -> None:
    x, y, _, _ = _clouds([1, 2, 5, 9], 12, 40, spread=1.5)
    probe = linear_probe(x, y, seed=3)
    assert list(probe.accuracy) == list(C_GRID)
    for c in C_GRID[1:4]:
        right = 0
        for fit, check in validation_folds(y, 3):
            scaler = StandardScaler().fit(x[fit])
            model = LogisticRegression(C=c, tol=1e-5, max_iter=100_000).fit(scaler.transform(x[fit]), y[fit])
            right += (model.predict(scaler.transform(x[check])) == y[check]).sum()
        # One sample on a class boundary may fall either way while C is being chosen.
        assert abs(probe.accuracy[c] * y.size - right) <= 1


def test_the_chosen_c_is_as_good_as_any_and_fits_all_samples() -> None:
    x, y, _, _ = _clouds([1, 2, 5, 9], 12, 40, spread=1.5)
    probe = linear_probe(x, y, seed=3)
    best = max(probe.accuracy.values())
    assert probe.accuracy[probe.c] >= best - np.sqrt(best * (1 - best) / y.size)
    again = linear_probe(x, y, c_grid=(probe.c,))
    assert abs(again.predict_proba(x) - probe.predict_proba(x)).max() < 1e-3


def test_the_middle_of_equally_good_strengths_is_taken() -> None:
    x, y, _, _ = _clouds([1, 2, 5], 20, 10, spread=0.01)
    probe = linear_probe(x, y, c_grid=(1e-9, 0.1, 1, 10, 100, 1000))
    assert [c for c, accuracy in probe.accuracy.items() if accuracy == 1][-5:] == [0.1, 1, 10, 100, 1000]
    assert probe.c in (1, 10)


@pytest.mark.parametrize("per_class", [1, 2, 3])
def test_few_samples_per_class(per_class: int) -> None:
    x, y, test_x, test_y = _clouds([2, 4, 8], per_class, 50, spread=0.2)
    probe = linear_probe(x, y)
    assert (probe.predict(test_x) == test_y).mean() > 0.9
    assert bool(probe.accuracy) == (per_class > 1)
    if per_class == 1:
        assert probe.c == 1.0


def test_constant_features_and_unequal_classes_are_fine() -> None:
    x, y, test_x, test_y = _clouds([1, 3, 4], 20, 12, spread=0.3)
    keep = np.r_[0:20, 20:23, 40:41]  # 20, 3 and 1 samples
    x[:, 5] = test_x[:, 5] = 0.1  # a mean that floating point does not hit exactly
    test_x[:, 5] += 7  # what never varied in training says nothing
    probe = linear_probe(x[keep], y[keep])
    assert np.isfinite(probe.predict_proba(test_x)).all()
    assert (probe.predict(test_x) == test_y).mean() > 0.9


def test_same_seed_same_probe() -> None:
    x, y, _, _ = _clouds([1, 2, 3], 8, 20, spread=2.0)
    first, again = linear_probe(x, y, seed=5), linear_probe(x, y, seed=5)
    assert (first.weights == again.weights).all()
    assert first.accuracy == again.accuracy


def test_one_class_or_lengths_that_differ_are_refused() -> None:
    with pytest.raises(InputError, match="holds 1 class"):
        linear_probe(np.random.default_rng(0).normal(size=(5, 3)), np.ones(5, dtype=int))
    with pytest.raises(InputError, match="fit"):
        linear_probe(np.zeros((5, 3)), np.arange(4))


def test_features_that_are_not_finite_and_a_bad_grid_are_refused() -> None:
    x, y, _, _ = _clouds([1, 2], 4, 3)
    with pytest.raises(InputError, match="c_grid"):
        linear_probe(x, y, c_grid=(0.0, 1.0))
    x[0, 0] = np.nan
    with pytest.raises(InputError, match="finite"):
        linear_probe(x, y)


@pytest.mark.parametrize("counts", [(5, 5, 5), (1, 2, 30), (7, 11, 3)])
def test_folds_validate_every_sample_once_and_fit_on_every_class(counts: tuple[int, ...]) -> None:
    y = np.repeat(np.arange(3), counts)
    folds = list(validation_folds(y, 0))
    checked = np.concatenate([check for _, check in folds])
    single = np.flatnonzero(np.isin(y, [k for k, n in enumerate(counts) if n == 1]))
    assert sorted(checked.tolist()) == np.setdiff1d(np.arange(y.size), single).tolist()
    for fit, check in folds:
        assert np.intersect1d(fit, check).size == 0
        assert set(y[fit]) == {0, 1, 2}
        assert fit.size + check.size == y.size


def test_many_samples_are_validated_on_one_fifth() -> None:
    y = np.repeat(np.arange(4), MANY // 4 + 1)
    ((_, check),) = validation_folds(y, 0)
    assert check.size == pytest.approx(y.size / FOLDS, abs=4)
    assert not list(validation_folds(np.arange(6), 0))
