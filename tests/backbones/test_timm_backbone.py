"""timm networks on many bands, from RGB weights made on the spot."""

import json

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from sslhsi.backbones.registry import create_backbone
from sslhsi.errors import InputError

BANDS, WINDOW = 7, 40
WAVELENGTHS = [450.0, 500.0, 550.0, 600.0, 650.0, 700.0, 900.0]


@pytest.fixture(scope="module")
def rgb(tmp_path_factory):
    """A 3-band ResNet-18 with random weights in eval mode, and the file that holds them."""
    torch.manual_seed(0)
    network = timm.create_model("resnet18", in_chans=3, num_classes=10).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
    path = tmp_path_factory.mktemp("weights") / "rgb.safetensors"
    save_file(network.state_dict(), path)
    return network, path


def load(path, **options):
    torch.manual_seed(5)
    overlay = {"file": str(path), "num_classes": 10}
    options = {"small_window": False, **options}
    network = create_backbone(
        "timm/resnet18", BANDS, WINDOW, pretrained=True, pretrained_cfg_overlay=overlay, **options
    )
    return network.eval()


def pooled(network, x):
    with torch.no_grad():
        return network.forward_head(network.forward_features(x), pre_logits=True)


@pytest.mark.slow
def test_fresh_stem_keeps_everything_else(rgb):
    trained, path = rgb
    network = load(path)
    ours, theirs = network.net.state_dict(), trained.state_dict()
    assert ours["conv1.weight"].shape == (64, BANDS, 7, 7)
    for key, value in ours.items():
        if key != "conv1.weight":
            assert torch.equal(value, theirs[key]), key
    assert network.stem_record["weights"] == str(path)
    assert network.stem_record["stem"] == "fresh"


def test_tiled_stem_sees_equal_bands_as_grey(rgb):
    trained, path = rgb
    network = load(path, stem="tiled")
    grey = torch.randn(2, 1, WINDOW, WINDOW)
    torch.testing.assert_close(
        pooled(network, grey.expand(-1, BANDS, -1, -1)),
        pooled(trained, grey.expand(-1, 3, -1, -1)),
        rtol=1e-4,
        atol=1e-5,
    )
    assert network.stem_record["scale"] == 3 / BANDS


@pytest.mark.slow
def test_wavelength_stem_equals_the_rgb_network_on_the_false_colour_image(rgb):
    trained, path = rgb
    colours = (640.0, 550.0, 460.0)
    order = [3, 0, 6, 1, 2, 5, 4]  # cameras may list their bands in any order
    wavelengths = [WAVELENGTHS[i] for i in order]
    network = load(path, stem="wavelengths", wavelengths=wavelengths, rgb=colours)
    cube = torch.randn(2, BANDS, WINDOW, WINDOW)
    # band by band with NumPy, pixel by pixel
    spectra = cube.permute(0, 2, 3, 1).numpy().reshape(-1, BANDS)[:, np.argsort(wavelengths)]
    image = np.stack([np.interp(colours, WAVELENGTHS, spectrum) for spectrum in spectra])
    image = torch.from_numpy(image).float().reshape(2, WINDOW, WINDOW, 3).permute(0, 3, 1, 2)
    torch.testing.assert_close(pooled(network, cube), pooled(trained, image), rtol=1e-4, atol=1e-5)
    bands = network.stem_record["bands"]
    assert bands[1] == {str(order.index(2)): 1.0}  # 550 nm is a band of its ours
    assert bands[0] == {str(order.index(3)): 0.2, str(order.index(4)): 0.8}
    json.dumps(network.stem_record)


def test_small_window_keeps_rgb_filters_but_not_their_stride(rgb):
    trained, path = rgb
    network = load(path, stem="tiled", small_window=None)
    assert network.net.conv1.stride == (1, 1)
    assert network.net.conv1.kernel_size == (7, 7)
    torch.testing.assert_close(network.net.conv1.weight.sum(1), trained.conv1.weight.sum(1))
    assert "stride 2 -> 1" in network.stem_record["small_window"]
    assert "maxpool removed" in network.stem_record["small_window"]


@pytest.mark.slow
@pytest.mark.parametrize(("window", "small", "side"), [(32, None, 4), (32, False, 1), (64, None, 2), (64, True, 8)])
def test_small_windows_keep_their_resolution(window, small, side):
    network = create_backbone("resnet18", 5, window, small_window=small).eval()
    with torch.no_grad():
        assert network.forward_features(torch.randn(1, 5, window, window)).shape == (1, 512, side, side)
    kernel = network.net.conv1.kernel_size
    assert kernel == ((3, 3) if side in (4, 8) else (7, 7))


def test_patch_stems_are_left_alone_and_built_for_the_window():
    network = create_backbone("vit_tiny_patch16_224", 9, 48, num_classes=2)
    assert network.net.patch_embed.num_patches == 9
    assert "left as it is" in network.stem_record["small_window"]
    with pytest.raises(InputError, match="was built for"):
        network(torch.randn(1, 9, 32, 32))


def test_features_are_as_wide_as_said_where_the_head_has_a_hidden_layer():
    network = create_backbone("mobilenetv3_small_050", 6, 32).eval()
    assert network(torch.randn(2, 6, 32, 32)).shape == (2, network.num_features) == (2, 1024)


@pytest.mark.parametrize(
    ("name", "window", "options", "message"),
    [
        ("resnet18", 32, {"stem": "tiled"}, "needs the RGB weights"),
        ("resnet18", 32, {"stem": "copied"}, "fresh, tiled, wavelengths"),
        ("resnet18", 32, {"stem": "wavelengths", "pretrained": True}, "needs wavelengths"),
        (
            "resnet18",
            32,
            {"stem": "wavelengths", "pretrained": True, "wavelengths": [500.0, 600.0, 700.0]},
            "between 500 and 700 nm",
        ),
        (
            "resnet18",
            32,
            {"stem": "wavelengths", "pretrained": True, "wavelengths": [500.0, 600.0]},
            "needs 3 finite wavelengths",
        ),
        ("resnet18", 32, {"colour": "blue"}, "colour"),
        (
            "resnet18",
            32,
            {"pretrained": True, "pretrained_cfg_overlay": {"file": "no/such.safetensors"}},
            "RGB weights can't be loaded.*no/such",
        ),
        ("dla46_c", 29, {"small_window": False}, "can't take window 29; the next that works is 31"),
        ("test_vit", 12, {}, "16-pixel patches"),
    ],
)
def test_what_cannot_be_is_said(name, window, options, message):
    with pytest.raises(InputError, match=message):
        create_backbone(name, 3, window, **options)
