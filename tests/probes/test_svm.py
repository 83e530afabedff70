"""The SVM against scikit-learn's own."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from sslhsi.errors import InputError
from sslhsi.probes.folds import validation_folds
from sslhsi.probes.svm import svm_probe


@pytest.fixture(scope="module")
def samples() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x, y = make_classification(
        420, 12, n_informative=6, n_classes=4, n_clusters_per_class=2, class_sep=1.2, random_state=0
    )
    x = x * np.geomspace(0.1, 1000, 12) + 50
    return x[:120], np.array([1, 4, 5, 9])[y[:120]], x[120:]


def test_choice_and_predictions_equal_a_grid_search(samples: tuple) -> None:
    x, y, test = samples
    probe = svm_probe(x, y, c_grid=(1, 10, 100), gamma_grid=(0.1, 1, 3), seed=2)
    search = GridSearchCV(
        make_pipeline(StandardScaler(), SVC()),
        {"svc__C": [1, 10, 100], "svc__gamma": [g / 12 for g in (0.1, 1, 3)]},
        cv=list(validation_folds(y, 2)),
    ).fit(x, y)
    right = {
        (p["svc__C"], p["svc__gamma"]): score
        for p, score in zip(search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True)
    }
    for pair, accuracy in probe.accuracy.items():
        assert accuracy == pytest.approx(right[pair], abs=0.01)  # scikit-learn averages folds, not samples
    reference = make_pipeline(StandardScaler(), SVC(C=probe.c, gamma=probe.gamma)).fit(x, y)
    assert (probe.predict(test) == reference.predict(test)).all()
    assert probe.accuracy[probe.c, probe.gamma] == max(probe.accuracy.values())


def test_predicting_in_chunks_changes_nothing(samples: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y, test = samples
    probe = svm_probe(x, y, c_grid=(10,), gamma_grid=(1,))
    whole = probe.predict(test)
    monkeypatch.setattr("sslhsi.probes.svm.CHUNK_VALUES", 120 * 13)
    assert (probe.predict(test) == whole).all()
    assert probe.predict(test[:0]).shape == (0,)


def test_classes_with_fewer_samples_than_folds(samples: tuple) -> None:
    x, y, _ = samples
    keep = np.concatenate([np.flatnonzero(y == c)[:n] for c, n in ((1, 20), (4, 3), (5, 2), (9, 1))])
    probe = svm_probe(x[keep], y[keep])
    assert probe.accuracy
    assert set(probe.predict(x[keep])) <= {1, 4, 5, 9}
    one = np.concatenate([np.flatnonzero(y == c)[:1] for c in (1, 4, 5, 9)])
    single = svm_probe(x[one], y[one])
    assert (single.c, single.accuracy) == (100.0, {})
    assert single.gamma == pytest.approx(0.3 / 12)
    assert (single.predict(x[one]) == y[one]).all()


def test_bad_input_is_refused(samples: tuple) -> None:
    x, y, _ = samples
    with pytest.raises(InputError, match="holds 1 class"):
        svm_probe(x, np.ones_like(y))
    with pytest.raises(InputError, match="must fit"):
        svm_probe(x, y[:-1])
    with pytest.raises(InputError, match="above 0"):
        svm_probe(x, y, gamma_grid=(0.0,))
