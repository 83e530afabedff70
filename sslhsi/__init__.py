"""Self-supervised, cross-domain pretraining for hyperspectral images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["InputError", "Scene", "create_backbone", "list_backbones", "load_backbone", "read_scene"]

if TYPE_CHECKING:
    from sslhsi.backbones.registry import create_backbone, list_backbones
    from sslhsi.errors import InputError
    from sslhsi.hub import load_backbone
    from sslhsi.scenes.read import read_scene
    from sslhsi.scenes.scene import Scene

_HOMES = {
    "InputError": "sslhsi.errors",
    "Scene": "sslhsi.scenes.scene",
    "create_backbone": "sslhsi.backbones.registry",
    "list_backbones": "sslhsi.backbones.registry",
    "load_backbone": "sslhsi.hub",
    "read_scene": "sslhsi.scenes.read",
}


def __getattr__(name: str) -> Any:
    # On first use, so that `sslhsi --help` does not wait for torch.
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'sslhsi' has no attribute {name!r}")
