"""PixelNet: a pixel's spectrum, denoised by its look-alikes in the window, through a small spectral network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sslhsi.backbones.base import Backbone, register_backbone
from sslhsi.errors import InputError
from sslhsi.views import box_mean


def similarity_pool(values: Tensor, distance: Tensor, radius: int, bandwidth: float) -> Tensor:
    """Average over the central (2 radius + 1)^2 pixels, weighted by exp(-distance / bandwidth).

    A non-local mean (Buades, Coll and Morel 2005) of the centre: neighbours of the same material average the
    noise away, those across an edge get no weight.

    Args:
        values: (N, K, S, S).
        distance: (N, S, S) of each pixel to the centre.
        radius: In pixels; 0 gives the centre pixel itself.
        bandwidth: Distance at which the weight has fallen to 1/e.

    Returns:
        (N, K).
    """
    row, column = values.shape[2] // 2, values.shape[3] // 2
    near = (slice(row - radius, row + radius + 1), slice(column - radius, column + radius + 1))
    weight = torch.softmax(-distance[:, *near].flatten(1) / bandwidth, dim=1)
    return torch.einsum("nkp,np->nk", values[:, :, *near].flatten(2), weight)


@register_backbone("pixelnet")
class PixelNet(Backbone):
    """Spectra of the centre and of its look-alikes at several radii, each through one shared spectral network.

    This project's own, for labels that sit on single pixels. Averaging over a window blurs what belongs to
    its centre; averaging over the pixels that resemble the centre does not. How much they resemble is read
    off noise-whitened components (``bands.denoise``), where a distance of one is a distance of one noise
    spread. The pooling has no parameters; what is learned is spectral.

    Input: (N, K, S, S) components, best noise-whitened; S at least 2 x largest radius + 3. The weights fit
    any window. The centre is row and column S // 2.

    Returns (N, width x radii + mixed) features or logits: one token per radius, and their mix.

    Args:
        in_chans: Components, K.
        window: Side in pixels, S.
        num_classes: Classes, C; 0 for features.
        width: Of the spectral network's layers.
        depth: Layers of the spectral network.
        mixed: Width of the layer that mixes the tokens.
        radii: Of the pooling, in pixels; 0 is the pixel itself. Those that the window can't hold are cut to it.
        bandwidth: Of the pooling's weights, in units of the mean squared noise.
    """

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
        bandwidth: float = 1.0,
    ) -> None:
        super().__init__(in_chans, window)
        if not radii or min(radii) < 0:
            raise InputError(f"pixelnet: radii must be whole numbers from 0 on, not {list(radii)}")
        if not bandwidth > 0:
            raise InputError(f"pixelnet: bandwidth must be above 0, not {bandwidth}")
        self.radii, self.bandwidth = tuple(radii), float(bandwidth)
        layers: list[nn.Module] = []
        last = in_chans
        for _ in range(depth):
            layers += [nn.Linear(last, width), nn.LayerNorm(width), nn.GELU()]
            last = width
        self.stem = nn.Sequential(*layers)
        self.mix = nn.Sequential(nn.Linear(last * len(radii), mixed), nn.LayerNorm(mixed), nn.GELU())
        self.add_head(last * len(radii) + mixed, num_classes)

    def spectra(self, x: Tensor) -> Tensor:
        """(N, K, S, S) -> (N, radii, K)."""
        # Compared by 3x3 means: single pixels are as far apart as their noise makes them.
        keys, inner = box_mean(x), x[..., 1:-1, 1:-1]
        row, column = inner.shape[2] // 2, inner.shape[3] // 2
        distance = (keys - keys[..., row : row + 1, column : column + 1]).square().mean(1)
        room = min(inner.shape[2], inner.shape[3]) - 1 - max(row, column)
        pooled = [similarity_pool(inner, distance, min(radius, room), self.bandwidth) for radius in self.radii]
        return torch.stack(pooled, dim=1)

    def forward_features(self, x: Tensor) -> Tensor:
        """(N, K, S, S) -> (N, num_features)."""
        tokens = self.stem(self.spectra(x)).flatten(1)
        return torch.cat([tokens, self.mix(tokens)], dim=1)
