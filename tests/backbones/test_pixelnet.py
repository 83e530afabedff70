"""PixelNet's pooling and readout, by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import uniform_filter

from sslhsi.backbones.pixelnet import PixelNet
from sslhsi.errors import InputError


def test_pooled_spectra_by_hand():
    network = PixelNet(4, 9, radii=(0, 2), bandwidth=0.7)
    x = torch.randn(3, 4, 9, 9, generator=torch.Generator().manual_seed(0))
    found = network.precompute(x).numpy()
    for cube, spectra in zip(x.numpy(), found, strict=True):
        np.testing.assert_allclose(spectra[0], cube[:, 4, 4], rtol=1e-6)
        keys = uniform_filter(cube, size=(0, 3, 3))
        distance = ((keys - keys[:, 4:5, 4:5]) ** 2).mean(axis=0)[2:7, 2:7]
        weight = np.exp(-distance / 0.7)
        expected = (cube[:, 2:7, 2:7] * weight).sum(axis=(1, 2)) / weight.sum()
        np.testing.assert_allclose(spectra[1], expected, rtol=1e-4, atol=1e-5)


def test_pooling_does_not_cross_an_edge():
    x = torch.full((1, 2, 15, 15), 9.0)
    x[..., :6] = -9.0
    torch.testing.assert_close(PixelNet(2, 15).precompute(x), torch.full((1, 4, 2), 9.0))


def test_the_feature_is_a_token_per_radius_and_their_mix():
    network = PixelNet(5, 7, width=8, mixed=6, radii=(0, 1)).eval()
    assert network.num_features == 2 * 8 + 6
    x = torch.randn(2, 5, 7, 7)
    with torch.no_grad():
        tokens = network.stem(network.precompute(x)).flatten(1)
        torch.testing.assert_close(network(x), torch.cat([tokens, network.mix(tokens)], 1))
        assert torch.equal(network.forward_features(network.precompute(x)), network.forward_features(x))


def test_a_window_too_small_for_a_radius_cuts_it():
    x = torch.randn(2, 3, 5, 5)
    wide, narrow = PixelNet(3, 5, radii=(6,)), PixelNet(3, 5, radii=(1,))
    torch.testing.assert_close(wide.precompute(x), narrow.precompute(x))


@pytest.mark.parametrize("options", [{"radii": []}, {"radii": [-1]}, {"bandwidth": 0}])
def test_senseless_options(options):
    with pytest.raises(InputError, match="pixelnet"):
        PixelNet(3, 5, **options)
