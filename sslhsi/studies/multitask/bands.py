"""The bands that scenes of several cameras bring to a first convolution which they share.

Everything done to a spectrum is linear (choosing, repeating or resampling bands, reversing their order,
scaling), so it is one (B, L) matrix per scene.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from sslhsi.bands.resample import band_positions, common_grid, resampling_matrix
from sslhsi.errors import InputError
from sslhsi.scenes.catalog import CatalogEntry, get_entry
from sslhsi.scenes.scene import Scene
from sslhsi.scenes.simulated.stand_in import PREFIX

AVIRIS, ROSIS = "AVIRIS", "ROSIS"
# Bands of a network by the camera of the scene that it shall classify.
PUBLISHED = {ROSIS: 103, AVIRIS: 160}
_FIRST_OF_AVIRIS = 10  # band 11, counted from 0


def known_scene(scene: Scene, catalogue: Mapping[str, str]) -> CatalogEntry | None:
    """The catalogue entry that a scene goes by, if there is one with as many bands.

    Args:
        scene: The scene.
        catalogue: Catalogue names of scenes that bear other names.

    Raises:
        InputError: A name in ``catalogue`` is none of the catalogue's, or its scene has other bands.
    """
    given = catalogue.get(scene.name)
    try:
        entry = get_entry(given or scene.name.removeprefix(PREFIX))
    except InputError as error:
        if given:
            raise InputError(f"catalogue: {error}") from None
        return None
    if entry.bands == scene.bands:
        return entry
    if given:
        raise InputError(
            f"catalogue: {scene.name} has {scene.bands} bands, and {entry.name} {entry.bands}; leave it out"
        )
    return None


def camera_of(scene: Scene, entry: CatalogEntry | None) -> str:
    """``AVIRIS`` or ``ROSIS``: by what the scene says, or the catalogue.

    Raises:
        InputError: It is neither, so that the published rule says nothing about its bands.
    """
    said = {"AVIRIS": AVIRIS, "ROSIS": ROSIS, "ROSIS-03": ROSIS}
    for sensor in (scene.sensor, entry.sensor if entry else ""):
        if sensor.upper() in said:
            return said[sensor.upper()]
    raise InputError(
        f"{scene.name}: the published rule aligns bands of AVIRIS and ROSIS alone, and its sensor is "
        f"{scene.sensor or 'not known'!r}; give sensor, name the scene under catalogue, or align by wavelength "
        "(methods: [shared_wavelength])"
    )


def published_bands(layout: str, camera: str, bands: int, where: str) -> np.ndarray:
    """Which bands of a scene a network gets, by the rule of Liu and Shi (arXiv:1905.04535, III.C and III.D).

    To classify ROSIS scenes: 103 bands, Pavia Centre's last one twice, of AVIRIS bands 11 to 113. To classify
    AVIRIS scenes: its last 160 bands; Pavia University's last 57, or Pavia Centre's last 58, a second time.

    Args:
        layout: Camera of the scene that is classified.
        camera: Camera of this scene.
        bands: B of this scene.
        where: Its name, for messages.

    Returns:
        (103,) or (160,) band numbers from 0.

    Raises:
        InputError: The scene has more or fewer bands than the rule knows.
    """
    wanted = PUBLISHED[layout]
    if camera == ROSIS:
        if bands not in (102, 103):
            raise InputError(
                f"{where}: the published rule knows ROSIS scenes of 102 or 103 bands, not {bands}; align by "
                "wavelength (methods: [shared_wavelength])"
            )
        missing = wanted - bands
        return np.r_[0:bands, bands - missing : bands]
    start = _FIRST_OF_AVIRIS if layout == ROSIS else bands - wanted
    if start < 0 or start + wanted > bands:
        least = wanted + (_FIRST_OF_AVIRIS if layout == ROSIS else 0)
        raise InputError(
            f"{where}: the published rule needs {least} bands of an AVIRIS scene, not {bands}; align by wavelength "
            "(methods: [shared_wavelength])"
        )
    return np.arange(start, start + wanted)


def chosen(numbers: np.ndarray, bands: int) -> np.ndarray:
    """(B, L) float64 matrix that takes L bands, perhaps some of them twice, out of B."""
    return np.eye(bands)[:, numbers]


def by_wavelength(scenes: Sequence[Scene], entries: Sequence[CatalogEntry | None]) -> list[np.ndarray]:
    """Matrices that bring scenes to common wavelengths: the range that all of them cover.

    The grid has as many points as the finest camera has bands in that range, so that none loses any.

    Args:
        scenes: The scenes.
        entries: Whose nominal wavelengths stand in where a scene brings none.

    Returns:
        A (B, L) float64 matrix for each scene.

    Raises:
        InputError: Wavelengths are missing, or ranges don't overlap.
    """
    positions = []
    for scene, entry in zip(scenes, entries, strict=True):
        wavelengths = scene.wavelengths if scene.wavelengths is not None or entry is None else entry.wavelengths()
        if wavelengths is None:
            raise InputError(
                f"{scene.name} has no wavelengths, which shared_wavelength needs; give the scene wavelengths, name "
                "it under catalogue, or leave that method out"
            )
        positions.append(band_positions(wavelengths, scene.bands, "wavelength", scene.name))
    low, high = common_grid(positions, 2)
    points = max(int(((low <= p) & (p <= high)).sum()) for p in positions)
    grid = np.linspace(low, high, max(2, points))
    return [resampling_matrix(p, grid, scene.name).T for p, scene in zip(positions, scenes, strict=True)]


def scale_of(scene: Scene) -> float:
    """The largest value of the cube, by which all its values are divided.

    The letter doesn't say how inputs are scaled; code that its first author published about then divides by one
    number per scene, too. It is taken from all pixels and no label.

    Raises:
        InputError: The cube holds values that are not finite, or none above 0.
    """
    value = float(scene.cube.max())
    if not np.isfinite(value) or value <= 0:
        raise InputError(
            f"{scene.name}: the largest value is {value:g}, and multitask training divides by it; give a cube of "
            "finite values above 0 (nodata: VALUE marks those that are none)"
        )
    return value
