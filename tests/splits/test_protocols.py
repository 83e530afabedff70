"""Named protocols against the published counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
import scipy.io

from sslhsi.errors import InputError
from sslhsi.splits.protocols import PROTOCOLS, SERIES, dase_maps, protocol
from sslhsi.splits.split import leak, split


@pytest.fixture(scope="module")
def truth(data: Path) -> np.ndarray:
    return scipy.io.loadmat(data / "indian-pines" / "Indian_pines_gt.mat")["indian_pines_gt"].astype(int)


@pytest.fixture(scope="module")
def dase(data: Path, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    with rasterio.open(data / "indian-pines" / "indianpines_ts.tif") as file:
        return dase_maps(file.read(), truth)


def test_indian_pines_1765_draws_the_published_counts(truth: np.ndarray) -> None:
    drawn = split(truth, "random", window=27, seed=3, **protocol("indian_pines_1765"))
    counts = np.bincount(truth[tuple(drawn.train.T)], minlength=17)[1:].tolist()
    assert counts == [30, 150, 150, 100, 150, 150, 20, 150, 15, 150, 150, 150, 150, 150, 50, 50]
    assert len(drawn.train) == 1765
    assert len(drawn.test) == 10249 - 1765
    assert drawn.report["short"] == {}


def test_series_and_transfer_protocols_exist() -> None:
    assert SERIES == (5, 10, 15, 20, 25, 30)
    for n in (5, 10, 15, 20, 25, 30):
        assert protocol(f"per_class_{n}") == {"per_class": n}
    assert protocol("pavia_university_1800") == {"per_class": 200}


def test_changing_a_protocols_arguments_does_not_change_the_protocol() -> None:
    protocol("per_class_5")["per_class"] = 99
    assert PROTOCOLS["per_class_5"] == {"per_class": 5}


def test_unknown_protocol_names_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'per_class_15'"):
        protocol("perclass_15")


def test_dase_has_the_published_numbers_and_is_disjoint(
    dase: tuple[np.ndarray, np.ndarray], truth: np.ndarray
) -> None:
    train, test = dase
    assert (int(train.sum()), int(test.sum())) == (5528, 4711)
    assert not (train & test).any()
    assert np.unique(truth[train]).tolist() == np.unique(truth[test]).tolist() == list(range(1, 17))


def test_dase_is_disjoint_by_pixel_but_not_by_window(dase: tuple[np.ndarray, np.ndarray], truth: np.ndarray) -> None:
    drawn = split(truth, "given", window=9, masks=dase)
    assert (len(drawn.train), len(drawn.test), len(drawn.dropped)) == (5528, 4711, 10)
    # Counted once by hand, window by window: 90 test windows of 9 x 9 touch no training window.
    assert round((1 - leak(drawn).window) * 4711) == 90


def test_dase_training_side_can_be_subsampled(dase: tuple[np.ndarray, np.ndarray], truth: np.ndarray) -> None:
    drawn = split(truth, "given", window=9, masks=dase, per_class=10, seed=1)
    assert dase[0][tuple(drawn.train.T)].all()
    counts = np.bincount(truth[tuple(drawn.train.T)], minlength=17)[1:]
    available = np.bincount(truth[dase[0]], minlength=17)[1:]
    assert (counts == np.minimum(10, available)).all()
    assert len(drawn.test) == 4711


def test_dase_maps_of_another_scene_are_refused(truth: np.ndarray) -> None:
    with pytest.raises(InputError, match="the ground truth"):
        dase_maps(np.zeros((10, 10), dtype=int), truth)
    with pytest.raises(InputError, match="0 to 16"):
        dase_maps(np.full(truth.shape, 17), truth)
