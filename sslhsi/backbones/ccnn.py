"""CCNN: the contextual CNN that multitask learning was also tried on."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sslhsi.backbones.base import Backbone, gaussian_, register_backbone
from sslhsi.backbones.whole_image import ImageMap, window_mean


@register_backbone("ccnn")
class CCNN(Backbone):
    """Contextual CNN on all bands of a 5 x 5 window.

    Lee and Kwon, "Going Deeper with Contextual CNN for Hyperspectral Image Classification", IEEE TIP
    26(10), 2017, in the form used by Liu and Shi (arXiv:1905.04535). A bank of 1x1, 3x3 and 5x5 valid
    convolutions, 128 maps each, max-pooled to one size and concatenated, then 1x1 convolutions with
    two residual branches.

    Input: (N, L, S, S) bands (shared between cameras only if aligned) or components; published L = 103
    or 160, S = 5; at least window 5, any number of bands. Pooling moves by one pixel, so a larger
    window gives (S - 4)^2 maps, which are averaged; at S = 5 this changes nothing, and the weights
    fit any window.

    Returns (N, 128) features or logits. At 103 bands the features have 628,736 parameters, biases and
    the running statistics of both batch normalisations counted; the classifier 129 C. Weights are
    drawn from N(0, 0.01^2), as published.

    Args:
        in_chans: Bands, L.
        window: Side in pixels, S.
        num_classes: Classes, C; 0 for features.
        drop_rate: Dropout before each of the last two 1x1 convolutions.
    """

    whole_image_gain = 2.0
    min_window = 5
    head_std = 0.01

    def __init__(self, in_chans: int, window: int = 5, num_classes: int = 0, drop_rate: float = 0.5) -> None:
        super().__init__(in_chans, window)
        self.bank_1 = nn.Conv2d(in_chans, 128, 1)
        self.bank_3 = nn.Conv2d(in_chans, 128, 3)
        self.bank_5 = nn.Conv2d(in_chans, 128, 5)
        self.norm_1 = nn.BatchNorm2d(384)
        self.merge = nn.Conv2d(384, 128, 1)
        self.norm_2 = nn.BatchNorm2d(128)
        self.residual_1 = nn.Sequential(nn.Conv2d(128, 128, 1), nn.ReLU(), nn.Conv2d(128, 128, 1))
        self.residual_2 = nn.Sequential(nn.Conv2d(128, 128, 1), nn.ReLU(), nn.Conv2d(128, 128, 1))
        self.tail = nn.Sequential(
            nn.ReLU(), nn.Conv2d(128, 128, 1),
            nn.ReLU(), nn.Dropout(drop_rate), nn.Conv2d(128, 128, 1),
            nn.ReLU(), nn.Dropout(drop_rate), nn.Conv2d(128, 128, 1),
        )  # fmt: skip
        gaussian_(self, 0.01)
        self.add_head(128, num_classes)

    def forward_features(self, x: Tensor) -> Tensor:
        """(N, L, S, S) -> (N, 128, S - 4, S - 4)."""
        return self.rest(self.entry(x))

    def entry(self, x: Tensor) -> Tensor:
        """First convolutions, pooled to one size, (N, L, H, W) -> (N, 384, H - 4, W - 4)."""
        bank = (
            F.max_pool2d(self.bank_1(x), 5, stride=1),
            F.max_pool2d(self.bank_3(x), 3, stride=1),
            self.bank_5(x),
        )
        return torch.cat(bank, dim=1)

    def rest(self, x: Tensor) -> Tensor:
        """What follows the first convolutions, (N, 384, H, W) -> (N, 128, H, W)."""
        x = self.merge(self.norm_1(F.relu(x)))
        x = x + self.residual_1(self.norm_2(F.relu(x)))
        x = x + self.residual_2(F.relu(x))
        return self.tail(x)

    def whole_image(self) -> ImageMap:
        """Everything is shared: convolutions and poolings are valid and move by one pixel."""
        return lambda x: self.whole_image_head(window_mean(self.forward_features(x), self.window - 4))
