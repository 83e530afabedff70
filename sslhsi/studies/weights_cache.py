"""Weights that an experiment trains for its rows, kept beside them: what was interrupted trains none twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sslhsi.errors import InputError
from sslhsi.files import atomic

Weights = dict[str, Tensor]


def cache_key(what: Mapping[str, Any]) -> str:
    """Twelve hexadecimal digits that stand for all that weights depend on, given as JSON holds it."""
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:12]


def cached(
    path: Path, train: Callable[[], tuple[Mapping[str, Tensor], dict[str, Any]]]
) -> tuple[Weights, dict[str, Any]]:
    """Read weights, or train and write them.

    Args:
        path: A .safetensors file; what is known about the weights is kept in it, too.
        train: Gives the tensors by name, and what shall be known about them, fit for JSON.

    Returns:
        What ``train`` gave, now or then.

    Raises:
        InputError: The file can't be written or is damaged.
    """
    if path.is_file():
        try:
            with safe_open(path, framework="pt") as file:
                known = json.loads(file.metadata()["about"])
                return {name: file.get_tensor(name) for name in file.keys()}, known  # noqa: SIM118
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}: can't be read ({error}); delete it, and it is trained again") from None
    given, known = train()
    # Copies: networks may share tensors, or lay them out as only they read them.
    weights = {name: value.detach().cpu().clone().contiguous() for name, value in given.items()}
    with atomic(path, "choose another output", (SafetensorError,)) as part:
        save_file(weights, part, metadata={"format": "pt", "about": json.dumps(known)})
    return weights, known
