"""Views of images, weights by name, and a round by contrast."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from sslhsi.backbones.registry import create_backbone
from sslhsi.errors import InputError
from sslhsi.methods.ntxent import NTXentLoss
from sslhsi.methods.registry import create_method
from sslhsi.recipe import MethodChoice
from sslhsi.studies.adaptation.contrast import Round, contrast
from sslhsi.studies.adaptation.image_views import MEAN, STD, ImageNetwork, each, training_view
from sslhsi.studies.adaptation.images import ImageWeights
from sslhsi.studies.adaptation.settings import ImageStudy, Settings


def test_a_training_view_is_a_crop_turned_or_mirrored():
    image = torch.arange(3 * 6 * 6, dtype=torch.uint8).reshape(3, 6, 6)
    crops = [image[:, r : r + 4, c : c + 4] for r in range(3) for c in range(3)]
    turned = {crop.rot90(k, (1, 2)).contiguous().numpy().tobytes() for crop in crops for k in range(4)}
    turned |= {crop.flip(2).rot90(k, (1, 2)).contiguous().numpy().tobytes() for crop in crops for k in range(4)}
    torch.manual_seed(0)
    views = {view.contiguous().numpy().tobytes() for view in each(training_view(4), image.expand(400, 3, 6, 6))}
    assert views <= turned
    assert len(views) > 0.95 * len(turned)


def test_the_middle_is_judged_and_views_train():
    network = ImageNetwork(create_backbone("hresnet", 3, 8), 8)
    x = torch.randint(0, 256, (4, 3, 12, 12), dtype=torch.uint8)
    mean, std = (np.array(v, dtype=np.float32)[:, None, None] for v in (MEAN, STD))
    middle = torch.from_numpy((x[..., 2:10, 2:10].numpy() / np.float32(255) - mean) / std)
    with torch.no_grad():
        network.eval()
        torch.testing.assert_close(network(x), network.backbone(middle))
        network.train()
        assert not torch.equal(network(x), network(x))


def study(weights, name="test_resnet", options=None, crop=64, **more):
    simulated = {"simulated": "survey", "images": 1, "side": 16}
    return ImageStudy.model_validate({
        "network": {"name": name, "options": options or {}}, "resize": crop, "crop": crop, "weights": weights,
        "domain": simulated, "targets": [simulated], "rounds": ["contrast"], "shares": [0.5],
        "contrast": {"views": {"neighbours": {"radius": 0}}}, **more,
    })  # fmt: skip


def bench(tmp_path, given):
    return ImageWeights(Settings(experiment="adaptation", name="x", output=str(tmp_path), images=given), given)


@pytest.fixture
def trained(tmp_path):
    """A timm model with its weights in a file."""
    torch.manual_seed(5)
    model = timm.create_model("test_resnet", num_classes=7).eval()
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    return model


def test_weights_of_timm_see_red_green_and_blue_as_they_were_trained(trained, tmp_path):
    overlay = {"pretrained_cfg_overlay": {"file": str(tmp_path / "weights.safetensors")}}
    for given in (study("timm", options=overlay), study(str(tmp_path / "weights.safetensors"))):
        made = bench(tmp_path, given)
        network = made.network(3, made.given).eval()
        x = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
        with torch.no_grad():
            theirs = trained.forward_head(trained.forward_features(network.normalised(x)), pre_logits=True)
            torch.testing.assert_close(network(x), theirs, rtol=1e-4, atol=1e-5)
        assert not torch.allclose(made.network(3)(x), network(x))
        assert made.not_fitting == []


def test_a_stem_for_other_bands_starts_at_random_and_is_told(tmp_path):
    state = create_backbone("hresnet", 30, 9).state_dict()
    save_file(state, tmp_path / "hresnet.safetensors")
    made = bench(tmp_path, study(str(tmp_path / "hresnet.safetensors"), name="hresnet", crop=9))
    assert "not carried over" in made.not_fitting[0]
    carried = [name for name, value in made.given.items() if torch.equal(value, state.get(name, torch.empty(0)))]
    assert 0 < len(carried) < len(state)


@pytest.mark.parametrize(
    ("weights", "name", "words"),
    [
        ("none.safetensors", "test_resnet", "no such file"),
        ("weights.safetensors", "hresnet", "none of the weights fits"),
        ("weights.safetensors", "resnet51", "unknown backbone"),
        ("timm", "hresnet", "pretrained"),
    ],
)
def test_weights_that_cannot_be_had_are_told(trained, tmp_path, weights, name, words):
    source = weights if weights == "timm" else str(tmp_path / weights)
    with pytest.raises(InputError, match=words):
        bench(tmp_path, study(source, name=name))


@pytest.mark.slow
def test_a_round_by_contrast_minimises_the_loss_of_the_main_job():
    method = MethodChoice(options={"hidden": 16, "output": 8})
    settings = Round(batch_size=8, lr=3e-3, method=method)
    rng = torch.Generator().manual_seed(0)
    samples = torch.randn(8, 4, 5, 5, generator=rng)
    two = [samples, samples + 0.5 * torch.randn(8, 4, 5, 5, generator=rng)]
    networks = []
    for _ in range(2):
        torch.manual_seed(1)
        networks.append(create_backbone("hresnet", 4, 5))
    torch.manual_seed(7)
    with torch.no_grad():
        simclr = create_method("simclr", create_like(networks[0]), method.options).train()
        expected = NTXentLoss(0.1)(*simclr.embed(torch.cat(two)).chunk(2))
    losses = [contrast(network, lambda step: two, 30, 1, settings, seed=7) for network in networks]
    assert losses[0] == losses[1]
    assert losses[0][0].loss == pytest.approx(float(expected), rel=1e-5)
    assert losses[0][-1].loss < 0.5 * losses[0][0].loss
    assert not networks[0].training
    wild = Round(batch_size=8, lr=1e30, clip=1e30, method=method)
    with pytest.raises(InputError, match="lower lr"):
        contrast(networks[0], lambda step: [x * (1 if step < 2 else float("nan")) for x in two], 4, 1, wild)


def create_like(network):
    """A copy whose making leaves torch's generator alone."""
    import copy

    return copy.deepcopy(network)
