"""A batch of patches -> augmented views, on the device, with parameters of their own per sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sslhsi.recipe import Views

# Samples whose pixel noise is drawn at once.
NOISE_BLOCK = 16


class Draw(NamedTuple):
    """The random numbers of n samples, each of shape (n, ...) and of one floating-point type."""

    crop: Tensor  # side of the crop as a share of the window's, (n, 1)
    centre: Tensor  # position of the crop's centre within its freedom, -1..1, (n, 2) as x, y
    shift: Tensor  # displacement of the window in pixels, (n, 2) as x, y
    neighbour: Tensor  # which of the candidates the window moves to, (n, 1)
    flip: Tensor  # 1 or -1, (n, 2) as x, y
    turn: Tensor  # quarter turns, (n, 1)
    gain: Tensor  # factor on the whole spectrum, (n, 1)
    blur: Tensor  # share that each of the two neighbours gets, (n, 1)
    level: Tensor  # of the pixel noise, in spreads, (n, 1)
    scaling: Tensor  # factor on each component, (n, K)
    offset: Tensor  # added to each component, in spreads, (n, K)
    keep: Tensor  # 1 or 0 for each component, (n, K)

    @classmethod
    def of(cls, numbers: Tensor) -> Draw:
        """The fields of (n, 12 + 3 K) numbers that lie side by side."""
        channels = (numbers.shape[1] - 12) // 3
        return cls(*numbers.split([1, 2, 2, 1, 2, 1, 1, 1, 1, channels, channels, channels], dim=1))


def draw(recipe: Views, n: int, channels: int, generator: torch.Generator, first: bool) -> tuple[np.ndarray, int]:
    """Draw the parameters of one view of n samples from a CPU generator; the first view keeps its place.

    The numbers depend on the generator and on n alone, not on the device or on the number of processes.

    Returns:
        (n, 12 + 3 K) float32, the fields of :class:`Draw` side by side, and the seed of the pixel noise.
    """
    near = recipe.neighbours

    def uniform(width: int, low: float = 0.0, high: float = 1.0) -> np.ndarray:
        return torch.rand(n, width, generator=generator).numpy() * (high - low) + low

    def normal(width: int) -> np.ndarray:
        return torch.randn(n, width, generator=generator).numpy()

    def whole(low: int, high: int, width: int) -> np.ndarray:
        return torch.randint(low, high, (n, width), generator=generator).numpy()

    # In this order: every draw moves the stream on, also those that are multiplied by zero.
    crop = np.sqrt(uniform(1, *recipe.crop))
    centre = uniform(2, -1, 1) * (0.0 if recipe.keep_centre else 1.0)
    shift = whole(-near.radius, near.radius + 1, 2) * float(not first)
    # The nearest of the candidates is the centre itself.
    neighbour = whole(0, max(1, near.candidates), 1) * (uniform(1) < near.share)
    flip = 1.0 - 2.0 * (uniform(2) < recipe.flip)
    turn = whole(0, 4 if recipe.quarter_turns else 1, 1)
    gain = np.exp(normal(1) * recipe.gain)
    scaling = 1.0 + recipe.scaling * normal(channels)
    offset = recipe.offset * normal(channels)
    keep = uniform(channels) >= recipe.dropout
    tap = np.exp(-0.5 / uniform(1, *recipe.blur_sigma) ** 2)
    blur = tap / (1 + 2 * tap) * (uniform(1) < recipe.blur)
    level = recipe.noise * uniform(1)
    noise = int(torch.randint(0, 2**31 - 1, (1,), generator=generator))
    fields = (crop, centre, shift, neighbour, flip, turn, gain, blur, level, scaling, offset, keep)
    return np.concatenate(fields, axis=1, dtype=np.float32), noise


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


def _places(window: int, size: int, d: Draw) -> tuple[Tensor, Tensor]:
    """Where the rows and columns of a view lie in patches of side ``size``.

    A crop, mirror images and quarter turns map rows onto rows or onto columns, so that one number per row and one
    per column say it all.

    Returns:
        (n, 2, window) pixels along the axis that a view's rows, then columns, run along; whole and half numbers
        are exact, and (n, 2, 1) how far apart those pixels are in memory, ``size`` or 1.
    """
    turn = d.turn.long()
    odd = turn % 2
    # x and y of the view's row (then column) axis: a quarter turn swaps them.
    axes = torch.cat([1 - odd, odd], dim=1)
    # The crop may move where the window leaves room; a shift displaces the window itself.
    middle = (size - 1) / 2 + d.shift + d.centre * (1 - d.crop) * (window / 2)
    signs = d.turn.new_tensor([[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]])[turn[:, 0]] * d.flip.flip(1)
    steps = torch.arange(window, device=d.turn.device, dtype=d.turn.dtype) - (window - 1) / 2
    places = middle.gather(1, axes)[..., None] + (signs * d.crop)[..., None] * steps
    return places.clamp_(0, size - 1), 1 + (size - 1) * axes[..., None]


def _resample(patches: Tensor, window: int, d: Draw, crops: bool) -> Tensor:
    """Crop, resize bilinearly, mirror and turn: (n, K, S, S) -> (views x n, K, window, window), contiguous and new.

    Every pixel of a view is a weighted sum of four spectra of its patch; without a crop it is one of them.
    """
    n, channels, size = patches.shape[:3]
    spectra = patches.permute(0, 2, 3, 1).reshape(-1, channels)
    places, strides = _places(window, size, d)
    first = torch.arange(0, n * size**2, size**2, device=patches.device).repeat(len(places) // n).view(-1, 1, 1, 1)
    if crops:
        low = places.floor()
        weight = (places - low).to(patches.dtype)
        low = low.long()
        near = torch.stack([low, (low + 1).clamp_(max=size - 1)], dim=3) * strides[..., None]
        share = torch.stack([1 - weight, weight], dim=3)
        # The four neighbours of each row and column, before they are combined: long runs of memory.
        x = F.embedding_bag(
            (_each_row(near) + first + _each_column(near)).view(-1, 4),
            spectra,
            per_sample_weights=(_each_row(share) * _each_column(share)).view(-1, 4),
            mode="sum",
        )
    else:
        where = (places.long() * strides)[..., None]
        x = spectra.index_select(0, (where[:, 0, :, None] + first + where[:, 1, None]).flatten())
    return x.view(-1, window, window, channels).permute(0, 3, 1, 2).contiguous()


def _each_row(near: Tensor) -> Tensor:
    """(n, 2, window, 2) -> (n, window, 1, 4): what the rows give to each of four neighbours."""
    return near[:, 0].repeat_interleave(2, dim=2).unsqueeze(2)


def _each_column(near: Tensor) -> Tensor:
    """(n, 2, window, 2) -> (n, 1, window, 4): what the columns give to each of four neighbours."""
    return near[:, 1].repeat(1, 1, 2).unsqueeze(1)


def _blur(x: Tensor, share: Tensor) -> Tensor:
    """Three-tap Gaussian along both axes; ``share`` (n, 1) is the weight of each neighbour, the edge its own."""
    share = share[..., None, None]
    for axis in (3, 2):
        last = x.shape[axis] - 1
        y = x * (1 - 2 * share)
        y.narrow(axis, 1, last).addcmul_(x.narrow(axis, 0, last), share)
        y.narrow(axis, 0, last).addcmul_(x.narrow(axis, 1, last), share)
        for edge in (0, last):
            y.select(axis, edge).addcmul_(x.select(axis, edge), share[..., 0])
        x = y
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
    drawn, noise = [], []
    for number, recipe in enumerate(settings):
        generator = torch.Generator().manual_seed(hash_seed(seed, step, number))
        numbers, noise_seed = draw(recipe, total, patches.shape[1], generator, first=not number)
        drawn.append(numbers[first : first + n])
        noise.append(noise_seed)
    # All views at once, as if they were more samples: a small batch costs by the number of operations.
    host = torch.from_numpy(np.concatenate(drawn))
    d = Draw.of(host.to(patches.device, non_blocking=True))
    d = d._replace(shift=_shifts(patches, settings, d))
    x = _resample(patches, patches.shape[-1] - 2 * margin(settings), d, any(v.crop != (1.0, 1.0) for v in settings))
    # What follows works in place: on a CPU, fresh memory for every step costs more than the arithmetic. A blur
    # leaves what is the same at all pixels as it is, so that gain, scaling, offset and dropout are one product.
    if any(recipe.blur for recipe in settings):
        # Counted on the host: a device would have to be waited for.
        blurred = Draw.of(host).blur[:, 0].nonzero()[:, 0].to(patches.device, non_blocking=True)
        x[blurred] = _blur(x[blurred], d.blur[blurred])
    factor = d.gain * d.scaling * d.keep
    if any(recipe.gain or recipe.offset for recipe in settings):
        zero = zero_spectrum.repeat(len(settings), 1)
        constant = (zero * (1 - d.gain) * d.scaling + d.offset * component_spread) * d.keep
        torch.addcmul(constant[..., None, None], x, factor[..., None, None], out=x)
    elif any(recipe.scaling or recipe.dropout for recipe in settings):
        x.mul_(factor[..., None, None])
    views, levels = list(x.split(n)), (d.level * component_spread * d.keep)[..., None, None].split(n)
    for view, level, recipe, noise_seed in zip(views, levels, settings, noise, strict=True):
        if recipe.noise:
            view.addcmul_(pixel_noise(view, noise_seed, first), level)
    return views


def _shifts(patches: Tensor, settings: Sequence[Views], d: Draw) -> Tensor:
    """(views x n, 2) displacements, those to neighbours that look like the centre among them."""
    shifts = list(d.shift.split(len(patches)))
    picks = d.neighbour[:, 0].long().split(len(patches))
    for number, recipe in enumerate(settings):
        near = recipe.neighbours
        if number and near.candidates and near.radius:
            shifts[number] = neighbour_shift(patches, near.radius, near.candidates, picks[number])
    return torch.cat(shifts)


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
