"""Simulated three-band scene images: a dozen kinds of places from above, by two cameras.

They stand where labelled scene images are at hand neither for reading nor for download: kinds of scenes differ
in layout and texture, not by colour, and what is in sight (water, trees, cars ...) makes a multi-label task.
The two looks differ in season, light, scale, sharpness, haze and noise. Always named simulated.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sslhsi.errors import InputError
from sslhsi.studies.adaptation.image_canvas import LABELS, LOOKS, Canvas


def _angle(c: Canvas) -> float:
    return c.uniform(0, np.pi)


def _base(c: Canvas, *choices: str) -> None:
    c.paint(np.ones_like(c.cover, dtype=bool), str(c.rng.choice(choices)))


def _some_trees(c: Canvas, chance: float = 0.6) -> None:
    if c.rng.random() < chance:
        land = ~np.isin(c.cover, [LABELS.index(w) for w in ("water", "pavement", "buildings", "planes", "tanks")])
        c.scatter("trees", int(c.rng.integers(6, 22)), 0.035, land)


def _airfield(c: Canvas) -> None:
    _base(c, "grass", "soil")
    angle = _angle(c)
    c.paint(c.band(0.06, angle, c.uniform(-0.25, 0.1)), "pavement")
    apron = c.band(0.13, angle, c.uniform(0.22, 0.32))
    c.paint(apron, "pavement")
    for along in np.arange(-0.4, 0.45, 0.27 * c.look.scale + 0.05):
        y = 0.5 + 0.27 * np.cos(angle) - along * np.sin(angle)
        x = 0.5 + 0.27 * np.sin(angle) + along * np.cos(angle)
        s = c.look.scale
        plane = c.box(y, x, 0.09 * s, 0.016 * s, angle) | c.box(y, x, 0.02 * s, 0.075 * s, angle)
        c.paint(plane, "planes")


def _beach(c: Canvas) -> None:
    _base(c, "water")
    angle, line = c.uniform(0, 2 * np.pi), c.uniform(-0.1, 0.15)
    u = c.turned(angle)[0] + 0.03 * c.field(6.0)
    c.paint(u > line, "sand")
    c.paint(u > line + c.uniform(0.18, 0.3), str(c.rng.choice(["grass", "soil"])))
    _some_trees(c)


def _forest(c: Canvas) -> None:
    _base(c, "grass", "soil")
    c.scatter("trees", int(c.rng.integers(160, 240) / c.look.scale), 0.045)
    if c.rng.random() < 0.4:
        c.paint(c.band(0.018, _angle(c), c.uniform(-0.3, 0.3), 0.05), "soil")


def _farmland(c: Canvas) -> None:
    _base(c, "grass")
    angle = _angle(c)
    u, v = c.turned(angle)
    for top in np.arange(-0.8, 0.8, 0.34 * c.look.scale + 0.08):
        for left in np.arange(-0.8, 0.8, 0.42 * c.look.scale + 0.1):
            plot = (
                (u > top)
                & (u < top + 0.3 * c.look.scale + 0.08)
                & (v > left)
                & (v < left + 0.4 * c.look.scale + 0.08)
            )
            if plot.any():
                c.paint(plot, str(c.rng.choice(["crops", "crops", "soil"])), 0.12)
                rows = np.sin(2 * np.pi * (u if c.rng.random() < 0.5 else v) / (0.055 * c.look.scale))
                c.image[plot] *= 1 + 0.16 * rows[plot][:, None]
    _some_trees(c, 0.3)


def _harbour(c: Canvas) -> None:
    _base(c, "water")
    angle = c.uniform(0, 2 * np.pi)
    u, v = c.turned(angle)
    quay = c.uniform(0.2, 0.35)
    c.paint(u > quay, "pavement")
    for pier in np.arange(-0.5, 0.6, 0.32 * c.look.scale + 0.06):
        c.paint((np.abs(v - pier) < 0.02) & (u > quay - 0.5) & (u <= quay), "pavement")
    c.ranks("boats", (0.11, 0.055), (0.038, 0.016), angle, "water")


def _housing(c: Canvas) -> None:
    _base(c, "grass")
    angle = _angle(c)
    step = 0.3 * c.look.scale
    for offset in np.arange(-0.7, 0.7, 2 * step):
        c.paint(c.band(0.022, angle, offset), "pavement")
    c.ranks("buildings", (0.3, 0.24), (0.055, 0.075), angle, "grass")
    _some_trees(c, 0.8)


def _industry(c: Canvas) -> None:
    _base(c, "pavement", "soil")
    angle = _angle(c)
    for _ in range(int(c.rng.integers(3, 6) / c.look.scale)):
        y, x = c.rng.random(2)
        c.paint(
            c.box(y, x, c.uniform(0.08, 0.2) * c.look.scale, c.uniform(0.1, 0.24) * c.look.scale, angle), "buildings"
        )
    c.paint(c.band(0.03, angle + np.pi / 2, c.uniform(-0.3, 0.3)), "pavement")
    _some_trees(c, 0.3)


def _lake(c: Canvas) -> None:
    _base(c, "grass", "soil")
    c.scatter("trees", int(c.rng.integers(20, 90)), 0.04)
    shore = c.blob(c.uniform(0.35, 0.65), c.uniform(0.35, 0.65), c.uniform(0.22, 0.34), 0.4)
    c.paint(shore, "water")
    if c.rng.random() < 0.3:
        c.scatter("boats", 6, 0.018, shore)


def _parking(c: Canvas) -> None:
    _base(c, "pavement")
    angle = _angle(c)
    if c.rng.random() < 0.4:
        c.paint(c.band(0.1, angle, c.uniform(0.35, 0.45)), "grass")
    c.ranks("cars", (0.13, 0.07), (0.042, 0.022), angle, "pavement")
    if c.rng.random() < 0.4:
        c.paint(c.box(c.uniform(0, 0.3), c.uniform(0, 1), 0.15, 0.2, angle), "buildings")


def _river(c: Canvas) -> None:
    _base(c, "grass", "soil")
    c.scatter("trees", int(c.rng.integers(10, 90)), 0.04)
    c.paint(c.band(c.uniform(0.05, 0.11), _angle(c), c.uniform(-0.15, 0.15), c.uniform(0.05, 0.12)), "water")


def _junction(c: Canvas) -> None:
    _base(c, "grass", "soil")
    angle = _angle(c)
    road = c.band(0.045, angle, c.uniform(-0.15, 0.15)) | c.band(
        0.04, angle + c.uniform(1.1, 2.0), c.uniform(-0.15, 0.15)
    )
    if c.rng.random() < 0.5:
        ring = np.hypot(c.y - 0.5, c.x - 0.5)
        road |= np.abs(ring - 0.28 * c.look.scale) < 0.03
    c.paint(road, "pavement")
    for _ in range(10):
        y, x = c.rng.random(2)
        if road[int(y * c.side), int(x * c.side)]:
            c.paint(c.box(y, x, 0.03 * c.look.scale, 0.017 * c.look.scale, angle), "cars")
    _some_trees(c)


def _storage(c: Canvas) -> None:
    _base(c, "soil", "grass")
    step = 0.27 * c.look.scale
    tanks = np.zeros_like(c.cover, dtype=bool)
    for y in np.arange(c.uniform(0.05, 0.2), 1, step):
        for x in np.arange(c.uniform(0.05, 0.2), 1, step):
            if c.rng.random() < 0.75:
                tanks |= c.disc(y, x, 0.085 * c.look.scale * c.uniform(0.8, 1.1))
    c.paint(tanks, "tanks")
    if c.rng.random() < 0.5:
        c.paint(c.band(0.025, _angle(c), c.uniform(-0.3, 0.3)), "pavement")


_KINDS: dict[str, Callable[[Canvas], None]] = {
    "airfield": _airfield, "beach": _beach, "farmland": _farmland, "forest": _forest, "harbour": _harbour,
    "housing": _housing, "industry": _industry, "junction": _junction, "lake": _lake, "parking": _parking,
    "river": _river, "storage": _storage,
}  # fmt: skip
KINDS: tuple[str, ...] = tuple(_KINDS)


def simulate_image(
    kind: str, index: int, *, look: str = "survey", seed: int = 0, side: int = 64
) -> tuple[np.ndarray, np.ndarray]:
    """Simulate one scene image.

    Args:
        kind: One of ``KINDS``.
        index: Which image of the kind.
        look: One of ``LOOKS``.
        seed: The same arguments give the same image in every process.
        side: In pixels; what is in sight is the same at every side.

    Returns:
        (side, side, 3) uint8 red, green and blue, and (12,) zeros and ones: which of ``LABELS`` are in sight.

    Raises:
        InputError: Unknown kind or look, or numbers that make no sense.
    """
    for what, value, known in (("kind", kind, KINDS), ("look", look, tuple(LOOKS))):
        if value not in known:
            raise InputError(f"simulated scene images: no {what} {value!r}; choose one of {', '.join(known)}")
    if index < 0 or seed < 0 or side < 16:
        raise InputError(f"simulated scene images: index {index} and seed {seed} from 0 on, side {side} from 16 on")
    rng = np.random.default_rng([seed, tuple(LOOKS).index(look), KINDS.index(kind), index, side])
    canvas = Canvas(side, LOOKS[look], rng)
    _KINDS[kind](canvas)
    return canvas.finish(), canvas.labels
