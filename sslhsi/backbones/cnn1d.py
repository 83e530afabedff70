"""1D-CNN: a spectrum at a time."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from sslhsi.backbones.base import Backbone, centre, choose, he_normal_, register_backbone
from sslhsi.backbones.whole_image import ImageMap

# (kernel, maps) of each layer, one network per scene
VARIANTS = {
    "pu": ((8, 6), (7, 12), (8, 24)),
    "ksc": ((9, 6), (9, 12), (9, 24), (10, 48)),
    "ip": ((5, 6), (5, 12), (4, 24), (5, 48), (4, 96)),
}


@register_backbone("cnn1d")
class CNN1D(Backbone):
    """1D convolutions along the spectrum of the window's own pixel.

    Chen et al., "Deep Feature Extraction and Classification of Hyperspectral Images Based on
    Convolutional Neural Networks", IEEE TGRS 54(10), 2016. Valid convolutions, each followed by ReLU
    and max pooling by 2; the maps are flattened.

    Input: (N, L, S, S) bands; all pixels but the centre (row and column S // 2) are ignored, so any
    window will do. The least number of bands is 55 for ``"pu"`` (published with 103), 144 for
    ``"ksc"`` (176) and 136 for ``"ip"`` (200). The weights fit any L; the classifier doesn't.

    Returns (N, maps x remaining length) features or logits. Convolution parameters: 2,898 (``"pu"``),
    14,904 (``"ksc"``), 25,920 (``"ip"``).

    Args:
        in_chans: Bands, L.
        window: Side in pixels, S.
        num_classes: Classes, C; 0 for features.
        variant: The scene that the layers were published for: ``"pu"``, ``"ksc"`` or ``"ip"``.
    """

    conv_dims = 1
    channels_last = False
    whole_image_gain = 1.0
    whole_image_tile = 32
    one_pixel = True

    def __init__(self, in_chans: int, window: int = 1, num_classes: int = 0, variant: str = "pu") -> None:
        choose(self.name, "variant", variant, VARIANTS)
        layers = VARIANTS[variant]
        self.min_bands = 1
        for kernel, _ in reversed(layers):
            self.min_bands = 2 * self.min_bands + kernel - 1
        super().__init__(in_chans, window)
        self.convs = nn.ModuleList()
        maps, length = 1, in_chans
        for kernel, width in layers:
            self.convs.append(nn.Conv1d(maps, width, kernel))
            maps, length = width, (length - kernel + 1) // 2
        he_normal_(self)
        self.add_head(maps * length, num_classes)

    def forward_features(self, x: Tensor) -> Tensor:
        """(N, L, S, S) -> (N, num_features)."""
        return self._spectra(x[:, None, :, centre(x.shape[2]), centre(x.shape[3])])

    def _spectra(self, x: Tensor) -> Tensor:
        """(N, 1, L) -> (N, num_features)."""
        for conv in self.convs:
            x = F.max_pool1d(F.relu(conv(x)), 2)
        return x.flatten(1)

    def whole_image(self) -> ImageMap:
        """Windows share nothing but their pixels, which are read once."""

        def run(x: Tensor) -> Tensor:
            near, far = centre(self.window), self.window - 1 - centre(self.window)
            x = x[0, :, near : x.shape[2] - far, near : x.shape[3] - far]
            features = self._spectra(x.flatten(1).T[:, None])
            return self.whole_image_head(features.T.unflatten(1, x.shape[1:])[None])

        return run
