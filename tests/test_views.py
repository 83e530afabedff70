"""Views: each augmentation does what it says, per sample, the same for any number of ranks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve1d
from torch.nn import functional as F

from sslhsi.recipe import Neighbours, Views
from sslhsi.views import make_views

OFF = {"scaling": 0.0, "gain": 0.0, "offset": 0.0, "noise": 0.0, "dropout": 0.0, "blur": 0.0}
NEUTRAL = Views(crop=(1.0, 1.0), flip=0.0, quarter_turns=False, **OFF)


def patches(n: int = 32, side: int = 9, channels: int = 5) -> torch.Tensor:
    return torch.randn(n, channels, side, side, generator=torch.Generator().manual_seed(0))


def views(x: torch.Tensor, recipe: Views, step: int = 0, zero: float = 0.0, **more: int):
    return make_views(
        x,
        [recipe, recipe],
        component_spread=torch.arange(1.0, x.shape[1] + 1),
        zero_spectrum=torch.full(x.shape[:2], zero),
        seed=7,
        step=step,
        **more,
    )


def with_(**changes) -> Views:
    return NEUTRAL.model_copy(update=changes)


def test_neutral_views_are_the_patches():
    x = patches()
    for view in views(x, NEUTRAL):
        torch.testing.assert_close(view, x, rtol=0, atol=0)


def test_flips_and_turns_are_one_of_the_eight_symmetries():
    x = patches(64)
    symmetries_met = set()
    for view in views(x, with_(flip=0.5, quarter_turns=True)):
        for sample, original in zip(view, x, strict=True):
            symmetries = [torch.rot90(m, k, (1, 2)) for m in (original, original.flip(2)) for k in range(4)]
            errors = [float((s - sample).abs().max()) for s in symmetries]
            assert min(errors) < 1e-5
            symmetries_met.add(int(np.argmin(errors)))
    assert symmetries_met == set(range(8))


def test_a_kept_centre_stays_in_the_centre():
    x = torch.zeros(16, 1, 9, 9)
    x[:, :, 4, 4] = 1
    view, _ = views(x, with_(crop=(0.5, 1.0), keep_centre=True, flip=0.5, quarter_turns=True))
    assert (view.flatten(1).argmax(1) == 40).all()


def test_crops_zoom_by_the_area_asked():
    """A linear ramp's slope shrinks by the side of the crop."""
    x = torch.linspace(-1, 1, 33).repeat(64, 1, 33, 1)
    view, _ = views(x, with_(crop=(0.25, 0.25)))
    slope = (view[..., 1:] - view[..., :-1])[..., 1:-1]  # the outermost reflect
    torch.testing.assert_close(slope, torch.full_like(slope, 0.5 * 2 / 32), rtol=1e-3, atol=1e-5)
    centres = view.mean((1, 2, 3))
    assert centres.std() > 0.1
    assert centres.abs().max() <= 0.52


def test_crops_interpolate_bilinearly():
    """As PyTorch's sampler does at the places that one view's own ramps of row and column numbers give."""
    side = 12
    ramp = torch.arange(side, dtype=torch.float32).expand(side, side)
    x = torch.cat([patches(16, side, 3), torch.stack([ramp, ramp.T]).expand(16, 2, -1, -1)], dim=1)
    for view in views(x, with_(crop=(0.1, 0.9), flip=0.5, quarter_turns=True, neighbours=Neighbours(radius=1))):
        at = view[:, 3:].permute(0, 2, 3, 1)  # column and row of every pixel of the view
        expected = F.grid_sample(x, (2 * at + 1) / side - 1, padding_mode="border", align_corners=False)
        torch.testing.assert_close(view, expected, rtol=1e-4, atol=1e-4)
        assert len({tuple(sample) for sample in at[:, 0, 0].round(decimals=2).tolist()}) > 12


def test_turns_and_whole_shifts_copy_pixels_bit_for_bit():
    x = patches(32, 11)
    for view in views(x, with_(flip=0.5, quarter_turns=True, neighbours=Neighbours(radius=1))):
        assert set(view.flatten().tolist()) <= set(x.flatten().tolist())


def test_a_shift_moves_the_second_view_by_whole_pixels():
    x = patches(side=13)
    first, second = views(x, with_(neighbours=Neighbours(radius=2)))
    torch.testing.assert_close(first, x[..., 2:11, 2:11], rtol=1e-4, atol=1e-5)
    offsets = set()
    for sample, original in zip(second, x, strict=True):
        places = [(a, b) for a in range(5) for b in range(5)]
        errors = [float((original[:, a : a + 9, b : b + 9] - sample).abs().max()) for a, b in places]
        assert min(errors) < 1e-4
        offsets.add(places[int(np.argmin(errors))])
    assert len(offsets) > 10


