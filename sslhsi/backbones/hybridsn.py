"""HybridSN: 3D convolutions, then a 2D one, then dense layers."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from sslhsi.backbones.base import Backbone, choose, register_backbone
from sslhsi.backbones.conv3d import Conv3d, convolve_valid
from sslhsi.backbones.whole_image import ImageMap, large_kernel, window_mean


@register_backbone("hybridsn")
class HybridSN(Backbone):
    """Hybrid 3D-2D network on principal components.

    Roy et al., "HybridSN: Exploring 3-D-2-D CNN Feature Hierarchy for Hyperspectral Image
    Classification", IEEE GRSL 17(2), 2020 (arXiv:1902.06701). Valid convolutions, ReLU, no batch
    normalisation; layers bear their published names (``head`` is Dense_3).

    Input: (N, K, S, S) whitened components, published K = 30 or 15 and S = 25; at least K = 13 and
    S = 9. Two layers depend on the input: Conv2d_1 on K, and Dense_1 on S. With ``pool="flatten"``, as
    published, the network is therefore **fixed to its window**:
    :func:`sslhsi.backbones.transfer_weights.load_weights` moves weights between windows and says what
    stays behind. ``pool="avg"`` averages the last maps first, which makes the weights fit any window.

    Returns (N, 128) features, Dense_2 after its ReLU, or logits. Dropout follows both dense layers,
    in training alone. Parameters with a classifier: 5,122,176 (K 30, C 16), 4,844,148 (K 15, C 4).

    Args:
        in_chans: Components, K.
        window: Side in pixels, S.
        num_classes: Classes, C; 0 for features.
        pool: ``"flatten"`` or ``"avg"``.
        drop_rate: Dropout after each dense layer.
    """

    conv_dims = 3
    whole_image_gain = 30.0
    min_bands = 13
    min_window = 9

    def __init__(
        self,
        in_chans: int,
        window: int = 25,
        num_classes: int = 0,
        pool: str = "flatten",
        drop_rate: float = 0.4,
    ) -> None:
        super().__init__(in_chans, window)
        choose(self.name, "pool", pool, ("flatten", "avg"))
        self.pool = pool
        self.any_window = pool == "avg"
        self.conv3d_1 = Conv3d(1, 8, (7, 3, 3))
        self.conv3d_2 = Conv3d(8, 16, (5, 3, 3))
        self.conv3d_3 = Conv3d(16, 32, (3, 3, 3))
        self.conv2d_1 = nn.Conv2d(32 * (in_chans - 12), 64, 3)
        self.dense_1 = nn.Linear(64 * (window - 8) ** 2 if pool == "flatten" else 64, 256)
        self.drop_1 = nn.Dropout(drop_rate)
        self.dense_2 = nn.Linear(256, 128)
        for layer in self.children():
            if not isinstance(layer, nn.Dropout):  # Keras' defaults, which the paper trained from
                nn.init.xavier_uniform_(layer.weight)  # type: ignore[arg-type]
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        self.add_head(128, num_classes, drop_rate)

    def forward_maps(self, x: Tensor) -> Tensor:
        """The convolutions: (N, K, H, W) of any size -> (N, 64, H - 8, W - 8)."""
        x = F.relu(self.conv3d_1(x.unsqueeze(1)))
        x = F.relu(self.conv3d_2(x))
        x = F.relu(self.conv3d_3(x))
        if x.device.type == "cpu" and not x.is_contiguous():
            # channels-last: merging depth and channel would copy; a kernel as deep as x is the same sum
            weight = self.conv2d_1.weight.unflatten(1, x.shape[1:3])
            return F.relu(F.conv3d(x, weight, self.conv2d_1.bias).squeeze(2))
        return F.relu(self.conv2d_1(x.flatten(1, 2)))

    def forward_features(self, x: Tensor) -> Tensor:
        """(N, K, S, S) -> (N, 128), the output of Dense_2 after its ReLU."""
        x = self.forward_maps(x)
        x = x.flatten(1) if self.pool == "flatten" else x.mean((2, 3))
        x = self.drop_1(F.relu(self.dense_1(x)))
        return F.relu(self.dense_2(x))

    def whole_image(self) -> ImageMap:
        """Everything is shared: Dense_1 is a convolution as large as the last maps."""
        side = self.window - 8
        if self.pool == "flatten":
            weight = self.dense_1.weight.view(256, 64, side, side)
            dense_1 = large_kernel(weight, self.dense_1.bias)
        else:
            weight = self.dense_1.weight[:, :, None, None]

            def dense_1(x: Tensor) -> Tensor:
                return F.conv2d(window_mean(x, side), weight, self.dense_1.bias)

        def run(x: Tensor) -> Tensor:
            x = x.unsqueeze(1)
            for layer in (self.conv3d_1, self.conv3d_2, self.conv3d_3):
                x = F.relu(convolve_valid(x, layer))
            x = F.relu(dense_1(F.relu(self.conv2d_1(x.flatten(1, 2)))))
            x = F.relu(F.conv2d(x, self.dense_2.weight[:, :, None, None], self.dense_2.bias))
            return self.whole_image_head(x)

        return run
