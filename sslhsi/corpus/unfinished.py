"""A corpus that is not whole yet: what has been read and written of it, scene by scene, so that none is done twice.

The folder is named after the corpus's key, a hash of all that the corpus depends on: whatever lies in it
belongs to it.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from sslhsi.bands.moments import Moments
from sslhsi.corpus.corpus import SceneRecord
from sslhsi.files import atomic, exclusive, write_atomic

MEASURED, RECORD = "measured.npz", "record.json"


@dataclass(frozen=True)
class Measured:
    """What the projection needs of a scene, fit to be sent to other processes.

    Args:
        name, domain, bands, wavelengths: As in :class:`~sslhsi.scenes.scene.Scene`.
        foreground_moments: Moments of the scene's foreground, for its own map.
        fit: Moments of the pixels that the common map is fitted on.
    """

    name: str
    domain: str
    bands: int
    wavelengths: np.ndarray | None
    foreground_moments: Moments
    fit: Moments


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
    for path in [*folder.glob(f"*.{MEASURED}"), *folder.glob(f"*.{RECORD}"), *folder.glob(".*")]:
        path.unlink(missing_ok=True)


def save_measured(folder: Path, number: int, measured: Measured, mask: np.ndarray, held: np.ndarray) -> None:
    """Keep what reading a scene gave: its moments, and (H, W) foreground and held-out pixels."""
    np.save(folder / f"{number:04d}.mask.npy", mask)
    np.save(folder / f"{number:04d}.held.npy", held)
    about = {"name": measured.name, "domain": measured.domain, "bands": measured.bands}
    known = {} if measured.wavelengths is None else {"wavelengths": measured.wavelengths}
    arrays = {**known, **_arrays("foreground", measured.foreground_moments), **_arrays("fit", measured.fit)}
    with atomic(folder / f"{number:04d}.{MEASURED}", sync=True) as part:
        np.savez(part, allow_pickle=False, about=np.asarray(json.dumps(about)), **arrays)


def load_measured(folder: Path, number: int) -> Measured | None:
    """What ``save_measured`` kept; None if the scene must be read."""
    try:
        with np.load(folder / f"{number:04d}.{MEASURED}", allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        about: dict[str, Any] = json.loads(str(arrays.pop("about")))
        return Measured(
            **about,
            wavelengths=arrays.get("wavelengths"),
            foreground_moments=_moments("foreground", arrays),
            fit=_moments("fit", arrays),
        )
    except Exception:
        # Absent, or damaged in whatever way: the scene is read again.
        return None


def save_record(folder: Path, number: int, record: SceneRecord) -> None:
    """Keep the record of a scene whose arrays are written."""
    write_atomic(folder / f"{number:04d}.{RECORD}", record.model_dump_json(), sync=True)


def load_record(folder: Path, number: int) -> SceneRecord | None:
    """What ``save_record`` kept; None if the scene must be written."""
    try:
        return SceneRecord.model_validate_json((folder / f"{number:04d}.{RECORD}").read_text())
    except (OSError, ValueError):
        return None


def _arrays(name: str, moments: Moments) -> dict[str, np.ndarray]:
    parts = {"count": np.asarray(moments.count), "mean": moments.mean, "covariance": moments.covariance}
    if moments.noise is not None:
        parts["noise"] = moments.noise
    return {f"{name}_{key}": value for key, value in parts.items()}


def _moments(name: str, arrays: dict[str, np.ndarray]) -> Moments:
    count, mean, covariance = (arrays[f"{name}_{key}"] for key in ("count", "mean", "covariance"))
    return Moments(int(count), mean, covariance, arrays.get(f"{name}_noise"))
