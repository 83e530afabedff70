"""Linear probe: multinomial logistic regression on frozen features, its strength chosen by validation.

The fit is the unique optimum of scikit-learn's ``LogisticRegression`` (L2, intercept free). L-BFGS takes
hundreds of small steps to it, the more so the weaker the regularisation; here a truncated Newton method
with a diagonal preconditioner (Nocedal and Wright, Numerical Optimization, section 7.1) needs a handful of
large ones and starts each strength from the one before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax, softmax

from sslhsi.errors import InputError
from sslhsi.probes.folds import validation_folds

C_GRID = (1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)
DEFAULT_C = 1.0
ROUGH, EXACT = 1e-3, 1e-9  # distance to the optimum in nats per sample: for choosing C, for the result


@dataclass(frozen=True)
class LinearProbe:
    """A fitted linear probe.

    Args:
        classes: (C,) labels, ascending.
        mean: (D,) of the training features.
        scale: (D,) standard deviation of the training features, 1 where it was 0.
        weights: (D, C) on standardised features.
        intercept: (C,).
        c: The inverse regularisation strength that was chosen, as scikit-learn counts it.
        accuracy: Validation accuracy by C, 0 to 1; empty when nothing was validated.
    """

    classes: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    intercept: np.ndarray
    c: float
    accuracy: dict[float, float]

    def decision(self, x: np.ndarray) -> np.ndarray:
        """(n, C) logits of (n, D) features."""
        # The scaling is folded into the weights: the features are read once and never copied.
        weights = self.weights / self.scale[:, None]
        return np.asarray(x, dtype=np.float64) @ weights + (self.intercept - self.mean @ weights)

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        """(n, C) probabilities, columns in the order of ``classes``."""
        return softmax(self.decision(x), axis=1)

    def predict(self, x: np.ndarray) -> np.ndarray:
        """(n,) labels."""
        return self.classes[self.decision(x).argmax(axis=1)]


def linear_probe(
    train_x: np.ndarray, train_y: np.ndarray, *, c_grid: Sequence[float] = C_GRID, seed: int = 0
) -> LinearProbe:
    """Fit a linear probe on training features alone.

    Every C is validated on stratified folds of the training samples (on one held-out fifth above 1,000
    samples), features standardised within each fitting part. With 80 samples accuracies differ by chance
    more than by C, so not the best C is taken but the middle one of those within a standard error of the
    best. Then all training samples are fitted with it. With one sample per class nothing can be validated
    and C is 1, or the grid's nearest to it.

    Args:
        train_x: (n, D) features.
        train_y: (n,) integer labels, gaps allowed.
        c_grid: Inverse regularisation strengths; a single one needs no validation.
        seed: Of the folds.

    Returns:
        The probe.

    Raises:
        InputError: Shapes don't fit, features are not finite, there is one class only, or C isn't > 0.
    """
    x, y = np.asarray(train_x, dtype=np.float64), np.asarray(train_y).ravel()
    if x.ndim != 2 or len(x) != y.size or not np.isfinite(x).all():
        raise InputError(f"linear probe: {x.shape} features and {y.size} labels must fit and be finite numbers")
    classes, number = np.unique(y, return_inverse=True)
    if classes.size < 2:
        raise InputError(f"linear probe: training holds {classes.size} class, and two are needed")
    grid = sorted(float(c) for c in c_grid)
    if not grid or grid[0] <= 0:
        raise InputError(f"linear probe: c_grid must hold numbers above 0, not {grid}")
    accuracy = _validate(x, number, classes.size, grid, seed) if len(grid) > 1 else {}
    c = _middle(accuracy, y.size) if accuracy else min(grid, key=lambda v: abs(np.log(v / DEFAULT_C)))
    mean, scale = _standard(x)
    z, rotation = _rotated((x - mean) / scale)
    start = None
    for strength in [v for v in grid if v < c][-2:]:
        start = _fit(z, number, classes.size, strength, start, ROUGH)
    solution = _fit(z, number, classes.size, c, start, EXACT)
    return LinearProbe(classes, mean, scale, rotation @ solution[1:], solution[0], c, accuracy)


def _middle(accuracy: dict[float, float], samples: int) -> float:
    """The middle C of those whose accuracy is within one standard error of the best."""
    best = max(accuracy.values())
    error = np.sqrt(best * (1 - best) / samples)
    close = [c for c, value in accuracy.items() if value >= best - error]
    return close[len(close) // 2]


def _validate(x: np.ndarray, y: np.ndarray, classes: int, grid: list[float], seed: int) -> dict[float, float]:
    """Accuracy on validation samples by C; empty when nothing can be validated."""
    right = dict.fromkeys(grid, 0)
    total = 0
    for fit, check in validation_folds(y, seed):
        mean, scale = _standard(x[fit])
        z, rotation = _rotated((x[fit] - mean) / scale)
        held = (x[check] - mean) / scale @ rotation
        solution = None
        for c in grid:
            solution = _fit(z, y[fit], classes, c, solution, ROUGH)
            right[c] += int(((held @ solution[1:] + solution[0]).argmax(axis=1) == y[check]).sum())
        total += check.size
    return {c: n / total for c, n in right.items()} if total else {}


def _standard(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean, scale = x.mean(axis=0), x.std(axis=0)
    # A constant feature's spread is rounding noise, not exactly 0.
    return mean, np.where(scale > 1e-12 * np.maximum(abs(mean), 1e-300), scale, 1.0)


def _rotated(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Principal axes of the training features: (n, r) coordinates and the (D, r) rotation to them.

    L2 regularisation does not see rotations and an optimal weight lies in the span of the features, so
    r = min(n, D) axes hold the same optimum, with a Hessian that is nearer to a diagonal.
    """
    basis = np.linalg.qr(x.T)[0] if x.shape[0] < x.shape[1] else np.eye(x.shape[1])
    inner = x @ basis
    rotation = basis @ np.linalg.eigh(inner.T @ inner)[1]
    return x @ rotation, rotation


