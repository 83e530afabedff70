"""Weights that an experiment trains for its rows, kept beside them: what was interrupted trains none twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sslhsi.errors import InputError
from sslhsi.files import atomic

Weights = Mapping[str, Tensor]


class Kept(NamedTuple):
    """Weights, what is known about them, fit for JSON, and a key that stands for both."""

    key: str
    weights: Weights
    about: dict[str, Any]


@dataclass(frozen=True)
class WeightsCache:
    """Weights by all that they depend on, in memory and in the folder ``pretrained`` of an experiment.

    Args:
        folder: Of the experiment.
    """

    folder: Path
    _known: dict[str, Kept] = field(default_factory=dict)

    def get(
        self, what: Mapping[str, Any], train: Callable[[], tuple[Weights, dict[str, Any]]], stage: str = ""
    ) -> Kept:
        """Weights that are there, or are trained and written now.

        Args:
            what: All that they depend on, as JSON holds it.
            train: Gives the tensors by name, and what shall be known about them.
            stage: What the file's name begins with.

        Raises:
            InputError: The file can't be written or is damaged.
        """
        key = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:12]
        if key not in self._known:
            path = self.folder / "pretrained" / f"{stage}{key}.safetensors"
            if not path.is_file():
                _write(path, *train())
            self._known[key] = Kept(key, *_read(path))
        return self._known[key]


def _read(path: Path) -> tuple[Weights, dict[str, Any]]:
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads(file.metadata()["about"])
            return {name: file.get_tensor(name) for name in file.keys()}, about  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: can't be read ({error}); delete it, and it is trained again") from None


def _write(path: Path, given: Weights, about: dict[str, Any]) -> None:
    # Copies: networks may share tensors, or lay them out as only they read them.
    weights = {name: value.detach().cpu().clone().contiguous() for name, value in given.items()}
    with atomic(path, "choose another output", (SafetensorError,)) as part:
        save_file(weights, part, metadata={"format": "pt", "about": json.dumps(about)})
