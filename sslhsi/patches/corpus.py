"""A prepared corpus: scenes in one spectral space, memory-mapped, with a manifest; patches are windows into it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sslhsi.bands.projector import SpectralProjector
from sslhsi.errors import InputError
from sslhsi.patches.windows import window_positions
from sslhsi.recipe import Patches

FORMAT = 1


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
        self.spread = np.asarray(self.manifest["spread"], dtype=np.float32)

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
        return len(self.spread)

    def windows(self, patches: Patches, held: bool = False, stride: int | None = None) -> np.ndarray:
        """All windows that touch no held-out pixel; with ``held``, those that lie in held-out ground alone.

        Returns:
            (n, 3) int32: scene number, row and column of the top-left corner.

        Raises:
            InputError: A domain offers no window for pretraining.
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
            )
            found.append(np.column_stack([np.full(len(corners), number, np.int32), corners]))
        windows = np.concatenate(found).astype(np.int32)
        if not held:
            offered = {self.scenes[s].domain for s in np.unique(windows[:, 0])}
            wanted = {s.domain for s in self.scenes if not s.held.all()}
            if missing := sorted(wanted - offered):
                size = patches.window
                raise InputError(
                    f"domain {missing[0]!r} offers no {size}x{size} window with {patches.min_foreground:.0%} "
                    "foreground; lower corpus.patches.window or min_foreground, or leave the domain out"
                )
        return windows

    def domain_numbers(self, windows: np.ndarray) -> np.ndarray:
        """(n,) number of each window's domain in ``domains``."""
        of_scene = np.array([self.domains.index(s.domain) for s in self.scenes])
        return of_scene[windows[:, 0]]


class PatchReader:
    """Windows of a corpus as tensors.

    Scenes are held as one (pixels, K) float16 tensor on the device where they fit, so that a batch is one
    gather of contiguous spectra; otherwise they stay memory-mapped on disk.

    Args:
        corpus: The corpus.
        window: Side of a patch.
        margin: Pixels added on every side, reflected at the scene's border.
        device: Where the patches shall be.
        resident: Hold the corpus on the device; None decides by its size.
    """

    def __init__(
        self,
        corpus: Corpus,
        window: int,
        margin: int = 0,
        device: torch.device | str = "cpu",
        resident: bool | None = None,
    ) -> None:
        self.corpus, self.window, self.margin = corpus, window, margin
        self.device = torch.device(device)
        sizes = [s.components.shape[:2] for s in corpus.scenes]
        self.heights, self.widths = torch.tensor(sizes).T
        pixels = self.heights * self.widths
        self.bases = torch.cumsum(pixels, 0) - pixels
        need = int(pixels.sum()) * corpus.channels * 2
        if resident is None:
            resident = need <= _free_memory(self.device) // 2
        self.pixels: Tensor | None = None
        if resident:
            self.pixels = torch.empty(int(pixels.sum()), corpus.channels, dtype=torch.float16)
            for base, count, scene in zip(self.bases.tolist(), pixels.tolist(), corpus.scenes, strict=True):
                rows = np.asarray(scene.components).reshape(-1, corpus.channels)
                self.pixels[base : base + count] = torch.from_numpy(rows)
            self.pixels = self.pixels.to(self.device)

    def __call__(self, windows: np.ndarray) -> Tensor:
        """(n, 3) windows -> (n, K, S, S) float32 with S = window + 2 x margin."""
        return self._read(windows, self.margin)

    def without_margin(self, windows: np.ndarray) -> Tensor:
        """(n, 3) windows -> (n, K, window, window) float32."""
        return self._read(windows, 0)

    def _read(self, windows: np.ndarray, margin: int) -> Tensor:
        where = torch.from_numpy(np.ascontiguousarray(windows, dtype=np.int64))
        scene, size = where[:, 0], self.window + 2 * margin
        steps = torch.arange(size) - margin
        rows = _reflect(where[:, 1:2] + steps, self.heights[scene][:, None])
        columns = _reflect(where[:, 2:3] + steps, self.widths[scene][:, None])
        index = rows[:, :, None] * self.widths[scene][:, None, None] + columns[:, None, :]
        shape = (len(where), size, size, self.corpus.channels)
        if self.pixels is not None:
            flat = (index + self.bases[scene][:, None, None]).flatten().to(self.device)
            return self.pixels.index_select(0, flat).view(shape).permute(0, 3, 1, 2).float()
        out = torch.empty(shape, dtype=torch.float16)
        for number in scene.unique().tolist():
            mine = scene == number
            stored = self.corpus.scenes[number].components.reshape(-1, self.corpus.channels)
            out[mine] = torch.from_numpy(stored[index[mine].numpy()])
        return out.to(self.device).permute(0, 3, 1, 2).float()

    def black(self, windows: np.ndarray) -> Tensor:
        """(n, K) components of a spectrum of zeros in each window's scene."""
        table = torch.from_numpy(np.stack([s.black for s in self.corpus.scenes]))
        return table[torch.from_numpy(windows[:, 0].astype(np.int64))].to(self.device)


def _reflect(index: Tensor, length: Tensor) -> Tensor:
    """Mirror indices into 0..length-1 without repeating the edge, as often as needed."""
    period = (2 * (length - 1)).clamp(min=1)
    index = index.remainder(period)
    return torch.where(index >= length, period - index, index).clamp(max=length - 1)


def _free_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        fields = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        return int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return 4 << 30
