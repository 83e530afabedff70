"""Regions of interest that ENVI exports as text (Region of Interest Tool, "Output ROIs to ASCII")."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sslhsi.errors import InputError
from sslhsi.scenes.labels import painted
from sslhsi.scenes.notes import note

_FIRST = "; ENVI Output of ROIs"
_NAME = re.compile(r";\s*ROI name:\s*(.+?)\s*$", re.IGNORECASE)
_POINTS = re.compile(r";\s*ROI npts:\s*(\d+)", re.IGNORECASE)
_SIZE = re.compile(r";\s*File Dimension:\s*(\d+)\s*x\s*(\d+)", re.IGNORECASE)


def is_regions(path: Path) -> bool:
    """Whether a file begins as ENVI's text of regions does."""
    with path.open("rb") as file:
        return file.read(200).decode("latin-1").lstrip("\ufeff \t\r\n").startswith(_FIRST)


def read_regions(path: Path) -> Callable[[tuple[int, int], Any], tuple[np.ndarray, tuple[str, ...]]]:
    """Read regions: a heading with names and numbers of pixels, then for each region a line per pixel.

    The columns are ID, X, Y and whatever else was asked for; X and Y count samples and lines from 1. Regions of one
    name are one class.

    Args:
        path: The file.

    Returns:
        What draws them: (shape of the scene, its georeference, of no account) -> (H, W) labels, class names. Pixels
        of two regions are left unlabelled.

    Raises:
        InputError: The heading and the lines don't agree.
    """
    lines = path.read_text(encoding="latin-1").splitlines()
    names = [match[1] for line in lines if (match := _NAME.match(line))]
    counts = [int(match[1]) for line in lines if (match := _POINTS.match(line))]
    size = next((match for line in lines if (match := _SIZE.match(line))), None)
    rows = [line.split() for line in lines if line.strip() and not line.lstrip().startswith(";")]
    if not names or len(names) != len(counts) or len(rows) != sum(counts):
        raise InputError(
            f"{path}: names {len(names)} regions of {sum(counts)} pixels and lists {len(rows)}; export the regions "
            "from ENVI as text again"
        )
    try:
        pixels = (
            np.array([[int(float(word)) for word in row[1:3]] for row in rows], dtype=np.int64).reshape(-1, 2) - 1
        )
    except (ValueError, IndexError, OverflowError):
        raise InputError(f"{path}: its lines must begin with ID, X and Y; export the regions with them") from None
    classes = tuple(dict.fromkeys(names))
    number = np.repeat([classes.index(name) + 1 for name in names], counts)

    def draw(shape: tuple[int, int], scene: Any) -> tuple[np.ndarray, tuple[str, ...]]:
        wanted = (int(size[2]), int(size[1])) if size else shape
        inside = (pixels >= 0).all() and (pixels < (shape[1], shape[0])).all()
        if wanted != tuple(shape) or not inside:
            raise InputError(
                f"{path}: its regions are of an image of {wanted[0]} lines and {wanted[1]} samples, the scene has "
                f"{shape[0]} and {shape[1]}; give the regions of this scene"
            )
        note(path, f"regions are classes: {', '.join(f'{n} {name}' for n, name in enumerate(classes, 1))}")
        parts = ((n, _drawn(shape, pixels[number == n])) for n in range(1, len(classes) + 1))
        return painted(shape, parts, path)[0], classes

    return draw


def _drawn(shape: tuple[int, int], pixels: np.ndarray) -> np.ndarray:
    mine = np.zeros(shape, bool)
    mine[pixels[:, 1], pixels[:, 0]] = True
    return mine
