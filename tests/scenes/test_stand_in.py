"""Stand-ins: named as such, reproducible, and hard in the way asked for."""

from itertools import pairwise

import numpy as np
import pytest
import scipy.io
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from sslhsi.errors import InputError
from sslhsi.scenes.simulated import stand_in as module
from sslhsi.scenes.simulated.stand_in import stand_in


@pytest.fixture(scope="module")
def fields():
    """A map of 4 classes x 16 separate fields of 9x9 pixels, with gaps between them."""
    labels = np.zeros((88, 88), dtype=np.uint8)
    kinds = np.random.default_rng(0).permutation(np.repeat(np.arange(1, 5), 16)).reshape(8, 8)
    for row in range(8):
        for column in range(8):
            labels[row * 11 + 1 : row * 11 + 10, column * 11 + 1 : column * 11 + 10] = kinds[row, column]
    return labels


def accuracy(scene, train, test):
    spectra, labels = scene.cube.reshape(-1, scene.bands).astype(float), scene.labels.ravel()
    scaler = StandardScaler().fit(spectra[train])
    model = KNeighborsClassifier(1).fit(scaler.transform(spectra[train]), labels[train])
    return model.score(scaler.transform(spectra[test]), labels[test])


def random_split(labels, per_class, seed=0):
    order = np.random.default_rng(seed).permutation(np.flatnonzero(labels.ravel()))
    kinds = labels.ravel()[order]
    train = np.concatenate([order[kinds == kind][:per_class] for kind in np.unique(kinds)])
    return train, np.setdiff1d(order, train)


def test_it_is_a_stand_in_by_name_and_by_flag(fields):
    scene = stand_in(fields, name="Pavia University", bands=20, classes=("a", "b", "c", "d"))
    assert scene.name == "stand-in: Pavia University"
    assert scene.stand_in
    assert scene.cube.shape == (88, 88, 20)
    np.testing.assert_array_equal(scene.labels, fields)
    assert scene.class_name(2) == "b"
    assert stand_in(fields, name=scene.name, bands=20).name == scene.name


def test_same_arguments_same_cube_and_the_seed_matters(fields):
    one, two = (stand_in(fields, name="x", bands=20, seed=3).cube for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert (stand_in(fields, name="x", bands=20, seed=4).cube != one).mean() > 0.9


@pytest.mark.slow
def test_accuracy_falls_with_difficulty(fields):
    train, test = random_split(fields, 10)
    scores = [
        np.mean([accuracy(stand_in(fields, name="x", bands=60, seed=s, difficulty=d), train, test) for s in (0, 1)])
        for d in (0.0, 0.5, 1.5, 5.0)
    ]
    assert scores[0] > 0.99
    assert all(later < earlier - 0.03 for earlier, later in pairwise(scores[1:]))
    assert scores[1] < scores[0]


@pytest.mark.slow
def test_fields_of_their_own_make_disjoint_splits_harder(fields):
    scene = stand_in(fields, name="x", bands=60)
    components = np.add.outer(np.arange(88) // 11 * 8, np.arange(88) // 11).ravel()
    known = np.flatnonzero(fields.ravel())
    gaps = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        chosen = np.concatenate(
            [rng.permutation(np.unique(components[fields.ravel() == kind]))[:3] for kind in range(1, 5)]
        )
        inside = known[np.isin(components[known], chosen)]
        outside = np.setdiff1d(known, inside)
        by_field = accuracy(scene, inside, outside)
        mixed = rng.permutation(known)
        gaps.append(accuracy(scene, mixed[: inside.size], mixed[inside.size :]) - by_field)
    assert np.mean(gaps) > 0.03


def test_unlabelled_pixels_look_like_their_surroundings(fields):
    scene = stand_in(fields, name="x", bands=20, difficulty=0.0)
    cube = scene.cube.astype(float)
    means = np.array([cube[fields == kind].mean(0) for kind in range(1, 5)])
    gap = cube[fields == 0]
    assert (gap > 0.8 * means.min(0)).mean() > 0.99
    assert (gap < 1.2 * means.max(0)).mean() > 0.99


def test_the_cube_does_not_depend_on_how_many_rows_are_made_at_a_time(fields, monkeypatch):
    whole = stand_in(fields, name="x", bands=12).cube
    monkeypatch.setattr(module, "ROWS_AT_A_TIME", 7)
    np.testing.assert_array_equal(stand_in(fields, name="x", bands=12).cube, whole)


def test_wavelengths_set_the_bands(fields):
    wavelengths = np.linspace(400, 2500, 30)
    scene = stand_in(fields, name="x", wavelengths=wavelengths)
    np.testing.assert_array_equal(scene.wavelengths, wavelengths)
    dark = scene.cube[..., np.abs(wavelengths - 1400).argmin()].mean()
    assert dark < 0.2 * scene.cube[..., np.abs(wavelengths - 1100).argmin()].mean()


def test_a_real_map(fields, data):
    labels = scipy.io.loadmat(data / "gt-only" / "Indian_pines_gt.mat")["indian_pines_gt"]
    scene = stand_in(labels, name="Indian Pines", bands=200)
    train, test = random_split(labels, 15)
    assert 0.4 < accuracy(scene, train, test) < 0.95


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        (np.zeros((8, 8), dtype=int), {}, "not all 0"),
        (-np.ones((8, 8), dtype=int), {}, "positive"),
        (np.ones((8, 8)), {}, "integers"),
        (np.ones(8, dtype=int), {}, "height, width"),
        (np.ones((8, 8), dtype=int), {"difficulty": -1.0}, "difficulty"),
        (np.ones((8, 8), dtype=int), {"difficulty": float("nan")}, "difficulty"),
        (np.ones((8, 8), dtype=int), {"bands": 2}, "4 bands"),
    ],
)
def test_bad_input(labels, options, message):
    with pytest.raises(InputError, match=message):
        stand_in(labels, name="x", **options)
