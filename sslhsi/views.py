"""A batch of patches -> augmented views, on the device, with parameters of their own per sample."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from sslhsi.recipe import Views

# Samples whose pixel noise is drawn at once.
NOISE_BLOCK = 16


@dataclass(frozen=True)
class Draw:
    """The random numbers of one view of n samples, each of shape (n, ...)."""

    crop: Tensor  # side of the crop as a share of the window's, (n,)
    centre: Tensor  # position of the crop's centre within its freedom, -1..1, (n, 2) as x, y
    shift: Tensor  # displacement of the window in pixels, (n, 2) as x, y
    neighbour: Tensor  # which of the candidates the window moves to, (n,)
    flip: Tensor  # 1 or -1, (n, 2)
    turn: Tensor  # quarter turns, (n,)
    gain: Tensor  # factor on the whole spectrum, (n,)
    scaling: Tensor  # factor on each component, (n, K)
    offset: Tensor  # added to each component, in spreads, (n, K)
    keep: Tensor  # 1 or 0 for each component, (n, K)
    blur: Tensor  # share that each of the two neighbours gets, (n,)
    blurred: Tensor  # numbers of the samples that are blurred at all
    level: Tensor  # of the pixel noise, in spreads, (n,)
    noise: int  # seed of the pixel noise
    first: int = 0  # place of the first sample in the global batch

    def part(self, rows: slice, device: torch.device) -> Draw:
        """The parameters of some samples, on a device."""
        fields: dict[str, Any] = {
            name: value[rows].to(device, non_blocking=True)
            for name, value in vars(self).items()
            if isinstance(value, Tensor) and name != "blurred"
        }
        # Counted on the host: a device would have to be waited for.
        fields["blurred"] = self.blur[rows].nonzero()[:, 0].to(device, non_blocking=True)
        return Draw(**fields, noise=self.noise, first=self.first + rows.start)


def draw(recipe: Views, n: int, channels: int, generator: torch.Generator, first: bool) -> Draw:
    """Draw the parameters of one view of n samples from a CPU generator; the first view keeps its place.

    The numbers depend on the generator and on n alone, not on the device or on the number of processes.
    """
    near = recipe.neighbours

    def uniform(*shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        return torch.rand(*shape, generator=generator) * (high - low) + low

    side = uniform(n, low=recipe.crop[0], high=recipe.crop[1]).sqrt()
    centre = uniform(n, 2, low=-1, high=1) * (0.0 if recipe.keep_centre else 1.0)
    shift = torch.randint(-near.radius, near.radius + 1, (n, 2), generator=generator).float()
    # The nearest of the candidates is the centre itself.
    neighbour = torch.randint(0, max(1, near.candidates), (n,), generator=generator) * (uniform(n) < near.share)
    flip = 1.0 - 2.0 * (uniform(n, 2) < recipe.flip).float()
    turn = torch.randint(0, 4 if recipe.quarter_turns else 1, (n,), generator=generator)
    gain = torch.exp(torch.randn(n, generator=generator) * recipe.gain)
    scaling = 1.0 + recipe.scaling * torch.randn(n, channels, generator=generator)
    offset = recipe.offset * torch.randn(n, channels, generator=generator)
    keep = (uniform(n, channels) >= recipe.dropout).float()
    sigma = uniform(n, low=recipe.blur_sigma[0], high=recipe.blur_sigma[1])
    tap = torch.exp(-0.5 / sigma**2)
    blur = tap / (1 + 2 * tap) * (uniform(n) < recipe.blur).float()
    level = recipe.noise * uniform(n)
    noise = int(torch.randint(0, 2**31 - 1, (1,), generator=generator))
    shift = shift * float(not first)
    blurred = blur.nonzero()[:, 0]
    return Draw(side, centre, shift, neighbour, flip, turn, gain, scaling, offset, keep, blur, blurred, level, noise)


def box_mean(x: Tensor) -> Tensor:
    """(N, K, S, S) -> (N, K, S - 2, S - 2) means over 3x3 pixels."""
    rows = x[..., :-2, :] + x[..., 1:-1, :] + x[..., 2:, :]
    return (rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]) / 9


def neighbour_shift(patches: Tensor, radius: int, candidates: int, pick: Tensor) -> Tensor:
    """Displacement to a pixel whose surroundings look like the centre's.

    Neighbours of one material are each other's positives; unlike a blind shift, this does not cross edges.

    Args:
        patches: (n, K, S, S), S at least 2 x radius + 3.
        radius: Largest displacement along either axis, in pixels.
        candidates: This many nearest pixels by 3x3 mean, the centre itself included.
        pick: (n,) which of them.

    Returns:
        (n, 2) x and y.
    """
    centre, side = patches.shape[-1] // 2, 2 * radius + 1
    near = slice(centre - radius - 1, centre + radius + 2)
    keys = box_mean(patches[..., near, near])
    distance = (keys - keys[..., radius : radius + 1, radius : radius + 1]).square().sum(1).flatten(1)
    nearest = distance.topk(min(candidates, side * side), dim=1, largest=False).indices
    chosen = nearest.gather(1, pick[:, None].clamp(max=nearest.shape[1] - 1))[:, 0]
    return torch.stack([chosen % side - radius, chosen // side - radius], dim=1).float()


def _resample(patches: Tensor, window: int, d: Draw) -> Tensor:
    """Crop, resize, mirror and turn in one interpolation: (n, K, S, S) -> (n, K, window, window)."""
    size = patches.shape[-1]
    still = bool((d.crop == 1).all()) and not d.shift.any()
    if still and size == window and bool((d.flip == 1).all()) and not d.turn.any():
        return patches
    side = d.crop * (window / size)
    # The crop may move where the window leaves room; a shift displaces the window itself.
    freedom = (window / size) * (1 - d.crop)
    offset = d.centre * freedom[:, None] + d.shift * (2.0 / size)
    angle = d.turn * (math.pi / 2)
    # Rounded, so that quarter turns and mirrors land exactly on pixel centres.
    cos, sin = angle.cos().round(), angle.sin().round()
    rows = torch.stack(
        [
            torch.stack([cos * d.flip[:, 0] * side, -sin * d.flip[:, 1] * side, offset[:, 0]], dim=1),
            torch.stack([sin * d.flip[:, 0] * side, cos * d.flip[:, 1] * side, offset[:, 1]], dim=1),
        ],
        dim=1,
    )
    grid = F.affine_grid(rows, [len(patches), 1, window, window], align_corners=False)
    return F.grid_sample(patches, grid.to(patches.dtype), padding_mode="reflection", align_corners=False)


def _blur(x: Tensor, share: Tensor) -> Tensor:
    """Three-tap Gaussian along both axes; ``share`` (n,) is the weight of each neighbour."""
    share = share[:, None, None, None]
    padded = F.pad(x, (1, 1, 0, 0), mode="replicate")
    x = x + share * (padded[..., :-2] + padded[..., 2:] - 2 * x)
    padded = F.pad(x, (0, 0, 1, 1), mode="replicate")
    return x + share * (padded[..., :-2, :] + padded[..., 2:, :] - 2 * x)


def one_view(
    patches: Tensor, window: int, d: Draw, recipe: Views, component_spread: Tensor, zero_spectrum: Tensor
) -> Tensor:
    """Apply one view's parameters: (n, K, S, S) -> (n, K, window, window)."""
    x = _resample(patches, window, d)
    # What follows works in place: on a CPU, fresh memory for every step costs more than the arithmetic.
    if x is patches:
        x = x.clone()
    if recipe.gain:
        zero = zero_spectrum[..., None, None]
        x.sub_(zero).mul_(d.gain[:, None, None, None]).add_(zero)
    if len(d.blurred):
        x[d.blurred] = _blur(x[d.blurred], d.blur[d.blurred])
    if recipe.scaling:
        x.mul_(d.scaling[..., None, None])
    if recipe.offset:
        x.add_((d.offset * component_spread)[..., None, None])
    if recipe.noise:
        x.add_(pixel_noise(x, d.noise, d.first).mul_((d.level[:, None] * component_spread)[..., None, None]))
    if recipe.dropout:
        x.mul_(d.keep[..., None, None])
    return x


