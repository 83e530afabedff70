"""Level 1B of the Ocean Color Instrument on PACE (netCDF): blue, red and SWIR as one scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from sslhsi.scenes.detectors import Detector, join
from sslhsi.scenes.notes import note
from sslhsi.scenes.products import together
from sslhsi.scenes.raw import Raw, Variable

_DETECTORS = ("blue", "red", "SWIR")


def pace_images(path: Path, variables: Sequence[Variable]) -> list[Variable]:
    """The image of an OCI L1B granule: ``OCI`` for all detectors, and each by itself.

    After NASA's "PACE OCI Level-1B Data Product Format": observation_data holds rhot_blue (or Lt_blue), rhot_red and
    rhot_SWIR as (bands, scans, pixels), sensor_band_parameters their blue_wavelength, red_wavelength and
    SWIR_wavelength in nanometres. The qual_ arrays are flags.

    Args:
        path: The file.
        variables: Its arrays.

    Returns:
        The images; none when the file is no such granule.
    """
    by_name = {v.name: v for v in variables}
    parts = {}
    for detector in _DETECTORS:
        centres = by_name.get(f"sensor_band_parameters/{detector}_wavelength")
        names = (f"observation_data/{kind}_{detector}" for kind in ("rhot", "Lt"))
        cube = next((by_name[name] for name in names if name in by_name), None)
        if cube is not None and centres is not None and len(cube.shape) == 3:
            parts[detector] = cube, centres
    choices = ({"OCI": list(parts)} if len(parts) > 1 else {}) | {detector: [detector] for detector in parts}
    images = []
    for name, chosen in choices.items():

        def read(chosen: list[str] = chosen) -> Raw:
            detectors = [_detector(detector, *parts[detector]) for detector in chosen]
            fill = parts[chosen[0]][0].attributes.get("_FillValue")
            raw = join(detectors, path)
            raw.nodata = None if fill is None else float(np.asarray(fill).ravel()[0])
            note(path, f"PACE OCI level 1B: {', '.join(chosen)}, read as (bands, scans, pixels)")
            note(path, "not on a map grid: the file gives latitudes and longitudes of pixels only")
            return raw

        if len(chosen) > 1:
            cubes = [parts[detector][0] for detector in chosen]
            images.append(together(name, (*cubes[0].shape[1:], sum(cube.shape[0] for cube in cubes)), read))
        else:
            images.append(replace(parts[name][0], image=read))
    return images


def _detector(name: str, cube: Variable, centres: Variable) -> Detector:
    gain, offset = (
        float(np.asarray(cube.attributes.get(key, default)).ravel()[0])
        for key, default in (("scale_factor", 1.0), ("add_offset", 0.0))
    )
    wavelengths = np.asarray(centres.load(), dtype=np.float64).ravel()
    return Detector(name, cube.load, cube.shape, cube.dtype, "bhw", wavelengths, gain, offset)
