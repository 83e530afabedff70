"""SpectralEncoder keeps scikit-learn's contract and agrees with scikit-learn's own parts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from sslhsi.backbones.registry import create_backbone
from sslhsi.bands.projector import SpectralProjector
from sslhsi.encoder.estimator import SpectralEncoder
from sslhsi.encoder.load import load_backbone
from sslhsi.encoder.save import save_backbone
from sslhsi.errors import InputError
from sslhsi.scenes.scene import Scene

WAVELENGTHS = np.linspace(400, 1000, 70)


@pytest.fixture(scope="module")
def spectra() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 40)
    centres = np.array([500, 600, 800])[labels]
    X = np.exp(-(((WAVELENGTHS - centres[:, None]) / 120) ** 2)) + rng.normal(scale=0.3, size=(120, 70))
    return 1000 + 500 * X, labels


@pytest.fixture(scope="module")
def folders(spectra, tmp_path_factory):
    """Backbones by what they are: cnn1d on standardised bands, by wavelength; and one that needs windows."""
    folder = tmp_path_factory.mktemp("backbones")
    for name, settings in {
        "single": {"standardize": "scene"},
        "plain": {},
        "denoised": {"noise_whitening": 1.0},
    }.items():
        components = 6 if name == "denoised" else None
        projector = SpectralProjector(grid=60, components=components, **settings)
        projector.fit([Scene("a", spectra[0].reshape(10, 12, 70), WAVELENGTHS)])
        window = 5 if name == "denoised" else 1
        torch.manual_seed(0)
        network = create_backbone("pixelnet" if window > 1 else "cnn1d", projector.channels, window)
        config = {"architecture": network.name, "window": window, "border": "reflect", "recipe": "x"}
        save_backbone(folder / name, network, projector, config)
    return folder


def test_scikit_learns_checks():
    check_estimator(SpectralEncoder())


def test_components_are_scikit_learns(spectra):
    X, _ = spectra
    ours = SpectralEncoder(components=5).fit(X[:80])
    reference = make_pipeline(StandardScaler(), PCA(5)).fit(X[:80])
    np.testing.assert_allclose(np.abs(ours.transform(X)), np.abs(reference.transform(X)), atol=1e-8)
    plain = SpectralEncoder(components=5, standardize=False, wavelengths=WAVELENGTHS).fit(X[:80]).transform(X)
    np.testing.assert_allclose(np.abs(plain), np.abs(PCA(5).fit(X[:80]).transform(X)), atol=1e-6)
    assert list(ours.get_feature_names_out())[:2] == ["spectralencoder0", "spectralencoder1"]


def test_in_a_pipeline_under_cross_validation(spectra, folders):
    X, y = spectra
    for backbone in (None, folders / "single"):
        encoder = SpectralEncoder(backbone, wavelengths=WAVELENGTHS)
        scores = cross_val_score(make_pipeline(encoder, StandardScaler(), LogisticRegression()), X, y, cv=3)
        assert scores.mean() > 0.8


def test_a_backbones_features_are_the_encoders(spectra, folders):
    X, _ = spectra
    encoder = load_backbone(folders / "plain")
    wanted = encoder.encode(X.reshape(10, 12, 70), WAVELENGTHS).reshape(120, -1)
    result = SpectralEncoder(folders / "plain", wavelengths=WAVELENGTHS).fit(X).transform(X)
    # Components are rounded to float16, and rounding may fall either way.
    np.testing.assert_allclose(result, wanted, atol=1e-3 * wanted.max())
    calls = []
    direct = encoder.encode_spectra(X, WAVELENGTHS, batch_size=50, progress=lambda *done: calls.append(done))
    np.testing.assert_allclose(direct, wanted, atol=1e-3 * wanted.max())
    assert calls == [(50, 120), (100, 120), (120, 120)]


def test_test_spectra_do_not_leak_into_the_statistics(spectra, folders):
    X, _ = spectra
    fitted = SpectralEncoder(folders / "single", wavelengths=WAVELENGTHS).fit(X[:60])
    alone = fitted.transform(X[60:61])
    among = fitted.transform(np.vstack([X[60:61], 100 * X]))[:1]
    np.testing.assert_allclose(alone, among, rtol=1e-4, atol=1e-4)
    # The encoder by itself takes the statistics of what it is given.
    own = load_backbone(folders / "single").encode_spectra(X, WAVELENGTHS)
    cube = load_backbone(folders / "single").encode(X.reshape(10, 12, 70), WAVELENGTHS).reshape(120, -1)
    np.testing.assert_allclose(own, cube, atol=1e-3 * cube.max())


def test_parameters_are_kept_and_cloned(folders):
    encoder = SpectralEncoder(folders / "single", wavelengths=WAVELENGTHS, components=3)
    assert clone(encoder).get_params()["backbone"] == folders / "single"
    assert set(encoder.get_params()) == {"backbone", "wavelengths", "components", "grid", "standardize"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"backbone": "denoised"}, "windows of 5x5 pixels"),
        ({"backbone": "single"}, "no wavelengths"),
        ({"backbone": "single", "wavelengths": np.linspace(500, 900, 70)}, "400-500 and 900-1000 nm"),
        ({"wavelengths": WAVELENGTHS[:5]}, "the spectra have 70 bands"),
        ({"components": 71}, "allow 70 at most"),
        ({"backbone": "nothing/there"}, "neither a folder"),
    ],
)
def test_what_can_not_be_fitted(spectra, folders, arguments, message, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    given = dict(arguments)
    if (name := given.get("backbone")) and (folders / name).is_dir():
        given["backbone"] = folders / name
    if given.get("backbone") and "denoised" in str(given["backbone"]):
        given["wavelengths"] = WAVELENGTHS
    with pytest.raises(InputError, match=message):
        SpectralEncoder(**given).fit(spectra[0])


def test_what_single_spectra_can_not_do(spectra, folders):
    encoder = load_backbone(folders / "single")
    with pytest.raises(InputError, match="one spectrum has no statistics"):
        encoder.encode_spectra(spectra[0][:1], WAVELENGTHS)
    with pytest.raises(InputError, match="must be \\(number, bands\\)"):
        encoder.encode_spectra(spectra[0][0], WAVELENGTHS)
    assert encoder.encode_spectra(spectra[0][:0], WAVELENGTHS).shape == (0, encoder.num_features)
