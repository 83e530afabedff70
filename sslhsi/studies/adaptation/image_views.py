"""Scene images as a network takes them: read and resized once, cropped, turned and coloured anew every time."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from sslhsi.studies.adaptation.image_sets import Images

# Of ImageNet, which published weights expect, and which does no harm to others.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class ImageReader:
    """(n, 3) windows, whose first column is the image's number -> (n, 3, side, side) uint8.

    The shorter side is resized to ``side``, and of the longer one the middle is kept. Images are kept in memory if
    all of them take no more than half of what is free; then all are read at once, and whatever can't be read is
    known before any training.

    Args:
        images: The set.
        side: In pixels.
    """

    def __init__(self, images: Images, side: int) -> None:
        self.images, self.side = images, side
        self.pool = ThreadPoolExecutor(min(16, os.cpu_count() or 1))
        self.held: Tensor | None = None
        if len(images) * 3 * side * side <= _free_bytes() // 2:
            self.held = self._read(range(len(images)))

    def __call__(self, windows: np.ndarray) -> Tensor:
        numbers = np.asarray(windows)[:, 0]
        return self._read(numbers.tolist()) if self.held is None else self.held[torch.from_numpy(numbers)]

    def windows(self, numbers: np.ndarray) -> np.ndarray:
        """(n,) numbers of images -> (n, 3) windows."""
        return np.column_stack([numbers, np.zeros((len(numbers), 2), np.int64)])

    def _read(self, numbers: list[int] | range) -> Tensor:
        return torch.stack(list(self.pool.map(self._one, numbers)))

    def _one(self, number: int) -> Tensor:
        image = torch.from_numpy(self.images.load(number).copy()).permute(2, 0, 1)
        return F.center_crop(F.resize(image, [self.side], antialias=True), [self.side])


class ImageNetwork(nn.Module):
    """A backbone that crops: at random and turned while it trains, the middle otherwise.

    The views are part of the network, so that whatever trains it need not know of them.

    Args:
        backbone: (N, 3, crop, crop) -> (N, D).
        crop: Side in pixels.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: nn.Module, crop: int) -> None:
        super().__init__()
        self.backbone, self.crop = backbone, crop
        self.view = training_view(crop)
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(STD)[:, None, None], persistent=False)

    @property
    def num_features(self) -> int:
        return int(self.backbone.num_features)  # type: ignore[arg-type]

    @property
    def num_classes(self) -> int:
        return int(self.backbone.num_classes)  # type: ignore[arg-type]

    def reset_classifier(self, num_classes: int) -> None:
        """See :meth:`sslhsi.backbones.base.Backbone.reset_classifier`."""
        self.backbone.reset_classifier(num_classes)  # type: ignore[operator]

    def get_classifier(self) -> nn.Module:
        return self.backbone.get_classifier()  # type: ignore[operator]

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, side, side) values from 0 to 255 -> (N, D)."""
        x = each(self.view, x) if self.training else F.center_crop(x, [self.crop, self.crop])
        return self.backbone(self.normalised(x))

    def normalised(self, x: Tensor) -> Tensor:
        """Values from 0 to 255 -> of mean 0 and spread 1, over ImageNet."""
        return (x.float() / 255 - self.mean) / self.std


def training_view(crop: int) -> nn.Module:
    """Random crop, flips and quarter turns."""
    return nn.Sequential(v2.RandomCrop(crop), v2.RandomHorizontalFlip(), v2.RandomVerticalFlip(), QuarterTurn())


def each(view: nn.Module, x: Tensor) -> Tensor:
    """A view of every image of a batch, each with other random numbers."""
    return torch.stack([view(image) for image in x])


class QuarterTurn(nn.Module):
    """A turn by 0, 90, 180 or 270 degrees."""

    def forward(self, image: Tensor) -> Tensor:
        return image.rot90(int(torch.randint(4, ())), (-2, -1))


def _free_bytes() -> int:
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
