"""Reflectance spectra of the simulated corpus: smooth continua with absorption features at physical centres.

A material is a continuum (reflectance at a few anchor wavelengths, joined monotonically) times
exp(-sum of Gaussian absorptions), the Beer-Lambert form, so that a deeper feature is more of the same
absorber. Absorbers are shared: chlorophyll, water, iron oxides or cellulose look the same in every
domain that holds them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.polynomial.legendre import legvander
from scipy.interpolate import PchipInterpolator

# name: (centre nm, standard deviation nm)
ABSORBERS: dict[str, tuple[float, float]] = {
    "chlorophyll (blue)": (434.0, 34.0),
    "carotenoid": (482.0, 26.0),
    "chlorophyll b (red)": (644.0, 20.0),
    "chlorophyll a (red)": (678.0, 17.0),
    "anthocyanin": (545.0, 40.0),
    "water": (970.0, 24.0),
    "sugar C-H": (912.0, 18.0),
    "cellulose C-H": (925.0, 22.0),
    "lignin": (400.0, 48.0),
    "melanoidin": (390.0, 130.0),
    "hematite (blue)": (430.0, 60.0),
    "hematite (green)": (535.0, 32.0),
    "hematite (infrared)": (868.0, 52.0),
    "goethite (blue)": (485.0, 30.0),
    "goethite (red)": (660.0, 24.0),
    "goethite (infrared)": (930.0, 60.0),
    "cobalt 1": (545.0, 18.0),
    "cobalt 2": (595.0, 20.0),
    "cobalt 3": (645.0, 18.0),
    "copper": (800.0, 110.0),
    "copper (blue)": (410.0, 45.0),
    "gallic iron": (560.0, 130.0),
    "red dye": (515.0, 40.0),
    "blue dye": (610.0, 48.0),
}


@dataclass(frozen=True)
class Material:
    """One substance.

    Args:
        continuum: Wavelength in nm -> reflectance, the anchors of the smooth part.
        depths: Absorber -> optical depth at its centre.
    """

    continuum: dict[float, float]
    depths: dict[str, float] = field(default_factory=dict)


_LEAF = {"chlorophyll (blue)": 1.5, "carotenoid": 1.0, "chlorophyll b (red)": 1.0, "chlorophyll a (red)": 1.7}

MATERIALS: dict[str, Material] = {
    "green leaf": Material({380: 0.24, 550: 0.26, 700: 0.34, 760: 0.50, 1030: 0.48}, _LEAF | {"water": 0.10}),
    "senescent leaf": Material(
        {380: 0.20, 550: 0.34, 760: 0.50, 1030: 0.52},
        {"chlorophyll (blue)": 0.7, "carotenoid": 1.1, "chlorophyll a (red)": 0.35, "cellulose C-H": 0.05},
    ),
    "bark": Material(
        {380: 0.06, 600: 0.15, 800: 0.30, 1030: 0.38}, {"lignin": 0.4, "cellulose C-H": 0.05, "water": 0.05}
    ),
    "young shoot": Material(
        {380: 0.30, 700: 0.40, 800: 0.46, 1030: 0.44},
        {"chlorophyll (blue)": 0.9, "carotenoid": 0.6, "chlorophyll a (red)": 0.8, "lignin": 0.3, "water": 0.2},
    ),
    "lichen": Material(
        {380: 0.25, 600: 0.38, 1030: 0.50},
        {"chlorophyll (blue)": 0.4, "chlorophyll a (red)": 0.35, "lignin": 0.2},
    ),
    "dark berry": Material(
        {380: 0.08, 640: 0.12, 760: 0.32, 1030: 0.36}, {"anthocyanin": 1.2, "water": 0.30, "sugar C-H": 0.06}
    ),
    "red berry": Material(
        {380: 0.18, 640: 0.30, 760: 0.40, 1030: 0.38},
        {"anthocyanin": 1.0, "chlorophyll a (red)": 0.25, "water": 0.30, "sugar C-H": 0.05},
    ),
    "green berry": Material(
        {380: 0.30, 640: 0.38, 760: 0.42, 1030: 0.36},
        {"chlorophyll (blue)": 0.9, "carotenoid": 0.5, "chlorophyll a (red)": 0.6, "water": 0.35},
    ),
    "green coffee": Material(
        {380: 0.20, 600: 0.36, 800: 0.45, 1030: 0.46},
        {"chlorophyll (blue)": 0.3, "chlorophyll a (red)": 0.12, "lignin": 0.4, "water": 0.06},
    ),
    "light roast": Material({380: 0.10, 600: 0.20, 800: 0.42, 1030: 0.50}, {"melanoidin": 0.7, "lignin": 0.2}),
    "medium roast": Material({380: 0.06, 600: 0.11, 800: 0.29, 1030: 0.42}, {"melanoidin": 0.8}),
    "dark roast": Material({380: 0.04, 600: 0.06, 800: 0.14, 1030: 0.27}, {"melanoidin": 0.6}),
    "red clay": Material(
        {380: 0.16, 600: 0.36, 750: 0.44, 1030: 0.46},
        {"hematite (blue)": 0.9, "hematite (green)": 0.6, "hematite (infrared)": 0.22},
    ),
    "buff clay": Material(
        {380: 0.18, 560: 0.40, 750: 0.52, 1030: 0.55},
        {"goethite (blue)": 0.5, "goethite (red)": 0.10, "goethite (infrared)": 0.16},
    ),
    "black slip": Material({380: 0.06, 700: 0.07, 1030: 0.09}, {"hematite (infrared)": 0.08}),
    "white slip": Material({380: 0.50, 550: 0.66, 1030: 0.72}, {"goethite (blue)": 0.10, "water": 0.03}),
    "cobalt glaze": Material(
        {380: 0.34, 480: 0.40, 700: 0.42, 1030: 0.50}, {"cobalt 1": 0.8, "cobalt 2": 1.0, "cobalt 3": 0.9}
    ),
    "refined sugar": Material({380: 0.62, 550: 0.76, 1030: 0.80}, {"sugar C-H": 0.08, "water": 0.06}),
    "raw cane sugar": Material(
        {380: 0.30, 600: 0.58, 800: 0.70, 1030: 0.72}, {"melanoidin": 0.35, "sugar C-H": 0.08, "water": 0.10}
    ),
    "brown sugar": Material(
        {380: 0.12, 600: 0.30, 800: 0.54, 1030: 0.60}, {"melanoidin": 0.6, "sugar C-H": 0.07, "water": 0.16}
    ),
    "caramel": Material({380: 0.06, 600: 0.12, 800: 0.34, 1030: 0.48}, {"melanoidin": 0.9, "sugar C-H": 0.06}),
    "bleached paper": Material({380: 0.58, 450: 0.80, 1030: 0.82}, {"cellulose C-H": 0.05}),
    "aged paper": Material(
        {380: 0.42, 600: 0.66, 800: 0.74, 1030: 0.75}, {"lignin": 0.45, "cellulose C-H": 0.06, "water": 0.04}
    ),
    "carbon ink": Material({380: 0.06, 700: 0.07, 1030: 0.08}),
    "iron-gall ink": Material({380: 0.12, 650: 0.20, 800: 0.50, 1030: 0.66}, {"gallic iron": 0.9}),
    "red ink": Material({380: 0.40, 600: 0.62, 1030: 0.74}, {"red dye": 1.6, "lignin": 0.3}),
    "blue ink": Material({380: 0.40, 600: 0.62, 1030: 0.74}, {"blue dye": 1.5}),
    "soil": Material(
        {380: 0.08, 600: 0.20, 800: 0.30, 1030: 0.34},
        {"goethite (blue)": 0.4, "goethite (infrared)": 0.12, "water": 0.08},
    ),
    "bone": Material({380: 0.36, 550: 0.56, 800: 0.68, 1030: 0.70}, {"lignin": 0.4, "water": 0.06}),
    "charcoal": Material({380: 0.04, 700: 0.05, 1030: 0.07}),
    "corroded bronze": Material({380: 0.22, 520: 0.36, 700: 0.34, 1030: 0.36}, {"copper": 0.9, "copper (blue)": 0.5}),
}


def spectra(name: str, wavelengths: np.ndarray, count: int, rng: np.random.Generator, *, spread: float) -> np.ndarray:
    """Reflectance of ``count`` individuals of a material.

    Args:
        name: A key of ``MATERIALS``.
        wavelengths: (B,) nm, inside 380-1030.
        count: How many.
        rng: Draws the individuals: depths, brightness, slope and curvature vary around the material's.
        spread: Standard deviation of the logarithm of each depth; brightness and shape vary in proportion;
            0 gives the material itself.

    Returns:
        (count, B) float64 reflectance, above 0.
    """
    material = MATERIALS[name]
    anchors = sorted(material.continuum)
    continuum = PchipInterpolator(anchors, [material.continuum[a] for a in anchors])(wavelengths)
    bend = rng.normal(size=(count, 4)) * spread * np.array([0.45, 0.40, 0.25, 0.15])
    exponent = bend @ legvander((wavelengths - 705.0) / 325.0, 3).T
    if material.depths:
        centres, widths = np.array([ABSORBERS[absorber] for absorber in material.depths]).T
        profiles = np.exp(-0.5 * ((wavelengths - centres[:, None]) / widths[:, None]) ** 2)
        depths = np.array(list(material.depths.values()))
        exponent -= (depths * np.exp(spread * rng.normal(size=(count, depths.size)))) @ profiles
    return np.maximum(continuum * np.exp(exponent), 0.004)
