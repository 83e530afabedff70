"""The contract, on every network the registry knows."""

import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch

import sslhsi.backbones
from sslhsi.backbones.base import BACKBONES
from sslhsi.backbones.registry import create_backbone, list_backbones
from sslhsi.errors import InputError

NAMES = [*list_backbones(), "timm/test_resnet", "test_vit"]


def smallest(name: str) -> tuple[int, int]:
    """Bands and window: as small as the network takes, and not smaller than makes a fair test."""
    if name not in BACKBONES:
        return 5, 32
    if name == "cnn1d":
        return 55, 3
    return max(BACKBONES[name].min_bands, 4), max(BACKBONES[name].min_window, 5)


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def test_every_file_with_a_network_is_found():
    files = Path(sslhsi.backbones.__path__[0]).glob("*.py")
    expected = {file.stem for file in files if "\n@register_backbone(" in file.read_text()}
    assert set(list_backbones()) == expected
    assert {"ainet", "hybridsn", "hresnet", "ccnn", "ssrn", "cnn1d", "cnn2d", "cnn3d", "pixelnet"} <= expected


@pytest.mark.parametrize("name", NAMES)
def test_contract(name):
    bands, window = smallest(name)
    network = create_backbone(name, bands, window)
    assert (network.in_chans, network.window, network.num_classes) == (bands, window, 0)

    x = torch.randn(2, bands, window, window)
    with torch.no_grad():
        features = network(x)
    assert features.shape == (2, network.num_features)
    assert features.dtype == torch.float32

    network.reset_classifier(3)
    assert network.num_classes == 3
    before = {key: value.clone() for key, value in network.state_dict().items()}
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
    logits = network(x)
    assert logits.shape == (2, 3)
    torch.nn.functional.cross_entropy(logits, torch.tensor([0, 2])).backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
    optimiser.step()
    assert any(not torch.equal(before[key], value) for key, value in network.named_parameters())

    network.eval()
    with torch.no_grad():
        maps = network.forward_features(x)
        logits = network.forward_head(maps)
        pooled = network.forward_head(maps, pre_logits=True)
        other = create_backbone(name, bands, window, num_classes=3).eval()
        other.load_state_dict(network.state_dict())
        assert torch.equal(other(x), logits)
        network.reset_classifier(0)
        assert torch.equal(network.forward_head(maps), pooled)
        assert pooled.shape == (2, network.num_features)


@pytest.mark.slow
def test_importing_the_package_is_enough_for_timm():
    """Whichever is imported first, and without waiting for torch."""
    program = (
        "import sys, sslhsi; assert not {'torch', 'timm'} & sys.modules.keys();"
        "import timm; assert timm.create_model('hybridsn', in_chans=13, window=9).window == 9"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_importing_the_package_after_timm(monkeypatch):
    monkeypatch.delitem(sys.modules, "sslhsi.backbones.registry")
    importlib.reload(sslhsi)
    assert "sslhsi.backbones.registry" in sys.modules


@pytest.mark.slow
@pytest.mark.parametrize("name", list_backbones())
@pytest.mark.parametrize("size", ["window", "img_size"])
def test_timm_gives_the_same_network(name, size):
    bands, window = smallest(name)
    torch.manual_seed(3)
    ours = create_backbone(name, bands, window, num_classes=2)
    torch.manual_seed(3)
    theirs = timm.create_model(name, in_chans=bands, num_classes=2, **{size: window})
    assert type(theirs) is type(ours)
    assert theirs.window == window
    for key, value in ours.state_dict().items():
        assert torch.equal(value, theirs.state_dict()[key]), key


@pytest.mark.parametrize("name", list_backbones())
def test_smallest_input_works_and_less_is_an_error_that_names_it(name):
    with torch.device("meta"):
        bands, window = BACKBONES[name].min_bands, BACKBONES[name].min_window
        if name == "cnn1d":
            bands = 55
        network = create_backbone(name, bands, window).eval()
        assert network(torch.empty(2, bands, window, window)).shape == (2, network.num_features)
        if bands > 1:
            with pytest.raises(InputError, match=rf"{name} needs at least {bands} bands"):
                create_backbone(name, bands - 1, window)
        if window > 1:
            with pytest.raises(InputError, match=rf"{name} needs at least {window} pixels of window"):
                create_backbone(name, bands, window - 1)


@pytest.mark.parametrize(("variant", "least"), [("pu", 55), ("ksc", 144), ("ip", 136)])
def test_cnn1d_minimum_depends_on_the_variant(variant, least):
    network = create_backbone("cnn1d", least, 1, variant=variant)
    assert network(torch.randn(2, least, 1, 1)).shape == (2, network.num_features)
    with pytest.raises(InputError, match=f"at least {least} bands"):
        create_backbone("cnn1d", least - 1, 1, variant=variant)


@pytest.mark.parametrize("name", ["hresnet", "ccnn", "ssrn", "pixelnet", "ainet"])
def test_window_independent_networks_take_other_windows(name):
    bands = 12
    network = create_backbone(name, bands, 7).eval()
    assert network(torch.randn(2, bands, 11, 11)).shape == (2, network.num_features)
    other = create_backbone(name, bands, 11)
    other.load_state_dict(network.state_dict())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (dict(name="hybridsm", in_chans=30, window=25), "hybridsn"),
        (dict(name="timm/hybridsn", in_chans=30, window=25), "unknown backbone"),
        (dict(name="qqqqqqqq", in_chans=30, window=25), "unknown backbone 'qqqqqqqq'"),
        (dict(name="hybridsn", in_chans=30, window=25, pol="avg"), "no option 'pol'.*pool"),
        (dict(name="hybridsn", in_chans=30, window=25, pool="max"), "pool must be one of flatten, avg"),
        (dict(name="hybridsn", in_chans=30, window=25, drop_rate=1.0), "drop_rate"),
        (dict(name="hybridsn", in_chans=30, window=25, num_classes=-1), "num_classes"),
        (dict(name="hybridsn", in_chans=30, window=25.0), "whole number, not 25.0"),
        (dict(name="hybridsn", in_chans=True, window=25), "whole number"),
        (dict(name="ainet", in_chans=30, window=25, shortcut="none"), "identity, projection"),
        (dict(name="cnn1d", in_chans=300, window=25, variant="sa"), "pu, ksc, ip"),
        (dict(name="cnn3d", in_chans=300, window=27, variant="sa"), "pu, ip"),
        (dict(name="pixelnet", in_chans=3, window=5, radii=[]), "radii"),
    ],
)
def test_bad_calls(call, message):
    with pytest.raises(InputError, match=message):
        create_backbone(**call)


def test_numpy_sizes_are_numbers():
    network = create_backbone("pixelnet", np.int64(4), np.int32(5))
    assert type(network.window) is int


def test_an_input_of_another_size_is_a_clear_error():
    network = create_backbone("hybridsn", 15, 9)
    for shape in ((2, 15, 11, 11), (2, 14, 9, 9), (15, 9, 9)):
        with pytest.raises(InputError, match=r"hybridsn was built for \(N, 15, 9, 9\)"):
            network(torch.randn(shape))


def test_timm_entry_says_what_is_missing():
    with pytest.raises(InputError, match="needs in_chans"):
        timm.create_model("hybridsn")
    with pytest.raises(InputError, match="no weights on a hub"):
        timm.create_model("hybridsn", pretrained=True, in_chans=30)
    assert timm.create_model("hybridsn", in_chans=30).window == 25
