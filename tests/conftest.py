"""Shared fixtures: cameras and scenes small enough to make on the spot."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from sslhsi.scenes.scene import Scene

torch.set_num_threads(min(2, torch.get_num_threads()))

CAMERAS = {160: (405.0, 995.0), 256: (400.0, 1000.0), 288: (390.0, 1010.0)}


@pytest.fixture(scope="session")
def cameras() -> list[Scene]:
    """Three cameras looking at mixtures of the same six materials."""
    rng = np.random.default_rng(0)
    scenes = []
    for bands, (low, high) in CAMERAS.items():
        wavelengths = np.linspace(low, high, bands)
        spectra = np.stack([np.exp(-(((wavelengths - c) / 60) ** 2)) for c in np.linspace(420, 980, 6)])
        cube = 1000 + 500 * rng.random((20, 25, 6)) @ spectra + rng.normal(scale=20, size=(20, 25, bands))
        scenes.append(Scene(f"camera-{bands}", cube.astype(np.uint16), wavelengths))
    return scenes


@pytest.fixture(scope="session")
def data() -> Path:
    """Folder of the real scenes; tests that need it are skipped where it is not at hand."""
    folder = os.environ.get("SSLHSI_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("SSLHSI_DATA does not name the folder of the real scenes")
    return Path(folder)
