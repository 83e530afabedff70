"""Self-supervised, cross-domain pretraining for hyperspectral images.

Importing this package also makes its networks known to timm, ``timm.create_model("hybridsn", in_chans=30)``,
whichever of the two is imported first; neither timm nor torch is imported for that.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = [
    "InputError",
    "NTXentLoss",
    "Scene",
    "SpectralProjector",
    "create_backbone",
    "list_backbones",
    "list_methods",
    "load_backbone",
    "read_scene",
    "read_spectra",
    "split",
]

if TYPE_CHECKING:
    from sslhsi.backbones.registry import create_backbone, list_backbones
    from sslhsi.bands.projector import SpectralProjector
    from sslhsi.encoder.load import load_backbone
    from sslhsi.errors import InputError
    from sslhsi.methods.ntxent import NTXentLoss
    from sslhsi.methods.registry import list_methods
    from sslhsi.scenes.read import read_scene
    from sslhsi.scenes.read_spectra import read_spectra
    from sslhsi.scenes.scene import Scene
    from sslhsi.splits.split import split

_HOMES = {
    "InputError": "sslhsi.errors",
    "NTXentLoss": "sslhsi.methods.ntxent",
    "Scene": "sslhsi.scenes.scene",
    "SpectralProjector": "sslhsi.bands.projector",
    "create_backbone": "sslhsi.backbones.registry",
    "list_backbones": "sslhsi.backbones.registry",
    "list_methods": "sslhsi.methods.registry",
    "load_backbone": "sslhsi.encoder.load",
    "read_scene": "sslhsi.scenes.read",
    "read_spectra": "sslhsi.scenes.read_spectra",
    "split": "sslhsi.splits.split",
}


def __getattr__(name: str) -> Any:
    # On first use, so that `sslhsi --help` does not wait for torch.
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'sslhsi' has no attribute {name!r}")


class _WhenTimmIsImported(MetaPathFinder):
    """Lets Python find timm as ever, and imports the networks, which enter timm's table, right behind it."""

    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
        if fullname != "timm":
            return None
        sys.meta_path.remove(self)
        spec = find_spec("timm")
        if spec is None or spec.loader is None:
            return spec
        run = spec.loader.exec_module

        def run_and_register(module: Any) -> None:
            run(module)
            # Not in the middle of a module of theirs that asks for timm itself.
            if not {"sslhsi.backbones.base", "sslhsi.backbones.timm_backbone"} & sys.modules.keys():
                import_module("sslhsi.backbones.registry")

        spec.loader.exec_module = run_and_register  # type: ignore[method-assign]
        return spec


if "timm" in sys.modules:
    import_module("sslhsi.backbones.registry")
else:
    sys.meta_path.insert(0, _WhenTimmIsImported())
