"""A prepared corpus: scenes in one spectral space, memory-mapped, with a manifest; patches are windows into it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from sslhsi.bands.projector import SpectralProjector
from sslhsi.corpus.windows import window_positions
from sslhsi.errors import InputError
from sslhsi.recipe import Patches

FORMAT = 2


@dataclass(frozen=True)
class PreparedScene:
    """One scene of a corpus; arrays are memory-mapped.

    ``components`` (H, W, K) float16 in network units, ``mask`` and ``held`` (H, W) booleans, ``labels``
    (H, W) integers or None, ``black`` (K,) components of a spectrum of zeros, ``entry`` its manifest entry.
    """

    name: str
    domain: str
    components: np.ndarray
    mask: np.ndarray
    held: np.ndarray
    labels: np.ndarray | None
    black: np.ndarray
    entry: dict[str, Any]


class Corpus:
    """Open the folder that ``prepare`` wrote.

    Raises:
        InputError: The folder holds no corpus, or one of another format.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        try:
            self.manifest: dict[str, Any] = json.loads((self.folder / "manifest.json").read_text())
        except (OSError, ValueError):
            raise InputError(f"{self.folder}: no prepared corpus here; run sslhsi prepare RECIPE") from None
        if self.manifest.get("format") != FORMAT:
            raise InputError(f"{self.folder}: prepared by another version; delete the folder and prepare again")
        self.key: str = self.manifest["key"]
        self.scenes = [self._open(entry) for entry in self.manifest["scenes"]]
        self.domains: list[str] = sorted({s.domain for s in self.scenes})
        self.unit = np.asarray(self.manifest["unit"], dtype=np.float32)

    def _open(self, entry: dict[str, Any]) -> PreparedScene:
        def load(part: str) -> np.ndarray:
            path = self.folder / f"{entry['file']}.{part}.npy"
            try:
                return np.load(path, mmap_mode="r", allow_pickle=False)
            except (OSError, ValueError) as error:
                raise InputError(f"{path}: damaged ({error}); delete {self.folder} and prepare again") from None

        return PreparedScene(
            entry["name"],
            entry["domain"],
            load("components"),
            load("mask"),
            load("held"),
            load("labels") if entry["labelled"] else None,
            np.asarray(entry["black"], dtype=np.float32),
            entry,
        )

    @cached_property
    def projector(self) -> SpectralProjector:
        return SpectralProjector.load(self.folder)

    @property
    def channels(self) -> int:
        """K."""
        return len(self.unit)

    def windows(self, patches: Patches, held: bool = False, stride: int | None = None) -> np.ndarray:
        """All windows that touch no held-out pixel; with ``held``, those that lie in held-out ground alone.

        Corners lie on a grid of the stride, which starts at the scene's first pixel or, with ``held``, at
        that of the held-out ground.

        Returns:
            (n, 3) int32: scene number, row and column of the top-left corner.

        Raises:
            InputError: A domain offers no window for pretraining (at the recipe's own stride).
        """
        found = []
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
            found.append(np.column_stack([np.full(len(corners), number, np.int32), corners]))
        windows = np.concatenate(found).astype(np.int32)
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

    def black(self, windows: np.ndarray) -> np.ndarray:
        """(n, K) components of a spectrum of zeros in each window's scene."""
        return np.stack([s.black for s in self.scenes])[windows[:, 0]]

    def domain_numbers(self, windows: np.ndarray) -> np.ndarray:
        """(n,) number of each window's domain in ``domains``."""
        of_scene = np.array([self.domains.index(s.domain) for s in self.scenes])
        return of_scene[windows[:, 0]]
