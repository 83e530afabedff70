"""PixelNet: a small network whose feature belongs to the window's own pixel."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sslhsi.backbones.base import Backbone, centre, choose, he_normal_, register_backbone

READOUT = ("stem_mean", "map_centre", "stem_centre", "map_mean")


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions that keep the size, with batch normalisation, added to the input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv_1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm_1 = nn.BatchNorm2d(width)
        self.conv_2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm_2 = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm_1(self.conv_1(x)))
        return F.relu(x + self.norm_2(self.conv_2(y)))


@register_backbone("pixelnet")
class PixelNet(Backbone):
    """Spectral stem, residual 3x3 blocks at full size, and a readout around the centre pixel.

    This project's own, for pixel-level pretraining on small windows. Averaging over the whole window
    blurs what belongs to the centre pixel, on which the label sits; here the feature is put together
    from parts that keep it.

    Input: (N, K, S, S) components or bands, any number; any window (9 or so is meant). The weights fit
    any window. The centre is row and column S // 2.

    Returns (N, width x parts) features or logits.

    Args:
        in_chans: Bands or components, K.
        window: Side in pixels, S.
        num_classes: Classes, C; 0 for features.
        width: Maps of every layer.
        depth: Residual blocks.
        readout: Parts of the feature, in this order: ``"stem_mean"`` (average of the stem's maps),
            ``"map_centre"`` (average of the last maps over the 3x3 centre), ``"stem_centre"`` (the
            stem at the centre pixel), ``"map_mean"`` (average of the last maps).
    """

    def __init__(
        self,
        in_chans: int,
        window: int = 9,
        num_classes: int = 0,
        width: int = 64,
        depth: int = 3,
        readout: Sequence[str] = ("stem_mean", "map_centre", "stem_centre"),
    ) -> None:
        super().__init__(in_chans, window)
        for part in readout:
            choose(self.name, "readout", part, READOUT)
        choose(self.name, "len(readout)", len(readout), range(1, 5))
        self.readout = tuple(readout)
        self.stem = nn.Sequential(
            nn.Conv2d(in_chans, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
        )  # fmt: skip
        self.blocks = nn.Sequential(*(ResidualBlock(width) for _ in range(depth)))
        he_normal_(self)
        self.add_head(width * len(self.readout), num_classes)

    def forward_features(self, x: Tensor) -> Tensor:
        """(N, K, S, S) -> (N, num_features)."""
        stem = self.stem(x)
        last = self.blocks(stem)
        row, column = centre(x.shape[2]), centre(x.shape[3])
        near = (slice(max(row - 1, 0), row + 2), slice(max(column - 1, 0), column + 2))
        parts = {
            "stem_mean": stem.mean((2, 3)),
            "map_centre": last[:, :, *near].mean((2, 3)),
            "stem_centre": stem[:, :, row, column],
            "map_mean": last.mean((2, 3)),
        }
        return torch.cat([parts[part] for part in self.readout], dim=1)
