"""HResNet: the small residual network of multitask learning."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sslhsi.backbones.base import Backbone, gaussian_, register_backbone
from sslhsi.backbones.whole_image import ImageMap, over_windows


@register_backbone("hresnet")
class HResNet(Backbone):
    """Residual network on all bands of a 9 x 9 window.

    Liu and Shi, "Multitask Deep Learning With Spectral Knowledge for Hyperspectral Image
    Classification", IEEE GRSL 17(12), 2020 (arXiv:1905.04535). Two parallel 3x3 valid convolutions of
    32 maps, concatenated; a residual branch of batch normalisation, ReLU, 3x3, ReLU, 3x3; global
    average pooling.

    Input: (N, L, S, S) bands (shared between cameras only if aligned) or components; published L = 103
    or 160, S = 9; at least window 3, any number of bands. The weights fit any window.

    Returns (N, 64) features or logits. At 103 bands the features have 133,504 parameters, biases and
    the batch normalisation's running statistics counted; the classifier 65 C. Weights are drawn from
    N(0, 0.01^2), as published.

    Args:
        in_chans: Bands, L.
        window: Side in pixels, S.
        num_classes: Classes, C; 0 for features.
    """

    whole_image_gain = 1.0
    min_window = 3
    head_std = 0.01

    def __init__(self, in_chans: int, window: int = 9, num_classes: int = 0) -> None:
        super().__init__(in_chans, window)
        self.conv_a = nn.Conv2d(in_chans, 32, 3)
        self.conv_b = nn.Conv2d(in_chans, 32, 3)
        self.norm = nn.BatchNorm2d(64)
        self.conv_1 = nn.Conv2d(64, 64, 3, padding=1)
        self.conv_2 = nn.Conv2d(64, 64, 3, padding=1)
        gaussian_(self, 0.01)
        self.add_head(64, num_classes)

    def forward_features(self, x: Tensor) -> Tensor:
        """(N, L, S, S) -> (N, 64, S - 2, S - 2)."""
        return self.rest(self.entry(x))

    def entry(self, x: Tensor) -> Tensor:
        """First convolutions, (N, L, H, W) -> (N, 64, H - 2, W - 2)."""
        return torch.cat((self.conv_a(x), self.conv_b(x)), dim=1)

    def rest(self, x: Tensor) -> Tensor:
        """What follows the first convolutions, (N, 64, S - 2, S - 2) -> the same shape."""
        y = self.conv_1(F.relu(self.norm(x)))
        return x + self.conv_2(F.relu(y))

    def whole_image(self) -> ImageMap:
        """The two entry convolutions are shared; the residual branch pads and stays window by window."""

        def rest(x: Tensor) -> Tensor:
            return self.rest(x).mean((2, 3))

        return lambda x: self.whole_image_head(over_windows(self.entry(x), self.window - 2, rest))
