"""The fused projection equals interpolation by SciPy followed by PCA by scikit-learn."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from scipy.interpolate import interp1d
from scipy.linalg import fractional_matrix_power
from sklearn.decomposition import PCA

from sslhsi.bands.moments import moments, pool
from sslhsi.bands.projector import SpectralProjector
from sslhsi.bands.resample import resampling_matrix
from sslhsi.errors import InputError
from sslhsi.scenes.scene import Scene


def relative(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def interpolated(scene: Scene, axis: np.ndarray, position: np.ndarray | None = None) -> np.ndarray:
    position = scene.wavelengths if position is None else position
    return interp1d(position, scene.cube.reshape(-1, scene.bands).astype(float))(axis)


@pytest.mark.parametrize("whiten", [False, True])
@pytest.mark.parametrize("align", ["wavelength", "index"])
def test_equals_scipy_and_scikit_learn(cameras, whiten, align):
    projector = SpectralProjector(whiten=whiten, align=align).fit(cameras)
    position = {s.name: None if align == "wavelength" else np.linspace(0, 1, s.bands) for s in cameras}
    flat = np.concatenate([interpolated(s, projector.axis, position[s.name]) for s in cameras])
    peer = PCA(30, whiten=whiten, svd_solver="full").fit(flat)
    ours = np.concatenate([projector.transform(s.cube, s.wavelengths).reshape(-1, 30) for s in cameras])
    theirs = peer.transform(flat)
    for k in range(30):
        assert relative(ours[:, k], theirs[:, k]) < 1e-4
    np.testing.assert_allclose(projector.variances, peer.explained_variance_, rtol=1e-8)
    np.testing.assert_allclose(projector.ratio, peer.explained_variance_ratio_, rtol=1e-8)


def test_foreground_scope_ignores_the_background(cameras):
    mask = np.zeros(cameras[0].cube.shape[:2], dtype=bool)
    mask[4:12, 3:20] = True
    scene = cameras[0].with_(mask=mask)
    projector = SpectralProjector(grid=64, components=5, scope="foreground").fit([scene])
    flat = interp1d(scene.wavelengths, scene.cube[mask].astype(float))(projector.axis)
    np.testing.assert_allclose(projector.mean, flat.mean(axis=0), rtol=1e-9)
    assert projector.pixels == mask.sum()
    everything = SpectralProjector(grid=64, components=5, scope="all").fit([scene])
    assert everything.pixels == mask.size


def test_train_scope_sees_training_pixels_only(cameras):
    train = np.zeros(cameras[0].cube.shape[:2], dtype=bool)
    train[:10] = True
    poisoned = cameras[0].cube.copy()
    poisoned[10:] = 60000
    clean = SpectralProjector(scope="train").fit([cameras[0]], [train])
    same = SpectralProjector(scope="train").fit([cameras[0].with_(cube=poisoned)], [train])
    np.testing.assert_array_equal(clean.basis, same.basis)


def test_bands_without_pca_are_plain_interpolation(cameras):
    projector = SpectralProjector(grid=50, components=None).fit(cameras)
    for scene in cameras:
        ours = projector.transform(scene.cube, scene.wavelengths)
        np.testing.assert_allclose(ours.reshape(-1, 50), interpolated(scene, projector.axis), rtol=1e-5)


def test_standardised_per_scene_and_band(cameras):
    projector = SpectralProjector(grid=100, components=10, standardize="scene").fit(cameras)
    flat = []
    for scene in cameras:
        pixels = scene.cube.reshape(-1, scene.bands).astype(float)
        pixels = (pixels - pixels.mean(axis=0)) / pixels.std(axis=0)
        flat.append(interp1d(scene.wavelengths, pixels)(projector.axis))
    peer = PCA(10, svd_solver="full").fit(np.concatenate(flat))
    for scene, pixels in zip(cameras, flat, strict=True):
        ours = projector.transform(scene.cube, scene.wavelengths).reshape(-1, 10)
        assert relative(ours, peer.transform(pixels)) < 1e-4


@pytest.mark.parametrize("power", [0.5, 1.0])
@pytest.mark.parametrize("share", [0.5, 1.0])
def test_noise_whitened_scene_by_scene(cameras, power, share):
    """The differences of the quietest neighbours end with the covariance asked."""
    projector = SpectralProjector(grid=100, components=6, noise_whitening=power, quietest_share=share).fit(cameras)
    plain = SpectralProjector(grid=100, components=6).fit(cameras)
    for scene in cameras:
        raw = scene.cube.astype(float)
        spread = raw.std(axis=(0, 1))
        difference = {axis: (np.diff(raw / spread, axis=axis) ** 2).sum(axis=2) for axis in (0, 1)}
        loudness = np.concatenate([difference[0].ravel(), difference[1][:-1].ravel()])
        limit = np.quantile(loudness, share) if share < 1 else np.inf
        covariances = []
        for projection in (plain, projector):
            x = projection.transform(scene.cube, scene.wavelengths).astype(float)
            both = np.concatenate([np.diff(x, axis=axis)[difference[axis] <= limit] for axis in (0, 1)])
            covariances.append(both.T @ both / (2 * len(both)))
        expected = fractional_matrix_power(covariances[0], 1 - power)
        np.testing.assert_allclose(covariances[1], expected * 6 / np.trace(expected), rtol=1e-3, atol=1e-3)


def test_unsorted_wavelengths_give_the_same_components(cameras):
    projector = SpectralProjector().fit(cameras)
    order = np.random.default_rng(1).permutation(160)
    scene = cameras[0]
    shuffled = projector.transform(scene.cube[..., order], scene.wavelengths[order])
    np.testing.assert_allclose(shuffled, projector.transform(scene.cube, scene.wavelengths), rtol=1e-4, atol=1e-2)


def test_moments_pool_like_one_pass(cameras):
    cube = cameras[1].cube
    whole = moments(cube)
    parts = pool([moments(cube[:7]), moments(cube[7:])])
    flat = cube.reshape(-1, cube.shape[2]).astype(float)
    for result in (whole, parts):
        np.testing.assert_allclose(result.mean, flat.mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(result.covariance, np.cov(flat.T, bias=True), rtol=1e-7, atol=1e-7)


@pytest.mark.slow
def test_memory_does_not_grow_with_pixels(tmp_path):
    """A memory-mapped cube four times as large needs no more working memory."""
    peaks = []
    for rows in (1500, 6000):
        path = tmp_path / f"{rows}.npy"
        cube = np.lib.format.open_memmap(path, "w+", np.uint16, (rows, 100, 64))
        cube[:] = np.arange(64)
        cube[::3] += 7
        scene = Scene("big", np.load(path, mmap_mode="r"), np.linspace(400, 1000, 64))
        tracemalloc.start()
        projector = SpectralProjector(grid=64, components=4).fit([scene])
        out = np.lib.format.open_memmap(tmp_path / "out.npy", "w+", np.float16, (rows, 100, 4))
        projector.transform(scene.cube, scene.wavelengths, out=out)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


def test_saved_and_loaded(cameras, tmp_path):
    projector = SpectralProjector(whiten=0.5, standardize="scene").fit(cameras)
    projector.save(tmp_path)
    loaded = SpectralProjector.load(tmp_path)
    scene = cameras[2]
    np.testing.assert_array_equal(
        loaded.transform(scene.cube, scene.wavelengths), projector.transform(scene.cube, scene.wavelengths)
    )
    assert loaded.state() == projector.state()


def test_scaled_components_suit_a_network(cameras):
    projector = SpectralProjector().fit(cameras)
    components = np.concatenate(
        [projector.transform(s.cube, s.wavelengths, scaled=True).reshape(-1, 30) for s in cameras]
    )
    assert components[:, 0].std() == pytest.approx(1.0, rel=1e-3)


def test_nothing_is_extrapolated(cameras):
    projector = SpectralProjector().fit(cameras)
    narrow = np.linspace(450, 900, 20)
    with pytest.raises(InputError, match=r"450-900.*never extrapolated"):
        projector.transform(np.ones((2, 2, 20)), narrow)
    with pytest.raises(InputError, match="no wavelengths"):
        projector.transform(np.ones((2, 2, 20)))
    far = Scene("infrared", np.ones((2, 2, 5)), np.linspace(2000, 2400, 5))
    with pytest.raises(InputError, match="don't overlap"):
        SpectralProjector().fit([*cameras, far])


def test_rows_of_the_matrix_sum_to_one_and_hold_at_most_two_weights():
    rng = np.random.default_rng(0)
    positions = np.sort(rng.random(40)) * 100
    matrix = resampling_matrix(positions, np.linspace(positions[0], positions[-1], 64))
    np.testing.assert_allclose(matrix.sum(axis=1), 1.0)
    assert (np.count_nonzero(matrix, axis=1) <= 2).all()
    assert (matrix >= 0).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"components": 0}, "components=0"),
        ({"components": 300}, "components=300"),
        ({"align": "colour"}, "align='colour'"),
        ({"whiten": 2}, "whiten=2"),
        ({"noise_whitening": 2}, "noise_whitening=2"),
        ({"noise_whitening": 1, "whiten": 1}, "not whitened"),
        ({"standardize": "band"}, "standardize='band'"),
    ],
)
def test_senseless_settings(settings, message):
    with pytest.raises(InputError, match=message):
        SpectralProjector(**settings)
