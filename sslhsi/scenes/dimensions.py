"""What named axes say (netCDF, HDF5 dimension scales): which is the spectrum, where wavelengths and place stand."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from rasterio.crs import CRS
from rasterio.transform import Affine

from sslhsi.scenes.raw import Centres, Variable

_SPECTRAL = re.compile(r"wave|lambda|band|spectr|channel|^wl|^(b|c|nb|nwl)$", re.IGNORECASE)
_COLUMN = re.compile(r"^(x|lon|col|sample|width|i$)|cross|pixel|easting", re.IGNORECASE)
_ROW = re.compile(r"^(y|lat|row|line|height|j$)|down|along|scan|northing", re.IGNORECASE)
_CENTRES = re.compile(
    r"^(band_?|cent(er|re)_?|central_?)?(wave_?lengths?|wavelength_3d|wl|lambda|wavenumbers?)$", re.I
)
_GOOD = re.compile(r"^(good_(wavelengths|bands)|bbl)$", re.IGNORECASE)


def layout_by_names(variable: Variable, others: Sequence[Variable]) -> str | None:
    """Axes of a 3-D variable as a permutation of "hwb", by their names; None when the names leave it open."""
    if len(variable.dims) != 3 or len(variable.shape) != 3:
        return None
    scales = [v for v in others if len(v.shape) == 1 and v.real]
    spectral = [n for n, dim in enumerate(variable.dims) if _SPECTRAL.search(dim)]
    if not spectral:
        units = {v.tail: v.text("units", "standard_name") for v in scales}
        spectral = [n for n, dim in enumerate(variable.dims) if re.match(r"nm|nano|µm|um$|micro", units.get(dim, ""))]
    if len(spectral) != 1:
        return None
    first, second = (n for n in range(3) if n != spectral[0])
    if _COLUMN.search(variable.dims[first]) and _ROW.search(variable.dims[second]):
        first, second = second, first
    letters = [""] * 3
    letters[spectral[0]], letters[first], letters[second] = "b", "h", "w"
    return "".join(letters)


def spectral_cubes(variables: Sequence[Variable]) -> list[Variable]:
    """The 3-D variables with a spectral axis by name, best first: with band centres before without.

    Uncertainties, quality and geometry beside a cube are left out.
    """
    cubes = [v for v in variables if v.real and v.size and layout_by_names(v, variables) is not None]
    side = re.compile(r"uncert|error|qual|mask|flag|^obs$|std|noise|sigma", re.IGNORECASE)
    cubes = [v for v in cubes if not side.search(v.tail)] or cubes
    known = [v for v in cubes if band_centres(v, variables, layout_by_names(v, variables)) is not None]
    return known or cubes


def band_centres(variable: Variable, others: Sequence[Variable], axes: str | None) -> Centres | None:
    """Band centres of a cube that an attribute of it or its named axes tell; None when they are silent.

    Looked for: an attribute ``wavelengths``; the coordinate that bears the name of the spectral axis; a vector called
    after wavelengths along it, in the variable's group first.

    Args:
        variable: The cube.
        others: The other arrays of its file.
        axes: Its axes by name, as :func:`layout_by_names` has them, or None.
    """
    lengths = variable.shape if axes is None else [variable.shape[axes.index("b")]]
    for key, value in variable.attributes.items():
        if _CENTRES.match(key) and np.asarray(value).dtype.kind in "iuf" and np.size(value) in set(lengths) - {1}:
            units = variable.text(f"{key}_units", f"{key}_unit", "wavelength_units")
            return Centres(np.asarray(value, dtype=np.float64).ravel(), units, f"attribute {key}")
    if axes is None:
        return None
    dim = variable.dims[axes.index("b")]
    along = [v for v in others if v.real and v.shape == tuple(lengths) and v.dims in ((), (dim,))]
    named = [v for v in along if v.tail == dim and (_CENTRES.match(dim) or v.text("units"))]
    named += [v for v in along if _CENTRES.match(v.tail) and v not in named]
    for vector in sorted(named, key=lambda v: not _CENTRES.match(v.tail)):
        values = vector.numbers()
        if np.isfinite(values).all() and (values > 0).all():
            units = vector.text("units", "unit")
            if units in ("1", "none", "") and not _CENTRES.match(vector.tail):
                continue  # band numbers
            return Centres(values, "" if units in ("1", "none") else units, vector.name)
    return None


def good_bands(others: Sequence[Variable], bands: int) -> np.ndarray | None:
    """(B,) booleans, True = bad, from a vector of flags, one for each band (``good_wavelengths``, ``bbl``)."""
    for vector in others:
        if vector.real and vector.shape == (bands,) and _GOOD.match(vector.tail):
            flags = vector.numbers()
            if np.isin(flags, (0, 1)).all():
                return flags == 0
    return None


def place(variable: Variable, others: Sequence[Variable], axes: str) -> dict[str, Any] | None:
    """Georeference of a cube with evenly spaced x and y coordinates (CF conventions, sections 5.1 and 5.6)."""
    group = variable.name.rpartition("/")[0]
    steps, units = {}, ""
    for letter in "wh":
        axis = axes.index(letter)
        fitting = [v for v in others if v.tail == variable.dims[axis] and v.shape == (variable.shape[axis],)]
        fitting.sort(key=lambda v: v.name.rpartition("/")[0] != group)
        if not fitting or variable.shape[axis] < 2 or not fitting[0].real:
            return None
        values = fitting[0].numbers()
        step = np.diff(values)
        if not np.isfinite(values).all() or step[0] == 0 or np.abs(step - step[0]).max() > 1e-3 * abs(step[0]):
            return None
        steps[letter] = values[0] - step.mean() / 2, step.mean()
        units = fitting[0].text("units", "standard_name", "axis")
    crs = _crs(variable, others)
    if crs is None and units.lower().startswith("degree"):
        crs = CRS.from_epsg(4326)
    if crs is None and not units:
        return None  # numbers of rows and columns are no place
    (top, down), (left, right) = steps["h"], steps["w"]
    return {"crs": crs, "transform": Affine(right, 0.0, left, 0.0, down, top)}


def in_swath(shape: tuple[int, int], others: Sequence[Variable]) -> bool:
    """True where latitudes of single pixels lie beside a cube of (H, W)."""
    return any(v.shape == shape and re.match(r"lat(itude)?s?$", v.tail, re.IGNORECASE) for v in others)


def _crs(variable: Variable, others: Sequence[Variable]) -> CRS | None:
    mapping = variable.text("grid_mapping") or "spatial_ref"
    for other in others:
        if other.tail in (mapping, "spatial_ref", "crs"):
            for text in (other.text("crs_wkt", "spatial_ref"), other.text("epsg_code")):
                try:
                    if text:
                        return CRS.from_user_input(text)
                except Exception:  # place is a bonus: the pixels need none of it
                    continue
    return None
