"""Land and water from above, as simulated scene images paint it: what covers it, and how a camera sees it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, zoom

# What may be in sight: the labels of the multi-label task. Colours are red, green, blue in 0..1, the spread of
# the cover's brightness, and the scale of its texture in pixels of a 64-pixel image.
_GROUND: dict[str, tuple[tuple[float, float, float], float, float]] = {
    "water": ((0.13, 0.24, 0.30), 0.06, 3.0),
    "trees": ((0.16, 0.27, 0.13), 0.20, 0.8),
    "grass": ((0.34, 0.44, 0.22), 0.08, 1.6),
    "soil": ((0.52, 0.42, 0.30), 0.10, 2.2),
    "sand": ((0.78, 0.70, 0.54), 0.05, 3.0),
    "crops": ((0.40, 0.46, 0.20), 0.06, 1.0),
    "buildings": ((0.56, 0.48, 0.44), 0.04, 5.0),
    "pavement": ((0.45, 0.45, 0.46), 0.04, 1.2),
    "cars": ((0.62, 0.60, 0.62), 0.03, 2.0),
    "boats": ((0.86, 0.86, 0.84), 0.03, 2.0),
    "tanks": ((0.84, 0.84, 0.80), 0.02, 5.0),
    "planes": ((0.90, 0.90, 0.92), 0.02, 5.0),
}
LABELS: tuple[str, ...] = tuple(_GROUND)
_TALL = {"trees": 1.2, "buildings": 2.2, "tanks": 2.0, "planes": 1.0, "cars": 0.5}  # pixels of shadow
_LEAST = 0.004  # share of the image from which something counts as in sight


@dataclass(frozen=True)
class Look:
    """How a camera sees a place: season, light and optics."""

    scale: float  # size of objects
    dry: float  # 0 green, 1 straw
    blur: float  # pixels of a 64-pixel image
    haze: float  # share of white light
    noise: float
    gamma: float
    cast: tuple[float, float, float]  # gain of red, green and blue
    sun: tuple[float, float]  # direction of shadows, rows and columns


LOOKS: dict[str, Look] = {
    "survey": Look(1.0, 0.0, 0.35, 0.02, 0.012, 1.0, (1.0, 1.0, 1.0), (0.7, 0.7)),
    "satellite": Look(0.72, 0.65, 0.75, 0.16, 0.03, 1.25, (1.08, 0.96, 0.82), (-0.4, 0.9)),
}


class Canvas:
    """An image in the making: colours, and what covers each pixel."""

    def __init__(self, side: int, look: Look, rng: np.random.Generator) -> None:
        self.side, self.look, self.rng = side, look, rng
        self.pixels = side / 64  # pixels of a 64-pixel image
        self.image = np.zeros((side, side, 3))
        self.cover = np.full((side, side), -1)
        rows, columns = np.indices((side, side)) + 0.5
        self.y, self.x = rows / side, columns / side

    def uniform(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def field(self, scale: float) -> np.ndarray:
        """(side, side) smooth noise of unit variance, correlated over ``scale`` pixels of a 64-pixel image."""
        step = max(1.0, scale * self.pixels / 1.5)
        coarse = self.rng.standard_normal((int(self.side / step) + 4,) * 2)
        smooth = gaussian_filter(coarse, min(1.5, scale * self.pixels), mode="wrap")
        big = zoom(smooth, step, order=1)[: self.side, : self.side]
        return (big - big.mean()) / (big.std() + 1e-9)

    def paint(self, mask: np.ndarray, what: str, tint: float = 0.06) -> None:
        """Cover a mask with something, after the shadow that it throws."""
        colour, spread, scale = _GROUND[what]
        base = np.array(colour)
        if what in ("grass", "crops", "trees"):
            base = base + self.look.dry * (np.array([0.56, 0.48, 0.30]) - base) * (0.35 if what == "trees" else 0.8)
        base = base * np.exp(tint * self.rng.standard_normal(3))
        if tall := _TALL.get(what, 0.0):
            down, right = (round(tall * self.pixels * self.look.scale * 1.6 * part) for part in self.look.sun)
            shadow = np.roll(mask, (down, right), (0, 1)) & ~mask
            self.image[shadow] *= 0.55
        grain = 1 + spread * self.field(scale * self.look.scale)
        self.image[mask] = (base * grain[..., None])[mask]
        self.cover[mask] = LABELS.index(what)

    def turned(self, angle: float, y: float = 0.5, x: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
        """(side, side) coordinates about a point, the image's middle, across and along a direction."""
        down, right = self.y - y, self.x - x
        return down * np.cos(angle) + right * np.sin(angle), right * np.cos(angle) - down * np.sin(angle)

    def blob(self, y: float, x: float, radius: float, rough: float = 0.25) -> np.ndarray:
        """An irregular patch around a point; lengths in image sides."""
        away = np.hypot(self.y - y, self.x - x)
        return away < radius * (1 + rough * self.field(7.0) * 0.5)

    def disc(self, y: float, x: float, radius: float) -> np.ndarray:
        return np.hypot(self.y - y, self.x - x) < radius

    def box(self, y: float, x: float, height: float, width: float, angle: float) -> np.ndarray:
        """A turned rectangle of half sides ``height`` and ``width``."""
        u, v = self.turned(angle, y, x)
        return (np.abs(u) < height) & (np.abs(v) < width)

    def band(self, width: float, angle: float, offset: float = 0.0, bend: float = 0.0) -> np.ndarray:
        """A strip across the image, straight or winding."""
        u, v = self.turned(angle)
        phase = self.uniform(0, 2 * np.pi)
        return np.abs(u - offset - bend * np.sin(self.uniform(4, 7) * v + phase)) < width

    def scatter(self, what: str, count: int, radius: float, where: np.ndarray | None = None) -> None:
        """Small round things at random places of a mask."""
        mask, side = np.zeros_like(self.cover, dtype=bool), self.side
        for _ in range(count):
            y, x = self.rng.random(2)
            reach = radius * self.look.scale * self.uniform(0.7, 1.3)
            if where is None or where[int(y * side), int(x * side)]:
                near = tuple(slice(max(0, int((at - reach) * side)), int((at + reach) * side) + 1) for at in (y, x))
                mask[near] |= np.hypot(self.y[near] - y, self.x[near] - x) < reach
        if mask.any():
            self.paint(mask, what)

    def ranks(self, what: str, step: tuple[float, float], size: tuple[float, float], angle: float, on: str) -> None:
        """Things in ranks and files wherever ``on`` is the cover, some places left empty.

        Args:
            what: They are.
            step: From one to the next, across and along the ranks, in image sides.
            size: Half sides.
            angle: Of the ranks.
            on: What they stand on.
        """
        u, v = (part / self.look.scale for part in self.turned(angle))
        row, column = np.floor(u / step[0]).astype(int), np.floor(v / step[1]).astype(int)
        off = np.abs(u - (row + 0.5) * step[0]) < size[0], np.abs(v - (column + 0.5) * step[1]) < size[1]
        number = (row - row.min()) * 1000 + column - column.min()
        cells, which = np.unique(number, return_inverse=True)
        which = which.reshape(number.shape)
        # A place is taken if nearly all that it covers is free: nothing stands half on a pier.
        thing = off[0] & off[1]
        free = np.bincount(which[thing], weights=self.cover[thing] == LABELS.index(on), minlength=cells.size)
        whole = np.bincount(which[thing], minlength=cells.size)
        taken = (free >= 0.95 * whole) & (self.rng.random(cells.size) < 0.75)
        colours = self.rng.uniform(0.15, 0.95, (cells.size, 1)) + 0.12 * self.rng.standard_normal((cells.size, 3))
        mask = thing & taken[which]
        if mask.any():
            self.paint(mask, what)
            if what == "cars":
                self.image[mask] = np.clip(colours, 0.05, 1)[which[mask]]

    def finish(self) -> np.ndarray:
        """(side, side, 3) uint8 as the camera gives it."""
        look, image = self.look, np.clip(self.image, 0.01, 1.2)
        image = gaussian_filter(image, (look.blur * self.pixels, look.blur * self.pixels, 0))
        image = image * np.array(look.cast) * self.uniform(0.88, 1.12)
        image = np.clip(image, 0, 1) ** look.gamma * (1 - look.haze) + 0.8 * look.haze
        image = image + look.noise * self.rng.standard_normal(image.shape)
        return np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8)

    @property
    def labels(self) -> np.ndarray:
        """(labels,) zeros and ones: what is in sight."""
        share = np.bincount(self.cover.ravel() + 1, minlength=len(LABELS) + 1)[1:] / self.cover.size
        return (share >= _LEAST).astype(np.uint8)
