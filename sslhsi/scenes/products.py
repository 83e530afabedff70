"""Images of known products among the arrays of a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from sslhsi.errors import InputError
from sslhsi.read_options import ReadOptions
from sslhsi.scenes.labels import named
from sslhsi.scenes.raw import Raw, Variable

JOINED = "made of several arrays"


def together(name: str, shape: tuple[int, ...], read: Callable[[], Raw]) -> Variable:
    """An image that several arrays of a file make, as one variable (H, W, B)."""
    return Variable(name, shape, np.dtype(np.float32), lambda: read().cube, {JOINED: True}, image=read)


def chosen_image(variables: Sequence[Variable], path: Path, options: ReadOptions) -> Raw | None:
    """The image of a known product, or None where the file is none or the caller wants another array of it.

    Args:
        variables: All arrays of the file.
        path: The file.
        options: ``cube`` names an image or another array; ``layout``, ``shape`` and ``order`` overrule what is known
            of one array.

    Raises:
        InputError: Axes are given for an image of several arrays.
    """
    images = [v for v in variables if v.image is not None]
    if not images:
        return None
    image = images[0] if options.cube is None else named(variables, options.cube, path)
    given = [key for key in ("layout", "shape", "order") if getattr(options, key) is not None]
    if given and JOINED in image.attributes:
        arrays = ", ".join(v.name for v in images if JOINED not in v.attributes)
        raise InputError(
            f"{path}: {given[0]}= is for one array, {image.name} is made of several; pass cube= ({arrays})"
        )
    return None if given or image.image is None else image.image()
