"""Windows of projected scenes as tensors, gathered on the device."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor


class PatchReader:
    """Cut windows out of scenes; windows that leave a scene are reflected at its border.

    Scenes are held as one (pixels, K) float16 tensor on the device where they fit, so that a batch is one
    gather of contiguous spectra; otherwise they stay memory-mapped on disk.

    Args:
        scenes: (H, W, K) components, one array per scene.
        window: Side of a patch.
        margin: Pixels added on every side.
        device: Where the patches shall be.
        resident: Hold the scenes on the device; None decides by their size.
    """

    def __init__(
        self,
        scenes: Sequence[np.ndarray],
        window: int,
        margin: int = 0,
        device: torch.device | str = "cpu",
        resident: bool | None = None,
    ) -> None:
        self.scenes, self.window, self.margin = list(scenes), window, margin
        self.device = torch.device(device)
        self.channels = self.scenes[0].shape[2]
        self.heights, self.widths = torch.tensor([s.shape[:2] for s in self.scenes]).T
        pixels = self.heights * self.widths
        self.bases = torch.cumsum(pixels, 0) - pixels
        if resident is None:
            resident = int(pixels.sum()) * self.channels * 2 <= _free_memory(self.device) // 2
        self.pixels: Tensor | None = None
        if resident:
            self.pixels = torch.empty(int(pixels.sum()), self.channels, dtype=torch.float16)
            for base, scene in zip(self.bases.tolist(), self.scenes, strict=True):
                rows = scene.reshape(-1, self.channels)
                self.pixels[base : base + len(rows)] = torch.tensor(rows)
            self.pixels = self.pixels.to(self.device)

    def __call__(self, windows: np.ndarray) -> Tensor:
        """(n, 3) scene, top row and left column -> (n, K, S, S) float32 with S = window + 2 x margin."""
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
        shape = (len(where), size, size, self.channels)
        if self.pixels is not None:
            flat = (index + self.bases[scene][:, None, None]).flatten().to(self.device)
            return self.pixels.index_select(0, flat).view(shape).permute(0, 3, 1, 2).float()
        out = torch.empty(shape, dtype=torch.float16)
        for number in scene.unique().tolist():
            mine = scene == number
            stored = self.scenes[number].reshape(-1, self.channels)
            out[mine] = torch.from_numpy(stored[index[mine].numpy()])
        return out.to(self.device).permute(0, 3, 1, 2).float()


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
