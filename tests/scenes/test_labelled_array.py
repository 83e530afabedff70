"""Arrays with named axes are understood without xarray, and the same as xarray's where it is installed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from sslhsi.errors import InputError
from sslhsi.scenes.labelled_array import unpack


@dataclass
class DataArray:
    """As much of xarray's class as is used."""

    values: np.ndarray
    dims: tuple[str, ...]
    coords: dict[str, Any] = field(default_factory=dict)
    attrs: dict[str, str] = field(default_factory=dict)

    def transpose(self, *names: str) -> DataArray:
        order = [self.dims.index(name) for name in names]
        return DataArray(self.values.transpose(order), names, self.coords, self.attrs)


def make(kind: str, values, dims, centres, along, unit):
    if kind == "xarray":
        xarray = pytest.importorskip("xarray")
        attrs = {"units": unit} if unit else {}
        return xarray.DataArray(values, dims=dims, coords={"wavelength": (along, centres, attrs)})
    return DataArray(values, dims, {"wavelength": DataArray(centres, (along,), {}, {"units": unit} if unit else {})})


@pytest.mark.parametrize("kind", ["stand-in", "xarray"])
@pytest.mark.parametrize(
    ("dims", "along", "unit", "scale"),
    [
        (("band", "y", "x"), "band", "nm", 1.0),
        (("y", "wavelength", "x"), "wavelength", "um", 1e-3),
        (("y", "x", "wavelength"), "wavelength", None, 1e-3),
    ],
)
def test_bands_come_last_and_wavelengths_in_nanometres(kind, dims, along, unit, scale):
    cube = np.random.default_rng(0).random((4, 5, 6))
    places = {"y": 0, "x": 1, "band": 2, "wavelength": 2}
    values = cube.transpose([places[name] for name in dims])
    array = make(kind, values, dims, np.linspace(400, 900, 6) * scale, along, unit)
    plain, wavelengths = unpack(array, None)
    np.testing.assert_array_equal(plain, cube)
    np.testing.assert_allclose(wavelengths, np.linspace(400, 900, 6))
    assert unpack(array, np.arange(6))[1].tolist() == [0, 1, 2, 3, 4, 5]


def test_other_arrays_are_left_alone():
    cube = np.zeros((2, 2, 3))
    assert unpack(cube, None)[0] is cube
    with pytest.raises(InputError, match="axes are y, x, z"):
        unpack(DataArray(cube, ("y", "x", "z")), None)
    # Numbers of bands are no wavelengths.
    array = DataArray(cube, ("y", "x", "band"), {"band": DataArray(np.arange(3), ("band",))})
    assert unpack(array, None)[1] is None
