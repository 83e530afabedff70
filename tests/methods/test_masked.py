"""Masked modelling: what is hidden, and that the loss is the error there and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from timm.models.vision_transformer import VisionTransformer

import sslhsi
from sslhsi.errors import InputError
from sslhsi.methods.base import Batch
from sslhsi.methods.mae import cut_patches
from sslhsi.methods.registry import create_method
from sslhsi.recipe import Views


def batch(channels: int, window: int, n: int = 6, step: int = 0) -> Batch:
    views = torch.randn(n, channels, window, window, generator=torch.Generator().manual_seed(1)).double()
    return Batch([views], step, 5, 0, n, 0)


def masked(**options):
    torch.manual_seed(0)
    return create_method("masked", sslhsi.create_backbone("pixelnet", 8, 9, width=8, radii=[0, 3]), options).double()


def transformer(**options):
    return sslhsi.create_backbone(
        "timm/vit_tiny_patch16_224", 3, 12, patch_size=4, depth=1, embed_dim=12, num_heads=3, **options
    )


def test_masked_hides_as_much_as_asked_of_patches_and_components():
    method, given = masked(patches=0.5, components=0.25, patch_size=4), batch(8, 9)
    hidden = method.mask(given)
    # A component is hidden where it is hidden in every pixel.
    components = hidden.flatten(2).all(2)
    assert (components.sum(1) == 2).all()
    # 9 pixels make 3 patches of at most 4 a side; what is hidden in all components makes up whole ones.
    pixels = hidden.all(1)
    patches = np.array([[[part.all() for part in np.array_split(rows, [4, 8], axis=1)]
                         for rows in np.array_split(one, [4, 8], axis=0)] for one in pixels.numpy()])  # fmt: skip
    assert (patches.sum((1, 2)) == round(0.5 * 9)).all()
    assert torch.equal(hidden, components[:, :, None, None] | pixels[:, None])
    assert not torch.equal(hidden, method.mask(given._replace(step=1)))


def test_masked_counts_the_error_where_values_are_hidden():
    method, given = masked(), batch(8, 9)
    (view,) = given.views
    hidden = method.mask(given)
    token = torch.randn(8, dtype=torch.float64)
    method.mask_value.data.copy_(token)
    loss, _ = method(given)
    shown = torch.where(hidden, method.mask_value[:, None, None], view)
    predicted, errors = method.decoder(method.backbone(shown)), []
    for i, sample in enumerate(view.tolist()):
        where = hidden[i].nonzero().tolist()
        errors.append(sum((predicted[i, k, y, x] - sample[k][y][x]).abs() for k, y, x in where) / len(where))
    expected = sum(errors) / len(errors)
    torch.testing.assert_close(loss, expected)
    ours, theirs = (torch.autograd.grad(value, list(method.parameters())) for value in (loss, expected))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_masked_needs_something_to_hide():
    with pytest.raises(InputError, match="patches and components are both 0"):
        masked(patches=0.0, components=0.0)
    with pytest.raises(InputError, match=r"patch_size: one patch of 9 pixels covers the window of 9"):
        masked(patch_size=9)
    with pytest.raises(InputError, match="there is but one"):
        create_method("masked", sslhsi.create_backbone("pixelnet", 1, 9))
    with pytest.raises(InputError, match="needs a network with in_chans and window"):
        create_method("masked", torch.nn.Identity())
    assert masked().view_settings(Views()) == (Views(),)


def test_mae_encodes_visible_patches_alone():
    """What is left out changes no token; the tokens are those of a transformer that is given the rest."""
    torch.manual_seed(0)
    network = transformer()
    method, given = create_method("mae", network, {"hidden": 8}).double().eval(), batch(3, 12)
    (view,) = given.views
    left_out = method.mask(given)
    assert left_out.shape == (6, 9)
    assert (left_out.sum(1) == round(0.75 * 9)).all()
    visible = torch.stack([torch.nonzero(~row)[:, 0] for row in left_out])
    tokens = method.encode(view, visible)
    changed = view.clone()
    for i, row in enumerate(left_out):
        for patch in torch.nonzero(row)[:, 0].tolist():
            top, left = 4 * (patch // 3), 4 * (patch % 3)
            changed[i, :, top : top + 4, left : left + 4] = 9.0
    torch.testing.assert_close(method.encode(changed, visible), tokens, rtol=0, atol=0)
    # With all patches visible the encoder is the network itself.
    everything = method.encode(view, torch.arange(9).expand(6, -1))
    torch.testing.assert_close(everything, network.forward_features(view))


def test_mae_is_the_mean_squared_error_of_the_patches_left_out():
    torch.manual_seed(0)
    given = batch(3, 12)
    (view,) = given.views
    for normalise in (False, True):
        method = create_method("mae", transformer(), {"hidden": 8, "normalise": normalise}).double()
        left_out = method.mask(given)
        order = torch.stack([torch.cat([torch.nonzero(~row)[:, 0], torch.nonzero(row)[:, 0]]) for row in left_out])
        predicted = method.decode(method.embed(method.encode(view, order[:, :2])), order)
        errors = []
        for i, row in enumerate(left_out):
            for patch in torch.nonzero(row)[:, 0].tolist():
                top, left = 4 * (patch // 3), 4 * (patch % 3)
                values = view[i, :, top : top + 4, left : left + 4].flatten()
                if normalise:
                    values = (values - values.mean()) / (values.var() + 1e-6).sqrt()
                errors.append((predicted[i, patch] - values).square().mean())
        loss, _ = method(given)
        torch.testing.assert_close(loss, torch.stack(errors).mean())
        ours = torch.autograd.grad(loss, list(method.parameters()))
        theirs = torch.autograd.grad(torch.stack(errors).mean(), list(method.parameters()))
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_patches_are_cut_row_by_row():
    images = torch.arange(2 * 3 * 4 * 6).view(2, 3, 4, 6)
    assert torch.equal(cut_patches(images, 2, 3)[1, 3], images[1, :, 2:4, 3:6].flatten())


def test_mae_takes_a_transformer_that_averages_its_patches():
    """All its weights are trained, those of the last normalisation, too."""
    method = create_method("mae", transformer(global_pool="avg", class_token=False), {"hidden": 8}).double()
    method(batch(3, 12))[0].backward()
    assert not [key for key, p in method.named_parameters() if p.grad is None]


def test_mae_names_what_fits():
    with pytest.raises(InputError, match=r"not pixelnet; method\.name=masked works for any network"):
        create_method("mae", sslhsi.create_backbone("pixelnet", 3, 12))
    with pytest.raises(InputError, match=r"one of the whole window; set backbone\.options\.patch_size"):
        create_method(
            "mae", VisionTransformer(img_size=16, patch_size=16, in_chans=3, embed_dim=12, num_heads=3, depth=1)
        )
