"""Public scenes by name: download what is missing, verify what is there, read it."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

from sslhsi.errors import InputError
from sslhsi.files import write_atomic
from sslhsi.scenes.catalog import CatalogFile, get_entry
from sslhsi.scenes.resumable import download, file_checksum
from sslhsi.scenes.scene import Scene

__all__ = ["download", "fetch", "load"]

_RECORD = "checksums.json"
_log = logging.getLogger(__name__)


def fetch(name: str, folder: str | os.PathLike[str], *, progress: bool = True) -> list[Path]:
    """Download the files of a catalogue scene into ``folder/NAME``; files already there are verified.

    Where the catalogue has no checksum, the sha256 of the first download is recorded in
    ``folder/NAME/checksums.json`` and every later download or check must match it (trust on first use).

    Args:
        name: A catalogue name, such as ``"indian_pines"``.
        folder: Where scenes are kept.
        progress: Show a bar per file.

    Returns:
        Paths of the cube and of the ground truth.

    Raises:
        InputError: The name is unknown, or a file can't be had or isn't the one it should be.
    """
    entry = get_entry(name)
    place = Path(folder) / entry.name
    return [_fetch_file(file, place, progress) for file in (entry.cube, entry.labels)]


def load(name: str, folder: str | os.PathLike[str], *, progress: bool = True) -> Scene:
    """Fetch a catalogue scene and read it.

    Args:
        name: A catalogue name.
        folder: Where scenes are kept; missing files are downloaded.
        progress: Show a bar per file.

    Returns:
        The scene, with labels, class names and nominal wavelengths (where the removed bands are known).

    Raises:
        InputError: As ``fetch`` and ``read_scene`` do.
    """
    from sslhsi.scenes.read import read_scene  # the readers bring h5py and rasterio; a download needs neither

    entry = get_entry(name)
    cube, labels = fetch(name, folder, progress=progress)
    return read_scene(
        cube,
        cube=entry.cube.variable,
        labels=labels,
        wavelengths=entry.wavelengths(),
        name=entry.name,
        classes=entry.class_names,
        domain=entry.name,
        sensor=entry.sensor,
    )


def _fetch_file(file: CatalogFile, place: Path, progress: bool) -> Path:
    target = place / file.name
    known = file.checksum or _recorded(place).get(file.name)
    failures: list[str] = []
    for url in file.urls:
        try:
            download(url, target, checksum=known, progress=progress, retries=2)
            break
        except InputError as error:
            if target.exists():  # a file that was there and is wrong: no other address will mend it
                raise
            failures.append(str(error))
    else:
        raise InputError(f"can't fetch {file.name} from any of its addresses: {'; '.join(failures)}")
    if known is None:
        record = _recorded(place) | {file.name: file_checksum(target)}
        _log.warning(
            "no checksum is published for %s: recorded that of this download (%s)", target, record[file.name]
        )
        write_atomic(place / _RECORD, json.dumps(record, indent=2, sort_keys=True) + "\n")
    return target


def _recorded(place: Path) -> dict[str, str]:
    path = place / _RECORD
    if not path.exists():
        return {}
    try:
        record = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"can't read {path}: {error}; delete it to record the checksums anew") from error
    if not isinstance(record, dict):
        raise InputError(f"{path} must map file names to checksums; delete it to record them anew")
    return record
