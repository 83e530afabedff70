"""Pixels of the domains of a corpus, drawn for a classifier that tells domains apart."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from sslhsi.bands.projector import SpectralProjector
from sslhsi.corpus.masks import background_mask
from sslhsi.encoder.encoder import Encoder
from sslhsi.errors import InputError
from sslhsi.recipe import Corpus
from sslhsi.scenes.identity import data_hash, kind_of
from sslhsi.scenes.scene import Scene
from sslhsi.scenes.simulated.stand_in import PREFIX
from sslhsi.scenes.sources import corpus_sources, open_source
from sslhsi.splits.tiles import apart, tile_folds
from sslhsi.studies.distance.a_distance import Samples


@dataclass(frozen=True)
class Domain:
    """The scenes of one domain, each with its foreground as mask."""

    name: str
    scenes: tuple[Scene, ...]

    @property
    def kind(self) -> str:
        return " + ".join(sorted({kind_of(scene) for scene in self.scenes}))

    @cached_property
    def digest(self) -> str:
        return data_hash(*(part for scene in self.scenes for part in (scene.cube, scene.mask)))


@dataclass(frozen=True)
class Drawn:
    """Pixels drawn from a domain: per scene (n, 2) places; of all together an order, fold, half and (n, F) usable."""

    pixels: tuple[np.ndarray, ...]
    order: np.ndarray
    fold: np.ndarray
    half: np.ndarray
    usable: np.ndarray


def open_domains(corpus: Corpus) -> list[Domain]:
    """The domains of a corpus in the order of its scenes; scenes of one domain together, as everywhere.

    Raises:
        InputError: As for :func:`sslhsi.scenes.sources.corpus_sources`, or a scene can't be read.
    """
    by_domain: dict[str, list[Scene]] = {}
    for source in corpus_sources(corpus):
        scene = open_source(source, 0)
        if source.background != "given":
            scene = scene.with_(mask=background_mask(scene, source.background, nodata=source.nodata_value))
        elif scene.mask is None:
            raise InputError(f"scene {scene.name!r}: background is 'given', but the scene has no mask")
        name = PREFIX + scene.domain.removeprefix(PREFIX) if scene.stand_in else scene.domain
        by_domain.setdefault(name, []).append(scene)
    if len(by_domain) < 2:
        raise InputError("a distance is between two domains, and corpus.scenes holds one; add another")
    return [Domain(name, tuple(scenes)) for name, scenes in by_domain.items()]


def draw(domain: Domain, samples: int, folds: int, gap: int, seed: int) -> Drawn:
    """Draw foreground pixels, as many from each scene, and deal their tiles into folds.

    Args:
        domain: The scenes.
        samples: Pixels altogether; fewer where a scene has fewer.
        folds: Number of folds.
        gap: Least Chebyshev distance between training and held-out tiles.
        seed: The domain's name enters too, so that a domain's draw does not depend on the others.
    """
    rng = np.random.default_rng([seed, zlib.crc32(domain.name.encode())])
    places, fold, half, usable = [], [], [], []
    for scene in domain.scenes:
        mask = scene.foreground
        inside = np.argwhere(mask)
        pixels = inside[rng.permutation(len(inside))[: -(-samples // len(domain.scenes))]]
        folded, halved = tile_folds(mask, folds, rng)
        at = tuple(pixels.T)
        places.append(pixels)
        fold.append(folded[at])
        half.append(halved[at])
        usable.append(np.stack([apart(folded, number, gap)[at] for number in range(folds)], axis=1))
    # Mixed, so that the first n samples are of all scenes.
    order = rng.permutation(sum(map(len, places)))
    parts = (np.concatenate(part) for part in (fold, half, usable))
    return Drawn(tuple(places), order, *parts)


def spectra_of(domains: Sequence[Domain], bands: Mapping[str, Any], unit_length: bool) -> SpectralProjector:
    """The common spectral space, fitted on all foreground pixels of all domains.

    Args:
        domains: What to fit on.
        bands: Arguments of :class:`~sslhsi.bands.projector.SpectralProjector`.
        unit_length: Divide each spectrum by its length first.
    """
    scenes = [_scaled(scene, unit_length) for domain in domains for scene in domain.scenes]
    return SpectralProjector(**bands).fit(scenes)


def project(projector: SpectralProjector, domain: Domain, drawn: Drawn, unit_length: bool) -> np.ndarray:
    """(n, K) components of the drawn pixels; no others are projected."""
    parts = []
    for scene, pixels in zip(domain.scenes, drawn.pixels, strict=True):
        scaled = _scaled(scene, unit_length)
        raw = projector.scene_moments(scaled.cube, scaled.mask) if projector.per_scene else None
        matrix, offset = projector.affine(scene.wavelengths, scene.bands, raw, scene.name)
        parts.append(np.asarray(scaled.cube[tuple(pixels.T)], dtype=np.float64) @ matrix + offset)
    return np.concatenate(parts)


def encode(encoder: Encoder, domain: Domain, drawn: Drawn) -> np.ndarray:
    """(n, D) features of the windows around the drawn pixels.

    Raises:
        InputError: The backbone doesn't take a scene's camera; the message names the scene.
    """
    parts = []
    for scene, pixels in zip(domain.scenes, drawn.pixels, strict=True):
        try:
            features = encoder.encode_pixels(scene.cube, pixels, scene.wavelengths, mask=scene.mask)
        except InputError as error:
            raise InputError(f"scene {scene.name!r}: {error}; or name it under corpus.leave_out") from None
        parts.append(features.astype(np.float64))
    return np.concatenate(parts)


def sides(
    source: Domain, target: Domain, drawn: Mapping[str, Drawn], x: Mapping[str, np.ndarray]
) -> tuple[Samples, Samples]:
    """Samples of both domains, or of both halves of one.

    Args:
        source, target: Two domains, or one and the same.
        drawn: By name of the domain.
        x: By name of the domain, (n, D) of the drawn pixels.
    """
    both = []
    for domain in (source, target):
        mine = drawn[domain.name]
        both.append(Samples(x[domain.name], mine.fold, mine.usable).take(mine.order))
    if source is not target:
        return both[0], both[1]
    half = drawn[source.name].half[drawn[source.name].order]
    return both[0].take(half == 0), both[1].take(half == 1)


def _scaled(scene: Scene, unit_length: bool) -> Scene:
    if not unit_length:
        return scene
    cube = np.asarray(scene.cube, dtype=np.float32)
    length = np.sqrt(np.einsum("ijk,ijk->ij", cube, cube))[..., None]
    return scene.with_(cube=np.divide(cube, length, out=np.zeros_like(cube), where=length > 0))
