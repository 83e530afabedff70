"""PixelNet's pooling and readout, by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import uniform_filter

from sslhsi.backbones.pixelnet import PixelNet
from sslhsi.errors import InputError


def test_pooled_spectra_by_hand():
    network = PixelNet(4, 9, radii=(0, 2))
    x = torch.randn(3, 4, 9, 9, generator=torch.Generator().manual_seed(0))
    result = network.precompute(x).numpy()
    for cube, spectra in zip(x.numpy(), result, strict=True):
        np.testing.assert_allclose(spectra[0], cube[:, 4, 4], rtol=1e-6)
        keys = uniform_filter(cube, size=(0, 3, 3))
        distance = ((keys - keys[:, 4:5, 4:5]) ** 2).mean(axis=0)[2:7, 2:7]
        weight = np.exp(-distance)
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


def test_random_features_stand_beside_the_trained_ones_and_stay():
    torch.manual_seed(0)
    network = PixelNet(5, 7, width=8, mixed=6, radii=(0, 1), random=4)
    x, before = torch.randn(3, 5, 7, 7), {k: v.clone() for k, v in network.state_dict().items()}
    features = network(x)
    assert features.shape == (3, network.num_features) == (3, 2 * 8 + 6 + 2 * 4)
    optimiser = torch.optim.AdamW(network.parameters(), lr=0.1, weight_decay=0.1)
    features.square().sum().backward()
    optimiser.step()
    after, moved = network.state_dict(), network(x)
    assert sum(k.startswith("random.") for k in after) == 4
    for name, value in after.items():
        assert torch.equal(value, before[name]) == name.startswith("random."), name
    assert torch.equal(moved[:, -8:], features[:, -8:])
    assert not torch.equal(moved[:, :-8], features[:, :-8])
    pooled, first, second = network.precompute(x), before["random.0.weight"], before["random.3.weight"]

    def norm(v: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.gelu(torch.nn.functional.layer_norm(v, v.shape[-1:]))

    expected = norm(norm(pooled @ first.T + before["random.0.bias"]) @ second.T + before["random.3.bias"])
    torch.testing.assert_close(features[:, -8:], expected.flatten(1))
    # Another seed draws other ones, and a checkpoint brings its own.
    other = PixelNet(5, 7, width=8, mixed=6, radii=(0, 1), random=4)
    assert not torch.equal(other(x)[:, -8:], features[:, -8:])
    other.load_state_dict(after)
    assert torch.equal(other(x), moved)


@pytest.mark.parametrize("options", [{"radii": []}, {"radii": [-1]}, {"random": -1}])
def test_senseless_options(options):
    with pytest.raises(InputError, match="pixelnet"):
        PixelNet(3, 5, **options)


@pytest.mark.parametrize(("side", "radii"), [(15, (0, 1, 3, 6)), (8, (0, 2)), (5, (6, 0))])
def test_pooling_and_its_gradient_equal_a_softmax_per_radius(side, radii):
    network = PixelNet(4, side, radii=radii)
    x = torch.randn(3, 4, side, side, dtype=torch.float64, requires_grad=True)
    keys, inner = torch.nn.functional.avg_pool2d(x, 3, stride=1), x[..., 1:-1, 1:-1]
    row = (side - 2) // 2
    distance = (keys - keys[..., row : row + 1, row : row + 1]).square().mean(1)
    expected = []
    for radius in radii:
        cut = min(radius, side - 3 - row)
        near = (..., slice(row - cut, row + cut + 1), slice(row - cut, row + cut + 1))
        weight = torch.softmax(-distance[near].flatten(1), dim=1)
        expected.append((inner[near].flatten(2) * weight[:, None]).sum(2))
    ours, theirs = network.precompute(x), torch.stack(expected, 1)
    torch.testing.assert_close(ours, theirs)
    upstream = torch.randn_like(theirs)
    mine, other = (torch.autograd.grad(y, x, upstream)[0] for y in (ours, theirs))
    torch.testing.assert_close(mine, other)


def test_trains_after_inference() -> None:
    network, x = PixelNet(5, window=9), torch.randn(4, 5, 9, 9)
    with torch.inference_mode():
        network(x)
    network(x).sum().backward()
    assert all(weights.grad is not None for weights in network.parameters())
