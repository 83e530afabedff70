"""One builder: the network of a configuration, with the weights that it asks for or untrained."""

from __future__ import annotations

import pytest
import timm
import torch
from safetensors.torch import save_file

from sslhsi.backbones.build import BackboneConfig, brings_weights, build_backbone, recipe_channels, recipe_config
from sslhsi.errors import InputError
from sslhsi.recipe import Recipe

STEMS = {
    "fresh": {},
    "tiled": {"stem": "tiled"},
    "wavelengths": {"stem": "wavelengths", "wavelengths": [450.0, 500.0, 550.0, 600.0, 650.0, 700.0]},
}


@pytest.fixture(scope="module")
def rgb(tmp_path_factory):
    """A file of RGB weights."""
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("weights") / "rgb.safetensors"
    save_file(timm.create_model("test_resnet").state_dict(), path)
    return str(path)


@pytest.mark.parametrize("stem", STEMS)
def test_the_untrained_twin_of_a_network_with_rgb_weights(rgb, stem):
    """The same network, layer by layer, and random: it needs no weights to be there."""
    options = {"pretrained": True, "pretrained_cfg_overlay": {"file": rgb}, **STEMS[stem]}
    config = BackboneConfig(architecture="test_resnet", options=options, window=16)
    assert brings_weights(config)
    trained = build_backbone(config, 6, trained=True).state_dict()
    missing = {**options, "pretrained_cfg_overlay": {"file": "/nowhere"}}
    twin = build_backbone(config.model_copy(update={"options": missing}), 6, seed=0).state_dict()
    assert {key: value.shape for key, value in twin.items()} == {key: value.shape for key, value in trained.items()}
    weights = [key for key, value in twin.items() if value.ndim == 4]
    assert not any(torch.equal(twin[key], trained[key]) for key in weights)


def test_a_seed_says_which_random_weights():
    config = BackboneConfig(architecture="hresnet", window=5)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first, again, other = (build_backbone(config, 4, seed=seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)
    drawn = build_backbone(config, 4).state_dict()
    torch.manual_seed(1)
    assert all(torch.equal(drawn[key], value) for key, value in build_backbone(config, 4).state_dict().items())


def test_a_recipe_names_its_backbone():
    recipe = Recipe.model_validate({
        "name": "fields", "corpus": {"scenes": [{"simulated": "paper"}], "bands": {"components": None, "grid": 24},
        "patches": {"window": 7, "border": "reflect"}}, "backbone": {"name": "hresnet"}, "training": {"steps": 3},
        "evaluation": {"tasks": []},
    })  # fmt: skip
    config = recipe_config(recipe, "abcd")
    assert config == BackboneConfig(
        architecture="hresnet", window=7, border="reflect", recipe="fields", corpus="abcd"
    )
    assert build_backbone(config, recipe_channels(recipe)).in_chans == 24


def test_configurations_of_earlier_versions_are_read():
    config = BackboneConfig.of({"architecture": "hresnet", "window": 5, "border": None, "options": None, "note": 3})
    assert (config.border, config.options, config.model_dump()["note"]) == ("inside", {}, 3)
    with pytest.raises(InputError, match=r"config\.json: window"):
        BackboneConfig.of({"architecture": "hresnet"})
    with pytest.raises(InputError, match="names no architecture"):
        build_backbone(BackboneConfig(window=5), 4)
