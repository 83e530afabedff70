"""AINet: a 3D asymmetric inception network."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sslhsi.backbones.base import Backbone, choose, he_normal_, register_backbone
from sslhsi.backbones.conv3d import Conv3d
from sslhsi.backbones.stem_pool import stem_pool


class ConvBN(nn.Sequential):
    """Convolution without bias, batch normalisation, and ReLU6 unless ``act=False``."""

    def __init__(self, inside: int, outside: int, kernel: tuple[int, int, int], act: bool = True) -> None:
        padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
        super().__init__(
            Conv3d(inside, outside, kernel, padding=padding, bias=False),
            nn.BatchNorm3d(outside),
            nn.ReLU6(inplace=True) if act else nn.Identity(),
        )


class InceptionUnit(nn.Module):
    """One space (1, 3, 3) or spectrum (3, 1, 1) inception unit of width w = 8 i, output ratio 1:2:1.

    Branch A is 1x1 -> 2i; branch B 1x1 -> 2i, k -> 4i; branch C 1x1 -> i, k -> 2i, k -> 2i. The three
    1x1 convolutions read the same input, so they are one layer of 5i maps (``entry``): batch
    normalisation works map by map, which makes this equal to three layers, and quicker.
    """

    def __init__(self, inside: int, width: int, kernel: tuple[int, int, int], projection: bool) -> None:
        super().__init__()
        i = width // 8
        self.split = (2 * i, 2 * i, i)
        self.entry = ConvBN(inside, 5 * i, (1, 1, 1))
        self.branch_b = ConvBN(2 * i, 4 * i, kernel)
        self.branch_c = nn.Sequential(ConvBN(i, 2 * i, kernel), ConvBN(2 * i, 2 * i, kernel))
        self.shortcut = ConvBN(inside, width, (1, 1, 1), act=False) if projection else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        a, b, c = self.entry(x).split(self.split, dim=1)
        y = torch.cat((a, self.branch_b(b), self.branch_c(c)), dim=1)
        return F.relu6(y + self.shortcut(x), inplace=True)


@register_backbone("ainet")
class AINet(Backbone):
    """3D asymmetric inception network on resampled bands.

    Zhang, Liu et al., "Hyperspectral Classification Based on 3D Asymmetric Inception Network with Data
    Fusion Transfer Learning" (arXiv:2002.04227). A stem (8, 3, 3), then 4 space and 6 spectrum
    inception units with max pooling in between, then a 3D pyramid of average pools (1,1,1), (2,1,1),
    (3,1,1), whose six cells a 1x1x1 convolution classifies. The pyramid makes one network run on any
    number of bands and any window: ``in_chans`` and ``window`` are only checked against the minimum.

    Input: (N, L, S, S), published S = 27; at least 8 bands and window 3. Feed it resampled bands
    rather than components: 256 bands leave 16 depth cells before the pyramid, 30 components 2. Values
    are published as scaled to [0, 1] over the cube.

    Returns (N, 256) features, the mean of the six cells, or logits. Averaging the cells before the
    classifier equals averaging its six outputs, since both are linear. The published log-softmax is
    left to the loss: cross-entropy on these logits is the published negative log-likelihood.

    The convolutions have 381,952 parameters (and batch normalisation 4,704). The paper prints 0.487 M,
    which contradicts its structure and the released code; ``shortcut="projection"`` gives 487,168
    without the stem, the closest reading. Depth 32 = stem + 10 units x 3 + classifier.

    Args:
        in_chans: Bands, L.
        window: Side in pixels, S.
        num_classes: Classes, C; 0 for features.
        shortcut: ``"identity"`` as released (a 1x1 projection only where a space unit widens), or
            ``"projection"``: on every spectrum unit too.
    """

    conv_dims = 3
    any_bands = True
    min_bands = 8
    min_window = 3

    def __init__(self, in_chans: int, window: int = 27, num_classes: int = 0, shortcut: str = "identity") -> None:
        super().__init__(in_chans, window)
        choose(self.name, "shortcut", shortcut, ("identity", "projection"))
        everywhere = shortcut == "projection"
        self.stem = nn.Sequential(Conv3d(1, 32, (8, 3, 3), bias=False), nn.BatchNorm3d(32), nn.ReLU6(inplace=True))
        self.stages = nn.ModuleList()
        inside = 32
        for width, spectrum_units in ((32, 1), (64, 2), (128, 2), (256, 1)):
            units = [InceptionUnit(inside, width, (1, 3, 3), projection=inside != width)]
            units += [InceptionUnit(width, width, (3, 1, 1), everywhere) for _ in range(spectrum_units)]
            self.stages.append(nn.Sequential(nn.MaxPool3d(3, stride=2, padding=1), *units))
            inside = width
        he_normal_(self)
        self.add_head(256, num_classes)

    def forward_features(self, x: Tensor) -> Tensor:
        """(N, L, S, S) -> (N, 256, 6, 1, 1), the pyramid's cells."""
        x = stem_pool(x.unsqueeze(1), self.stem[0], self.stem[1])
        for layer in self.stages[0][1:]:  # type: ignore[index]
            x = layer(x)
        for stage in self.stages[1:]:
            x = stage(x)
        # the cells are averages over height and width, whatever the depth: do that once
        x = x.mean((3, 4))
        cells = [F.adaptive_avg_pool1d(x, depth) for depth in (1, 2, 3)]
        return torch.cat(cells, dim=2)[..., None, None]
