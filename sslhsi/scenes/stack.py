"""One band a file: a folder or a pattern of single-band images as one cube."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from sslhsi.errors import InputError
from sslhsi.scenes.notes import note
from sslhsi.scenes.raw import Centres, Raw, Variable, check_memory
from sslhsi.scenes.scaling import Scaling
from sslhsi.scenes.wavelengths import joined as joined_centres

_CENTRE_IN_NAME = re.compile(r"(?<![0-9.])(\d{3,5}(?:[._]\d+)?)\s*_?nm(?![a-z])", re.IGNORECASE)
# What lies beside images and is none.
_NO_IMAGES = {".xml", ".txt", ".csv", ".json", ".hdr", ".tfw", ".prj", ".md", ".pdf", ".aux", ".ovr", ".html"}


def natural(path: Path) -> list[tuple[int, int | str]]:
    """A key that puts B2 before B10."""
    return [(0, int(part)) if part.isdigit() else (1, part.lower()) for part in re.split(r"(\d+)", path.name) if part]


def open_stack(path: Path, open_file: Callable[[Path], Raw | list[Variable]]) -> Raw:
    """Single-band images as the bands of one, in the natural order of their names (B2 before B10).

    All must have one size, type of georeference and place. Wavelengths come from the files, else from names such as
    ``plot_450nm.tif``, when every file has one.

    Args:
        path: A folder, or a pattern such as ``scene/B*.tif``.
        open_file: Opens a file of any supported format.

    Returns:
        The cube; its ``source`` is the folder.

    Raises:
        InputError: Fewer than two images, or one that doesn't fit the others.
    """
    files, skipped = stack_files(path)
    bands: list[Raw] = []
    for file in files:
        opened = open_file(file)
        raw = _plane(opened, file) if isinstance(opened, list) else opened
        if raw.cube.shape[2] != 1:
            raise InputError(
                f"{file}: has {raw.cube.shape[2]} bands, stack= takes images of one band; "
                "give a pattern such as B*.tif that matches those alone"
            )
        bands.append(raw)
        _agree(bands[0], raw, files[0], file)
    note(path, f"{len(files)} files read as bands, from {files[0].name} to {files[-1].name}")
    if skipped:
        note(path, f"passed over beside them: {', '.join(p.name for p in skipped[:10])}")
    raw = joined_bands(bands, path)
    raw.source = files[0].parent
    matches = [_CENTRE_IN_NAME.search(file.stem) for file in files]
    if raw.wavelengths is None and all(matches):
        numbers = [float(match.group(1).replace("_", ".")) for match in matches if match]
        raw.wavelengths = Centres(numbers, "nm", f"{raw.source}: names of files")
    return raw


def joined_bands(bands: Sequence[Raw], path: Path) -> Raw:
    """Images of one band, one size and one place as the bands of one.

    Raises:
        InputError: They name several no-data values, or are too large together.
    """
    dtype = np.result_type(*(raw.cube.dtype for raw in bands)).newbyteorder("=")
    shape = (*bands[0].size, len(bands))
    check_memory(path, shape, dtype.itemsize)
    cube = np.empty(shape, dtype)
    for number, raw in enumerate(bands):
        cube[:, :, number] = raw.cube[:, :, 0]
    nodata = {raw.nodata for raw in bands}
    if len(nodata) > 1:
        raise InputError(f"{path}: the bands name several no-data values ({nodata}); give one with nodata=")
    centres = joined_centres([raw.wavelengths for raw in bands])
    joined = replace(bands[0], cube=cube, nodata=nodata.pop(), wavelengths=centres)
    scalings = [raw.scaling for raw in bands]
    if len(set(map(str, scalings))) > 1:
        steps = [(np.ravel(s.gain)[0] / s.divisor, np.ravel(s.offset)[0] / s.divisor) for s in scalings]
        joined.scaling = Scaling("scales and offsets of the bands", *np.transpose(steps))
    return joined


def stack_name(path: Path) -> str:
    """The name of the scene that a folder or a pattern of bands makes: the folder's."""
    return (path if path.is_dir() else path.parent).resolve().name


def stack_files(path: Path) -> tuple[list[Path], list[Path]]:
    """The images that a folder or a pattern of bands names, in natural order, and the files passed over.

    Raises:
        InputError: Fewer than two images.
    """
    if path.is_file():
        raise InputError(f"{path}: is one file; stack= wants a folder, or a pattern such as B*.tif")
    candidates = matching(path)
    candidates = [p for p in candidates if p.is_file() and not p.name.startswith(".")]
    files = sorted((p for p in candidates if p.suffix.lower() not in _NO_IMAGES), key=natural)
    if len(files) < 2:
        raise InputError(f"{path}: {len(files)} images there, stack= needs one for each band")
    return files, sorted(set(candidates) - set(files))


def matching(path: Path) -> list[Path]:
    """What lies in a folder, or matches a pattern, whose folders may bear signs of patterns themselves."""
    try:
        if path.is_dir():
            return list(path.iterdir())
        anchor = Path(path.anchor or ".")
        parts = list(path.parts[1:] if path.anchor else path.parts)
        while len(parts) > 1 and (anchor / parts[0]).is_dir():
            anchor /= parts.pop(0)
        return list(anchor.glob(os.path.join(*parts)))
    except (OSError, ValueError, NotImplementedError) as error:
        raise InputError(f"{path}: can't be opened ({error})") from error


def _plane(variables: Sequence[Variable], file: Path) -> Raw:
    planes = [v for v in variables if v.real and len(v.shape) == 2 and min(v.shape) > 1]
    if len(planes) != 1:
        listed = ", ".join(map(str, planes or variables)) or "nothing"
        raise InputError(f"{file}: one image of one band is needed, it holds {listed}")
    return Raw(np.asarray(planes[0].load())[:, :, None], file)


def _agree(first: Raw, other: Raw, first_file: Path, file: Path) -> None:
    if other.cube.shape != first.cube.shape:
        sizes = [f"{raw.cube.shape[0]} x {raw.cube.shape[1]}" for raw in (first, other)]
        raise InputError(
            f"{file}: is {sizes[1]} pixels, {first_file.name} is {sizes[0]}; resample them to one grid first, "
            "or give a pattern that matches bands of one size"
        )
    places = [raw.georeference or {} for raw in (first, other)]
    if places[0].get("crs") != places[1].get("crs"):
        raise InputError(f"{file}: lies in {places[1].get('crs')}, {first_file.name} in {places[0].get('crs')}")
    here, there = (place.get("transform") for place in places)
    if here is not None and there is not None and not here.almost_equals(there, 1e-3 * abs(here.a)):
        raise InputError(f"{file}: lies at another place than {first_file.name}; warp them to one grid first")
