"""The fastest safe setting, and memory formats that change no value."""

import copy

import pytest
import torch

from sslhsi.backbones import fast
from sslhsi.backbones.registry import create_backbone


@pytest.mark.parametrize("bf16", [True, False])
@pytest.mark.parametrize(("name", "bands", "window"), [("hybridsn", 13, 9), ("pixelnet", 4, 5), ("cnn1d", 55, 1)])
def test_a_cpu_stays_in_float32_even_where_it_multiplies_bfloat16(name, bands, window, bf16, monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bf16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    setting = fast.fastest_safe_setting(create_backbone(name, bands, window), "cpu")
    flat = name == "cnn1d"
    assert setting["autocast_dtype"] is None
    assert setting["memory_format"] == ("contiguous" if flat else "channels_last")


@pytest.mark.parametrize(
    ("asked", "here", "elsewhere", "expected"),
    [
        ("auto", True, True, "bf16"),
        ("auto", True, False, "fp32"),
        ("auto", False, True, "fp32"),
        ("bf16", False, False, "bf16"),
        ("fp32", True, True, "fp32"),
    ],
)
def test_one_precision_for_all_processes(asked, here, elsewhere, expected):
    network = create_backbone("pixelnet", 4, 5)

    def gathered(mine):
        assert mine is None  # a CPU
        return [torch.bfloat16 if side else None for side in (here, elsewhere)]

    setting = fast.training_setting(network, "cpu", asked, gathered)
    assert setting["precision"] == expected
    assert setting["memory_format"] == "channels_last"


def test_3d_cnn_keeps_the_plain_layout():
    with torch.device("meta"):
        network = create_backbone("cnn3d", 94, 27)
    assert fast.fastest_safe_setting(network, "cpu")["memory_format"] == "contiguous"


def test_old_and_unknown_devices_stay_in_float32():
    network = create_backbone("pixelnet", 4, 5)
    assert fast.fastest_safe_setting(network, "mps")["autocast_dtype"] is None


@pytest.mark.parametrize(("name", "bands", "window"), [("ainet", 20, 9), ("hresnet", 6, 5), ("hybridsn", 14, 9)])
def test_memory_format_changes_the_layout_and_nothing_else(name, bands, window):
    torch.manual_seed(0)
    network = create_backbone(name, bands, window).eval()
    laid = fast.set_memory_format(copy.deepcopy(network), "channels_last")
    x = torch.randn(2, bands, window, window)
    for (key, mine), other in zip(laid.named_parameters(), network.parameters(), strict=True):
        assert torch.equal(mine, other)
        if mine.ndim in (4, 5):
            assert mine.stride(1) == 1, key  # channels are neighbours, in a one-channel stem too
    with torch.no_grad():
        torch.testing.assert_close(laid(x), network(x), rtol=1e-4, atol=1e-5)
    back = fast.set_memory_format(laid, "contiguous")
    assert all(parameter.is_contiguous() for parameter in back.parameters())


def test_first_layer_hands_channels_last_maps_on():
    network = fast.set_memory_format(create_backbone("ainet", 20, 9), "channels_last")
    y = network.stem(torch.randn(2, 1, 20, 9, 9))
    assert y.is_contiguous(memory_format=torch.channels_last_3d)
