"""HybridSN: windows, dropout, and the convolutions that windows can share."""

import torch

from sslhsi.backbones.hybridsn import HybridSN


def test_flatten_is_fixed_to_its_window_and_average_is_not():
    assert not HybridSN(15, 11).any_window
    network = HybridSN(15, 11, pool="avg").eval()
    assert network(torch.randn(2, 15, 17, 17)).shape == (2, 128)
    assert network.dense_1.weight.shape == (256, 64)


def test_features_are_dense_2_after_relu_and_dropout_acts_in_training_alone():
    torch.manual_seed(0)
    network = HybridSN(15, 11)
    x = torch.randn(4, 15, 11, 11)
    network.eval()
    with torch.no_grad():
        hidden = torch.relu(network.dense_1(network.forward_maps(x).flatten(1)))
        torch.testing.assert_close(network(x), torch.relu(network.dense_2(hidden)))
        assert torch.equal(network(x), network(x))
        network.train()
        assert not torch.equal(network(x), network(x))
        still = HybridSN(15, 11, drop_rate=0.0).train()
        assert torch.equal(still(x), still(x))


def test_maps_of_a_scene_hold_the_maps_of_every_window():
    torch.manual_seed(0)
    network = HybridSN(15, 11).eval().double()
    scene = torch.randn(1, 15, 14, 13, dtype=torch.float64)
    with torch.no_grad():
        whole = network.forward_maps(scene)
        assert whole.shape == (1, 64, 6, 5)
        for row, column in ((0, 0), (3, 2), (1, 1)):
            window = network.forward_maps(scene[:, :, row : row + 11, column : column + 11])
            torch.testing.assert_close(window, whole[:, :, row : row + 3, column : column + 3])
