"""Stand-ins: full-size simulated cubes on the label maps of real scenes whose cubes aren't at hand.

A stand-in has the real scene's geometry (field sizes, class shares, neighbourhoods) and therefore its
splits, but its spectra are made up; it is always named as a stand-in and must never share a table column
with the real scene.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter
from scipy.ndimage import label as connected

from sslhsi.errors import InputError
from sslhsi.scenes.catalog import get_entry
from sslhsi.scenes.scene import Scene

PREFIX = "stand-in: "
ROWS_AT_A_TIME = 32  # rows made at a time: bounds the memory beyond the cube itself
_FACTORS = 14  # spectral directions in which pixels of one class differ
# How a deviation divides into the part of the component, the smooth part and the pixel's, how fast the
# spectral directions weaken, and how far classes lie apart. Chosen so that an SVM's accuracy rises from 5 to
# 30 samples per class as published for Pavia University and Salinas, at a difficulty near 1.
_FIELD_PART, _SMOOTH_PART, _OWN_PART = 0.35, 0.50, 0.78
_DECAY = 0.5
_FAMILY, _OWN, _TWINS = 0.30, 0.14, 0.045
_SIGNAL, _SCALE = 0.25, 10_000.0
_SPOT = 1.5  # pixels over which what covers a spot of mixed cover is correlated

CALIBRATED: dict[str, dict[str, Any]] = {
    "pavia_university": {"name": "Pavia University", "bands": 103, "difficulty": 0.95, "mixed": 0.09},
    "salinas": {"name": "Salinas", "bands": 204, "difficulty": 0.9, "mixed": 0.08},
}
"""Arguments of :func:`stand_in` with which an SVM is about as accurate as on the real scene, from 5 to 30 pixels
per class drawn at random: within 3 points OA of the published row (see :mod:`sslhsi.evaluation.calibration`)."""


def stand_in_of(scene: str, labels: np.ndarray, seed: int = 0) -> Scene:
    """A stand-in for a scene, with the bands of that scene's camera where the catalogue knows it.

    Args:
        scene: Name in :mod:`sslhsi.scenes.catalog`, or any other name of a real scene, whose stand-in gets
            103 bands without wavelengths and the difficulty that Pavia University's has.
        labels: (H, W) label map of the real scene.
        seed: As for :func:`stand_in`.

    Raises:
        InputError: As for :func:`stand_in`.
    """
    try:
        entry = get_entry(scene)
    except InputError:
        return stand_in(labels, **CALIBRATED["pavia_university"] | {"name": scene}, seed=seed)
    about = CALIBRATED.get(entry.name, {"name": entry.title, "difficulty": 0.95, "mixed": 0.09})
    made = stand_in(labels, **about | {"bands": entry.bands}, classes=entry.class_names, seed=seed)
    # Known but not used in making it: the calibration holds for the lamp of unknown wavelengths.
    return made.with_(wavelengths=entry.wavelengths())


def stand_in(
    labels: np.ndarray,
    *,
    name: str,
    bands: int = 103,
    wavelengths: np.ndarray | None = None,
    classes: Sequence[str] = (),
    seed: int = 0,
    difficulty: float = 1.0,
    mixed: float = 0.0,
) -> Scene:
    """Simulate a cube on a real label map.

    A pixel is its class's spectrum plus ``difficulty`` times a deviation in ``_FACTORS`` smooth spectral
    directions, the same for all classes: one part common to its connected component (a field, a roof: this
    makes spatially disjoint splits harder than random ones), one that varies smoothly over the image, one
    of the pixel alone. The two largest classes are near twins. Unlabelled pixels mix the nearest classes. Brightness
    varies by illumination, and every band has shot and read noise.

    Args:
        labels: (H, W) integers, 0 = unlabelled.
        name: Name of the real scene; the result's name is ``"stand-in: NAME"``.
        bands: Number of bands; ignored when wavelengths are given.
        wavelengths: (B,) nm, rising; they shape the illumination and are kept in the scene.
        classes: Class names in label order.
        seed: The same arguments give the same cube in every process.
        difficulty: Size of the deviations relative to the differences between classes; accuracy falls
            as it grows, 0 leaves noise only.
        mixed: Share of the area, in spots of a few pixels, that another class shines through, from hardly
            to wholly. It takes about the same share of accuracy however many pixels train, while
            ``difficulty`` takes most where few do: together they set level and slope of the curve.

    Returns:
        A scene with ``stand_in=True`` and a (H, W, B) uint16 cube.

    Raises:
        InputError: Labels without any class, or numbers that make no sense.
    """
    labels = _checked(labels, name, difficulty, mixed, seed)
    if wavelengths is not None:
        wavelengths = np.asarray(wavelengths, dtype=np.float64).ravel()
        bands = wavelengths.size
    if bands < 4:
        raise InputError(f"stand-in for {name!r}: at least 4 bands are needed, not {bands}")
    seeds = np.random.SeedSequence([seed, *labels.shape, bands]).spawn(4)
    spectra_rng, place_rng, noise_rng, spot_rng = (np.random.default_rng(s) for s in seeds)

    present, sizes = np.unique(labels[labels > 0], return_counts=True)
    lamp = _lamp(bands, wavelengths)
    prototypes = _prototypes(sizes, bands, spectra_rng)
    factors = _smooth(_FACTORS, bands, 0.10, spectra_rng) * (np.arange(1, _FACTORS + 1) ** -_DECAY)[:, None]
    members = _membership(labels, present)
    if mixed:
        _mix(members, mixed, spot_rng)
    scores = _deviations(labels, place_rng)
    gain = np.exp(0.10 * difficulty * _field(labels.shape, 12.0, place_rng))

    cube = np.empty((*labels.shape, bands), dtype=np.uint16)
    basis = np.float32(difficulty * 0.10) * factors.astype(np.float32)
    for top in range(0, labels.shape[0], ROWS_AT_A_TIME):
        rows = slice(top, top + ROWS_AT_A_TIME)
        block = members[rows] @ prototypes.astype(np.float32)
        block += scores[rows] @ basis
        np.exp(block, out=block)
        block *= (_SIGNAL * lamp).astype(np.float32)
        block *= gain[rows, :, None]
        sigma = np.sqrt(1e-5 * np.maximum(block, 0) + 1e-6).astype(np.float32)
        block += sigma * noise_rng.standard_normal(block.shape, dtype=np.float32)
        block *= _SCALE
        cube[rows] = np.clip(np.rint(block, out=block), 0, 65535)
    return Scene(
        name=name if name.startswith(PREFIX) else PREFIX + name,
        cube=cube,
        wavelengths=wavelengths,
        labels=labels,
        classes=tuple(classes),
        sensor="simulated",
        stand_in=True,
    )


def _checked(labels: np.ndarray, name: str, difficulty: float, mixed: float, seed: int) -> np.ndarray:
    labels = np.asarray(labels)
    if labels.ndim != 2 or labels.dtype.kind not in "iu":
        raise InputError(f"stand-in for {name!r}: labels must be a (height, width) array of integers")
    if labels.min(initial=0) < 0 or not labels.any():
        raise InputError(f"stand-in for {name!r}: labels must be 0 (unlabelled) or positive, and not all 0")
    if not (np.isfinite(difficulty) and difficulty >= 0) or seed < 0:
        raise InputError(f"stand-in for {name!r}: difficulty and seed must not be negative")
    if not 0 <= mixed <= 1:
        raise InputError(f"stand-in for {name!r}: mixed is a share between 0 and 1, not {mixed}")
    return labels


def _lamp(bands: int, wavelengths: np.ndarray | None) -> np.ndarray:
    """(B,) sunlight: a black body at 5,800 K and the water vapour bands, where wavelengths are known."""
    if wavelengths is None:
        return 1.0 - 0.5 * np.linspace(-0.4, 1.0, bands) ** 2
    light = wavelengths**-5.0 / np.expm1(1.4388e7 / (wavelengths * 5800.0))
    for centre, width, depth in ((760, 4, 0.5), (940, 20, 0.5), (1140, 25, 0.6), (1400, 40, 3.0), (1880, 45, 3.0)):
        light *= np.exp(-depth * np.exp(-0.5 * ((wavelengths - centre) / width) ** 2))
    return np.maximum(light / light.max(), 0.02)


def _smooth(count: int, bands: int, scale: float, rng: np.random.Generator) -> np.ndarray:
    """(count, bands) random curves of unit variance, correlated over ``scale`` of the range."""
    t = np.linspace(0.0, 1.0, bands)
    covariance = np.exp(-0.5 * ((t[:, None] - t) / scale) ** 2)
    values, vectors = np.linalg.eigh(covariance)
    # The sign of an eigenvector is arbitrary: fix it, so that every machine draws the same curves.
    vectors *= np.sign(vectors.sum(axis=0) + 1e-12)
    return (rng.normal(size=(count, bands)) * np.sqrt(np.maximum(values, 0))) @ vectors.T


def _prototypes(sizes: np.ndarray, bands: int, rng: np.random.Generator) -> np.ndarray:
    """(C, B) logarithms of class spectra around one common spectrum.

    The two largest classes are near twins, as they are in the real scenes (grapes and vineyard, meadows
    and bare soil, corn and soybean): this is what keeps accuracies from rising to 100 %.
    """
    common = _smooth(1, bands, 0.25, rng)
    family = _FAMILY * _smooth(sizes.size, bands, 0.15, rng)
    single = _OWN * _smooth(sizes.size, bands, 0.08, rng)
    if sizes.size > 1:
        first, second = np.argsort(-sizes, kind="stable")[:2]
        family[second] = family[first]
        single[[first, second]] *= _TWINS / _OWN
    return 0.5 * common + family + single


def _membership(labels: np.ndarray, present: np.ndarray) -> np.ndarray:
    """(H, W, C) float32 shares of each class: its class for a labelled pixel, the nearest ones' elsewhere."""
    shares = np.empty((*labels.shape, present.size), dtype=np.float32)
    for i, value in enumerate(present):
        distance = distance_transform_edt(labels != value)
        shares[..., i] = np.exp(-np.minimum(distance, 1e4) / 4.0)
    # Far from everything all shares underflow: the nearest class still has the largest, so rescale first.
    shares /= np.maximum(shares.max(axis=-1, keepdims=True), np.float32(1e-30))
    shares **= 2
    known = labels > 0
    shares[known] = labels[known][:, None] == present
    for i in range(present.size):
        shares[..., i] = gaussian_filter(shares[..., i], 0.45)
    return shares / shares.sum(axis=-1, keepdims=True)


