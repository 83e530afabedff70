"""k-NN against scikit-learn and against the written-out formula."""

from __future__ import annotations

import sys
from importlib.util import find_spec

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from sslhsi.errors import InputError
from sslhsi.probes import knn
from sslhsi.probes.knn import knn_predict

BACKENDS = [
    "numpy",
    pytest.param("faiss", marks=pytest.mark.skipif(find_spec("faiss") is None, reason="no FAISS")),
]


@pytest.fixture(scope="module")
def features() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Clouds of five classes whose ids have gaps, overlapping so that neighbours disagree."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(5, 24))
    labels = rng.choice([2, 3, 7, 11, 40], size=400)
    bank = centres[np.searchsorted([2, 3, 7, 11, 40], labels)] + rng.normal(scale=1.5, size=(400, 24))
    queries = centres[rng.integers(5, size=300)] + rng.normal(scale=1.5, size=(300, 24))
    return bank, labels, queries * rng.uniform(0.1, 10, size=(300, 1))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("k", [1, 5, 20, 400])
def test_plain_vote_equals_scikit_learn(features: tuple, backend: str, k: int) -> None:
    bank, labels, queries = features
    expected = KNeighborsClassifier(k, metric="cosine").fit(bank, labels).predict(queries)
    assert (knn_predict(bank, labels, queries, k=k, weighted=False, backend=backend) == expected).all()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_weighted_vote_equals_the_formula(features: tuple, backend: str, temperature: float) -> None:
    bank, labels, queries = features
    expected = []
    for query in queries:
        similarity = bank @ query / np.linalg.norm(bank, axis=1) / np.linalg.norm(query)
        nearest = np.argsort(-similarity)[:20]
        votes = {
            c: np.exp(similarity[nearest][labels[nearest] == c] / temperature).sum() for c in set(labels.tolist())
        }
        expected.append(max(votes, key=lambda c: votes[c]))
    assert (knn_predict(bank, labels, queries, temperature=temperature, backend=backend) == expected).all()
    plain = knn_predict(bank, labels, queries, weighted=False, backend=backend)
    assert (plain != expected).any()  # else this would not tell the two votes apart


@pytest.mark.parametrize("backend", BACKENDS)
def test_k_is_clamped_to_a_small_bank(features: tuple, backend: str) -> None:
    bank, labels, queries = features
    assert (knn_predict(bank[:1], labels[:1], queries, k=20, backend=backend) == labels[0]).all()
    small = knn_predict(bank[:7], labels[:7], queries, k=20, weighted=False, backend=backend)
    assert (small == KNeighborsClassifier(7, metric="cosine").fit(bank[:7], labels[:7]).predict(queries)).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_lower_label_wins_a_draw(backend: str) -> None:
    bank = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    for labels in ([9, 4, 4, 9], [4, 9, 9, 4]):
        labelled = knn_predict(bank, np.array(labels), np.array([[1.0, 1.0]]), k=4, backend=backend)
        assert labelled.tolist() == [4]


@pytest.mark.parametrize("backend", BACKENDS)
def test_small_temperatures_and_zero_features_do_no_harm(features: tuple, backend: str) -> None:
    bank, labels, queries = features
    nearest = KNeighborsClassifier(1, metric="cosine").fit(bank, labels).predict(queries)
    assert (knn_predict(bank, labels, queries, temperature=1e-5, backend=backend) == nearest).all()
    assert knn_predict(bank, labels, np.zeros((2, 24)), backend=backend).shape == (2,)


def test_chunks_give_the_same_labels(features: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    bank, labels, queries = features
    whole = knn_predict(bank, labels, queries, backend="numpy")
    monkeypatch.setattr(knn, "CHUNK_VALUES", 400 * 7)
    assert (knn_predict(bank, labels, queries, backend="numpy") == whole).all()


def test_without_faiss_auto_still_works_and_faiss_is_refused(
    features: tuple, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank, labels, queries = features
    whole = knn_predict(bank, labels, queries, backend="numpy")
    monkeypatch.setitem(sys.modules, "faiss", None)
    assert (knn_predict(bank, labels, queries) == whole).all()
    with pytest.raises(InputError, match="pip install faiss-cpu"):
        knn_predict(bank, labels, queries, backend="faiss")


def test_bad_input_is_refused(features: tuple) -> None:
    bank, labels, queries = features
    for arguments, message in (
        ((bank, labels[:-1], queries), "don't fit"),
        ((bank, labels, queries[:, 1:]), "don't fit"),
        ((np.where(bank > 3, np.nan, bank), labels, queries), "finite"),
    ):
        with pytest.raises(InputError, match=message):
            knn_predict(*arguments)
    with pytest.raises(InputError, match="k >= 1"):
        knn_predict(bank, labels, queries, k=0)
    with pytest.raises(InputError, match="auto, faiss, numpy"):
        knn_predict(bank, labels, queries, backend="annoy")