def _fit(
    z: np.ndarray, y: np.ndarray, classes: int, c: float, start: np.ndarray | None, tolerance: float
) -> np.ndarray:
    """(1 + r, C) intercept and weights that minimise mean cross-entropy + |weights|^2 / (2 c n).

    For two classes scikit-learn regularises the one difference of the weights, which is twice the
    penalty on the two of them; hence the factor.
    """
    n = len(z)
    a = np.hstack([np.ones((n, 1)), z])
    penalty = np.full((a.shape[1], 1), (2.0 if classes == 2 else 1.0) / (c * n))
    penalty[0] = 0
    target = np.eye(classes)[y]
    # The inner iterations only steer: single precision halves their time and costs no accuracy.
    a_, squares, penalty_ = a.astype(np.float32), np.square(a, dtype=np.float32), penalty.astype(np.float32)
    w = np.zeros((a.shape[1], classes)) if start is None else start
    logits = a @ w

    def value(w: np.ndarray, logits: np.ndarray) -> float:
        return float(-(log_softmax(logits, axis=1) * target).sum() / n + 0.5 * (penalty * w * w).sum())

    objective, decrement = value(w, logits), 1.0
    for _ in range(100):
        p = softmax(logits, axis=1)
        gradient = a.T @ (p - target) / n + penalty * w
        size = abs(gradient).max()
        if size == 0:
            break
        p_ = p.astype(np.float32)
        diagonal = squares.T @ (p_ * (1 - p_)) / n + penalty_ + np.float32(1e-12)
        step = _solve(a_, p_, penalty_, diagonal, (-gradient / size).astype(np.float32), min(0.25, decrement**0.5))
        step = size * step.astype(np.float64)
        moved, slope, length = a @ step, float((gradient * step).sum()), 1.0
        while True:
            new = w + length * step
            new_objective = value(new, logits + length * moved)
            if new_objective <= objective + 1e-4 * length * slope + 1e-14 or length < 1e-6:
                break
            length /= 2
        w, logits, objective, decrement = new, logits + length * moved, new_objective, -slope / 2
        if decrement < tolerance:
            break
    return w


def _solve(
    a: np.ndarray, p: np.ndarray, penalty: np.ndarray, diagonal: np.ndarray, right: np.ndarray, accuracy: float
) -> np.ndarray:
    """Preconditioned conjugate gradients on the Hessian, from zero, to a relative ``accuracy``."""
    x, residual = np.zeros_like(right), right.copy()
    scaled = residual / diagonal
    direction, product = scaled, float((residual * scaled).sum())
    enough = accuracy**2 * product
    n = np.float32(len(a))
    for _ in range(200):
        t = a @ direction
        t *= p
        t -= p * t.sum(axis=1, keepdims=True)
        image = a.T @ t / n + penalty * direction
        along = np.float32(product / float((direction * image).sum()))
        x += along * direction
        residual -= along * image
        scaled = residual / diagonal
        previous, product = product, float((residual * scaled).sum())
        if not product > enough:
            break
        direction = scaled + np.float32(product / previous) * direction
    return x
