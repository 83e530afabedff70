"""Arrays with named axes, as xarray and rioxarray have them, without a need for either."""

from __future__ import annotations

from typing import Any

import numpy as np

from sslhsi.errors import InputError
from sslhsi.scenes.spectra import Spectra
from sslhsi.scenes.wavelengths import to_nanometres

_SPECTRAL = ("wavelength", "wavelengths", "wl", "band", "bands")


def unpack(array: Any, wavelengths: Any) -> tuple[Any, Any]:
    """A labelled array as a plain one with the bands last, and its wavelengths where none are given.

    Args:
        array: An ``xarray.DataArray``, say (``dims``, ``coords``, ``transpose``, ``values``), whose spectral
            axis is called ``wavelength`` or ``band``; anything else is handed back as it is.
        wavelengths: (B,) nm, which overrule the array's; or None.

    Returns:
        The array, and the wavelengths in nm (from a coordinate along the spectral axis, by its ``units``)
        or None.

    Raises:
        InputError: No axis, or more than one, is called after the spectrum.
    """
    if isinstance(array, Spectra):
        return array.spectra, array.wavelengths if wavelengths is None else wavelengths
    if not (hasattr(array, "dims") and hasattr(array, "coords") and hasattr(array, "transpose")):
        return array, wavelengths
    names = [str(name) for name in array.dims]
    spectral = [name for name in names if name.lower() in _SPECTRAL]
    if len(spectral) != 1:
        raise InputError(f"the array's axes are {', '.join(names)}; call the spectral one 'wavelength' or 'band'")
    along = spectral[0]
    if wavelengths is None:
        for name, coordinate in array.coords.items():
            spectral_coordinate = str(name).lower() in _SPECTRAL[:3] and tuple(coordinate.dims) == (along,)
            if spectral_coordinate:
                unit = getattr(coordinate, "attrs", {}).get("units")
                wavelengths = to_nanometres(coordinate.values, unit, f"the array's {name}")
    values = array.transpose(*(name for name in names if name != along), along).values
    return np.asarray(values), wavelengths
