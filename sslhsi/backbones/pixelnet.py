"""PixelNet: a pixel's spectrum, denoised by its look-alikes in the window, through a small spectral network."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor, nn

from sslhsi.backbones.base import Backbone, register_backbone
from sslhsi.backbones.whole_image import ImageMap
from sslhsi.errors import InputError
from sslhsi.views import box_mean

# Of the pooling's weights, in units of the mean squared noise.
BANDWIDTH = 1.0


@lru_cache
def disks(height: int, width: int, radii: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    """Which pixels lie within each radius of the centre, (radii, (height - 2) width - 2) of zeros and ones.

    Pixels are those with 3x3 neighbours, in the order of memory: a row's last two, which have none, stand between
    the rows and belong to no radius.
    """
    inside = (height - 2, width - 2)
    row, column = inside[0] // 2, inside[1] // 2
    room = min(inside) - 1 - max(row, column)
    # What inference made, training could not differentiate through.
    with torch.inference_mode(False):
        near = torch.zeros(len(radii), inside[0], width)
        for at, radius in zip(near, (min(radius, room) for radius in radii), strict=True):
            at[row - radius : row + radius + 1, column - radius : column + radius + 1] = 1
        return near.flatten(1)[:, :-2].to(device, dtype)


class RandomSpectral(nn.Sequential):
    """A spectral network that stays as it was drawn: its weights are buffers, so that nothing trains them."""

    def __init__(self, in_chans: int, width: int) -> None:
        layers: list[nn.Module] = []
        for channels in (in_chans, width):
            linear = nn.Linear(channels, width)
            for name, value in list(linear.named_parameters()):
                delattr(linear, name)
                linear.register_buffer(name, value.detach())
            layers += [linear, nn.LayerNorm(width, elementwise_affine=False), nn.GELU()]
        super().__init__(*layers)


@register_backbone("pixelnet")
class PixelNet(Backbone):
    """Spectra of the centre and of its look-alikes at several radii, each through one shared spectral network.

    This project's own, for labels that sit on single pixels. Averaging over a window blurs what belongs to
    its centre; averaging over the pixels that resemble the centre does not. How much they resemble is read
    off noise-whitened components (``bands.noise_whitening``), where a distance of one is a distance of one noise
    spread. The pooling has no parameters; what is learned is spectral.

    Input: (N, K, S, S) components, best noise-whitened; S at least 2 x largest radius + 3. The weights fit
    any window. The centre is row and column S // 2.

    Returns (N, (width + random) x radii + mixed) features or logits: one token per radius, their mix, and
    random features of each radius (Rahimi and Recht 2007), which training leaves alone.

    Args:
        in_chans: Components, K.
        window: Side in pixels, S.
        num_classes: Classes, C; 0 for features.
        width: Of the spectral network's layers.
        depth: Layers of the spectral network.
        mixed: Width of the layer that mixes the tokens.
        radii: Of the pooling, in pixels; 0 is the pixel itself. Those that the window can't hold are cut to it.
        random: Width of a second spectral network that is never trained; 0 for none. It keeps what contrast
            teaches the trained one to overlook, such as the large-scale geometry that one label per class needs.
    """

    whole_image_gain = 2.0
    whole_image_tile = 64
    min_window = 3

    def __init__(
        self,
        in_chans: int,
        window: int = 15,
        num_classes: int = 0,
        width: int = 128,
        depth: int = 2,
        mixed: int = 256,
        radii: Sequence[int] = (0, 1, 3, 6),
        random: int = 0,
    ) -> None:
        super().__init__(in_chans, window)
        if not radii or min(radii) < 0:
            raise InputError(f"pixelnet: radii must be whole numbers from 0 on, not {list(radii)}")
        if random < 0:
            raise InputError(f"pixelnet: random must be a width of 0 or more, not {random}")
        self.radii = tuple(radii)
        layers: list[nn.Module] = []
        last = in_chans
        for _ in range(depth):
            layers += [nn.Linear(last, width), nn.LayerNorm(width), nn.GELU()]
            last = width
        self.stem = nn.Sequential(*layers)
        self.mix = nn.Sequential(nn.Linear(last * len(radii), mixed), nn.LayerNorm(mixed), nn.GELU())
        self.random = RandomSpectral(in_chans, random) if random else None
        self.add_head((last + random) * len(radii) + mixed, num_classes)

    def precompute(self, x: Tensor) -> Tensor:
        """The pooling, which has no parameters, so that training on the same windows does it once.

        (N, K, S, S) -> (N, radii, K), which :meth:`forward_features` takes in place of windows.
        """
        height, width = x.shape[2:]
        pixels, centre = x.flatten(2), (height - 2) // 2 * width + (width - 2) // 2
        # Compared by 3x3 means: single pixels are as far apart as their noise makes them. The sums run through all
        # rows at once, so that the two pixels at a row's end mix with the next row; no disk has them.
        count = (height - 2) * width
        sums = pixels[..., :count] + pixels[..., width : width + count] + pixels[..., 2 * width :]
        keys = sums[..., :-2] + sums[..., 1:-1] + sums[..., 2:]
        distance = (keys - keys[..., centre : centre + 1]).square().mean(1) / 81
        # A tensor made while exporting is none outside: the cache must not keep it.
        boxes = disks.__wrapped__ if torch.compiler.is_compiling() else disks
        # Non-local means (Buades, Coll and Morel 2005). The centre's distance is 0, so that no weight exceeds 1.
        weight = (distance / -BANDWIDTH).exp()[:, None] * boxes(height, width, self.radii, x.device, x.dtype)
        weight = weight / weight.sum(2, keepdim=True)
        return torch.bmm(weight, pixels[..., width + 1 : width - 1 + count].transpose(1, 2))

    def forward_features(self, x: Tensor) -> Tensor:
        """(N, K, S, S), or what :meth:`precompute` made of it -> (N, num_features)."""
        pooled = self.precompute(x) if x.ndim == 4 else x
        tokens = self.stem(pooled).flatten(1)
        parts = [tokens, self.mix(tokens)]
        if self.random is not None:
            parts.append(self.random(pooled).flatten(1))
        return torch.cat(parts, dim=1)

    def whole_image(self) -> ImageMap:
        """Reading, the 3x3 means and the distances are shared, neighbour by neighbour of the whole image."""

        def run(x: Tensor) -> Tensor:
            pooled = self._pooled_everywhere(x)  # (radii, K, H', W')
            features = self.forward_features(pooled.flatten(2).permute(2, 0, 1))
            return self.whole_image_head(features.T.unflatten(1, pooled.shape[2:])[None])

        return run

    def _pooled_everywhere(self, x: Tensor) -> Tensor:
        """(1, K, H, W) -> (radii, K, H - S + 1, W - S + 1), as ``precompute`` of every window."""
        keys, inner = box_mean(x)[0], x[0, :, 1:-1, 1:-1]
        side = self.window - 2
        middle, room = side // 2, side - 1 - side // 2
        height, width = inner.shape[1] - side + 1, inner.shape[2] - side + 1
        reach = [min(radius, room) for radius in self.radii]
        centre = keys[:, middle : middle + height, middle : middle + width]
        total, weights = torch.zeros_like(centre), torch.zeros_like(centre[0])
        averages: dict[int, Tensor] = {}
        for radius in range(max(reach) + 1):
            steps = range(-radius, radius + 1)
            for dy, dx in ((i, j) for i in steps for j in steps if max(abs(i), abs(j)) == radius):
                top, left = middle + dy, middle + dx
                there = (slice(None), slice(top, top + height), slice(left, left + width))
                # The centre's distance is 0, so that no weight exceeds 1.
                weight = ((keys[there] - centre).square().mean(0) / -BANDWIDTH).exp()
                total.addcmul_(inner[there], weight[None])
                weights += weight
            if radius in reach:
                averages[radius] = total / weights
        return torch.stack([averages[radius] for radius in reach])
