"""Images of known products among the arrays of a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from sslhsi.errors import InputError
from sslhsi.read_options import ReadOptions
from sslhsi.scenes.detectors import size_of
from sslhsi.scenes.labels import named
from sslhsi.scenes.raw import Raw, Variable

JOINED = "made of several arrays"
IN_SWATH = "not on a map grid: the file gives latitudes and longitudes of pixels only"


def images_of(
    cubes: Mapping[str, Variable], axes: str, read: Callable[[Sequence[Variable]], Raw], together: str | None
) -> list[Variable]:
    """The images of a product: the arrays of all detectors as one, then each by itself.

    Args:
        cubes: By the names that each has as an image, its own among them.
        axes: Of the arrays, a permutation of "hwb".
        read: Makes one image of one array or several.
        together: Name of the image of all arrays; None: they make none.
    """
    images = []
    parts = [cube for name, cube in cubes.items() if name == cube.name]
    if together is not None and len(parts) > 1:
        sizes = [size_of(part, axes) for part in parts]
        shape = (*sizes[0][:2], sum(size[2] for size in sizes))
        whole = Variable(together, shape, np.dtype(np.float32), lambda: read(parts).cube, {JOINED: True})
        images.append(replace(whole, image=lambda: read(parts)))
    for name, cube in cubes.items():
        images.append(replace(cube, name=name, image=partial(read, [cube])))
    return images


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
