"""What the catalogue says about a public scene."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class CatalogFile:
    """One file of a scene.

    Args:
        name: File name on disk.
        urls: Addresses that serve the same bytes, tried in order.
        variable: Variable to read from the MATLAB file.
        checksum: ``"md5:HEX"`` or ``"sha256:HEX"``; None when none is published.
    """

    name: str
    urls: tuple[str, ...]
    variable: str
    checksum: str | None = None


@dataclass(frozen=True)
class CatalogEntry:
    """One public scene.

    Args:
        name: Name in commands and folders.
        title: Name in prose and tables.
        cube: The file with the (height, width, bands) cube.
        labels: The file with the (height, width) ground truth, 0 = unlabelled.
        height: Rows.
        width: Columns.
        bands: Bands in the cube file.
        sensor: The camera.
        wavelength_range: First and last nominal band centre in nm, of all ``sensor_bands``.
        sensor_bands: Bands before the removals that ``removed_bands`` counts.
        removed_bands: Bands taken out, counted from 1 in ``sensor_bands``; None = not published.
        resolution: Ground sampling distance in metres.
        classes: ``(label id, name, labelled pixels)`` in label order.
        citation: Whom to cite.
        note: What a user should know before trusting a number.
    """

    name: str
    title: str
    cube: CatalogFile
    labels: CatalogFile
    height: int
    width: int
    bands: int
    sensor: str
    wavelength_range: tuple[float, float]
    sensor_bands: int
    removed_bands: tuple[int, ...] | None
    resolution: float
    classes: tuple[tuple[int, str, int], ...]
    citation: str
    note: str = ""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names by label: ``class_names[i]`` belongs to label ``i + 1``; gaps are "unused"."""
        names = {label: name for label, name, _ in self.classes}
        return tuple(names.get(label, "unused") for label in range(1, max(names) + 1))

    def wavelengths(self) -> np.ndarray | None:
        """Nominal band centres of the cube.

        The files carry no wavelengths: these are evenly spaced over the published range, less the
        removed bands, good to about one band width. Hyperion's two spectrometers overlap, so its
        centres are the published linear calibration.

        Returns:
            (bands,) float64 in nm, or None where the removed bands aren't published.
        """
        if self.removed_bands is None:
            return None
        number = np.arange(1, self.sensor_bands + 1)
        if self.sensor == "Hyperion":
            centres = np.where(number <= 70, 426.82 + 10.1753 * (number - 8), 912.45 + 10.0888 * (number - 77))
        else:
            centres = np.linspace(*self.wavelength_range, self.sensor_bands)
        return centres[~np.isin(number, self.removed_bands)]
