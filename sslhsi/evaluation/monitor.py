"""What is watched while a run trains: whether its features tell held-out windows apart, and whether they collapse."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from torch import nn

from sslhsi.corpus.corpus import Corpus
from sslhsi.corpus.reader import PatchReader
from sslhsi.encoder.features import features
from sslhsi.probes.knn import knn_predict
from sslhsi.recipe import Patches

# Columns of metrics.csv.
COLUMNS = ("knn", "knn_class", "rank", "spread")
# A collapse is named where rank less 1, or spread, is below this share of what it was at the start.
COLLAPSED = 0.25
MOST_CLASSES = 1 << 32


def effective_rank(x: np.ndarray) -> float:
    """RankMe (Garrido et al. 2023, arXiv:2210.02885, equation 1): e to the entropy of the singular values' shares.

    Args:
        x: (n, D) features.

    Returns:
        Between 1, all on one line, and the smaller of n and D; NaN where a feature is not finite.

    Examples:
        >>> round(effective_rank(np.eye(4)), 3), round(effective_rank(np.ones((4, 3))), 3)
        (4.0, 1.0)
    """
    if not np.isfinite(x).all():
        return math.nan
    values = np.linalg.svd(x.astype(np.float64), compute_uv=False)
    total = values.sum()
    shares = values[values > 0] / total if total else np.ones(1)
    return float(np.exp(-(shares * np.log(shares)).sum()))


def spread(x: np.ndarray) -> float:
    """Root mean squared distance of (n, D) features, each scaled to length 1, from their mean: 0 at a point, up to 1.

    Examples:
        >>> spread(np.array([[1.0, 0.0], [-2.0, 0.0]])), spread(np.ones((4, 3))), spread(np.zeros((4, 3)))
        (1.0, 0.0, 0.0)
    """
    directions = x.astype(np.float64) / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    return float(np.sqrt(np.square(directions - directions.mean(0)).sum(1).mean()))


class Monitor:
    """Measures a network in training on at most ``limit`` windows that touch no other, the same ones each time.

    Args:
        corpus: What is trained on.
        patches: The recipe's.
        k: Neighbours of the k-NN.
        limit: Windows of each side.
    """

    def __init__(self, corpus: Corpus, patches: Patches, k: int, limit: int = 1000) -> None:
        rng = np.random.default_rng(0)
        bank = corpus.windows(patches, stride=patches.window)
        held = corpus.windows(patches, held=True, stride=patches.window)
        self.bank, self.held = (w[np.sort(rng.permutation(len(w))[:limit])] for w in (bank, held))
        self.k = k
        self.domains = tuple(corpus.domain_numbers(w) for w in (self.bank, self.held))
        self.classes = (
            _classes(self.bank, corpus.centre_labels(self.bank, patches.window)),
            _classes(self.held, corpus.centre_labels(self.held, patches.window, held=True)),
        )

    def __call__(self, network: nn.Module, reader: PatchReader) -> dict[str, float]:
        """``COLUMNS`` of a network as it is; what can't be measured is NaN.

        Percent of the held-out windows' domains, and of the classes of their centres, that k-NN recognises by windows
        that train; effective rank and spread of the held-out ones' features, or where nothing is held out, of
        those that train.
        """
        bank = features(network, reader.without_margin, self.bank)
        held = features(network, reader.without_margin, self.held)
        watched = held if len(held) else bank
        return {
            "knn": self._recognised(bank, held, *self.domains),
            "knn_class": self._recognised(bank, held, *self.classes),
            "rank": effective_rank(watched),
            "spread": spread(watched),
        }

    def _recognised(self, bank: np.ndarray, held: np.ndarray, known: np.ndarray, wanted: np.ndarray) -> float:
        train, test = known >= 0, np.isin(wanted, known[known >= 0])
        if len(np.unique(known[train])) < 2 or not test.any():
            return math.nan
        predicted = knn_predict(bank[train], known[train], held[test], k=self.k)
        return 100.0 * float(np.mean(predicted == wanted[test]))


def _classes(windows: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(n,) numbers that classes of two scenes never share; -1 without a label."""
    return np.where(labels < 0, -1, windows[:, 0].astype(np.int64) * MOST_CLASSES + labels)


def collapse(rows: Iterable[Mapping[str, Any]]) -> str:
    """Where features collapsed, in one sentence; empty where they did not.

    Args:
        rows: Of metrics.csv, in order: ``step``, ``rank`` and ``spread``, empty where not measured.

    Examples:
        >>> rows = [{"step": 0, "rank": 9.0, "spread": 0.8}, {"step": 20, "rank": 8.0, "spread": 0.1}]
        >>> collapse(rows).split(";")[0]
        'the features had collapsed by step 20: effective rank 8.0 (9.0 at step 0), spread 0.100 (0.800)'
    """
    first: tuple[int, float, float] | None = None
    for row in rows:
        if row.get("rank") in (None, "") or row.get("spread") in (None, ""):
            continue
        step, rank, wide = int(row["step"]), float(row["rank"]), float(row["spread"])
        if first is None:
            first = (step, rank, wide)
        start, first_rank, first_wide = first
        if rank - 1 < COLLAPSED * (first_rank - 1) or wide < COLLAPSED * first_wide:
            return (
                f"the features had collapsed by step {step}: effective rank {rank:.1f} ({first_rank:.1f} at step "
                f"{start}), spread {wide:.3f} ({first_wide:.3f}); below a quarter of the start counts; lower "
                "training.lr, raise training.warmup, or change method.options"
            )
    return ""
