"""The catalogue of public labelled scenes: where each lies, what it holds, what is known about it.

The files are those of the Computational Intelligence Group of the University of the Basque Country
(GIC, https://www.ehu.eus/ccwintco/index.php/Hyperspectral_Remote_Sensing_Scenes). A checksum stands
here only where independent public sources print the same one; where none is known, the first download
records one and later downloads must match it (``sslhsi.scenes.download.fetch``).
"""

from __future__ import annotations

import difflib
import re

from sslhsi.errors import InputError
from sslhsi.scenes.catalog_entry import CatalogEntry, CatalogFile

_EUS = "https://www.ehu.eus/ccwintco/uploads/"
_ES = "http://www.ehu.es/ccwintco/uploads/"
_MIRROR = "https://raw.githubusercontent.com/gokriznastic/HybridSN/master/data/"
_AVIRIS = "AVIRIS"
_ROSIS = "ROSIS-03"


def _spans(*spans: tuple[int, int]) -> tuple[int, ...]:
    return tuple(band for first, last in spans for band in range(first, last + 1))


def _file(name: str, path: str, variable: str, md5: str | None = None, *, mirror: bool = False) -> CatalogFile:
    urls = (_EUS + path + name, _ES + path + name) + ((_MIRROR + name,) if mirror else ())
    return CatalogFile(name, urls, variable, f"md5:{md5}" if md5 else None)


def _classes(*names_and_counts: tuple[str, int]) -> tuple[tuple[int, str, int], ...]:
    return tuple((label, name, count) for label, (name, count) in enumerate(names_and_counts, start=1))


_SALINAS_CLASSES = _classes(
    ("Broccoli green weeds 1", 2009),
    ("Broccoli green weeds 2", 3726),
    ("Fallow", 1976),
    ("Fallow rough plow", 1394),
    ("Fallow smooth", 2678),
    ("Stubble", 3959),
    ("Celery", 3579),
    ("Grapes untrained", 11271),
    ("Soil vineyard develop", 6203),
    ("Corn senesced green weeds", 3278),
    ("Lettuce romaine 4wk", 1068),
    ("Lettuce romaine 5wk", 1927),
    ("Lettuce romaine 6wk", 916),
    ("Lettuce romaine 7wk", 1070),
    ("Vineyard untrained", 7268),
    ("Vineyard vertical trellis", 1807),
)
_SALINAS_REMOVED = _spans((108, 112), (154, 167), (224, 224))
_GAMBA = "P. Gamba, Telecommunications and Remote Sensing Laboratory, University of Pavia (Italy)"
_HAM = (
    "J. Ham, Y. Chen, M. M. Crawford and J. Ghosh, Investigation of the random forest framework for "
    "classification of hyperspectral data, IEEE TGRS 43(3), 2005, doi:10.1109/TGRS.2004.842481"
)
_JOHNSON = "L. Johnson and J. A. Gualtieri (NASA), AVIRIS flight over Salinas Valley, California, 1998"

