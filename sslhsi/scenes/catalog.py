"""The catalogue of public labelled scenes: what catalog.yaml says about each.

A checksum stands there only where independent public sources print the same one; where none is known, the first
download records one and later downloads must match it (``sslhsi.scenes.download.fetch``).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from sslhsi.errors import InputError

# The Computational Intelligence Group of the University of the Basque Country:
# https://www.ehu.eus/ccwintco/index.php/Hyperspectral_Remote_Sensing_Scenes
_ADDRESSES = ("https://www.ehu.eus/ccwintco/uploads/", "http://www.ehu.es/ccwintco/uploads/")
_MIRROR = "https://raw.githubusercontent.com/gokriznastic/HybridSN/master/data/"


@dataclass(frozen=True)
class CatalogFile:
    """One file of a scene.

    Args:
        name: File name on disk.
        urls: Addresses that serve the same bytes, tried in order.
        variable: Variable to read from the MATLAB file.
        checksum: ``"md5:HEX"`` or ``"sha256:HEX"``; None when none is published.
    """

    name: str
    urls: tuple[str, ...]
    variable: str
    checksum: str | None = None


@dataclass(frozen=True)
class CatalogEntry:
    """One public scene.

    Args:
        name: Name in commands and folders.
        title: Name in prose and tables.
        cube: The file with the (height, width, bands) cube.
        labels: The file with the (height, width) ground truth, 0 = unlabelled.
        height: Rows.
        width: Columns.
        bands: Bands in the cube file.
        sensor: The camera.
        wavelength_range: First and last nominal band centre in nm, of all ``sensor_bands``.
        sensor_bands: Bands before the removals that ``removed_bands`` counts.
        removed_bands: Bands taken out, counted from 1 in ``sensor_bands``; None = not published.
        resolution: Ground sampling distance in metres.
        classes: ``(label id, name, labelled pixels)`` in label order.
        citation: Whom to cite.
        note: What a user should know before trusting a number.
    """

    name: str
    title: str
    cube: CatalogFile
    labels: CatalogFile
    height: int
    width: int
    bands: int
    sensor: str
    wavelength_range: tuple[float, float]
    sensor_bands: int
    removed_bands: tuple[int, ...] | None
    resolution: float
    classes: tuple[tuple[int, str, int], ...]
    citation: str
    note: str = ""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names by label: ``class_names[i]`` belongs to label ``i + 1``; gaps are "unused"."""
        names = {label: name for label, name, _ in self.classes}
        return tuple(names.get(label, "unused") for label in range(1, max(names) + 1))

    def wavelengths(self) -> np.ndarray | None:
        """Nominal band centres of the cube.

        The files carry no wavelengths: these are evenly spaced over the published range, less the
        removed bands, good to about one band width. Hyperion's two spectrometers overlap, so its
        centres are the published linear calibration.

        Returns:
            (bands,) float64 in nm, or None where the removed bands aren't published.
        """
        if self.removed_bands is None:
            return None
        number = np.arange(1, self.sensor_bands + 1)
        if self.sensor == "Hyperion":
            centres = np.where(number <= 70, 426.82 + 10.1753 * (number - 8), 912.45 + 10.0888 * (number - 77))
        else:
            centres = np.linspace(*self.wavelength_range, self.sensor_bands)
        return centres[~np.isin(number, self.removed_bands)]


def _file(name: str, path: str, variable: str, md5: str | None = None, mirror: bool = False) -> CatalogFile:
    urls = [address + path + name for address in _ADDRESSES] + ([_MIRROR + name] if mirror else [])
    return CatalogFile(name, tuple(urls), variable, f"md5:{md5}" if md5 else None)


def _entry(name: str, fields: Mapping[str, Any]) -> CatalogEntry:
    given = dict(fields)
    classes, spans = given.pop("classes"), given.pop("removed_bands")
    labels = given.pop("labels_of_classes", range(1, len(classes) + 1))
    first, last = given.pop("wavelength_range")
    removed = None if spans is None else tuple(band for a, b in spans for band in range(a, b + 1))
    return CatalogEntry(
        name=name,
        cube=_file(**given.pop("cube")),
        labels=_file(**given.pop("labels")),
        wavelength_range=(float(first), float(last)),
        removed_bands=removed,
        resolution=float(given.pop("resolution")),
        classes=tuple((label, *entry) for label, entry in zip(labels, classes.items(), strict=True)),
        **given,
    )


CATALOG: tuple[CatalogEntry, ...] = tuple(
    _entry(name, fields)
    for name, fields in yaml.safe_load(Path(__file__).with_name("catalog.yaml").read_text(encoding="utf-8")).items()
)


def list_catalog() -> tuple[CatalogEntry, ...]:
    """All scenes that can be fetched by name.

    Returns:
        The entries, in catalogue order.
    """
    return CATALOG


def get_entry(name: str) -> CatalogEntry:
    """The catalogue entry of a name.

    Args:
        name: A catalogue name or title; case, spaces and dashes don't matter.

    Returns:
        The entry.

    Raises:
        InputError: No scene has that name; the message gives the nearest one.
    """
    keys = {_key(label): entry for entry in CATALOG for label in (entry.name, entry.title)}
    if _key(name) in keys:
        return keys[_key(name)]
    near = difflib.get_close_matches(_key(name), keys, n=1, cutoff=0.4)
    hint = f"did you mean {keys[near[0]].name!r}? Known" if near else "known"
    raise InputError(f"no scene {name!r} in the catalogue: {hint} names are {', '.join(e.name for e in CATALOG)}")


def _key(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
