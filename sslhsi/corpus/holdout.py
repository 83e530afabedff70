"""Ground that pretraining never sees, so that a backbone can be judged on it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from sslhsi.recipe import SceneSource


def holdout_map(
    source: SceneSource, shape: tuple[int, int], share: float, shared_site: bool, seed: int
) -> np.ndarray:
    """(H, W) booleans: True where pretraining may not look.

    A scene marked ``holdout`` is held out whole. Otherwise one strip across the longer axis, at one of its
    ends: one compact area, so that few windows are lost along its edge. Scenes that show the
    same place are never cut in two, because their strips would not fall on the same place.
    """
    held = np.full(shape, source.holdout)
    if source.holdout or shared_site or share == 0:
        return held
    axis = int(shape[1] > shape[0])
    length = round(share * shape[axis])
    # Which end: from the name, so that adding a scene to a corpus moves nothing in the others.
    first = hashlib.sha256(f"{seed}/{source.name}".encode()).digest()[0] % 2
    strip = slice(0, length) if first else slice(shape[axis] - length, None)
    held[(strip, slice(None)) if axis == 0 else (slice(None), strip)] = True
    return held


def shared_sites(sources: Sequence[SceneSource]) -> set[str]:
    """Sites that more than one scene shows."""
    sites = [s.site for s in sources if s.site]
    return {site for site in sites if sites.count(site) > 1}
