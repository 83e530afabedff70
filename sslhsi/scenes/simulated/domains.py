"""The seven domains of the simulated corpus: camera, materials, tray, texture and arrangement of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sslhsi.scenes.simulated.layouts import (
    Canvas,
    ellipse,
    fragment,
    leaf,
    lobed_leaf,
    rectangle,
    ring,
    stripes,
    writing,
)

Layout = Callable[[Canvas, np.ndarray, np.random.Generator], None]


@dataclass(frozen=True)
class Domain:
    """One kind of material under one camera.

    Args:
        camera: A key of ``CAMERAS``.
        materials: Pixel classes, keys of ``MATERIALS``; the layout knows them by position.
        layout: Arranges objects on the canvas, given the share of each class.
        bright_tray: White tray instead of a black one.
        grain: Standard deviation of the surface texture, pixels.
        roughness: Strength of the surface texture, relative.
        spread: How much individuals of one material differ.
    """

    camera: str
    materials: tuple[str, ...]
    layout: Layout
    bright_tray: bool
    grain: float
    roughness: float
    spread: float


def _places(canvas: Canvas, spacing: float, jitter: float, rng: np.random.Generator) -> list[tuple[float, float]]:
    """Points of a jittered hexagonal grid over the frame and a margin around it, in random order."""
    rows = np.arange(-spacing, canvas.height + spacing, spacing * 0.87)
    points = []
    for i, row in enumerate(rows):
        for column in np.arange(-spacing + (i % 2) * spacing / 2, canvas.width + spacing, spacing):
            points.append((row + rng.normal() * jitter, column + rng.normal() * jitter))
    return [points[i] for i in rng.permutation(len(points))]


def _kind(shares: np.ndarray, among: tuple[int, ...], rng: np.random.Generator) -> int:
    """One of the classes ``among`` (1, 2, ...), by their shares."""
    weights = shares[np.array(among) - 1]
    return int(rng.choice(among, p=weights / weights.sum()))


def beans(canvas: Canvas, shares: np.ndarray, rng: np.random.Generator) -> None:
    """Coffee: closely packed creased ellipses; bits of silverskin (the last class) between and on them."""
    husk = len(shares)
    for place in _places(canvas, 11.5, 1.6, rng):
        if rng.random() < 0.06:
            continue
        bean = canvas.new(_kind(shares, tuple(range(1, husk)), rng))
        crease = 0.5 if rng.random() < 0.6 else 0.0
        a, b = rng.normal(7.6, 0.5), rng.normal(5.4, 0.35)
        canvas.stamp(bean, place, 9, rng.uniform(0, np.pi), ellipse(a, b, crease=crease, dome=0.8), gloss=0.04)
    flakes = int(canvas.height * canvas.width * (0.0015 + 0.006 * shares[-1]))
    for _ in range(flakes):
        flake = canvas.new(husk)
        place = (rng.uniform(0, canvas.height), rng.uniform(0, canvas.width))
        canvas.stamp(flake, place, 9, rng.uniform(0, np.pi), fragment(rng.uniform(2.0, 4.5), rng), drop=0.2)


def bunches(canvas: Canvas, shares: np.ndarray, rng: np.random.Generator) -> None:
    """Grapes: leaves behind, woody stems, and bunches of round glossy berries, one ripeness leading in each."""
    for place in _places(canvas, 62, 14, rng):
        if rng.random() < 0.4 + 1.2 * shares[3]:
            angle = rng.uniform(0, 2 * np.pi)
            blade = canvas.new(4)
            canvas.stamp(blade, place, 34, angle, lobed_leaf(rng.uniform(20, 30)))
    for place in _places(canvas, 38, 9, rng):
        main = _kind(shares, (1, 2, 3), rng)
        stem = canvas.new(5)
        canvas.stamp(stem, place, 40, rng.uniform(0, np.pi), ellipse(rng.uniform(24, 38), 2.2))
        for _ in range(rng.integers(9, 18)):
            kind = main if rng.random() < 0.75 else _kind(shares, (1, 2, 3), rng)
            berry = canvas.new(kind)
            away, turn = np.abs(rng.normal(0, 12)), rng.uniform(0, 2 * np.pi)
            centre = (place[0] + 1.3 * away * np.sin(turn), place[1] + away * np.cos(turn))
            size = rng.normal(6.2, 0.7)
            canvas.stamp(berry, centre, 10, 0.0, ellipse(size, size, dome=0.9), gloss=0.25, drop=0.45)


def twigs(canvas: Canvas, shares: np.ndarray, rng: np.random.Generator) -> None:
    """Branches: long tapering twigs that fork, with pointed leaves, and lichen on the older wood."""
    count = max(4, int(canvas.height * canvas.width / 520))
    for _ in range(count):
        kind = _kind(shares, (1, 2), rng)
        start = (rng.uniform(0, canvas.height), rng.uniform(0, canvas.width))
        _twig(canvas, kind, start, rng.uniform(0, 2 * np.pi), rng.uniform(1.8, 4.6), shares, rng)


def _twig(
    canvas: Canvas,
    kind: int,
    start: tuple[float, float],
    angle: float,
    radius: float,
    shares: np.ndarray,
    rng: np.random.Generator,
) -> None:
    wood = canvas.new(kind)
    row, column = start
    for step in range(int(14 * radius**0.5)):
        row, column = row + 3.0 * np.sin(angle), column + 3.0 * np.cos(angle)
        angle += rng.normal(0, 0.12)
        canvas.stamp(wood, (row, column), 8, angle, ellipse(4.0, radius, dome=0.9), drop=0.15)
        radius = max(0.8, radius * 0.975)
        if kind == 1 and rng.random() < 0.08 + 0.6 * shares[4]:
            patch = canvas.new(5)
            canvas.stamp(patch, (row, column), 6, 0.0, fragment(rng.uniform(2.0, 4.0), rng), onto=wood, drop=0)
        if step > 2 and rng.random() < 0.24:
            side = angle + rng.choice((-1, 1)) * rng.uniform(0.5, 1.2)
            length, width = rng.uniform(6, 11), rng.uniform(2.0, 3.6)
            centre = (row + length * np.sin(side), column + length * np.cos(side))
            foliage = canvas.new(_kind(shares, (3, 4), rng))
            canvas.stamp(foliage, centre, 14, side, leaf(length, width), gloss=0.05)
        if step > 3 and radius > 1.6 and rng.random() < 0.06:
            _twig(canvas, kind, (row, column), angle + rng.choice((-0.7, 0.7)), radius * 0.7, shares, rng)


def sheets(canvas: Canvas, shares: np.ndarray, rng: np.random.Generator) -> None:
    """Paper: overlapping sheets with lines of writing, each paragraph in one ink, and round stamps."""
    for place in _places(canvas, 64, 9, rng):
        a, b = rng.uniform(34, 46), rng.uniform(30, 40)
        angle = rng.normal(0, 0.10) + rng.choice((0, np.pi / 2))
        sheet = canvas.new(_kind(shares, (1, 2), rng))
        canvas.stamp(sheet, place, 62, angle, rectangle(a, b, thickness=0.1), drop=0.3)
        top = -b + 4.0
        while top < b - 9:
            deep = min(rng.uniform(5, 16), (b - 3 - top) / 2)
            ink = canvas.new(_kind(shares, (3, 4, 5, 6), rng))
            text = writing(a - 4, deep, rng.uniform(1.0, 1.7), rng)
            cos, sin = np.cos(angle), np.sin(angle)
            middle = (place[0] + (top + deep) * cos, place[1] - (top + deep) * sin)
            canvas.stamp(ink, middle, 62, angle, text, onto=sheet, drop=0)
            top += 2 * deep + rng.uniform(0, 6)
        if rng.random() < 0.5:
            stamp = canvas.new(_kind(shares, (5, 6), rng))
            spot = (place[0] + rng.uniform(-15, 15), place[1] + rng.uniform(-15, 15))
            for radius in (8.0, 5.0):
                canvas.stamp(stamp, spot, 11, 0.0, ring(radius, 1.0), onto=sheet, drop=0)


def sherds(canvas: Canvas, shares: np.ndarray, rng: np.random.Generator) -> None:
    """Pottery: broken polygons of two clays, some slipped or glazed all over, some painted in bands."""
    for place in _places(canvas, 35, 4, rng):
        body = _kind(shares, (1, 2), rng)
        if rng.random() < 0.30:
            body = _kind(shares, (3, 4, 5), rng)
        piece = canvas.new(body)
        radius = rng.uniform(17, 25)
        shape = fragment(radius, rng, roughness=0.05, corners=int(rng.integers(5, 9)))
        glaze = 0.12 if body == 5 else 0.02
        canvas.stamp(piece, place, 1.3 * radius, rng.uniform(0, np.pi), shape, gloss=glaze)
        if rng.random() < 0.65:
            paint = canvas.new(_kind(shares, tuple(k for k in (3, 4, 5) if k != body), rng))
            bands = stripes(rng.uniform(8, 16), rng.uniform(2.5, 5.5), rng.uniform(0, 16))
            canvas.stamp(paint, place, 1.3 * radius, rng.uniform(0, np.pi), bands, onto=piece, drop=0)


def heaps(canvas: Canvas, shares: np.ndarray, rng: np.random.Generator) -> None:
    """Sugar: granular heaps that run into one another, coarse crystals of every kind, and pressed cubes."""
    kinds = tuple(range(1, len(shares) + 1))
    for place in _places(canvas, 40, 8, rng):
        heap = canvas.new(_kind(shares, kinds, rng))
        canvas.stamp(heap, place, 46, 0.0, fragment(rng.uniform(22, 34), rng, roughness=0.2, rise=0.3), drop=0.1)
    for _ in range(int(canvas.height * canvas.width / 45)):
        crystal = canvas.new(_kind(shares, kinds, rng))
        place = (rng.uniform(0, canvas.height), rng.uniform(0, canvas.width))
        side = rng.uniform(0.6, 1.5)
        shape = rectangle(side, 0.8 * side, thickness=0.8)
        canvas.stamp(crystal, place, 4, rng.uniform(0, np.pi), shape, gloss=0.2, drop=0)
    for _ in range(int(canvas.height * canvas.width / 2600)):
        cube = canvas.new(_kind(shares, kinds, rng))
        place = (rng.uniform(0, canvas.height), rng.uniform(0, canvas.width))
        side = rng.uniform(6.5, 8.5)
        canvas.stamp(cube, place, 14, rng.uniform(0, np.pi), rectangle(side, side, thickness=0.5), drop=0.5)


def excavation(canvas: Canvas, shares: np.ndarray, rng: np.random.Generator) -> None:
    """Archaeology: a tray of soil with pebbles of it, and small finds: sherds, bones, charcoal, bronze."""
    soil = canvas.new(1)
    middle = (canvas.height / 2, canvas.width / 2)
    canvas.stamp(
        soil, middle, canvas.height + canvas.width, 0.0, rectangle(0.47 * canvas.width, 0.47 * canvas.height)
    )
    bare = canvas.object == soil
    for _ in range(int(canvas.height * canvas.width / 60)):
        place = (rng.uniform(0, canvas.height), rng.uniform(0, canvas.width))
        if bare[int(place[0]), int(place[1])]:
            pebble = canvas.new(1)
            canvas.stamp(pebble, place, 5, 0.0, fragment(rng.uniform(1.0, 3.2), rng), drop=0.3)
    for _ in range(int(canvas.height * canvas.width / 130)):
        place = (rng.uniform(0, canvas.height), rng.uniform(0, canvas.width))
        if not bare[int(place[0]), int(place[1])]:
            continue
        kind = _kind(shares, (2, 3, 4, 5, 6), rng)
        find = canvas.new(kind)
        angle, radius = rng.uniform(0, np.pi), float(np.exp(rng.normal(1.5, 0.4)))
        if kind == 4:
            shape = ellipse(2.2 * radius, 0.55 * radius)
        else:
            shape = fragment(radius, rng, roughness=0.15, corners=5 if kind in (2, 3) else 0)
        canvas.stamp(find, place, 2.4 * radius + 2, angle, shape, drop=0.4)


REGISTRY: dict[str, Domain] = {
    "paper": Domain(
        camera="vnir-288",
        materials=("bleached paper", "aged paper", "carbon ink", "iron-gall ink", "red ink", "blue ink"),
        layout=sheets,
        bright_tray=False,
        grain=0.7,
        roughness=0.08,
        spread=0.55,
    ),
    "coffee": Domain(
        camera="vnir-256",
        materials=("green coffee", "light roast", "medium roast", "dark roast", "aged paper"),
        layout=beans,
        bright_tray=True,
        grain=1.1,
        roughness=0.08,
        spread=0.38,
    ),
    "pottery": Domain(
        camera="vnir-256",
        materials=("red clay", "buff clay", "black slip", "white slip", "cobalt glaze"),
        layout=sherds,
        bright_tray=False,
        grain=0.8,
        roughness=0.10,
        spread=0.46,
    ),
    "sugar": Domain(
        camera="vnir-256",
        materials=("refined sugar", "raw cane sugar", "brown sugar", "caramel"),
        layout=heaps,
        bright_tray=False,
        grain=0.6,
        roughness=0.16,
        spread=0.36,
    ),
    "grapes": Domain(
        camera="vnir-160",
        materials=("dark berry", "red berry", "green berry", "green leaf", "bark"),
        layout=bunches,
        bright_tray=True,
        grain=2.5,
        roughness=0.06,
        spread=0.40,
    ),
    "branches": Domain(
        camera="vnir-160",
        materials=("bark", "young shoot", "green leaf", "senescent leaf", "lichen"),
        layout=twigs,
        bright_tray=False,
        grain=1.2,
        roughness=0.10,
        spread=0.40,
    ),
    "archeology": Domain(
        camera="vnir-288",
        materials=("soil", "red clay", "buff clay", "bone", "charcoal", "corroded bronze"),
        layout=excavation,
        bright_tray=False,
        grain=0.8,
        roughness=0.14,
        spread=0.40,
    ),
}
