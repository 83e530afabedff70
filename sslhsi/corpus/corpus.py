"""A prepared corpus: scenes in one spectral space, memory-mapped, with a manifest; patches are windows into it.

It is self-contained: besides what pretraining reads it keeps, of labelled scenes, all that judging needs, so that the
raw files may be elsewhere by then.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from sslhsi.bands.projection import Projection
from sslhsi.bands.projector import load_projection
from sslhsi.corpus.windows import window_positions
from sslhsi.errors import InputError
from sslhsi.recipe import Patches

FORMAT = 3


class SceneRecord(BaseModel):
    """What the manifest says of a scene.

    Args:
        file: Its arrays are FILE.components.npy, FILE.mask.npy and so on.
        name, domain, sensor: As in :class:`~sslhsi.scenes.scene.Scene`.
        kind: ``real``, ``8-bit real``, ``simulated`` or ``stand-in``.
        site: Scenes that show the same place bear the same; None where the recipe names none.
        source: The file, or what was simulated.
        hash: Of all that the scene was made from: settings, files, the simulator's code.
        data: Hash of cube and labels, as rows of results name it; empty without labels.
        shape: Of the cube: height, width, bands.
        wavelengths: (B,) nm, or None.
        classes: Class names; ``classes[i]`` is the name of label ``i + 1``.
        foreground, held: Shares of the pixels that are foreground, and that are held out of pretraining.
        zero_spectrum: (K,) components of a spectrum of zeros.
        notes: What was assumed, converted, masked and left out when it was read, and the pixels of each class.
    """

    model_config = ConfigDict(frozen=True)

    file: str
    name: str
    domain: str
    sensor: str
    kind: str
    site: str | None
    source: str
    hash: str
    data: str
    shape: tuple[int, int, int]
    wavelengths: list[float] | None
    labelled: bool
    classes: list[str]
    foreground: float
    held: float
    zero_spectrum: list[float]
    notes: list[str] = []

    @property
    def held_out(self) -> bool:
        """Whether the whole scene is held out of pretraining."""
        return self.held == 1


class Manifest(BaseModel):
    """manifest.json.

    Args:
        format: Of the folder.
        key: Hash of all that the corpus depends on.
        projector: ``Projection.state()``.
        component_spread: (K,) what augmentations are multiples of: each component's spread over the corpus, or
            that of its noise where noise has been whitened to one.
        scenes: One record each, in the recipe's order.
    """

    model_config = ConfigDict(frozen=True)

    format: int
    key: str
    projector: dict[str, Any]
    component_spread: list[float]
    scenes: list[SceneRecord]


@dataclass(frozen=True)
class PreparedScene:
    """One scene of a corpus; arrays are memory-mapped.

    Args:
        record: What the manifest says of it.
        components: (H, W, K) float16, in network units.
        mask: (H, W) booleans, True = foreground.
        held: (H, W) booleans, True = held out of pretraining.
        labels: (H, W) integers, 0 = unlabelled, or None.
        spectra: (n, B) raw spectra of the labelled pixels in the cube's own dtype, row by row as
            ``np.argwhere(labels > 0)`` lists them; None without labels.
    """

    record: SceneRecord
    components: np.ndarray
    mask: np.ndarray
    held: np.ndarray
    labels: np.ndarray | None
    spectra: np.ndarray | None

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def domain(self) -> str:
        return self.record.domain

    @property
    def wavelengths(self) -> np.ndarray | None:
        """(B,) nm, or None."""
        return None if self.record.wavelengths is None else np.array(self.record.wavelengths, dtype=np.float64)


class Corpus:
    """Open the folder that ``prepare`` wrote.

    Args:
        folder: The folder.
        skipped: Notes on files that the recipe's paths match and that are no scenes.

    Raises:
        InputError: The folder holds no corpus, or one of another format.
    """

    def __init__(self, folder: str | Path, skipped: Sequence[str] = ()) -> None:
        self.folder, self.skipped = Path(folder), tuple(skipped)
        try:
            text = (self.folder / "manifest.json").read_text()
            prepared_as = json.loads(text).get("format")
        except (OSError, ValueError, AttributeError):
            raise InputError(f"{self.folder}: no prepared corpus here; run sslhsi prepare RECIPE") from None
        if prepared_as != FORMAT:
            raise InputError(f"{self.folder}: prepared by another version; run sslhsi prepare RECIPE again")
        try:
            self.manifest = Manifest.model_validate_json(text)
        except ValidationError as error:
            where = ".".join(map(str, error.errors()[0]["loc"]))
            raise InputError(
                f"{self.folder}/manifest.json: {where} is damaged; delete {self.folder} and prepare again"
            ) from None
        self.key = self.manifest.key
        self.scenes = [self._open(record) for record in self.manifest.scenes]
        self.domains: list[str] = sorted({s.domain for s in self.scenes})
        self.component_spread = np.asarray(self.manifest.component_spread, dtype=np.float32)

    def _open(self, record: SceneRecord) -> PreparedScene:
        def load(part: str) -> np.ndarray:
            path = self.folder / f"{record.file}.{part}.npy"
            try:
                return np.load(path, mmap_mode="r", allow_pickle=False)
            except (OSError, ValueError) as error:
                raise InputError(f"{path}: damaged ({error}); delete {self.folder} and prepare again") from None

        return PreparedScene(
            record,
            load("components"),
            load("mask"),
            load("held"),
            load("labels") if record.labelled else None,
            load("spectra") if record.labelled else None,
        )

    @cached_property
    def projector(self) -> Projection:
        return load_projection(self.folder)

    @property
    def notes(self) -> list[str]:
        """What was passed over, and the notes of every scene, in order."""
        return [*self.skipped, *(line for scene in self.scenes for line in scene.record.notes)]

    @property
    def channels(self) -> int:
        """K."""
        return len(self.component_spread)

    def windows(self, patches: Patches, held: bool = False, stride: int | None = None) -> np.ndarray:
        """All windows that touch no held-out pixel; with ``held``, those that lie in held-out pixels alone.

        Corners lie on a grid of the stride, which starts at the scene's first pixel or, with ``held``, at
        that of the held-out part.

        Returns:
            (n, 3) int32: scene number, row and column of the top-left corner.

        Raises:
            InputError: A domain offers no window for pretraining (at the recipe's own stride).
        """
        parts = []
        for number, scene in enumerate(self.scenes):
            corners = window_positions(
                np.asarray(scene.mask),
                ~np.asarray(scene.held) if held else np.asarray(scene.held),
                window=patches.window,
                stride=stride or patches.stride,
                min_foreground=patches.min_foreground,
                border=patches.border,
                from_first=held,
            )
            parts.append(np.column_stack([np.full(len(corners), number, np.int32), corners]))
        windows = np.concatenate(parts).astype(np.int32)
        if not held and stride is None:
            offered = {self.scenes[s].domain for s in np.unique(windows[:, 0])}
            wanted = {s.domain for s in self.scenes if not s.held.all()}
            if missing := sorted(wanted - offered):
                size = patches.window
                raise InputError(
                    f"domain {missing[0]!r} offers no {size}x{size} window with {patches.min_foreground:.0%} "
                    "foreground; lower corpus.patches.window or min_foreground, or leave the domain out"
                )
        return windows

    @property
    def arrays(self) -> list[np.ndarray]:
        """(H, W, K) components of each scene."""
        return [s.components for s in self.scenes]

    def zero_spectrum(self, windows: np.ndarray) -> np.ndarray:
        """(n, K) components of a spectrum of zeros in each window's scene."""
        return self._zero_spectra[windows[:, 0]]

    @cached_property
    def _zero_spectra(self) -> np.ndarray:
        return np.array([s.record.zero_spectrum for s in self.scenes], dtype=np.float32)

    def centre_labels(self, windows: np.ndarray, window: int, held: bool = False) -> np.ndarray:
        """(n,) class number of the pixel at each window's centre, row and column S // 2; -1 where it has none.

        Labels of held-out pixels, and so of all scenes that are held out, are never given unless ``held`` asks for
        them, to evaluate on; scenes that a recipe leaves out are no part of a corpus.
        """
        labels = np.full(len(windows), -1, dtype=np.int64)
        for number in np.unique(windows[:, 0]):
            scene, mine = self.scenes[number], windows[:, 0] == number
            if scene.labels is not None:
                row, column = windows[mine, 1:].T + window // 2
                known = scene.labels[row, column].astype(np.int64) - 1
                labels[mine] = known if held else np.where(scene.held[row, column], -1, known)
        return labels

    def domain_numbers(self, windows: np.ndarray) -> np.ndarray:
        """(n,) number of each window's domain in ``domains``."""
        of_scene = np.array([self.domains.index(s.domain) for s in self.scenes])
        return of_scene[windows[:, 0]]
