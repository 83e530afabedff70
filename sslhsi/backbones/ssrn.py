"""SSRN: spectral residual blocks, then spatial ones."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from sslhsi.backbones.base import Backbone, he_normal_, register_backbone
from sslhsi.backbones.conv3d import Conv3d
from sslhsi.backbones.whole_image import ImageMap, over_windows


class ResidualBlock(nn.Module):
    """Two "same" convolutions of 24 maps with batch normalisation, added to the input."""

    def __init__(self, kernel: tuple[int, int, int]) -> None:
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
        self.conv_1 = Conv3d(24, 24, kernel, padding=padding)
        self.norm_1 = nn.BatchNorm3d(24)
        self.conv_2 = Conv3d(24, 24, kernel, padding=padding)
        self.norm_2 = nn.BatchNorm3d(24)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm_1(self.conv_1(x)), inplace=True)
        return F.relu(x + self.norm_2(self.conv_2(y)), inplace=True)


@register_backbone("ssrn")
class SSRN(Backbone):
    """Spectral-spatial residual network on all bands of a 7 x 7 window.

    Zhong et al., "Spectral-Spatial Residual Network for Hyperspectral Image Classification: A 3-D Deep
    Learning Framework", IEEE TGRS 56(2), 2018. Two spectral residual blocks of (7, 1, 1)
    convolutions, a (d, 1, 1) convolution over what is left of the spectrum, d = floor((L - 7) / 2) + 1,
    whose 128 maps become the depth of a (128, 3, 3) convolution, two spatial residual blocks of
    (1, 3, 3) convolutions, average pooling, dropout.

    Input: (N, L, S, S) bands, published S = 7; at least 7 bands and window 3. The weights are tied to
    L through d, and fit any window.

    Returns (N, 24) features or logits. Convolution parameters, biases counted: 363,032 at 200 bands,
    215,576 at 103, 326,168 at 176. (0.453 M, printed in a later paper for every scene, can't be: the
    count depends on L.)

    Args:
        in_chans: Bands, L.
        window: Side in pixels, S.
        num_classes: Classes, C; 0 for features.
        drop_rate: Dropout before the classifier.
    """

    conv_dims = 3
    whole_image_gain = 9.0
    whole_image_tile = 32
    min_bands = 7
    min_window = 3

    def __init__(self, in_chans: int, window: int = 7, num_classes: int = 0, drop_rate: float = 0.5) -> None:
        super().__init__(in_chans, window)
        depth = (in_chans - 7) // 2 + 1
        self.spectral = nn.Sequential(
            Conv3d(1, 24, (7, 1, 1), stride=(2, 1, 1)), nn.BatchNorm3d(24), nn.ReLU(inplace=True),
            ResidualBlock((7, 1, 1)), ResidualBlock((7, 1, 1)),
            Conv3d(24, 128, (depth, 1, 1)), nn.BatchNorm3d(128), nn.ReLU(inplace=True),
        )  # fmt: skip
        self.spatial = nn.Sequential(
            Conv3d(1, 24, (128, 3, 3)), nn.BatchNorm3d(24), nn.ReLU(inplace=True),
            ResidualBlock((1, 3, 3)), ResidualBlock((1, 3, 3)),
        )  # fmt: skip
        he_normal_(self)
        self.add_head(24, num_classes, drop_rate)

    def forward_features(self, x: Tensor) -> Tensor:
        """(N, L, S, S) -> (N, 24, S - 2, S - 2)."""
        return self.spatial[3:](self._shared(x)).squeeze(2)

    def _shared(self, x: Tensor) -> Tensor:
        """(N, L, H, W) -> (N, 24, 1, H - 2, W - 2): all that pads the spectrum alone."""
        x = self.spectral(x.unsqueeze(1))  # (N, 128, 1, H, W)
        return self.spatial[:3](x.transpose(1, 2))

    def whole_image(self) -> ImageMap:
        """Spectral blocks and the first spatial layer are shared; the residual ones pad, window by window."""

        def rest(x: Tensor) -> Tensor:
            return self.spatial[3:](x.unsqueeze(2)).mean((2, 3, 4))

        return lambda x: self.whole_image_head(over_windows(self._shared(x).squeeze(2), self.window - 2, rest))