CATALOG: tuple[CatalogEntry, ...] = (
    CatalogEntry(
        name="indian_pines",
        title="Indian Pines",
        cube=_file(
            "Indian_pines_corrected.mat",
            "6/67/",
            "indian_pines_corrected",
            "66dbc9f4a9b7c9b1445f60a87b505101",
            mirror=True,
        ),
        labels=_file(
            "Indian_pines_gt.mat", "c/c4/", "indian_pines_gt", "9414943dac1d80faaa9165c8b460510c", mirror=True
        ),
        height=145,
        width=145,
        bands=200,
        sensor=_AVIRIS,
        wavelength_range=(400.0, 2500.0),
        sensor_bands=220,
        removed_bands=_spans((104, 108), (150, 163), (220, 220)),
        resolution=20.0,
        classes=_classes(
            ("Alfalfa", 46),
            ("Corn-notill", 1428),
            ("Corn-mintill", 830),
            ("Corn", 237),
            ("Grass-pasture", 483),
            ("Grass-trees", 730),
            ("Grass-pasture-mowed", 28),
            ("Hay-windrowed", 478),
            ("Oats", 20),
            ("Soybean-notill", 972),
            ("Soybean-mintill", 2455),
            ("Soybean-clean", 593),
            ("Wheat", 205),
            ("Woods", 1265),
            ("Buildings-Grass-Trees-Drives", 386),
            ("Stone-Steel-Towers", 93),
        ),
        citation="M. F. Baumgardner, L. L. Biehl and D. A. Landgrebe, 220 Band AVIRIS Hyperspectral Image "
        "Data Set: June 12, 1992 Indian Pine Test Site 3, Purdue University Research Repository, 2015, "
        "doi:10.4231/R7RX991C",
    ),
    CatalogEntry(
        name="pavia_university",
        title="Pavia University",
        cube=_file("PaviaU.mat", "e/ee/", "paviaU", "165a3c7488995f54a19add47c7eed4cd", mirror=True),
        labels=_file("PaviaU_gt.mat", "5/50/", "paviaU_gt", "b8c3ba44b077c26e24220463aa855bd3", mirror=True),
        height=610,
        width=340,
        bands=103,
        sensor=_ROSIS,
        wavelength_range=(430.0, 860.0),
        sensor_bands=103,
        removed_bands=(),
        resolution=1.3,
        classes=_classes(
            ("Asphalt", 6631),
            ("Meadows", 18649),
            ("Gravel", 2099),
            ("Trees", 3064),
            ("Painted metal sheets", 1345),
            ("Bare soil", 5029),
            ("Bitumen", 1330),
            ("Self-blocking bricks", 3682),
            ("Shadows", 947),
        ),
        citation=_GAMBA,
        note="Of ROSIS's 115 bands 12 noisy ones are left out; which ones is not published.",
    ),
    CatalogEntry(
        name="pavia_centre",
        title="Pavia Centre",
        cube=_file("Pavia.mat", "e/e3/", "pavia"),
        labels=_file("Pavia_gt.mat", "5/53/", "pavia_gt"),
        height=1096,
        width=715,
        bands=102,
        sensor=_ROSIS,
        wavelength_range=(430.0, 860.0),
        sensor_bands=102,
        removed_bands=(),
        resolution=1.3,
        classes=_classes(
            ("Water", 65971),
            ("Trees", 7598),
            ("Asphalt", 3090),
            ("Self-blocking bricks", 2685),
            ("Bitumen", 6584),
            ("Tiles", 9248),
            ("Shadows", 7287),
            ("Meadows", 42826),
            ("Bare soil", 2863),
        ),
        citation=_GAMBA,
        note="Names as on the distributor's page. Many papers name labels 3-9 meadows, bricks, bare soil, "
        "asphalt, bitumen, tiles and shadows instead: compare labels by number, not by name.",
    ),
    CatalogEntry(
        name="salinas",
        title="Salinas",
        cube=_file(
            "Salinas_corrected.mat",
            "a/a3/",
            "salinas_corrected",
            "485d8802f4a6b4ebc0767d48dd0da06b",
            mirror=True,
        ),
        labels=_file("Salinas_gt.mat", "f/fa/", "salinas_gt", "7b8da653a61bb0271b27b37fb926390f", mirror=True),
        height=512,
        width=217,
        bands=204,
        sensor=_AVIRIS,
        wavelength_range=(400.0, 2500.0),
        sensor_bands=224,
        removed_bands=_SALINAS_REMOVED,
        resolution=3.7,
        classes=_SALINAS_CLASSES,
        citation=_JOHNSON,
    ),
    CatalogEntry(
        name="salinas_a",
        title="SalinasA",
        cube=_file("SalinasA_corrected.mat", "1/1a/", "salinasA_corrected"),
        labels=_file("SalinasA_gt.mat", "a/aa/", "salinasA_gt"),
        height=83,
        width=86,
        bands=204,
        sensor=_AVIRIS,
        wavelength_range=(400.0, 2500.0),
        sensor_bands=224,
        removed_bands=_SALINAS_REMOVED,
        resolution=3.7,
        classes=tuple(
            (label, _SALINAS_CLASSES[label - 1][1], count)
            for label, count in ((1, 391), (10, 1343), (11, 616), (12, 1525), (13, 674), (14, 799))
        ),
        citation=_JOHNSON,
        note="A part of Salinas: the same place, never for the other side of a split.",
    ),
    CatalogEntry(
        name="ksc",
        title="Kennedy Space Center",
        cube=_file("KSC.mat", "2/26/", "KSC"),
        labels=_file("KSC_gt.mat", "a/a6/", "KSC_gt"),
        height=512,
        width=614,
        bands=176,
        sensor=_AVIRIS,
        wavelength_range=(400.0, 2500.0),
        sensor_bands=224,
        removed_bands=None,
        resolution=18.0,
        classes=_classes(
            ("Scrub", 761),
            ("Willow swamp", 243),
            ("Cabbage palm hammock", 256),
            ("Cabbage palm/oak hammock", 252),
            ("Slash pine", 161),
            ("Oak/broadleaf hammock", 229),
            ("Hardwood swamp", 105),
            ("Graminoid marsh", 431),
            ("Spartina marsh", 520),
            ("Cattail marsh", 404),
            ("Salt marsh", 419),
            ("Mud flats", 503),
            ("Water", 927),
        ),
        citation=_HAM,
        note="Which 48 bands were removed is not published, so the cube has no wavelengths.",
    ),
    CatalogEntry(
        name="botswana",
        title="Botswana",
        cube=_file("Botswana.mat", "7/72/", "Botswana"),
        labels=_file("Botswana_gt.mat", "5/58/", "Botswana_gt"),
        height=1476,
        width=256,
        bands=145,
        sensor="Hyperion",
        wavelength_range=(400.0, 2500.0),
        sensor_bands=242,
        removed_bands=_spans((1, 9), (56, 81), (98, 101), (120, 133), (165, 186), (221, 242)),
        resolution=30.0,
        classes=_classes(
            ("Water", 270),
            ("Hippo grass", 101),
            ("Floodplain grasses 1", 251),
            ("Floodplain grasses 2", 215),
            ("Reeds", 269),
            ("Riparian", 269),
            ("Firescar", 259),
            ("Island interior", 203),
            ("Acacia woodlands", 314),
            ("Acacia shrublands", 248),
            ("Acacia grasslands", 305),
            ("Short mopane", 181),
            ("Mixed mopane", 268),
            ("Exposed soils", 95),
        ),
        citation=_HAM,
    ),
)


def list_catalog() -> tuple[CatalogEntry, ...]:
    """All scenes that can be fetched by name.

    Returns:
        The entries, in catalogue order.
    """
    return CATALOG


def get_entry(name: str) -> CatalogEntry:
    """The catalogue entry of a name.

    Args:
        name: A catalogue name or title; case, spaces and dashes don't matter.

    Returns:
        The entry.

    Raises:
        InputError: No scene has that name; the message gives the nearest one.
    """
    keys = {_key(label): entry for entry in CATALOG for label in (entry.name, entry.title)}
    if _key(name) in keys:
        return keys[_key(name)]
    near = difflib.get_close_matches(_key(name), keys, n=1, cutoff=0.4)
    hint = f"did you mean {keys[near[0]].name!r}? Known" if near else "known"
    raise InputError(f"no scene {name!r} in the catalogue: {hint} names are {', '.join(e.name for e in CATALOG)}")


def _key(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
