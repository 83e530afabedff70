"""Where things lie in a simulated scene: shapes stamped one over another, nearest last."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

# A shape takes local coordinates (u along its axis, v across; pixels) and returns what is inside and its
# height in pixels, whose slope makes the shading.
Shape = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]

# A, C, E, H, I, L, N, O, R, S, T, U: five rows of three strokes each.
_LETTERS = np.array(
    [
        [[int(stroke) for stroke in row] for row in letter.split()]
        for letter in (
            "010 101 111 101 101",
            "011 100 100 100 011",
            "111 100 110 100 111",
            "101 101 111 101 101",
            "111 010 010 010 111",
            "100 100 100 100 111",
            "110 101 101 101 101",
            "111 101 101 101 111",
            "110 101 110 101 101",
            "011 100 010 001 110",
            "111 010 010 010 010",
            "101 101 101 101 111",
        )
    ],
    dtype=bool,
)


@dataclass
class Canvas:
    """The scene while it is laid out. ``object`` 0 is the tray; ``kinds[i]`` is the class of object i."""

    height: int
    width: int
    kinds: list[int] = field(default_factory=lambda: [0])

    def __post_init__(self) -> None:
        self.object = np.zeros((self.height, self.width), dtype=np.int32)
        self.relief = np.zeros((self.height, self.width), dtype=np.float32)
        self.shadow = np.ones((self.height, self.width), dtype=np.float32)
        self.gloss = np.zeros((self.height, self.width), dtype=np.float32)

    @property
    def cover(self) -> float:
        """Share of the frame that objects cover."""
        return float((self.object > 0).mean())

    def new(self, kind: int) -> int:
        """A new object of class ``kind`` (1, 2, ...); returns its number."""
        self.kinds.append(kind)
        return len(self.kinds) - 1

    def stamp(
        self,
        number: int,
        centre: tuple[float, float],
        reach: float,
        angle: float,
        shape: Shape,
        *,
        gloss: float = 0.0,
        drop: float = 0.35,
        onto: int | None = None,
    ) -> None:
        """Draw ``shape`` of object ``number`` around ``centre`` (row, column).

        Args:
            number: From ``new``.
            centre: Row and column, may lie outside the frame.
            reach: Nothing of the shape is further from the centre than this, in pixels.
            angle: Direction of u, radians.
            shape: The shape.
            gloss: Strength of the specular reflection.
            drop: Depth of the shadow it throws on what lies beneath.
            onto: Draw only where this object already is (paint on a sherd, ink on a sheet).
        """
        top, left = max(0, int(centre[0] - reach)), max(0, int(centre[1] - reach))
        bottom = min(self.height, int(centre[0] + reach) + 2)
        right = min(self.width, int(centre[1] + reach) + 2)
        if top >= bottom or left >= right:
            return
        rows, columns = np.mgrid[top:bottom, left:right].astype(np.float32)
        window = (slice(top, bottom), slice(left, right))
        allowed = True if onto is None else self.object[window] == onto
        cos, sin = np.cos(angle), np.sin(angle)

        def local(offset: float) -> tuple[np.ndarray, np.ndarray]:
            y, x = rows - centre[0] - offset, columns - centre[1] - offset
            return x * cos + y * sin, y * cos - x * sin

        if drop:
            shaded, _ = shape(*local(1.7))
            self.shadow[window][shaded & allowed] *= 1 - drop
        inside, height = shape(*local(0.0))
        inside = inside & allowed
        below = self.object[window].copy()
        self.object[window][inside] = number
        if onto is None:
            beneath = inside & (below != number)
            level = self.relief[window][beneath].mean() if beneath.any() else 0.0
            self.relief[window][inside] = level + height[inside]
            self.shadow[window][inside] = 1.0
            self.gloss[window][inside] = gloss


def ellipse(a: float, b: float, *, crease: float = 0.0, dome: float = 1.0) -> Shape:
    """A domed ellipse of half axes a (along u) and b; ``crease`` cuts a groove along u (a coffee bean)."""

    def shape(u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        r2 = (u / a) ** 2 + (v / b) ** 2
        height = dome * b * np.sqrt(np.maximum(1 - r2, 0))
        if crease:
            wave = 0.12 * b * np.sin(3 * u / a)
            height = height - crease * b * np.exp(-(((v - wave) / (0.16 * b)) ** 2))
        return r2 <= 1, height

    return shape


def leaf(length: float, width: float) -> Shape:
    """A pointed leaf along u with a raised midrib and side veins."""

    def shape(u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        t = u / length
        half = width * np.maximum(1 - t**2, 0) * (1 - 0.25 * t)
        veins = 0.25 * np.cos(2 * np.pi * (u - np.abs(v)) / 4.5)
        height = 0.5 * np.exp(-((v / 0.8) ** 2)) + veins - 0.12 * np.abs(v)
        return (np.abs(v) <= half) & (np.abs(t) <= 1), height

    return shape


def rectangle(a: float, b: float, *, thickness: float = 0.0) -> Shape:
    """A flat rectangle of half sides a and b."""

    def shape(u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        edge = np.minimum(a - np.abs(u), b - np.abs(v))
        return edge >= 0, np.clip(edge, 0, 1.5) * thickness

    return shape


def lobed_leaf(radius: float) -> Shape:
    """A vine leaf: five lobes, toothed, with a raised vein in each and ribs between."""

    def shape(u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        theta, r = np.arctan2(v, u), np.hypot(u, v)
        limit = radius * (0.78 + 0.17 * np.cos(5 * theta) + 0.07 * np.cos(theta) + 0.03 * np.cos(31 * theta))
        aside = r * np.sin(np.mod(theta + np.pi / 5, 2 * np.pi / 5) - np.pi / 5)
        ribs = 0.3 * np.cos(2 * np.pi * (r - 1.2 * np.abs(aside)) / 6.0)
        return r <= limit, 0.9 * np.exp(-((aside / 1.1) ** 2)) + ribs - 0.05 * np.abs(aside)

    return shape


def writing(a: float, b: float, cell: float, rng: np.random.Generator) -> Shape:
    """Lines of block letters between -a and a along u, lines from -b to b across; ``cell`` pixels a stroke."""
    lines, length = max(1, int(2 * b / (8 * cell))), max(4, int(2 * a / (4 * cell)))
    letters = rng.integers(0, len(_LETTERS), (lines, length))
    page = np.zeros((lines, 8, length, 4), dtype=bool)
    page[:, :5, :, :3] = _LETTERS[letters].transpose(0, 2, 1, 3)
    gaps = rng.random((lines, length)) < 0.16
    gaps[np.arange(length) >= length - rng.integers(0, length // 2, (lines, 1)) * (rng.random((lines, 1)) < 0.3)] = 1
    page[np.broadcast_to(gaps[:, None, :, None], page.shape)] = False
    grid = page.reshape(8 * lines, 4 * length)

    def shape(u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        row, column = np.floor((v + b) / cell).astype(int), np.floor((u + a) / cell).astype(int)
        on = (row >= 0) & (row < grid.shape[0]) & (column >= 0) & (column < grid.shape[1])
        inked = grid[np.clip(row, 0, grid.shape[0] - 1), np.clip(column, 0, grid.shape[1] - 1)]
        return on & inked, np.zeros_like(u)

    return shape


def ring(radius: float, thickness: float) -> Shape:
    """A flat ring: a stamp on a sheet."""

    def shape(u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.abs(np.hypot(u, v) - radius) <= thickness, np.zeros_like(u)

    return shape


def stripes(period: float, width: float, phase: float) -> Shape:
    """Bands across v, everywhere: painted decoration."""

    def shape(u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.mod(v + phase, period) < width, np.zeros_like(u)

    return shape


def fragment(
    radius: float, rng: np.random.Generator, *, roughness: float = 0.16, corners: int = 0, rise: float = 0.9
) -> Shape:
    """An irregular piece: a circle roughened by harmonics, or a broken polygon when ``corners`` > 2.

    Its edge rises by ``rise`` pixels a pixel.
    """
    orders = np.arange(2, 7)
    amplitude = roughness * rng.normal(size=orders.size) / orders**0.7
    phase = rng.uniform(0, 2 * np.pi, orders.size)
    sides = np.sort(rng.uniform(0, 2 * np.pi, corners)) if corners > 2 else None
    reach = rng.uniform(0.55, 1.0, corners) if corners > 2 else None

    def shape(u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        theta, r = np.arctan2(v, u), np.hypot(u, v)
        limit = radius * (1 + (amplitude * np.cos(orders * theta[..., None] + phase)).sum(-1))
        if sides is not None and reach is not None:
            away = np.cos(theta[..., None] - sides)
            limit = np.minimum(limit, (radius * reach / np.maximum(away, 1e-3)).min(-1))
        edge = np.clip(limit - r, 0, None)
        return r <= limit, rise * np.minimum(edge, 0.35 * radius)

    return shape
