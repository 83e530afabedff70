"""PixelNet's readout, part by part."""

import torch

from sslhsi.backbones.pixelnet import READOUT, PixelNet


def test_parts_by_hand():
    torch.manual_seed(0)
    network = PixelNet(6, 7, width=8, depth=2, readout=READOUT).eval()
    x = torch.randn(3, 6, 7, 7)
    with torch.no_grad():
        stem = network.stem(x)
        last = network.blocks(stem)
        assert last.shape == (3, 8, 7, 7)
        parts = [
            stem.flatten(2).mean(2),
            last[:, :, 2:5, 2:5].flatten(2).mean(2),
            stem[:, :, 3, 3],
            last.flatten(2).mean(2),
        ]
        torch.testing.assert_close(network(x), torch.cat(parts, 1))


def test_default_readout_and_its_width():
    network = PixelNet(6, 9)
    assert network.readout == ("stem_mean", "map_centre", "stem_centre")
    assert network.num_features == 3 * 64


def test_stem_at_the_centre_sees_the_centre_pixel_alone():
    torch.manual_seed(0)
    network = PixelNet(6, 5, width=8, readout=("stem_centre",)).eval()
    x = torch.randn(1, 6, 5, 5)
    other = torch.randn(1, 6, 5, 5)
    other[:, :, 2, 2] = x[:, :, 2, 2]
    with torch.no_grad():
        torch.testing.assert_close(network(x), network(other))


def test_one_pixel_windows_work():
    assert PixelNet(6, 1).eval()(torch.randn(2, 6, 1, 1)).shape == (2, 192)
