"""Linear probe and SVM against scikit-learn on the same features, folds and strengths.

    python benchmarks/probes.py
    python benchmarks/probes.py --quick

Sixteen classes of features as a backbone gives them: 256 dimensions of falling spread, classes that overlap. Peers,
on float64: StandardScaler, then LogisticRegression (default solver and tolerance, up to 1,000 steps) or SVC (RBF) in
GridSearchCV over the same strengths and folds on all cores, whose workers run already. Ours choose by the same folds
(the linear probe the middle one of what is within a standard error of the best). Choice, fit and prediction count.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from measure import SPEED, compared, in_turn, write
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from sslhsi.probes import linear, svm
from sslhsi.probes.fit import fit_probe
from sslhsi.probes.folds import validation_folds

CLASSES, DIMENSIONS = 16, 256


def samples(rng: np.random.Generator, number: int, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n, D) float32 features and (n,) labels."""
    labels = np.arange(number) % CLASSES
    spread = 1 / np.sqrt(1 + np.arange(DIMENSIONS))
    return ((centres[labels] + 4 * rng.normal(size=(number, DIMENSIONS))) * spread).astype(np.float32), labels


def peer(probe: str, x: np.ndarray, y: np.ndarray) -> GridSearchCV:
    """scikit-learn's way to the same choice."""
    grid: dict[str, list[float]]
    if probe == "linear":
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        grid = {"logisticregression__C": list(linear.C_GRID)}
    else:
        model = make_pipeline(StandardScaler(), SVC())
        widths = [width / DIMENSIONS for width in svm.GAMMA_GRID]
        grid = {"svc__C": list(svm.C_GRID), "svc__gamma": widths}
    return GridSearchCV(model, grid, cv=list(validation_folds(y, 0)), n_jobs=-1).fit(x.astype(np.float64), y)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, nargs="+", default=[80, 400], help="training samples")
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="80 samples, one round")
    parser.add_argument("--out", type=Path, default=SPEED)
    args = parser.parse_args()
    if args.quick:
        args.samples, args.queries, args.rounds = [80], 500, 1
    warnings.filterwarnings("ignore", category=ConvergenceWarning)
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(CLASSES, DIMENSIONS))
    queries, truth = samples(rng, args.queries, centres)
    rows = []
    for probe in ("linear", "SVM"):
        for number in args.samples:
            x, y = samples(rng, number, centres)
            predicted: dict[str, np.ndarray] = {}

            def theirs(probe=probe, x=x, y=y, predicted=predicted) -> None:
                predicted["scikit-learn"] = peer(probe, x, y).predict(queries.astype(np.float64))

            def ours(probe=probe, x=x, y=y, predicted=predicted) -> None:
                predicted["sslhsi"] = fit_probe(probe, x, y)(queries)

            runs: dict[str, Callable[[], Any]] = {"scikit-learn": theirs, "sslhsi": ours}
            in_turn(runs, 1)
            seconds = in_turn(runs, args.rounds)
            for name, times in seconds.items():
                row = {"probe": probe, "samples": number, "queries": args.queries, "method": name}
                row |= compared(times, seconds["scikit-learn"])
                row["accuracy %"] = 100 * float((predicted[name] == truth).mean())
                rows.append(row)
            print(rows[-1], flush=True)
    write("probes", "Linear probe and SVM", " ".join((__doc__ or "").split("\n\n")[2].split()), rows, args.out)


if __name__ == "__main__":
    main()
