"""One name, one network: `create_backbone` and `list_backbones`.

To add a network, put a file into this folder with a subclass of
:class:`~sslhsi.backbones.base.Backbone` under ``@register_backbone("its_name")``. Every file of the
folder is imported here, so there is no list to keep.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from typing import Any

import timm
from torch import nn

import sslhsi.backbones
from sslhsi.backbones.base import BACKBONES, build
from sslhsi.backbones.timm_backbone import TimmBackbone
from sslhsi.errors import InputError

for _file in pkgutil.iter_modules(sslhsi.backbones.__path__):
    if _file.name not in ("registry", "build"):
        importlib.import_module(f"sslhsi.backbones.{_file.name}")


def list_backbones() -> list[str]:
    """Names of this package's networks; any 2D model of ``timm.list_models()`` works besides.

    Examples:
        >>> "hybridsn" in list_backbones()
        True
    """
    return sorted(BACKBONES)


def create_backbone(name: str, in_chans: int, window: int, num_classes: int = 0, **options: Any) -> nn.Module:
    """Build a network for (N, in_chans, window, window) inputs.

    Args:
        name: One of :func:`list_backbones`, or a timm model: ``"resnet18"`` or ``"timm/resnet18"``.
        in_chans: Bands or components, K.
        window: Side of the input in pixels, S.
        num_classes: Classes of the classifier; 0 leaves it out, and the network gives features.
        **options: The network's own, as its docstring says.

    Returns:
        A module with ``num_features``, ``in_chans``, ``window``, ``num_classes``, ``forward_features``,
        ``forward_head(x, pre_logits=False)`` and ``reset_classifier(num_classes)``; its ``forward``
        gives (N, num_classes) logits, or (N, num_features) when ``num_classes`` is 0.

    Raises:
        InputError: Unknown name or option, or an input smaller than the network can take.

    Examples:
        >>> import torch
        >>> network = create_backbone("pixelnet", in_chans=30, window=9, num_classes=16)
        >>> network(torch.zeros(2, 30, 9, 9)).shape
        torch.Size([2, 16])
    """
    arguments = {"in_chans": in_chans, "window": window, "num_classes": num_classes, **options}
    if name in BACKBONES:
        return build(BACKBONES[name], arguments)
    timm_name = name.removeprefix("timm/")
    if timm_name.split(".")[0] in BACKBONES or not timm.is_model(timm_name):
        near = difflib.get_close_matches(timm_name, timm.list_models(), n=3)  # ours are among them
        hint = f"did you mean {' or '.join(near)}?" if near else f"it may be {', '.join(BACKBONES)} or timm's"
        raise InputError(f"unknown backbone {name!r}; {hint}")
    return TimmBackbone(timm_name, **arguments)
