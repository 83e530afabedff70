"""The simulated corpus: reproducible, well formed, and hard in the way it claims to be."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest
from scipy.ndimage import binary_erosion
from sklearn.neighbors import KNeighborsClassifier

from sslhsi.errors import InputError
from sslhsi.scenes.simulated.cameras import CAMERAS, expose
from sslhsi.scenes.simulated.materials import ABSORBERS, MATERIALS, spectra
from sslhsi.scenes.simulated.scenes import DOMAINS, simulate_corpus, simulate_domain


@pytest.fixture(scope="module")
def corpus():
    return {(s.domain, int(s.name[-1])): s for s in simulate_corpus(scenes_per_domain=2, size=(96, 96))}


@pytest.mark.slow
def test_seven_domains_under_three_overlapping_cameras(corpus):
    assert set(DOMAINS) == {"paper", "coffee", "pottery", "sugar", "grapes", "branches", "archeology"}
    bands = {domain: corpus[domain, 0].bands for domain in DOMAINS}
    assert bands["paper"] == 288
    assert bands["coffee"] == bands["pottery"] == bands["sugar"] == 256
    assert bands["grapes"] == bands["branches"] == 160
    assert len({scene.sensor for scene in corpus.values()}) == 3
    first = max(scene.wavelengths[0] for scene in corpus.values())
    last = min(scene.wavelengths[-1] for scene in corpus.values())
    assert last - first > 500


def test_scenes_are_well_formed(corpus):
    for (domain, _), scene in corpus.items():
        assert scene.cube.dtype == np.uint16
        assert scene.cube.shape == (96, 96, scene.bands)
        assert (np.diff(scene.wavelengths) > 0).all()
        np.testing.assert_array_equal(scene.mask, scene.labels > 0)
        assert scene.labels.max() <= len(scene.classes)
        assert 0.5 < scene.mask.mean() < 1.0 or domain in ("paper", "sugar")
        assert (scene.cube == 65535).mean() < 1e-3
        assert not scene.stand_in


@pytest.mark.parametrize("domain", DOMAINS)
def test_every_class_occurs(corpus, domain):
    counts = sum(np.bincount(corpus[domain, i].labels.ravel(), minlength=10) for i in range(2))
    assert (counts[1 : len(corpus[domain, 0].classes) + 1] >= 10).all()


@pytest.mark.slow
def test_the_same_in_another_process(corpus):
    script = (
        "import hashlib; from sslhsi.scenes.simulated.scenes import simulate_domain;"
        "s = simulate_domain('grapes', index=1, size=(96, 96));"
        "print(hashlib.sha256(s.cube.tobytes() + s.labels.tobytes()).hexdigest())"
    )
    other = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    scene = corpus["grapes", 1]
    digest = hashlib.sha256(scene.cube.tobytes() + scene.labels.tobytes()).hexdigest()
    assert other.stdout.strip() == digest


def test_seed_and_index_give_other_scenes(corpus):
    scene = corpus["coffee", 0]
    for other in (corpus["coffee", 1], simulate_domain("coffee", seed=1, size=(96, 96))):
        assert (other.labels != scene.labels).mean() > 0.3


def test_the_tray_stands_out(corpus):
    """A black or a white tray: brightness separates it, away from shadows and rims."""
    for (domain, _), scene in corpus.items():
        tray = binary_erosion(~scene.mask, iterations=2)
        if tray.sum() < 20:
            continue
        brightness = scene.cube.mean(-1)
        objects = np.median(brightness[scene.mask])
        if domain in ("coffee", "grapes"):
            assert np.median(brightness[tray]) > 1.5 * objects
        else:
            assert np.median(brightness[tray]) < 0.5 * objects


@pytest.mark.parametrize("name", MATERIALS)
def test_features_lie_at_their_physical_centres(name):
    """Dividing by the continuum leaves exactly the absorptions that the material lists."""
    wavelengths = np.arange(400.0, 1000.0, 1.0)
    rng = np.random.default_rng(0)
    spectrum = spectra(name, wavelengths, 1, rng, spread=0.0)[0]
    assert ((spectrum > 0) & (spectrum < 1)).all()
    for absorber, depth in MATERIALS[name].depths.items():
        centre, width = ABSORBERS[absorber]
        shoulder = (centre - 2.5 * width, centre + 2.5 * width)
        alone = all(
            abs(ABSORBERS[other][0] - centre) > 2.5 * (width + ABSORBERS[other][1])
            for other in MATERIALS[name].depths
            if other != absorber
        )
        if not alone or shoulder[0] < 400 or shoulder[1] > 1000:
            continue
        left, middle, right = np.interp([shoulder[0], centre, shoulder[1]], wavelengths, spectrum)
        assert middle < 0.5 * (left + right) * np.exp(-0.5 * depth)


def test_individuals_differ_but_stay_near_their_material():
    wavelengths = np.arange(400.0, 1000.0, 5.0)
    rng = np.random.default_rng(0)
    pure = spectra("red clay", wavelengths, 1, rng, spread=0.0)[0]
    many = spectra("red clay", wavelengths, 4000, rng, spread=0.2)
    assert np.log(many).std(0).min() > 0.05
    np.testing.assert_allclose(np.log(many).mean(0), np.log(pure), atol=0.03)


def test_camera_response_keeps_flat_spectra_and_sees_the_right_wavelength():
    fine = np.arange(380.0, 1030.0, 1.0)
    for camera in CAMERAS.values():
        response = camera.response(fine)
        np.testing.assert_allclose(response.sum(1), 1.0)
        np.testing.assert_allclose(response @ fine, camera.wavelengths, atol=0.3)
        assert camera.wavelengths.shape == (camera.bands,)


def test_camera_noise_is_shot_and_read_noise():
    """On a flat target the variance must be what the electrons say, band by band."""
    camera = CAMERAS["vnir-160"]
    level = 0.25
    lamp = np.ones(camera.bands)
    cube = np.full((200, 40, camera.bands), level, dtype=np.float32)
    recorded = expose(camera, cube, lamp, np.random.default_rng(0)) / 10_000
    full = camera.electrons * np.exp(-0.5 * ((camera.wavelengths - camera.peak) / camera.breadth) ** 2)
    expected = level / full + (camera.read_noise / full) ** 2
    within = (recorded - recorded.mean(0)).var(0).mean(0)  # along the scan: stripes and white reference drop out
    np.testing.assert_allclose(within, expected, rtol=0.1)
    np.testing.assert_allclose(recorded.mean(), level, rtol=0.01)


def test_mean_spectra_do_not_give_the_domain_away(corpus):
    """20-NN on patch means, a whole scene of each domain left out: far above chance, far below perfect."""
    grid = np.linspace(410, 990, 60)
    means, domains, held_out = [], [], []
    for (domain, index), scene in corpus.items():
        near = np.abs(scene.wavelengths[:, None] - grid).argmin(0)
        for row in range(0, 96, 32):
            for column in range(0, 96, 32):
                window = np.s_[row : row + 32, column : column + 32]
                if scene.mask[window].mean() >= 0.5:
                    means.append(scene.cube[window][scene.mask[window]].mean(0)[near])
                    domains.append(domain)
                    held_out.append(index)
    means, domains, held_out = np.array(means), np.array(domains), np.array(held_out)
    scores = []
    for index in range(2):
        test = held_out == index
        model = KNeighborsClassifier(20).fit(means[~test], domains[~test])
        scores.append(model.score(means[test], domains[test]))
    assert 0.2 < np.mean(scores) < 0.7


@pytest.mark.parametrize("domain", DOMAINS)
def test_materials_are_neither_trivial_nor_hopeless(corpus, domain):
    """1-NN on raw spectra from 10 pixels of each class."""
    scores = []
    for index in range(2):
        scene = corpus[domain, index]
        labels, spectra_ = scene.labels.ravel(), scene.cube.reshape(-1, scene.bands).astype(float)
        order = np.random.default_rng(0).permutation(np.flatnonzero(labels))
        kinds = [k for k in np.unique(labels[order]) if (labels == k).sum() >= 30]
        train = np.concatenate([order[labels[order] == kind][:10] for kind in kinds])
        test = np.setdiff1d(order[np.isin(labels[order], kinds)], train)[::3]
        scores.append(KNeighborsClassifier(1).fit(spectra_[train], labels[train]).score(spectra_[test], labels[test]))
    assert 1.5 / len(kinds) < np.mean(scores) < 0.95


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"domain": "tea"}, "coffee"),
        ({"domain": "coffee", "index": -1}, "negative"),
        ({"domain": "coffee", "seed": -1}, "negative"),
        ({"domain": "coffee", "size": (16, 64)}, "32 x 32"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(InputError, match=message):
        simulate_domain(**arguments)
