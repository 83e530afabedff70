"""Support vector machine with an RBF kernel, the field's classical baseline, on spectra or on features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.svm import SVC

from sslhsi.errors import InputError
from sslhsi.probes.folds import validation_folds

C_GRID = (1.0, 10.0, 100.0, 1000.0)
GAMMA_GRID = (0.03, 0.1, 0.3, 1.0, 3.0)  # times 1 / dimensions: 1 is scikit-learn's "scale" here
DEFAULT_C, DEFAULT_GAMMA = 100.0, 0.3
CHUNK_VALUES = 16_000_000  # kernel values held at once when predicting: 128 MB


@dataclass(frozen=True)
class SvmProbe:
    """A fitted SVM.

    Args:
        machine: scikit-learn's SVC on a precomputed kernel.
        support: (n, D) standardised training features.
        mean: (D,) of the training features.
        scale: (D,) standard deviation of the training features, 1 where it was 0.
        c: Chosen C.
        gamma: Chosen width of exp(-gamma |a - b|^2), on standardised features.
        accuracy: Validation accuracy by (C, gamma), 0 to 1; empty when nothing was validated.
    """

    machine: SVC
    support: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    c: float
    gamma: float
    accuracy: dict[tuple[float, float], float]

    def predict(self, x: np.ndarray) -> np.ndarray:
        """(n,) labels of (n, D) features."""
        x = np.asarray(x)
        rows = max(1, CHUNK_VALUES // len(self.support))
        parts = []
        for start in range(0, len(x), rows):
            part = (x[start : start + rows].astype(np.float64) - self.mean) / self.scale
            parts.append(self.machine.predict(np.exp(-self.gamma * _distances(part, self.support))))
        return np.concatenate(parts) if parts else self.machine.classes_[:0]


def svm_probe(
    train_x: np.ndarray,
    train_y: np.ndarray,
    *,
    c_grid: Sequence[float] = C_GRID,
    gamma_grid: Sequence[float] = GAMMA_GRID,
    seed: int = 0,
) -> SvmProbe:
    """Fit an SVM on training features alone; C and gamma by cross-validation.

    The pair with the best accuracy over stratified folds of the training samples is taken (one held-out
    fifth above 1,000 samples; classes with fewer samples than folds are validated as often as they have
    samples), the smaller C and then the smaller gamma where several are equal. With one sample per class
    nothing can be validated: C is 100 and gamma 0.3 / D, or the grids' nearest to them.

    Args:
        train_x: (n, D) features; standardised here with the training samples' mean and spread.
        train_y: (n,) integer labels, gaps allowed.
        c_grid: Values of C.
        gamma_grid: Values of gamma times D.
        seed: Of the folds.

    Returns:
        The SVM.

    Raises:
        InputError: Shapes don't fit, features are not finite, there is one class only, or a grid value
            isn't above 0.
    """
    x, y = np.asarray(train_x, dtype=np.float64), np.asarray(train_y).ravel()
    if x.ndim != 2 or len(x) != y.size or not np.isfinite(x).all():
        raise InputError(f"SVM: {x.shape} features and {y.size} labels must fit and be finite numbers")
    if (classes := np.unique(y).size) < 2:
        raise InputError(f"SVM: training holds {classes} class, and two are needed")
    strengths, widths = sorted(float(c) for c in c_grid), sorted(g / x.shape[1] for g in gamma_grid)
    if not strengths or not widths or min(strengths[0], widths[0]) <= 0:
        raise InputError("SVM: c_grid and gamma_grid must hold numbers above 0")
    accuracy = _validate(x, y, strengths, widths, seed) if len(strengths) * len(widths) > 1 else {}
    if accuracy:
        c, gamma = max(accuracy, key=lambda pair: accuracy[pair])
    else:
        c = min(strengths, key=lambda v: abs(np.log(v / DEFAULT_C)))
        gamma = min(widths, key=lambda v: abs(np.log(v * x.shape[1] / DEFAULT_GAMMA)))
    mean, scale = x.mean(axis=0), x.std(axis=0)
    scale[scale == 0] = 1
    support = (x - mean) / scale
    machine = SVC(C=c, kernel="precomputed").fit(np.exp(-gamma * _distances(support, support)), y)
    return SvmProbe(machine, support, mean, scale, c, gamma, accuracy)


def _validate(
    x: np.ndarray, y: np.ndarray, strengths: list[float], widths: list[float], seed: int
) -> dict[tuple[float, float], float]:
    """Accuracy on validation samples by (C, gamma), in ascending order; empty when nothing can be validated."""
    right = {(c, gamma): 0 for c in strengths for gamma in widths}
    total = 0
    for fit, check in validation_folds(y, seed):
        mean, scale = x[fit].mean(axis=0), x[fit].std(axis=0)
        scale[scale == 0] = 1
        known, held = (x[fit] - mean) / scale, (x[check] - mean) / scale
        # Distances are computed once per fold and kernels once per gamma; libsvm would do so per fit.
        inner, outer = _distances(known, known), _distances(held, known)
        for gamma in widths:
            kernel, test = np.exp(-gamma * inner), np.exp(-gamma * outer)
            for c in strengths:
                machine = SVC(C=c, kernel="precomputed").fit(kernel, y[fit])
                right[c, gamma] += int((machine.predict(test) == y[check]).sum())
        total += check.size
    return {pair: n / total for pair, n in right.items()} if total else {}


def _distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n, m) squared Euclidean distances."""
    squared = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1) - 2 * (a @ b.T)
    return np.maximum(squared, 0, out=squared)
