"""What named axes say (netCDF, HDF5 dimension scales): which is the spectrum, where wavelengths and place stand."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from rasterio.crs import CRS
from rasterio.transform import Affine

from sslhsi.scenes.raw import Variable

_SPECTRAL = re.compile(r"wave|lambda|band|spectr|channel|^wl|^(b|c|nb|nwl)$", re.IGNORECASE)
_COLUMN = re.compile(r"^(x|lon|col|sample|width|i$)|cross|pixel|easting", re.IGNORECASE)
_ROW = re.compile(r"^(y|lat|row|line|height|j$)|down|along|scan|northing", re.IGNORECASE)
_CENTRES = re.compile(
    r"^(band_?|cent(er|re)_?|central_?)?(wave_?lengths?|wavelength_3d|wl|lambda|wavenumbers?)$", re.I
)
_GOOD = re.compile(r"^(good_(wavelengths|bands)|bbl)$", re.IGNORECASE)


def tail(name: str) -> str:
    """The last part of a variable's name: "band" of "group/band"."""
    return name.replace("/", ".").split(".")[-1]


def attribute(variable: Variable, *keys: str) -> str:
    """The first of some text attributes, "" when there is none."""
    lower = {key.lower(): value for key, value in variable.attributes.items()}
    for key in keys:
        if key.lower() in lower and np.size(lower[key.lower()]):
            value = np.asarray(lower[key.lower()]).ravel()[0]
            return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return ""


def layout_by_names(variable: Variable, others: Sequence[Variable]) -> str | None:
    """Axes of a 3-D variable as a permutation of "hwb", by their names; None when the names leave it open."""
    if len(variable.dims) != 3 or len(variable.shape) != 3:
        return None
    scales = [v for v in others if len(v.shape) == 1 and v.real]
    spectral = [n for n, dim in enumerate(variable.dims) if _SPECTRAL.search(dim)]
    if not spectral:
        units = {tail(v.name): attribute(v, "units", "standard_name") for v in scales}
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
    cubes = [v for v in cubes if not side.search(tail(v.name))] or cubes
    known = [v for v in cubes if band_centres(v, variables) is not None]
    return known or cubes


def band_centres(variable: Variable, others: Sequence[Variable]) -> tuple[np.ndarray, str, str] | None:
    """Band centres of a variable with named axes, their units in words, and where they stand; None when nowhere.

    Looked for: an attribute ``wavelengths``; the coordinate that bears the name of the spectral axis; a vector called
    after wavelengths along it, in the variable's group first.
    """
    axes = layout_by_names(variable, others)
    if axes is None:
        return None
    axis = axes.index("b")
    bands, dim = variable.shape[axis], variable.dims[axis]
    for key, value in variable.attributes.items():
        if _CENTRES.match(key) and np.size(value) == bands and np.asarray(value).dtype.kind in "iuf":
            units = attribute(variable, f"{key}_units", f"{key}_unit", "wavelength_units")
            return np.asarray(value, dtype=np.float64).ravel(), units, f"attribute {key}"
    vectors = [v for v in others if v.real and v.shape == (bands,) and v.name != variable.name]
    along = [v for v in vectors if v.dims in ((), (dim,))]
    named = [v for v in along if tail(v.name) == dim and (_CENTRES.match(dim) or attribute(v, "units"))]
    named += [v for v in along if _CENTRES.match(tail(v.name)) and v not in named]
    for vector in sorted(named, key=lambda v: not _CENTRES.match(tail(v.name))):
        values = np.asarray(vector.load(), dtype=np.float64).ravel()
        if np.isfinite(values).all() and (values > 0).all():
            units = attribute(vector, "units", "unit")
            if units in ("1", "none", "") and not _CENTRES.match(tail(vector.name)):
                continue  # band numbers
            return values, "" if units in ("1", "none") else units, vector.name
    return None


def good_bands(variable: Variable, others: Sequence[Variable]) -> np.ndarray | None:
    """(B,) booleans, True = bad, from a vector of flags along the spectral axis (``good_wavelengths``, ``bbl``)."""
    axes = layout_by_names(variable, others)
    if axes is None:
        return None
    bands = variable.shape[axes.index("b")]
    for vector in others:
        if vector.real and vector.shape == (bands,) and _GOOD.match(tail(vector.name)):
            flags = np.asarray(vector.load()).ravel()
            if np.isin(flags, (0, 1)).all():
                return flags == 0
    return None


def place(variable: Variable, others: Sequence[Variable]) -> dict[str, Any] | None:
    """Georeference of a cube with evenly spaced x and y coordinates (CF conventions, sections 5.1 and 5.6)."""
    axes = layout_by_names(variable, others)
    if axes is None:
        return None
    group = variable.name.rpartition("/")[0]
    vectors = {}
    for letter in "hw":
        axis = axes.index(letter)
        fitting = [v for v in others if tail(v.name) == variable.dims[axis] and v.shape == (variable.shape[axis],)]
        fitting.sort(key=lambda v: v.name.rpartition("/")[0] != group)
        if not fitting or variable.shape[axis] < 2 or not fitting[0].real:
            return None
        vectors[letter] = fitting[0]
    steps = {}
    for letter, vector in vectors.items():
        values = np.asarray(vector.load(), dtype=np.float64)
        step = np.diff(values)
        if not np.isfinite(values).all() or step[0] == 0 or np.abs(step - step[0]).max() > 1e-3 * abs(step[0]):
            return None
        steps[letter] = values[0] - step.mean() / 2, step.mean()
    degrees = attribute(vectors["h"], "units").lower().startswith("degree")
    crs = _crs(variable, others)
    if crs is None and degrees:
        crs = CRS.from_epsg(4326)
    if crs is None and not attribute(vectors["h"], "units", "standard_name", "axis"):
        return None  # numbers of rows and columns are no place
    (top, down), (left, right) = steps["h"], steps["w"]
    return {"crs": crs, "transform": Affine(right, 0.0, left, 0.0, down, top)}


def in_swath(variable: Variable, others: Sequence[Variable]) -> bool:
    """True where latitudes of single pixels lie beside a cube."""
    axes = layout_by_names(variable, others)
    if axes is None:
        return False
    size = tuple(variable.shape[axes.index(letter)] for letter in "hw")
    return any(v.shape == size and re.match(r"lat(itude)?s?$", tail(v.name), re.IGNORECASE) for v in others)


def _crs(variable: Variable, others: Sequence[Variable]) -> CRS | None:
    mapping = attribute(variable, "grid_mapping") or "spatial_ref"
    for other in others:
        if tail(other.name) in (mapping, "spatial_ref", "crs"):
            for text in (attribute(other, "crs_wkt", "spatial_ref"), attribute(other, "epsg_code")):
                try:
                    if text:
                        return CRS.from_user_input(text)
                except Exception:  # place is a bonus: the pixels need none of it
                    continue
    return None
