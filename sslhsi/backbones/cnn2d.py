"""2D-CNN: a component at a time."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from sslhsi.backbones.base import Backbone, he_normal_, register_backbone
from sslhsi.backbones.whole_image import ImageMap, window_mean


@register_backbone("cnn2d")
class CNN2D(Backbone):
    """2D convolutions on the first principal component.

    Chen et al., "Deep Feature Extraction and Classification of Hyperspectral Images Based on
    Convolutional Neural Networks", IEEE TGRS 54(10), 2016. Valid convolutions 4x4 with 32 maps, 5x5
    with 64, 4x4 with 128, each followed by ReLU, the first two by max pooling by 2.

    Input: (N, K, S, S), published K = 1 (the first component) and S = 27; at least window 27. With
    more components the first convolution reads them all. From window 31 on more than one cell is left
    and the cells are averaged, so the weights fit any window.

    Returns (N, 128) features or logits. Convolution parameters at K = 1: 183,008.

    Args:
        in_chans: Components, K.
        window: Side in pixels, S.
        num_classes: Classes, C; 0 for features.
    """

    whole_image_gain = 9.0
    min_window = 27

    def __init__(self, in_chans: int, window: int = 27, num_classes: int = 0) -> None:
        super().__init__(in_chans, window)
        self.conv_1 = nn.Conv2d(in_chans, 32, 4)
        self.conv_2 = nn.Conv2d(32, 64, 5)
        self.conv_3 = nn.Conv2d(64, 128, 4)
        he_normal_(self)
        self.add_head(128, num_classes)

    def forward_features(self, x: Tensor) -> Tensor:
        """(N, K, S, S) -> (N, 128, cells, cells); one cell at S = 27."""
        x = F.max_pool2d(F.relu(self.conv_1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv_2(x)), 2)
        return F.relu(self.conv_3(x))

    def whole_image(self) -> ImageMap:
        """Everything is shared: poolings move by one pixel, and what follows them reads every 2nd or 4th."""
        cells = (((self.window - 3) // 2) - 4) // 2 - 3

        def run(x: Tensor) -> Tensor:
            out = (x.shape[2] - self.window + 1, x.shape[3] - self.window + 1)
            x = F.max_pool2d(F.relu(self.conv_1(x)), 2, stride=1)
            x = F.relu(F.conv2d(x, self.conv_2.weight, self.conv_2.bias, dilation=2))
            x = F.max_pool2d(x, 2, stride=1, dilation=2)
            x = F.relu(F.conv2d(x, self.conv_3.weight, self.conv_3.bias, dilation=4))
            return self.whole_image_head(window_mean(x, cells, 4)[:, :, : out[0], : out[1]])

        return run
