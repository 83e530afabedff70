"""k nearest neighbours on frozen features, by cosine similarity, exact."""

from __future__ import annotations

import importlib.util
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from threadpoolctl import ThreadpoolController

from sslhsi.errors import InputError

BACKENDS = ("auto", "faiss", "numpy")
CHUNK_VALUES = 8_000_000  # similarities that a thread holds at once: 32 MB as float32
GROUP = 16  # columns whose largest value stands for them while the nearest are chosen


def knn_predict(
    bank: np.ndarray,
    bank_labels: np.ndarray,
    queries: np.ndarray,
    *,
    k: int = 20,
    weighted: bool = True,
    temperature: float = 0.07,
    backend: str = "auto",
) -> np.ndarray:
    """Label of each query by a vote of its k most similar bank features.

    A weighted vote counts a neighbour of similarity s as exp(s / temperature) (Wu et al., CVPR 2018,
    section 3.4); a plain one counts each as 1. The lower label wins a draw. A feature of length 0 has
    similarity 0 to everything.

    Args:
        bank: (n, D) features.
        bank_labels: (n,) integer labels, gaps allowed.
        queries: (m, D) features.
        k: Neighbours; no more than the bank holds are used.
        weighted: Whether the vote is weighted.
        temperature: Of the weighted vote.
        backend: ``faiss`` (CPU, or GPU where the GPU build is installed), ``numpy`` (a chunked product), or
            ``auto``: FAISS when it is installed.

    Returns:
        (m,) labels of the bank.

    Raises:
        InputError: Shapes don't fit, a feature is not finite, or the backend is not known or installed.

    Examples:
        >>> bank = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])
        >>> knn_predict(bank, np.array([4, 4, 7]), np.array([[2.0, 0.1], [0.1, 3.0]]), k=1).tolist()
        [4, 7]
    """
    if backend not in BACKENDS:
        raise InputError(f"k-NN backend {backend!r} is not known: use {', '.join(BACKENDS)}")
    installed = importlib.util.find_spec("faiss") is not None
    if backend == "faiss" and not installed:
        raise InputError("k-NN backend 'faiss' is not installed: pip install faiss-cpu, or use backend='numpy'")
    labels = np.asarray(bank_labels).ravel()
    bank, queries = _directions(bank), _directions(queries)
    if len(bank) != labels.size or bank.shape[1] != queries.shape[1]:
        raise InputError(f"k-NN bank {bank.shape}, {labels.size} labels and queries {queries.shape} don't fit")
    if k < 1 or labels.size == 0 or temperature <= 0:
        raise InputError(f"k-NN needs k >= 1, a temperature > 0 and a bank: k {k}, {temperature}, {labels.size}")
    k = min(k, labels.size)
    search = _search_faiss if backend != "numpy" and installed else _search_numpy
    similarity, neighbour = search(bank, queries, k)
    classes, number = np.unique(labels, return_inverse=True)
    # Only ratios of the weights matter, so the largest is made 1: exp(1 / 0.01) would overflow.
    weight = np.exp((similarity - similarity[:, :1]) / temperature) if weighted else np.ones_like(similarity)
    row = np.repeat(np.arange(len(queries)), k)
    cell = row * classes.size + number[neighbour].ravel()
    votes = np.bincount(cell, weights=weight.ravel(), minlength=len(queries) * classes.size)
    return classes[votes.reshape(len(queries), classes.size).argmax(axis=1)]


def _directions(features: np.ndarray) -> np.ndarray:
    """Float32 rows of length 1."""
    rows = np.asarray(features, dtype=np.float32)
    if rows.ndim != 2 or not np.isfinite(rows).all():
        raise InputError(f"k-NN features must be finite and (samples, dimensions), not {rows.shape}")
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.float32(1e-12))


def _search_faiss(bank: np.ndarray, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """(m, k) similarities, descending, and indices into the bank."""
    import faiss

    index: faiss.Index = faiss.IndexFlatIP(bank.shape[1])
    if hasattr(faiss, "StandardGpuResources") and faiss.get_num_gpus():
        index = faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, index)
    index.add(np.ascontiguousarray(bank))
    similarity, neighbour = index.search(np.ascontiguousarray(queries), k)
    return similarity.astype(np.float64), neighbour


def _search_numpy(bank: np.ndarray, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """(m, k) similarities, descending, and indices into the bank."""
    similarity, neighbour = np.empty((len(queries), k)), np.empty((len(queries), k), dtype=np.int64)

    def search(part: slice) -> None:
        similarity[part], neighbour[part] = _largest(queries[part] @ bank.T, k)

    rows = max(1, CHUNK_VALUES // len(bank))
    parts = [slice(start, start + rows) for start in range(0, len(queries), rows)]
    blas = ThreadpoolController().select(user_api="blas")
    threads = max((library.num_threads for library in blas.lib_controllers), default=1)
    # Choosing keeps one core busy for as long as multiplying: each thread does both for queries of its own.
    with blas.limit(limits=1), ThreadPoolExecutor(threads) as pool:
        list(pool.map(search, parts))
    return similarity, neighbour


def _largest(values: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """(m, k) largest of each row, descending, and their columns.

    The k largest lie in the k groups of columns with the largest maxima, which takes one fast pass to tell.
    """
    count = values.shape[1]
    groups = count // GROUP
    if groups > k:
        whole = groups * GROUP
        maxima = values[:, :whole].reshape(-1, GROUP, groups).max(axis=1)
        best = np.argpartition(maxima, groups - k, axis=1)[:, groups - k :]
        inside = (best[:, :, None] + groups * np.arange(GROUP)).reshape(len(values), -1)
        rest = np.broadcast_to(np.arange(whole, count), (len(values), count - whole))
        columns = np.hstack([inside, rest])
        values = np.take_along_axis(values, columns, axis=1)
    else:
        columns = np.broadcast_to(np.arange(count), values.shape)
    nearest = np.argpartition(values, values.shape[1] - k, axis=1)[:, values.shape[1] - k :]
    some = np.take_along_axis(values, nearest, axis=1)
    order = np.argsort(-some, axis=1, kind="stable")
    nearest = np.take_along_axis(nearest, order, axis=1)
    return np.take_along_axis(some, order, axis=1), np.take_along_axis(columns, nearest, axis=1)
