"""The contract that every backbone keeps, and the table of networks.

A backbone is a network on (N, in_chans, window, window) that gives (N, num_features). It has timm's
methods (``forward_features``, ``forward_head``, ``reset_classifier``, ``num_classes=0``), so that
anything written for timm models takes it as it is.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from numbers import Integral
from typing import Any, ClassVar, TypeVar

import timm
from torch import Tensor, nn

from sslhsi.backbones.whole_image import ImageMap
from sslhsi.errors import InputError

BACKBONES: dict[str, type[Backbone]] = {}
T = TypeVar("T", bound="type[Backbone]")


class Backbone(nn.Module):
    """Base of the networks in this package.

    A subclass builds its layers, calls :meth:`add_head` last and writes ``forward_features``.

    Args:
        in_chans: Bands or components of the input.
        window: Side of the input in pixels.

    Raises:
        InputError: Fewer bands or a smaller window than the network can take.
    """

    name: str = ""
    conv_dims: ClassVar[int] = 2  # dimensions of the convolutions
    channels_last: ClassVar[bool] = True  # False: measured slower, or without use
    any_bands: ClassVar[bool] = False  # True: built once, runs on any number of bands
    head_std: ClassVar[float | None] = None  # spread of the classifier's first weights; None: torch's own
    one_pixel: ClassVar[bool] = False  # True: reads the window's own pixel and no other
    whole_image_gain: ClassVar[float] = (
        0.0  # pixels by whole_image() in the time of a window; 0: has no whole_image()
    )
    whole_image_tile: ClassVar[int] = 128  # pixels of a side that whole_image() is best given at once
    any_window: bool = True  # False: a dense layer ties the weights to the window
    min_bands: int = 1
    min_window: int = 1

    num_features: int
    num_classes: int

    def __init__(self, in_chans: int, window: int) -> None:
        super().__init__()
        for what, value, least in (
            ("bands or components", in_chans, self.min_bands),
            ("pixels of window", window, self.min_window),
        ):
            if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
                raise InputError(f"{self.name}: {what} must be a positive whole number, not {value!r}")
            if value < least:
                raise InputError(
                    f"{self.name} needs at least {least} {what}, not {value} "
                    f"(smallest input: {self.min_bands} bands, window {self.min_window})"
                )
        self.in_chans = int(in_chans)
        self.window = int(window)

    def add_head(self, num_features: int, num_classes: int, drop_rate: float = 0.0) -> None:
        """Make the classifier: dropout and one dense layer; none when ``num_classes`` is 0."""
        if not 0.0 <= drop_rate < 1.0:
            raise InputError(f"{self.name}: drop_rate must be at least 0 and below 1, not {drop_rate}")
        self.num_features = num_features
        self.head_drop = nn.Dropout(drop_rate)
        self.reset_classifier(num_classes)

    def reset_classifier(self, num_classes: int) -> None:
        """Replace the classifier by a fresh one for ``num_classes`` classes; 0 takes it away."""
        if num_classes < 0:
            raise InputError(f"{self.name}: num_classes must be 0 (no classifier) or more, not {num_classes}")
        self.num_classes = num_classes
        if num_classes == 0:
            self.head: nn.Module = nn.Identity()
            return
        like = next(self.parameters())
        head = nn.Linear(self.num_features, num_classes, device=like.device, dtype=like.dtype)
        if self.head_std is not None:
            nn.init.normal_(head.weight, std=self.head_std)
            nn.init.zeros_(head.bias)
        self.head = head

    def get_classifier(self) -> nn.Module:
        """The last dense layer, or an identity when there is none."""
        return self.head

    def forward_features(self, x: Tensor) -> Tensor:
        """(N, in_chans, window, window) -> (N, num_features) or (N, num_features, cells...)."""
        raise NotImplementedError

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Average over the cells, dropout, and the classifier unless ``pre_logits``."""
        if x.ndim > 2:
            x = x.flatten(2).mean(2)
        x = self.head_drop(x)
        return x if pre_logits else self.head(x)

    def whole_image(self) -> ImageMap:
        """A function that does to a whole image what ``forward`` does to each window, sharing their work.

        For networks whose ``whole_image_gain`` is above 0. The result equals ``forward`` in evaluation mode on every
        window, to rounding; where zeros are padded a window's edge is not the image's, so that only the layers
        before can be shared. The function is made once for many tiles: it may hold weights in another form, so
        make it anew when they change. Call it without gradients; memory grows with the image.

        Returns:
            (1, in_chans, H, W) -> (1, D, H - window + 1, W - window + 1), D features or classes.
        """
        raise NotImplementedError(f"{self.name} sees the edges of its window; run it window by window")

    def whole_image_head(self, x: Tensor) -> Tensor:
        """(1, num_features, H, W) pooled features -> (1, D, H, W): the classifier at every pixel, if there is one."""
        return x if isinstance(self.head, nn.Identity) else self.head(x.movedim(1, -1)).movedim(-1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_chans, window, window) -> (N, num_classes), or (N, num_features) without a classifier.

        Raises:
            InputError: The input is not of the size that the network was built for.
        """
        fits = x.ndim == 4 and (
            (self.any_bands or x.shape[1] == self.in_chans)
            and (self.any_window or x.shape[2:] == (self.window, self.window))
        )
        if not fits:
            raise InputError(
                f"{self.name} was built for (N, {self.in_chans}, {self.window}, {self.window}) "
                f"and was given {tuple(x.shape)}"
            )
        return self.forward_head(self.forward_features(x))


def register_backbone(name: str) -> Callable[[T], T]:
    """Class decorator: enter a network in the table, and in timm's under the same name.

    With timm the window may be called ``window`` or ``img_size``; left out, it is the published one. Weights
    come with ``timm.create_model("local-dir:FOLDER" or "hf-hub:ID", pretrained=True)`` of a published backbone.
    """

    def enter(cls: T) -> T:
        cls.name = name
        BACKBONES[name] = cls

        def entry(
            pretrained: bool = False,
            pretrained_cfg: Any = None,
            pretrained_cfg_overlay: object = None,
            pretrained_model_args: object = None,
            cache_dir: Any = None,
            **arguments: Any,
        ) -> Backbone:
            published = isinstance(pretrained_cfg, dict) and "source" in pretrained_cfg
            if pretrained and not published:
                raise InputError(f"{name} has no weights on a hub; load a published backbone folder instead")
            size = arguments.pop("img_size", None)
            if size is not None:
                arguments.setdefault("window", size)
            if "in_chans" not in arguments:
                raise InputError(f"{name} needs in_chans, the number of bands or components")
            network = build(cls, arguments)
            if pretrained:
                timm.models.load_pretrained(
                    network, pretrained_cfg, network.num_classes, network.in_chans, cache_dir=cache_dir
                )
            return network

        entry.__name__ = entry.__qualname__ = name
        entry.__module__ = cls.__module__
        timm.models.register_model(entry)
        return cls

    return enter


def build(cls: type[Backbone], arguments: dict[str, Any]) -> Backbone:
    """Call a network's class; an option that it doesn't have is an error that names those it has."""
    known = [key for key in inspect.signature(cls.__init__).parameters if key != "self"]
    for key in arguments:
        if key not in known:
            raise InputError(f"{cls.name} has no option {key!r}; it knows {', '.join(known)}")
    return cls(**arguments)


def centre(window: int) -> int:
    """Row and column of a window's own pixel; for an even side, the one after the middle."""
    return window // 2


def choose(name: str, option: str, value: Any, choices: Any) -> None:
    """Raise unless ``value`` is one of ``choices``."""
    if value not in choices:
        raise InputError(f"{name}: {option} must be one of {', '.join(map(str, choices))}, not {value!r}")


def gaussian_(module: nn.Module, std: float) -> None:
    """Draw every convolution's and dense layer's weights from N(0, std^2); biases become zero."""
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.Conv3d, nn.Linear)):
            nn.init.normal_(layer.weight, std=std)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def he_normal_(module: nn.Module) -> None:
    """He et al. (2015) normal weights for every convolution; biases become zero."""
    for layer in module.modules():
        if isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.Conv3d)):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
