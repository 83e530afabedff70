"""Sets of three-band scene images: a folder per class, a table of labels, or simulated."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator
from torchvision.datasets.folder import make_dataset

from sslhsi.errors import InputError
from sslhsi.files import sha256
from sslhsi.recipe import Count, Positive
from sslhsi.recipe_file import Section
from sslhsi.scenes.identity import data_hash
from sslhsi.studies.adaptation.image_canvas import LABELS
from sslhsi.studies.adaptation.image_files import SUFFIXES, read_image
from sslhsi.studies.adaptation.image_simulator import KINDS, simulate_image


class ImageSet(Section):
    """Scene images, with labels or without.

    ``folder`` holds a folder per class, or images alone (no labels). With ``labels`` samples may bear several: a
    table whose first column is the file (as named in ``folder``) and whose others are one label each, 0 or 1; or a
    folder of such tables, ``NAME.csv`` for the images in ``folder/NAME``, as MLRSNet comes.
    """

    name: str | None = None
    folder: str | None = None
    labels: str | None = Field(default=None, description="CSV, or folder of CSVs: several labels per image")
    train: str | None = Field(default=None, description="text file: the images that train, one a line")
    test: str | None = Field(default=None, description="text file: the images that are tested, one a line")
    bands: Annotated[list[Positive], Field(min_length=3, max_length=3)] | None = None
    white: Annotated[float, Field(gt=0)] | None = None
    simulated: Literal["survey", "satellite"] | None = Field(default=None, description="the look of simulated images")
    images: Positive = Field(default=100, description="simulated ones of each kind")
    first: Count = Field(default=0, description="number of the first simulated image: sets that overlap share images")
    side: Annotated[int, Field(ge=16)] = 64
    multilabel: bool = Field(default=False, description="simulated: what is in sight, in place of the kind")

    @model_validator(mode="after")
    def one_origin(self) -> Self:
        if (self.folder is None) == (self.simulated is None):
            raise ValueError("give either folder or simulated")
        foreign = (
            ("labels", "train", "test", "bands", "white")
            if self.simulated
            else ("images", "first", "side", "multilabel")
        )
        if wrong := [key for key in foreign if key in self.model_fields_set and getattr(self, key) is not None]:
            raise ValueError(f"{wrong[0]} goes with {'folder' if self.simulated else 'simulated'}; leave it out here")
        if (self.train is None) != (self.test is None):
            raise ValueError("train and test lists belong together; give both or neither")
        return self


@dataclass(frozen=True)
class Images:
    """Images that have been listed but not read.

    Args:
        name: Of the set.
        kind: ``real`` or ``simulated``.
        names: Of the images.
        labels: (n,) class numbers from 0, (n, L) zeros and ones, or None.
        classes: Names of classes or labels.
        digests: (n,) hashes of the files' contents: equal for copies.
        load: Number -> (H, W, 3) uint8.
        given: Numbers of the images that train and that are tested, where lists say.
    """

    name: str
    kind: str
    names: tuple[str, ...]
    labels: np.ndarray | None
    classes: tuple[str, ...]
    digests: np.ndarray
    load: Callable[[int], np.ndarray]
    given: tuple[np.ndarray, np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self.names)

    @property
    def multilabel(self) -> bool:
        return self.labels is not None and self.labels.ndim == 2

    @property
    def digest(self) -> str:
        """Hash of contents and labels, whatever the names."""
        return data_hash(self.digests, self.labels)


def open_images(source: ImageSet, seed: int = 0) -> Images:
    """List a set of images.

    Args:
        source: What the recipe says.
        seed: Of simulated images.

    Raises:
        InputError: A folder, list or table is missing, empty or names what isn't there.
    """
    if source.simulated is not None:
        return _simulated(source, seed)
    assert source.folder is not None
    folder = Path(source.folder).expanduser()
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder of images")
    if source.labels is not None:
        listed: tuple[list[str], np.ndarray | None, tuple[str, ...]]
        listed = _tables(folder, Path(source.labels).expanduser())
    else:
        listed = _folders(folder)
    names, labels, classes = listed
    files = [folder / name for name in names]
    return Images(
        source.name or folder.name,
        "real",
        tuple(names),
        labels,
        classes,
        np.array([sha256(file)[:24] for file in files]),
        lambda number: read_image(files[number], source.bands, source.white),
        None if source.train is None or source.test is None else _given(source.train, source.test, names),
    )


def _simulated(source: ImageSet, seed: int) -> Images:
    assert source.simulated is not None
    numbers = range(source.first, source.first + source.images)
    names = [(kind, number) for kind in KINDS for number in numbers]
    made = [simulate_image(kind, n, look=source.simulated, seed=seed, side=source.side) for kind, n in names]
    pictures = [picture for picture, _ in made]
    kinds = np.repeat(np.arange(len(KINDS)), source.images)
    name = source.name or source.simulated
    return Images(
        name if name.startswith("simulated") else f"simulated {name}",
        "simulated",
        tuple(f"{kind}-{number}" for kind, number in names),
        np.stack([visible for _, visible in made]) if source.multilabel else kinds,
        LABELS if source.multilabel else KINDS,
        np.array([hashlib.sha256(picture.tobytes()).hexdigest()[:24] for picture in pictures]),
        pictures.__getitem__,
    )


def _is_image(file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES and file.is_file() and not file.name.startswith(".")


def _folders(folder: Path) -> tuple[list[str], np.ndarray | None, tuple[str, ...]]:
    """Images by class folder; of a folder without folders all images, without labels."""
    loose = sorted(file.name for file in folder.iterdir() if _is_image(file))
    inner = sorted(place for place in folder.iterdir() if place.is_dir() and not place.name.startswith("."))
    if not inner:
        if not loose:
            raise InputError(f"{folder}: holds neither class folders nor images ({', '.join(SUFFIXES)})")
        return loose, None, ()
    if loose:
        raise InputError(f"{folder}: {loose[0]} lies beside the class folders; move it into its class")
    classes = [place.name for place in inner]
    numbers = {name: number for number, name in enumerate(classes)}
    samples = make_dataset(folder, numbers, is_valid_file=lambda file: _is_image(Path(file)), allow_empty=True)
    labels = np.array([label for _, label in samples], dtype=np.int64)
    if (empty := np.bincount(labels, minlength=len(classes)) == 0).any():
        place = inner[int(empty.argmax())]
        raise InputError(f"{place}: this class holds no image ({', '.join(SUFFIXES)}); fill or remove it")
    return [Path(file).relative_to(folder).as_posix() for file, _ in samples], labels, tuple(classes)


def _tables(folder: Path, labels: Path) -> tuple[list[str], np.ndarray, tuple[str, ...]]:
    """Files and labels of one table, or of a table per folder."""
    tables = sorted(labels.glob("*.csv")) if labels.is_dir() else [labels]
    if not tables:
        raise InputError(f"{labels}: holds no .csv with labels")
    names: list[str] = []
    rows: list[list[int]] = []
    heads: list[str] | None = None
    for table in tables:
        within = f"{table.stem}/" if labels.is_dir() else ""
        columns, entries = _table(table)
        heads = heads or columns
        if columns != heads:
            raise InputError(
                f"{table}: its labels are not those of {tables[0].name}; give all tables the same columns"
            )
        for line, (name, marks) in enumerate(entries, 2):
            if not (folder / within / name).is_file():
                raise InputError(f"{table}: line {line} names {within}{name}, which is not in {folder}")
            names.append(within + name)
            rows.append(marks)
    if len(set(names)) < len(names):
        double = next(name for name in names if names.count(name) > 1)
        raise InputError(f"{labels}: {double} is listed twice")
    assert heads is not None
    return names, np.array(rows, dtype=np.uint8), tuple(heads)


def _table(path: Path) -> tuple[list[str], list[tuple[str, list[int]]]]:
    """Names of the labels, and per image its file and zeros and ones."""
    try:
        lines = list(csv.reader(path.read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{path}: can't be read as a table of labels ({reason})") from None
    lines = [[cell.strip() for cell in line] for line in lines if any(cell.strip() for cell in line)]
    if len(lines) < 2 or len(lines[0]) < 2:
        raise InputError(f"{path}: needs a heading (file, then the labels) and a line per image")
    entries = []
    for number, line in enumerate(lines[1:], 2):
        if len(line) != len(lines[0]) or not set(line[1:]) <= {"0", "1"}:
            raise InputError(f"{path}: line {number} must hold a file and {len(lines[0]) - 1} labels, each 0 or 1")
        entries.append((line[0], [int(cell) for cell in line[1:]]))
    return lines[0][1:], entries


def _given(train: str, test: str, names: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the images in both lists."""
    known = {name: number for number, name in enumerate(names)}
    sides = []
    for path in (Path(train).expanduser(), Path(test).expanduser()):
        try:
            lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not a UTF-8 text"
            raise InputError(f"{path}: can't read the list of images ({reason})") from None
        if missing := [line for line in lines if line not in known]:
            raise InputError(
                f"{path}: names {missing[0]}, which is none of the set's images; write them as CLASS/FILE"
            )
        if not lines:
            raise InputError(f"{path}: the list of images is empty")
        sides.append(np.array(sorted({known[line] for line in lines})))
    if (both := np.intersect1d(sides[0], sides[1])).size:
        raise InputError(f"{train} and {test}: {names[both[0]]} is in both; an image is on one side only")
    return sides[0], sides[1]
