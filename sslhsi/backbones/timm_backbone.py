"""Any 2D network of timm on any number of bands."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import timm
import torch
from torch import Tensor, nn

from sslhsi.backbones.base import Backbone, choose
from sslhsi.backbones.conv2d import trim_small_maps
from sslhsi.errors import InputError, reason_of

STEMS = ("fresh", "tiled", "wavelengths")
SMALL = 64  # windows below this side get a stem that keeps their resolution
# Wavelengths in nm that stand for red, green and blue where none are given.
RGB = (640, 550, 460)


class TimmBackbone(Backbone):
    """A timm model (Wightman, https://github.com/huggingface/pytorch-image-models) on K bands.

    Input: (N, K, S, S) components, bands, or an image; any window that the model itself takes (vision
    transformers need a multiple of their patch; the model is built for S with its position embedding
    resampled). Returns (N, num_features) or logits. ``net`` is timm's model.

    **Stem.** The first convolution of a model trained on RGB images reads three bands. From such
    weights (``pretrained=True``) it is made for K bands in one of three ways:

    - ``"fresh"``: drawn anew, everything behind it kept. The safe choice for components.
    - ``"tiled"``: averaged over red, green and blue, repeated K times and scaled by 3 / K, so that K
      equal bands give what a grey image gave.
    - ``"wavelengths"``: the false-colour image at the wavelengths ``rgb`` (each interpolated between
      the two nearest bands) goes through the trained filters exactly; all other bands start at zero
      weight and can grow in training.

    **Small windows.** Models meant for 224 pixels shrink a 32-pixel window to one cell. Below 64
    pixels (``small_window=None``) a strided first convolution whose kernels overlap gets stride 1, and
    a max pooling right behind it goes; a fresh kernel of 7 or more becomes 3x3, as is usual on CIFAR.
    A stem that cuts patches (ViT, ConvNeXt) is left alone. Where maps still shrink to one pixel, a CPU computes no
    products with padding (:class:`~sslhsi.backbones.conv2d.Conv2d`).

    What was done is in ``stem_record``, a dictionary that can be written as JSON.

    Args:
        model: timm's name, with its tag for particular weights (``"resnet50.a1_in1k"``).
        in_chans: Bands or components, K.
        window: Side in pixels, S.
        num_classes: Classes, C; 0 for features.
        pretrained: Load the RGB weights, through timm and the hub's cache.
        stem: ``"fresh"``, ``"tiled"`` or ``"wavelengths"``.
        wavelengths: (K,) band centres in nm, for ``stem="wavelengths"``.
        small_window: True or False to decide by hand.
        **options: timm's, such as ``drop_rate``, ``pretrained_cfg_overlay={"file": path}``, and two more: ``rgb``,
            wavelengths in nm that stand for red, green and blue; ``load=False`` builds what ``pretrained`` asks
            for and leaves it at random weights, for a state dict of the whole network that follows.

    Raises:
        InputError: Unknown option, weights that can't be had, or a window that the model can't take.
    """

    def __init__(
        self,
        model: str,
        in_chans: int,
        window: int,
        num_classes: int = 0,
        pretrained: bool = False,
        stem: str = "fresh",
        wavelengths: Sequence[float] | np.ndarray | None = None,
        small_window: bool | None = None,
        **options: Any,
    ) -> None:
        rgb, load = options.pop("rgb", RGB), options.pop("load", True)
        self.name = f"timm/{model}"
        self.any_window = not _is_built_for_a_size(model)
        super().__init__(in_chans, window)
        choose(self.name, "stem", stem, STEMS)
        if stem != "fresh" and not pretrained:
            raise InputError(f"{self.name}: stem={stem!r} needs the RGB weights; add pretrained=true")
        mapping = rgb_matrix(wavelengths, self.in_chans, rgb) if stem == "wavelengths" else None
        self.net: Any = _create(model, self.in_chans, self.window, num_classes, False, options)
        first = _first_convolutions(self.net)
        self.stem_record: dict[str, Any] = {
            "model": model,
            "weights": "random",
            "stem": stem,
            "first_convolution": first,
            "small_window": "off",
        }
        if small_window or (small_window is None and self.window < SMALL):
            self.stem_record["small_window"] = _keep_resolution(self.net, first, fresh=stem == "fresh")
        trim_small_maps(self.net)
        if pretrained and load:
            trained = _create(model, 3, self.window, 0, True, options)
            self.stem_record["weights"] = _source(trained)
            self._take(trained, stem, mapping)
            if mapping is not None:
                self.stem_record["rgb_nm"] = [float(value) for value in rgb]
                self.stem_record["bands"] = [
                    {str(k): round(float(row[k]), 6) for k in np.flatnonzero(row)} for row in mapping
                ]
        self.num_classes = num_classes
        self.num_features = int(getattr(self.net, "head_hidden_size", None) or self.net.num_features)
        self._try()

    def _take(self, trained: nn.Module, stem: str, mapping: np.ndarray | None) -> None:
        """Load RGB weights: the stem as asked, the classifier not at all."""
        state = trained.state_dict()
        first = self.stem_record["first_convolution"]
        if stem != "fresh" and not first:
            raise InputError(f"{self.name} doesn't tell which layer reads the image; use stem='fresh'")
        for layer in first:
            weight = state.pop(f"{layer}.weight")
            if stem == "fresh":
                state.pop(f"{layer}.bias", None)
                continue
            if weight.shape[1] != 3:
                raise InputError(f"{self.name}: its stem doesn't read RGB directly; use stem='fresh'")
            if mapping is None:
                scale = 3 / self.in_chans
                state[f"{layer}.weight"] = weight.mean(1, keepdim=True).repeat(1, self.in_chans, 1, 1) * scale
                self.stem_record["scale"] = scale
            else:
                matrix = torch.from_numpy(mapping).to(weight)
                state[f"{layer}.weight"] = torch.einsum("ocij,ck->okij", weight, matrix)
        current = self.net.state_dict()
        self.net.load_state_dict({key: state.get(key, value) for key, value in current.items()})

    def _try(self) -> None:
        """Run one window, so that a size that can't work is known here and not in training."""
        was_training = self.net.training
        self.net.eval()
        try:
            with torch.no_grad():
                features = self.forward_head(
                    self.forward_features(torch.zeros(1, self.in_chans, self.window, self.window)), True
                )
        except (RuntimeError, ValueError, AssertionError, IndexError) as error:
            raise InputError(_too_small(self.name, self.in_chans, self.window, self.net, error)) from error
        self.net.train(was_training)
        if features.shape != (1, self.num_features):
            raise InputError(f"{self.name} gives {tuple(features.shape[1:])}, not one vector per window")

    def forward_features(self, x: Tensor) -> Tensor:
        """timm's unpooled features, in the model's own layout."""
        return self.net.forward_features(x)

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """timm's pooling, and its classifier unless ``pre_logits``."""
        return self.net.forward_head(x, pre_logits=pre_logits)

    def reset_classifier(self, num_classes: int) -> None:
        """Replace the classifier by a fresh one for ``num_classes`` classes; 0 takes it away."""
        self.num_classes = num_classes
        like = next(self.parameters())
        self.net.reset_classifier(num_classes)
        self.net.to(device=like.device, dtype=like.dtype)

    def get_classifier(self) -> nn.Module:
        """timm's classifier layer."""
        return self.net.get_classifier()


def rgb_matrix(wavelengths: Sequence[float] | np.ndarray | None, in_chans: int, rgb: Sequence[float]) -> np.ndarray:
    """(3, K) matrix that reads a false-colour image off K bands by linear interpolation.

    Raises:
        InputError: Wavelengths are missing, of another number, or don't reach a wanted colour.
    """
    if wavelengths is None:
        raise InputError("stem='wavelengths' needs wavelengths, one band centre in nm per band")
    bands = np.asarray(wavelengths, dtype=np.float64)
    if bands.shape != (in_chans,) or not np.isfinite(bands).all():
        raise InputError(f"stem='wavelengths' needs {in_chans} finite wavelengths, not shape {bands.shape}")
    if len(rgb) != 3 or min(rgb) < bands.min() or max(rgb) > bands.max():
        raise InputError(
            f"rgb must be three wavelengths between {bands.min():g} and {bands.max():g} nm, not {list(rgb)}"
        )
    order = np.argsort(bands)
    identity = np.eye(in_chans)[order]
    return np.stack([np.interp(rgb, bands[order], identity[:, k]) for k in range(in_chans)], axis=1)


def _create(
    model: str, in_chans: int, window: int, num_classes: int, pretrained: bool, options: Mapping[str, Any]
) -> Any:
    sized: dict[str, Any] = {"img_size": window} if _is_built_for_a_size(model) else {}
    try:
        return timm.create_model(
            model, pretrained=pretrained, in_chans=in_chans, num_classes=num_classes, **sized, **options
        )
    except Exception as error:  # timm, the hub and the disk each raise their own
        reason = f"{type(error).__name__} {str(error).strip()}".splitlines()[0]
        file = (options.get("pretrained_cfg_overlay") or {}).get("file")
        weights = f"its RGB weights can't be loaded{f' from {file}' if file else ''}"
        raise InputError(f"timm/{model}: {weights if pretrained else 'not built'}: {reason}") from error


def _is_built_for_a_size(model: str) -> bool:
    config = timm.get_pretrained_cfg(model, allow_unregistered=True)
    if config is not None and config.fixed_input_size:
        return True
    return "img_size" in inspect.signature(timm.model_entrypoint(model)).parameters


def _first_convolutions(net: nn.Module) -> list[str]:
    """Names of the layers that read the image, as timm has them in the model's configuration."""
    first = getattr(net, "pretrained_cfg", {}).get("first_conv")
    names = [first] if isinstance(first, str) else list(first or ())
    modules = dict(net.named_modules())
    return [name for name in names if isinstance(getattr(modules.get(name), "weight", None), Tensor)]


def _keep_resolution(net: nn.Module, first: list[str], fresh: bool) -> str:
    """Take the stem's shrinking away where that leaves the weights usable; say what was done."""
    done = []
    for name in first:
        conv = net.get_submodule(name)
        if not isinstance(conv, nn.Conv2d) or conv.stride == (1, 1):
            continue
        size, stride = conv.kernel_size[0], conv.stride[0]
        if size <= stride:
            done.append(f"{name} cuts {size}x{size} patches: left as it is")
            continue
        if fresh and size >= 7 and type(conv) is nn.Conv2d:
            new = nn.Conv2d(conv.in_channels, conv.out_channels, 3, padding=1, bias=conv.bias is not None)
            nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")
            net.set_submodule(name, new)
            done.append(f"{name} {size}x{size} stride {stride} -> 3x3 stride 1")
        else:
            conv.stride = (1, 1)
            done.append(f"{name} {size}x{size} stride {stride} -> 1")
        for pool in ("maxpool", "features.pool0"):
            if pool in dict(net.named_modules()):
                net.set_submodule(pool, nn.Identity())
                done.append(f"{pool} removed")
    return "; ".join(done) or "nothing to change"


def _source(net: nn.Module) -> str:
    config = getattr(net, "pretrained_cfg", {})
    return str(config.get("file") or config.get("hf_hub_id") or config.get("url"))


def _too_small(name: str, in_chans: int, window: int, net: nn.Module, error: Exception) -> str:
    """Look for the least window that does work, for the message."""
    patch = getattr(getattr(net, "patch_embed", None), "patch_size", None)
    if patch:
        return f"{name} can't take window {window}; it cuts {patch[0]}-pixel patches: use a multiple"
    for size in range(window + 1, 4 * SMALL + 1):
        try:
            with torch.no_grad():
                net(torch.zeros(1, in_chans, size, size))
        except (RuntimeError, ValueError, AssertionError, IndexError):
            continue
        return f"{name} can't take window {window}; the next that works is {size}"
    return f"{name} can't take window {window}: {reason_of(error)}"
