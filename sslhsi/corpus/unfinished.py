"""A corpus that is not whole yet: what has been read and written of it, scene by scene, so that none is done twice.

The folder is named after the corpus's key, a hash of all that the corpus depends on: whatever is found in it
belongs to it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import IO, Any

import numpy as np

from sslhsi.bands.moments import Moments
from sslhsi.files import atomic, exclusive
from sslhsi.scenes.scene import Scene

READ, WRITTEN = "read.npz", "written.npz"


def claim_folder(cache: Path, key: str) -> tuple[Path, IO[str]]:
    """The folder to prepare a corpus in, made and locked until the returned file is closed.

    That of an earlier run that was killed, if no other run is at work in it; else one of this run alone.
    """
    for name in (f".{key}.part", f".{key}.{os.getpid()}.part"):
        folder = cache / name
        try:
            # On a file system without locks a folder of this process alone is the only one that is safe.
            return folder, exclusive(folder, needed=name == f".{key}.part")
        except BlockingIOError:
            continue
    raise OSError(0, "locked twice")


def tidy(folder: Path) -> None:
    """Remove what only an unfinished corpus needs."""
    for path in [*folder.glob(f"*.{READ}"), *folder.glob(f"*.{WRITTEN}"), folder / ".lock"]:
        path.unlink(missing_ok=True)


def save_read(
    folder: Path, number: int, scene: Scene, mask: np.ndarray | None, held: np.ndarray, own: Moments, fit: Moments
) -> None:
    """Keep what reading a scene gave: mask, held-out ground, and moments for its own and for the common map."""
    np.save(folder / f"{number:04d}.mask.npy", np.ones(held.shape, bool) if mask is None else mask)
    np.save(folder / f"{number:04d}.held.npy", held)
    facts = {"name": scene.name, "domain": scene.domain, "bands": scene.bands}
    known = {} if scene.wavelengths is None else {"wavelengths": scene.wavelengths}
    _save(folder / f"{number:04d}.{READ}", facts, {**known, **_arrays("own", own), **_arrays("fit", fit)})


def load_read(folder: Path, number: int) -> tuple[Scene, Moments, Moments] | None:
    """The scene without its data, fit to be sent to other processes, and its moments; None if it must be read."""
    found = _load(folder / f"{number:04d}.{READ}")
    if found is None:
        return None
    facts, arrays = found
    empty = np.zeros((1, 1, facts["bands"]), np.int8)
    scene = Scene(facts["name"], empty, arrays.get("wavelengths"), domain=facts["domain"])
    return scene, _moments("own", arrays), _moments("fit", arrays)


def save_written(folder: Path, number: int, entry: dict[str, Any]) -> None:
    """Keep the manifest entry of a scene whose arrays are written."""
    _save(folder / f"{number:04d}.{WRITTEN}", entry, {})


def load_written(folder: Path, number: int) -> dict[str, Any] | None:
    """What ``save_written`` kept; None if the scene must be written."""
    found = _load(folder / f"{number:04d}.{WRITTEN}")
    return None if found is None else found[0]


def _arrays(name: str, moments: Moments) -> dict[str, np.ndarray]:
    parts = {"count": np.asarray(moments.count), "mean": moments.mean, "covariance": moments.covariance}
    if moments.noise is not None:
        parts["noise"] = moments.noise
    return {f"{name}_{key}": value for key, value in parts.items()}


def _moments(name: str, arrays: dict[str, np.ndarray]) -> Moments:
    count, mean, covariance = (arrays[f"{name}_{key}"] for key in ("count", "mean", "covariance"))
    return Moments(int(count), mean, covariance, arrays.get(f"{name}_noise"))


def _save(path: Path, facts: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    with atomic(path, sync=True) as part:
        np.savez(part, allow_pickle=False, facts=np.asarray(json.dumps(facts)), **arrays)


def _load(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]] | None:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        return json.loads(str(arrays.pop("facts"))), arrays
    except Exception:
        # Absent, or damaged in whatever way: the scene is done again.
        return None
