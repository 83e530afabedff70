"""k-NN against scikit-learn on the same features, and against the machine's own matrix product.

    python benchmarks/knn.py
    python benchmarks/knn.py --quick

Peer: KNeighborsClassifier, brute force, on float32 rows of length 1 (Euclidean then orders as cosine does), all
cores, uniform votes. Ours: the same vote with FAISS and with NumPy. Fit and prediction count for all. No exact
search in float32 is faster than the product of queries and bank alone, which is measured in the same rounds: how much
faster than the peer that is, is the limit, and GFLOP/s tell how near to it each comes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from measure import SPEED, compared, in_turn, write
from sklearn.neighbors import KNeighborsClassifier

from sslhsi.probes.knn import knn_predict


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bank", type=int, nargs="+", default=[2_000, 20_000])
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--dimensions", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=SPEED)
    args = parser.parse_args()
    if args.quick:
        args.bank, args.queries, args.rounds = [500], 500, 2
    rng = np.random.default_rng(0)
    rows = []
    for size in args.bank:
        centres = rng.normal(size=(16, args.dimensions))
        labels, asked = rng.integers(16, size=size), rng.integers(16, size=args.queries)
        bank, queries = (
            (centres[y] + 4 * rng.normal(size=(len(y), args.dimensions))).astype(np.float32) for y in (labels, asked)
        )
        bank /= np.linalg.norm(bank, axis=1, keepdims=True)
        queries /= np.linalg.norm(queries, axis=1, keepdims=True)
        predicted: dict[str, np.ndarray] = {}

        def peer(bank=bank, labels=labels, queries=queries, predicted=predicted) -> None:
            model = KNeighborsClassifier(20, algorithm="brute", n_jobs=-1).fit(bank, labels)
            predicted["scikit-learn"] = model.predict(queries)

        def ours(backend: str, bank=bank, labels=labels, queries=queries, predicted=predicted) -> None:
            predicted[backend] = knn_predict(bank, labels, queries, k=20, weighted=False, backend=backend)

        product = np.empty((args.queries, size), np.float32)
        runs = {
            "scikit-learn": peer,
            "faiss": lambda ours=ours: ours("faiss"),
            "numpy": lambda ours=ours: ours("numpy"),
            "product alone": lambda a=queries, b=bank, out=product: np.matmul(a, b.T, out=out),
        }
        in_turn(runs, 1)
        seconds = in_turn(runs, args.rounds)
        for name, times in seconds.items():
            row = {"bank": size, "queries": args.queries, "dimensions": args.dimensions, "method": name}
            row |= compared(times, seconds["scikit-learn"])
            row["GFLOP/s"] = 2e-9 * size * args.queries * args.dimensions / row["seconds"]
            same = predicted.get(name)
            row["same labels %"] = "" if same is None else 100 * float((same == predicted["scikit-learn"]).mean())
            rows.append(row)
    write("knn", "k-NN", " ".join((__doc__ or "").split("\n\n")[2].split()), rows, args.out)


if __name__ == "__main__":
    main()