def _mix(members: np.ndarray, share: float, rng: np.random.Generator) -> None:
    """Let one other class shine through each of many small spots, in place; they cover ``share`` of the map."""
    height = _field(members.shape[:2], _SPOT, rng)
    spots, count = connected(height > np.quantile(height, 1 - share))
    strength = np.append(0.0, rng.uniform(size=count)).astype(np.float32)[spots]
    other = np.append(0, rng.integers(members.shape[2], size=count))[spots]
    members *= (1 - strength)[..., None]
    rows, columns = np.indices(spots.shape)
    members[rows, columns, other] += strength


def _deviations(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(H, W, F) float32 coordinates of each pixel's deviation: component, smooth and pixel part."""
    components = np.zeros(labels.shape, dtype=np.int32)
    count = 0
    for value in np.unique(labels[labels > 0]):
        spots, number = connected(labels == value, structure=np.ones((3, 3)))
        components[spots > 0] = spots[spots > 0] + count
        count += number
    nearest = distance_transform_edt(components == 0, return_distances=False, return_indices=True)
    components = components[tuple(nearest)]
    scores = np.empty((*labels.shape, _FACTORS), dtype=np.float32)
    for factor in range(_FACTORS):
        field = _FIELD_PART * rng.normal(size=count + 1)[components]
        field += _SMOOTH_PART * _field(labels.shape, 6.0, rng)
        field += _OWN_PART * rng.standard_normal(labels.shape)
        scores[..., factor] = field
    return scores


def _field(shape: tuple[int, ...], scale: float, rng: np.random.Generator) -> np.ndarray:
    """(H, W) Gaussian random field of unit variance, correlated over ``scale`` pixels."""
    # On a map smaller than the scale nothing but a constant would be left.
    scale = min(scale, min(shape) / 4)
    smooth = gaussian_filter(rng.standard_normal(shape), scale, mode="wrap")
    return (smooth / smooth.std()).astype(np.float32)
