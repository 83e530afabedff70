"""What kind of data a scene is, and a hash that stands for it."""

from __future__ import annotations

import hashlib

import numpy as np

from sslhsi.scenes.scene import Scene


def kind_of(scene: Scene) -> str:
    """``real``, ``8-bit real``, ``simulated`` or ``stand-in``: never to share a column of a table."""
    if scene.stand_in or scene.name.startswith("stand-in"):
        return "stand-in"
    if scene.sensor == "simulated":
        return "simulated"
    return "8-bit real" if scene.cube.dtype == np.uint8 else "real"


def data_hash(*arrays: np.ndarray | None) -> str:
    """Twelve hexadecimal digits that stand for arrays: rows of other data are never taken for these."""
    digest = hashlib.sha256()
    for part in arrays:
        if part is not None:
            digest.update(f"{part.shape} {part.dtype}".encode())
            # Row by row: a cube may be larger than memory, and lie on the disk band by band.
            for row in part:
                digest.update(np.ascontiguousarray(row).data)
    return digest.hexdigest()[:12]
