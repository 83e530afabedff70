"""k nearest neighbours on frozen features, by cosine similarity, exact."""

from __future__ import annotations

import importlib.util

import numpy as np
import torch

from sslhsi.errors import InputError

BACKENDS = ("auto", "faiss", "torch")
CHUNK_VALUES = 16_000_000  # similarities held at once: 64 MB as float32


def knn_predict(
    bank: np.ndarray | torch.Tensor,
    bank_labels: np.ndarray | torch.Tensor,
    queries: np.ndarray | torch.Tensor,
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
        backend: ``faiss`` (CPU, or GPU where the GPU build is installed), ``torch`` (a chunked product,
            on the device of ``queries`` if that is a tensor), or ``auto``: FAISS when it is installed and
            the queries are not on a GPU already.

    Returns:
        (m,) labels, of the bank's own values.

    Raises:
        InputError: Shapes don't fit, a feature is not finite, or the backend is not known or installed.
    """
    if backend not in BACKENDS:
        raise InputError(f"k-NN backend {backend!r} is not known: use {', '.join(BACKENDS)}")
    here = queries.device if isinstance(queries, torch.Tensor) else torch.device("cpu")
    found = importlib.util.find_spec("faiss") is not None
    if backend == "faiss" and not found:
        raise InputError("k-NN backend 'faiss' is not installed: pip install faiss-cpu, or use backend='torch'")
    labels = np.asarray(bank_labels.cpu() if isinstance(bank_labels, torch.Tensor) else bank_labels).ravel()
    memory, asked = _unit(bank, here), _unit(queries, here)
    if len(memory) != labels.size or memory.shape[1] != asked.shape[1]:
        raise InputError(
            f"k-NN bank {tuple(memory.shape)}, {labels.size} labels and queries {tuple(asked.shape)} don't fit"
        )
    if k < 1 or labels.size == 0 or temperature <= 0:
        raise InputError(f"k-NN needs k >= 1, a temperature > 0 and a bank: k {k}, {temperature}, {labels.size}")
    k = min(k, labels.size)
    if backend == "faiss" or (backend == "auto" and found and here.type == "cpu"):
        similarity, neighbour = _search_faiss(memory, asked, k)
    else:
        similarity, neighbour = _search_torch(memory, asked, k)
    classes, number = np.unique(labels, return_inverse=True)
    # Only ratios of the weights matter, so the largest is made 1: exp(1 / 0.01) would overflow.
    weight = np.exp((similarity - similarity[:, :1]) / temperature) if weighted else np.ones_like(similarity)
    row = np.repeat(np.arange(len(asked)), k)
    cell = row * classes.size + number[neighbour].ravel()
    votes = np.bincount(cell, weights=weight.ravel(), minlength=len(asked) * classes.size)
    return classes[votes.reshape(len(asked), classes.size).argmax(axis=1)]


def _unit(features: np.ndarray | torch.Tensor, device: torch.device) -> torch.Tensor:
    """Float32 rows of length 1."""
    rows = torch.as_tensor(features, device=device).float()
    if rows.ndim != 2 or not torch.isfinite(rows).all():
        raise InputError(f"k-NN features must be finite and (samples, dimensions), not {tuple(rows.shape)}")
    return torch.nn.functional.normalize(rows, dim=1)


def _search_faiss(bank: torch.Tensor, queries: torch.Tensor, k: int) -> tuple[np.ndarray, np.ndarray]:
    """(m, k) similarities, descending, and indices into the bank."""
    import faiss

    index: faiss.Index = faiss.IndexFlatIP(bank.shape[1])
    if hasattr(faiss, "StandardGpuResources") and faiss.get_num_gpus():
        index = faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, index)
    index.add(np.ascontiguousarray(bank.cpu().numpy()))
    similarity, neighbour = index.search(np.ascontiguousarray(queries.cpu().numpy()), k)
    return similarity.astype(np.float64), neighbour


def _search_torch(bank: torch.Tensor, queries: torch.Tensor, k: int) -> tuple[np.ndarray, np.ndarray]:
    """(m, k) similarities, descending, and indices into the bank."""
    parts = [(chunk @ bank.T).topk(k, dim=1) for chunk in queries.split(max(1, CHUNK_VALUES // len(bank)))]
    similarity = torch.cat([part.values for part in parts])
    return similarity.double().cpu().numpy(), torch.cat([part.indices for part in parts]).cpu().numpy()
