"""Bands of several cameras for one first convolution: the published rule, wavelengths, and what fits neither."""

from __future__ import annotations

import numpy as np
import pytest

from sslhsi.errors import InputError
from sslhsi.scenes.catalog import get_entry
from sslhsi.scenes.scene import Scene
from sslhsi.scenes.simulated.stand_in import stand_in_of
from sslhsi.studies.multitask.bands import (
    by_wavelength,
    camera_of,
    chosen,
    known_scene,
    published_bands,
    scale_of,
)


def scene(bands, name="s", wavelengths=None, sensor=""):
    return Scene(name, np.ones((2, 2, bands), np.float32), wavelengths=wavelengths, sensor=sensor)


@pytest.mark.parametrize(
    ("layout", "camera", "bands", "expected"),
    [  # band numbers from 1, as in the letter
        ("ROSIS", "ROSIS", 103, [*range(1, 104)]),
        ("ROSIS", "ROSIS", 102, [*range(1, 103), 102]),
        ("ROSIS", "AVIRIS", 200, [*range(11, 114)]),
        ("ROSIS", "AVIRIS", 204, [*range(11, 114)]),
        ("AVIRIS", "AVIRIS", 200, [*range(41, 201)]),
        ("AVIRIS", "AVIRIS", 204, [*range(45, 205)]),
        ("AVIRIS", "ROSIS", 103, [*range(1, 104), *range(47, 104)]),
        ("AVIRIS", "ROSIS", 102, [*range(1, 103), *range(45, 103)]),
    ],
)
def test_published_rule(layout, camera, bands, expected):
    numbers = published_bands(layout, camera, bands, "s")
    assert (numbers + 1).tolist() == expected
    spectra = np.random.default_rng(0).random((5, bands))
    np.testing.assert_array_equal(spectra @ chosen(numbers, bands), spectra[:, np.array(expected) - 1])


@pytest.mark.parametrize(
    ("layout", "camera", "bands", "message"),
    [
        ("ROSIS", "AVIRIS", 112, "needs 113 bands of an AVIRIS scene, not 112"),
        ("AVIRIS", "AVIRIS", 159, "needs 160 bands of an AVIRIS scene, not 159"),
        ("AVIRIS", "ROSIS", 104, "102 or 103 bands, not 104"),
    ],
)
def test_the_rule_has_limits(layout, camera, bands, message):
    with pytest.raises(InputError, match=message):
        published_bands(layout, camera, bands, "s")


def test_common_wavelengths():
    a, b = np.linspace(430, 860, 103), np.linspace(400, 2500, 224)[::-1]  # falling, as some files have them
    matrices = by_wavelength([scene(103, "a", a), scene(224, "b", b)], [None, None])
    grid = np.linspace(430, 860, 103)  # the finer camera has 103 bands in the common range
    rng = np.random.default_rng(0)
    for wavelengths, matrix in zip((a, b), matrices, strict=True):
        spectrum = rng.random(wavelengths.size)
        rising = np.argsort(wavelengths)
        np.testing.assert_allclose(spectrum @ matrix, np.interp(grid, wavelengths[rising], spectrum[rising]))


def test_nominal_wavelengths_and_cameras_come_from_the_catalogue():
    pines = scene(200, "indian_pines_8bit")
    entry = known_scene(pines, {"indian_pines_8bit": "indian_pines"})
    assert known_scene(pines, {}) is None
    assert camera_of(pines, entry) == "AVIRIS"
    made = stand_in_of("pavia_university", np.tile([1, 2], (4, 2)))
    assert camera_of(made, known_scene(made, {})) == "ROSIS"
    other = scene(103, "b", np.linspace(450, 800, 103))
    with_nominal, _ = by_wavelength([pines, other], [entry, None])
    given, _ = by_wavelength([scene(200, "a", get_entry("indian_pines").wavelengths()), other], [None, None])
    np.testing.assert_array_equal(with_nominal, given)


def test_what_does_not_fit_is_named():
    near, far = scene(5, "near", np.linspace(400, 900, 5)), scene(5, "far", np.linspace(1000, 2000, 5))
    with pytest.raises(InputError, match="400-900, 1000-2000 nm don't overlap"):
        by_wavelength([near, far], [None, None])
    with pytest.raises(InputError, match="s has no wavelengths, which shared_wavelength needs"):
        by_wavelength([near, scene(5)], [None, None])
    with pytest.raises(InputError, match="AVIRIS and ROSIS alone, and its sensor is 'HYDICE'"):
        camera_of(scene(5, sensor="HYDICE"), None)
    with pytest.raises(InputError, match="no scene 'pines' in the catalogue"):
        known_scene(scene(5), {"s": "pines"})
    with pytest.raises(InputError, match="s has 5 bands, and indian_pines 200"):
        known_scene(scene(5), {"s": "indian_pines"})


def test_one_number_scales_a_scene():
    cube = np.array([[[3, 5]], [[7, 2]]], np.uint16)
    assert scale_of(Scene("a", cube)) == 7
    for bad in (np.zeros((1, 1, 2)), np.full((1, 1, 2), np.nan)):
        with pytest.raises(InputError, match="a: the largest value is"):
            scale_of(Scene("a", bad))
