"""Level 1B of the Ocean Color Instrument on PACE (netCDF): blue, red and SWIR as one scene."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sslhsi.scenes.notes import note
from sslhsi.scenes.products import IN_SWATH, Detector, images_of, join
from sslhsi.scenes.raw import Raw, Variable
from sslhsi.scenes.scaling import nodata_of, scaling_of

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
    cubes = {}
    for detector in _DETECTORS:
        names = (f"observation_data/{kind}_{detector}" for kind in ("rhot", "Lt"))
        cube = next((by_name[name] for name in names if name in by_name), None)
        if cube is not None and len(cube.shape) == 3 and f"sensor_band_parameters/{detector}_wavelength" in by_name:
            cubes[detector] = cube

    def read(chosen: Sequence[Variable]) -> Raw:
        detectors = []
        for name in (name for name in cubes if cubes[name] in chosen):
            wavelengths = by_name[f"sensor_band_parameters/{name}_wavelength"].numbers()
            detectors.append(Detector(name, cubes[name], "bhw", wavelengths, scaling_of(cubes[name].attributes)))
        raw = join(detectors, path)
        raw.nodata = nodata_of(chosen[0].attributes)
        note(path, f"PACE OCI level 1B: {', '.join(d.name for d in detectors)}, read as (bands, scans, pixels)")
        note(path, IN_SWATH)
        return raw

    return images_of({cube.name: cube for cube in cubes.values()}, "bhw", read, "OCI")
