"""The proxy A-distance: how well a linear classifier tells samples of two domains apart."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from sslhsi.errors import InputError

FEWEST = 20  # training samples of a domain in a fold


@dataclass(frozen=True)
class Samples:
    """Samples of one domain, in random order, with their folds.

    Args:
        x: (n, D) spectra or features.
        fold: (n,) fold in which a sample is held out, 0 to F - 1.
        usable: (n, F) whether a sample may be trained on while a fold is held out.
    """

    x: np.ndarray
    fold: np.ndarray
    usable: np.ndarray

    @property
    def fewest(self) -> int:
        """Training samples of the fold that has the fewest; 0 where a fold holds none out."""
        held = np.bincount(self.fold, minlength=self.usable.shape[1])
        return int(self.usable.sum(axis=0).min()) if held.all() else 0

    def take(self, which: np.ndarray) -> Samples:
        """Some of them."""
        return Samples(self.x[which], self.fold[which], self.usable[which])


@dataclass(frozen=True)
class ADistance:
    """A measured distance.

    Args:
        distance: Between 0 and 2.
        raw: Before it was cut to that range; below 0 where the classifiers did worse than chance.
        standard_error: Of ``raw``, over folds.
        error_source: Share of the held-out source samples that were taken for the target's.
        error_target: The other way round.
        train: Training samples per domain, mean over folds.
        test: Held-out samples of both domains together.
    """

    distance: float
    raw: float
    standard_error: float
    error_source: float
    error_target: float
    train: float
    test: int


def proxy_a_distance(source: Samples, target: Samples) -> ADistance:
    """d = 2 (1 - (err_s + err_t)), with the held-out error rates of a linear classifier between two domains.

    Ben-David et al. (Machine Learning 79, 2010, lemma 2) take the least err_s + err_t that a hypothesis class
    reaches on the samples at hand. Here the class is the linear one; logistic regression on standardised features
    stands for its best member, and the errors are those on held-out samples, because in many dimensions a linear
    classifier parts any two finite samples, be they of one domain. With fewer training samples than dimensions
    the distance comes out too small. The
    constant classifiers belong to the class and have err_s + err_t = 1, so that no distance is below 0. With
    equal halves it is 2 (1 - 2 err).

    In every fold both domains train with as many samples. The standard error is that of the folds' distances,
    sd / sqrt(F). Folds share most of their training samples, so that it is a lower bound.

    Args:
        source, target: Samples; they play the same part.

    Raises:
        InputError: Too few samples are left to train on, a fold holds none out, or samples are not finite.
    """
    if (least := min(source.fewest, target.fewest)) < FEWEST:
        raise InputError(f"a fold has {least} samples of a domain to train on, or none to test; {FEWEST} are needed")
    folds = source.usable.shape[1]
    wrong, count = np.zeros((folds, 2)), np.zeros((folds, 2))
    used = []
    for fold in range(folds):
        train = [side.x[side.usable[:, fold]] for side in (source, target)]
        held = [side.x[side.fold == fold] for side in (source, target)]
        n = min(map(len, train))
        classify = _classifier(np.vstack([part[:n] for part in train]), np.repeat([0, 1], n))
        for side, x in enumerate(held):
            wrong[fold, side], count[fold, side] = (classify.predict(x) != side).sum(), len(x)
        used.append(n)
    error = wrong.sum(axis=0) / count.sum(axis=0)
    raw = 2 * (1 - error.sum())
    by_fold = 2 * (1 - (wrong / count).sum(axis=1))
    return ADistance(
        distance=float(np.clip(raw, 0, 2)),
        raw=float(raw),
        standard_error=float(by_fold.std(ddof=1) / folds**0.5),
        error_source=float(error[0]),
        error_target=float(error[1]),
        train=float(np.mean(used)),
        test=int(count.sum()),
    )


def principal_axes(domains: list[np.ndarray], count: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and leading principal axes of several domains, each of which weighs as much as any other.

    Args:
        domains: (n, D) samples each.
        count: Axes; 0 for all of them.

    Returns:
        (D,) and (D, count).
    """
    means = np.array([x.mean(axis=0) for x in domains])
    mean = means.mean(axis=0)
    if not count or count >= mean.size:
        return mean, np.eye(mean.size)
    covariance = np.mean([(x - mean).T @ (x - mean) / len(x) for x in domains], axis=0)
    return mean, np.linalg.eigh(covariance)[1][:, : -count - 1 : -1]


def _classifier(x: np.ndarray, y: np.ndarray) -> Pipeline:
    # A hundred times stronger or weaker moves distances by a few hundredths; and where two domains come apart
    # altogether, errors are settled long before the weights are.
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=200, tol=1e-3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(x, y)