def test_gain_scales_about_a_spectrum_of_zeros():
    x = patches()
    view, _ = views(x, with_(gain=0.3), zero=-2.0)
    gain = (view + 2) / (x + 2)
    assert gain.flatten(1).std(1).max() < 1e-3
    assert gain.mean((1, 2, 3)).log().std() == pytest.approx(0.3, rel=0.5)


def test_scaling_is_per_component_and_sample():
    x = patches()
    view, _ = views(x, with_(scaling=0.2))
    factor = view / x
    assert factor.flatten(2).std(2).max() < 1e-3
    assert factor.mean((2, 3)).std() == pytest.approx(0.2, rel=0.2)


def test_noise_has_a_level_per_sample_in_units():
    x = patches(256)
    view, _ = views(x, with_(noise=0.1))
    level = (view - x).std((2, 3)) / torch.arange(1.0, 6)
    assert level.max() < 0.13
    assert level.mean(1).std() == pytest.approx(0.1 / 12**0.5, rel=0.15)
    # One level per sample, whatever the component.
    assert (level.std(1) / level.mean(1)).median() < 0.2


def test_offset_moves_whole_components():
    x = patches(256)
    view, _ = views(x, with_(offset=0.4))
    step = (view - x).mean((2, 3))
    assert (view - x).flatten(2).std(2).max() < 1e-5
    np.testing.assert_allclose(step.std(0), 0.4 * np.arange(1, 6), rtol=0.15)


def test_neighbours_lie_on_the_centre_s_side_of_an_edge():
    """In a scene of two flat halves, no second view is centred on the other half."""
    x = torch.zeros(64, 2, 15, 15)
    x[..., :6] = 5.0
    x[..., 6:] = -5.0
    x = x + 0.01 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    _, blind = views(x, with_(neighbours=Neighbours(radius=3)))
    _, moved = views(x, with_(neighbours=Neighbours(radius=3, candidates=10)))
    assert (blind[..., 4, 4] > 0).any()
    assert (moved[..., 4, 4] < 0).all()
    assert len(moved.flatten(1).unique(dim=0)) > 32


def test_dropout_takes_whole_components():
    x = patches(64)
    view, _ = views(x, with_(dropout=0.3))
    gone = (view == 0).flatten(2)
    assert (gone.all(2) == gone.any(2)).all()
    assert gone.all(2).float().mean() == pytest.approx(0.3, abs=0.08)


def test_blur_is_a_gaussian():
    x = patches(4)
    view, _ = views(x, with_(blur=1.0, blur_sigma=(0.7, 0.7)))
    tap = np.exp(-0.5 / 0.7**2)
    kernel = np.array([tap, 1, tap]) / (1 + 2 * tap)
    expected = convolve1d(convolve1d(x.numpy(), kernel, axis=2, mode="nearest"), kernel, axis=3, mode="nearest")
    np.testing.assert_allclose(view, expected, atol=1e-5)


def test_views_differ_between_themselves_and_between_steps():
    x, recipe = patches(), Views()
    a, b = views(x, recipe)
    c, _ = views(x, recipe, step=1)
    assert not torch.allclose(a, b)
    assert not torch.allclose(a, c)
    again, _ = views(x, recipe)
    torch.testing.assert_close(a, again, rtol=0, atol=0)


@pytest.mark.parametrize("world", [2, 4])
def test_views_do_not_depend_on_the_number_of_ranks(world):
    """Nor does the pixel noise, whatever a rank's share of the batch is."""
    x = patches(4 * 9)
    recipe = Views(noise=0.5, offset=0.1)
    whole = views(x, recipe)
    share = len(x) // world
    parts = [views(part, recipe, first=r * share, total=len(x)) for r, part in enumerate(x.chunk(world))]
    for which in (0, 1):
        torch.testing.assert_close(torch.cat([p[which] for p in parts]), whole[which], rtol=1e-6, atol=1e-6)


def test_noise_differs_from_sample_to_sample():
    x = torch.zeros(40, 5, 12, 12)
    view, _ = views(x, with_(noise=1.0))
    assert len(view.flatten(1).unique(dim=0)) == 40


def test_share_of_neighbours():
    """Where no neighbour is asked for, the second view has the first one's centre."""
    x = torch.arange(64 * 15 * 15, dtype=torch.float32).view(64, 1, 15, 15).expand(-1, 2, -1, -1).contiguous()
    _, centred = views(x, with_(neighbours=Neighbours(radius=3, candidates=10, share=0.0)))
    torch.testing.assert_close(centred, x[..., 3:-3, 3:-3])
    _, half = views(x, with_(neighbours=Neighbours(radius=3, candidates=10, share=0.5)))
    moved = (half != centred).flatten(1).any(1).float().mean()
    assert 0.25 < moved < 0.65
