"""3D-CNN: large 3D kernels on the whole cube."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from sslhsi.backbones.base import Backbone, choose, he_normal_, register_backbone
from sslhsi.backbones.conv3d import Conv3d, convolve_valid
from sslhsi.backbones.whole_image import ImageMap, window_mean

VARIANTS = {"pu": (32, 64, 128), "ip": (128, 192, 256)}


@register_backbone("cnn3d")
class CNN3D(Backbone):
    """3D convolutions on all bands of a 27 x 27 window.

    Chen et al., "Deep Feature Extraction and Classification of Hyperspectral Images Based on
    Convolutional Neural Networks", IEEE TGRS 54(10), 2016. Valid convolutions (32, 4, 4), (32, 5, 5)
    and (32, 4, 4), each followed by ReLU, the first two by max pooling (1, 2, 2); the depth that is
    left is flattened.

    Input: (N, L, S, S) bands, published S = 27; at least 94 bands and window 27. The convolutions fit
    any L and S; the classifier is tied to L. From window 31 on more than one cell is left and the
    cells are averaged. It is slow: some 5 thousand million multiply-adds per window at 103 bands.

    Returns (N, maps x (L - 93)) features or logits. Convolution parameters, biases counted: 5,849,312
    (``"pu"``, also used on KSC), 44,892,736 (``"ip"``).

    Args:
        in_chans: Bands, L.
        window: Side in pixels, S.
        num_classes: Classes, C; 0 for features.
        variant: ``"pu"`` with 32, 64, 128 maps or ``"ip"`` with 128, 192, 256.
    """

    conv_dims = 3
    channels_last = False
    whole_image_gain = 9.0
    whole_image_tile = 32
    min_bands = 94
    min_window = 27

    def __init__(self, in_chans: int, window: int = 27, num_classes: int = 0, variant: str = "pu") -> None:
        super().__init__(in_chans, window)
        choose(self.name, "variant", variant, VARIANTS)
        first, second, third = VARIANTS[variant]
        self.conv_1 = Conv3d(1, first, (32, 4, 4))
        self.conv_2 = Conv3d(first, second, (32, 5, 5))
        self.conv_3 = Conv3d(second, third, (32, 4, 4))
        he_normal_(self)
        self.add_head(third * (in_chans - 93), num_classes)

    def forward_features(self, x: Tensor) -> Tensor:
        """(N, L, S, S) -> (N, maps x (L - 93), cells, cells); one cell at S = 27."""
        x = F.max_pool3d(F.relu(self.conv_1(x.unsqueeze(1))), (1, 2, 2))
        x = F.max_pool3d(F.relu(self.conv_2(x)), (1, 2, 2))
        return F.relu(self.conv_3(x)).flatten(1, 2)

    def whole_image(self) -> ImageMap:
        """Everything is shared: poolings move by one pixel, and what follows them reads every 2nd or 4th."""
        cells = (((self.window - 3) // 2) - 4) // 2 - 3

        def run(x: Tensor) -> Tensor:
            out = (x.shape[2] - self.window + 1, x.shape[3] - self.window + 1)
            x = F.relu(convolve_valid(x.unsqueeze(1), self.conv_1))
            x = F.max_pool3d(x, (1, 2, 2), stride=1)
            x = F.relu(convolve_valid(x, self.conv_2, apart=2))
            x = F.max_pool3d(x, (1, 2, 2), stride=1, dilation=(1, 2, 2))
            x = F.relu(convolve_valid(x, self.conv_3, apart=4)).flatten(1, 2)
            return self.whole_image_head(window_mean(x, cells, 4)[:, :, : out[0], : out[1]])

        return run
