"""Tree crowns: small crops of several flights, each with its species."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sslhsi.errors import InputError
from sslhsi.scenes.read import read_scene
from sslhsi.scenes.scene import Scene

EARLY_LATE = "earlier years train, later years test"


@dataclass(frozen=True)
class Crop:
    """One crown on one flight: (h, w, B) pixels, the tree, its species, the year."""

    cube: np.ndarray
    tree: str
    species: str
    year: int


def read_crowns(folder: str | Path) -> list[Crop]:
    """The crops of a folder that its annotations.csv lists, such as DeepTreeAttention's of the NEON site OSBS.

    Columns used: ``image_path`` (of a crop, relative to the folder), ``individualID``, ``taxonID`` and
    ``tile_year``. Lines whose file is not in the folder are passed over. No-data pixels, which are 0 or
    negative in every band, are left in: a crown is what its crop holds.

    Returns:
        The crops, by tree and year.

    Raises:
        InputError: There is no such table, a column is missing, or none of its files is here.
    """
    table = Path(folder) / "annotations.csv"
    if not table.is_file():
        raise InputError(f"{table}: no such file; give the folder that holds the crops and annotations.csv")
    with table.open(newline="", encoding="utf-8") as stream:
        lines = list(csv.DictReader(stream))
    needed = ("image_path", "individualID", "taxonID", "tile_year")
    if missing := [column for column in needed if not lines or column not in lines[0]]:
        raise InputError(f"{table}: no column {missing[0]!r}")
    crops = {}
    for line in lines:
        path = table.parent / line["image_path"]
        if path.is_file() and path.name not in crops:
            try:
                year = int(line["tile_year"])
            except ValueError:
                raise InputError(f"{table}: tile_year {line['tile_year']!r} is not a year") from None
            crops[path.name] = Crop(read_scene(path, labels=False).cube, line["individualID"], line["taxonID"], year)
    if not crops:
        raise InputError(f"{table}: none of the {len(lines)} crops that it lists is in the folder")
    return sorted(crops.values(), key=lambda crop: (crop.tree, crop.year))


def mosaic(crops: Sequence[Crop], margin: int, name: str) -> tuple[Scene, np.ndarray]:
    """One scene that holds all crops, side by side, each framed by its reflection.

    The frame belongs to no crop (mask False, label 0): windows of side 2 x margin + 1 around the pixels of
    a crop see that crop alone, as they would at the border of a scene.

    Args:
        crops: Of one camera.
        margin: Pixels of reflection on every side.
        name: Of the scene.

    Returns:
        The scene, labels numbering the species in alphabetical order, and (H, W) numbers: i + 1 on the
        pixels of crop i.

    Raises:
        InputError: There are no crops, or they differ in bands.
    """
    if not crops or len({crop.cube.shape[2] for crop in crops}) > 1:
        raise InputError(f"{name}: crops must be there and have the same bands")
    classes = sorted({crop.species for crop in crops})
    height = max(crop.cube.shape[0] for crop in crops) + 2 * margin
    width = sum(crop.cube.shape[1] + 2 * margin for crop in crops)
    cube = np.zeros((height, width, crops[0].cube.shape[2]), dtype=crops[0].cube.dtype)
    groups = np.zeros((height, width), dtype=np.int32)
    labels = np.zeros((height, width), dtype=np.int32)
    left = 0
    for number, crop in enumerate(crops, 1):
        h, w = crop.cube.shape[:2]
        cube[: h + 2 * margin, left : left + w + 2 * margin] = np.pad(
            crop.cube, ((margin, margin), (margin, margin), (0, 0)), mode="reflect"
        )
        inside = slice(margin, margin + h), slice(left + margin, left + margin + w)
        groups[inside] = number
        labels[inside] = classes.index(crop.species) + 1
        left += w + 2 * margin
    return Scene(name, cube, labels=labels, classes=classes, mask=groups > 0), groups


def crown_split(crops: Sequence[Crop], years: int) -> tuple[list[int], list[int]]:
    """Numbers of the crops that train and that test: of every tree the earliest years train, the later ones test.

    Raises:
        InputError: No tree has a year left to test on.
    """
    train, test = [], []
    for tree in sorted({crop.tree for crop in crops}):
        mine = sorted((crop.year, i) for i, crop in enumerate(crops) if crop.tree == tree)
        if len(mine) > years:
            train += [i for _, i in mine[:years]]
            test += [i for _, i in mine[years:]]
    if not test:
        raise InputError(f"no tree was flown in more than {years} years: nothing is left to test on")
    return train, test