def pixel_noise(x: Tensor, seed: int, first: int) -> Tensor:
    """Standard normals like ``x``, (n, K, S, S): those of the samples ``first`` to ``first + n`` of a global batch.

    They are drawn on the device (on the host they would cost more than all else), and in blocks that are tied
    to the place in the global batch, so that they don't depend on how the batch is dealt out to processes.
    """
    blocks = range(first // NOISE_BLOCK, -(-(first + len(x)) // NOISE_BLOCK))
    noise = x.new_empty((len(blocks), NOISE_BLOCK, *x.shape[1:]))
    for part, block in zip(noise, blocks, strict=True):
        part.normal_(generator=torch.Generator(x.device).manual_seed(hash_seed(seed, block)))
    skip = first % NOISE_BLOCK
    return noise.flatten(0, 1)[skip : skip + len(x)]


def make_views(
    patches: Tensor,
    settings: Sequence[Views],
    *,
    component_spread: Tensor,
    zero_spectrum: Tensor,
    seed: int,
    step: int,
    first: int = 0,
    total: int | None = None,
) -> list[Tensor]:
    """Views of a batch, each with random parameters of its own (Chen et al. 2020, arXiv:2002.05709, section 2).

    Args:
        patches: (n, K, S, S) of this process, S = window + 2 x :func:`margin` of the settings, on any device.
        settings: Strengths, one entry per view; all views but the first may be centred on a neighbour.
        component_spread: (K,) what ``noise`` and ``offset`` are multiples of: each component's spread, or its noise.
        zero_spectrum: (n, K) components of a spectrum of zeros, about which ``gain`` scales.
        seed, step: What the parameters are a function of, besides the place in the global batch.
        first: Place of the first patch in the global batch.
        total: Size of the global batch; None: n.

    Returns:
        For each view (n, K, window, window).

    Examples:
        >>> off = dict.fromkeys(("flip", "scaling", "noise", "dropout", "blur"), 0.0)
        >>> still = Views(crop=(1.0, 1.0), quarter_turns=False, **off)
        >>> patches = torch.ones(4, 3, 9, 9)
        >>> space = {"component_spread": torch.ones(3), "zero_spectrum": torch.zeros(4, 3)}
        >>> views = make_views(patches, [still, Views(gain=0.1)], **space, seed=0, step=0)
        >>> len(views), views[1].shape, torch.equal(views[0], patches)
        (2, torch.Size([4, 3, 9, 9]), True)
    """
    n, total = len(patches), total or len(patches)
    window = patches.shape[-1] - 2 * margin(settings)
    views = []
    for number, recipe in enumerate(settings):
        generator = torch.Generator().manual_seed(hash_seed(seed, step, number))
        drawn = draw(recipe, total, patches.shape[1], generator, first=not number)
        mine, near = drawn.part(slice(first, first + n), patches.device), recipe.neighbours
        if number and near.candidates and near.radius:
            mine = replace(mine, shift=neighbour_shift(patches, near.radius, near.candidates, mine.neighbour))
        views.append(one_view(patches, window, mine, recipe, component_spread, zero_spectrum))
    return views


def margin(settings: Sequence[Views]) -> int:
    """Pixels that patches need on every side of the window, so that views may be centred on neighbours."""
    return max(recipe.neighbours.radius for recipe in settings)


def hash_seed(*parts: int) -> int:
    """A 63-bit seed from several integers (splitmix64 steps), so that near inputs give unrelated streams."""
    state = 0
    for part in parts:
        state = (state + part + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            state = ((state ^ (state >> shift)) * factor) & 0xFFFFFFFFFFFFFFFF
        state ^= state >> 31
    return state >> 1
