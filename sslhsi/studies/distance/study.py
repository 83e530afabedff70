"""Which domain is near which, before anything is trained: proxy A-distances between all domains of a corpus.

A linear classifier tells the pixels of two domains apart (:mod:`~sslhsi.studies.distance.a_distance`): 0 where it
can't, 2 where it never errs. Neighbouring pixels are similar, so that a pixel beside a training pixel is no test of
anything: what is held out are whole tiles of both domains, apart from the training pixels by a buffer (at least
half a window for features, so that no training window holds a held-out pixel). The samples are unlabelled.

Three things decide what the figure means.

- *The class of classifiers.* Two scenes are hardly ever so similar that a linear classifier on all 30 components
  errs at all, and then every distance is 2 and none is nearer. ``axes`` therefore lets the classifier see the
  leading principal axes of all domains alone: few axes, coarse differences, distances that can be put in order.
  0 takes all axes, which is the plain proxy A-distance.
- *What the camera's unit does.* An 8-bit cube and one in reflectance x 10,000 are at distance 2 whatever they
  show. ``unit_length`` divides each spectrum by its length first.
- *Standardisation.* Where ``corpus.bands.standardize`` is ``scene``, every scene has the same means, and a linear
  classifier finds nothing (below chance even, since a tile's mean is opposite to the rest's): measure spectra
  without it. A backbone's features are nonlinear and need no such care; it brings its projection.

The diagonal is the distance between two halves of one domain, dealt tile by tile: how far one domain
lies from itself.
"""

from __future__ import annotations

import functools
import hashlib
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations_with_replacement, product
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from sslhsi.evaluation.summary import grouped
from sslhsi.files import write_rows
from sslhsi.recipe import Corpus, Count
from sslhsi.studies.distance.a_distance import FEWEST, principal_axes, proxy_a_distance
from sslhsi.studies.distance.pixels import Domain, Drawn, draw, encode, open_domains, project, sides, spectra_of
from sslhsi.studies.rows import Made, StudyRow
from sslhsi.studies.self_supervised import opened
from sslhsi.studies.study import Experiment
from sslhsi.studies.table import Job, Table, run_jobs

SPECTRA, FEATURES = "spectra", "features"
# Keys whose names have changed, as the first rows have them: the text is part of a row's key.
_NAMED = {"noise_whitening": "denoise", "quietest_share": "quiet"}
NEAREST = ("method", "network", "axes", "target", "rank", "source", "distance", "standard_error", "draws")


class Settings(Experiment):
    """Which scenes and spaces distances are measured in, and what transfers between them."""

    experiment: Literal["distance"]
    corpus: Corpus
    backbone: str | None = Field(default=None, description="a backbone/ folder or hub id; null: spectra alone")
    unit_length: bool = Field(default=False, description="spectra are divided by their length first")
    axes: Annotated[list[Count], Field(min_length=1)] = Field(
        default=[3, 10, 0], description="principal axes that the classifier sees; 0 = all"
    )
    samples: Annotated[int, Field(ge=50)] = Field(default=1000, description="pixels of each domain")
    folds: Annotated[int, Field(ge=2)] = 5
    gap: Count = Field(default=2, description="pixels between training and held-out tiles, at least")


@dataclass(frozen=True, kw_only=True)
class DistanceRow(StudyRow):
    """A pair of domains, looked at in one way, on one draw of pixels, tiles and folds.

    Args:
        method: ``spectra`` or ``features``.
        axes: Principal axes that the classifier sees; ``all``.
        source, target: The domains, or one and the same.
        distance, raw, standard_error, error_source, error_target: See
            :class:`~sslhsi.studies.distance.a_distance.ADistance`.
        train: Training samples per domain, mean over folds.
    """

    COLUMNS = (
        "experiment", "method", "network", "axes", "source", "target", "kind", "data", "seed", "settings", "distance",
        "standard_error", "raw", "error_source", "error_target", "train", "test", "seconds", "note", "git",
        "machine",
    )  # fmt: skip
    KEY = ("experiment", "method", "network", "axes", "source", "target", "data", "seed", "settings")

    axes: str = ""
    distance: float | None = None
    standard_error: float | None = None
    raw: float | None = None
    error_source: float | None = None
    error_target: float | None = None
    train: float | None = None  # type: ignore[assignment]


@dataclass(frozen=True)
class View:
    """One way to look at pixels: what rows call it, and how drawn pixels become samples."""

    method: str
    network: str
    settings: str
    gap: int
    look: Callable[[Domain, Drawn], np.ndarray]


def views(settings: Settings, domains: Sequence[Domain]) -> list[View]:
    """Spectra, and a backbone's features where one is given."""
    bands = settings.corpus.bands.model_dump()
    # Where every row is there already, nothing need be fitted.
    projector = functools.cache(lambda: spectra_of(domains, bands, settings.unit_length))
    corpus = hashlib.sha256(" ".join(domain.digest for domain in domains).encode()).hexdigest()[:12]
    common = (
        f"corpus {corpus}; linear classifier; {settings.samples} pixels a domain; {settings.folds} folds of tiles"
    )
    # Of the plain projection only what was set: what is left at its default says nothing.
    projection = ", ".join(
        f"{_NAMED.get(key, key)} {value}" for key, value in bands.items() if value not in (0, "none")
    )
    length = "spectra of unit length; " if settings.unit_length else ""
    ways = [
        View(
            SPECTRA, "", f"{common} {settings.gap} pixels apart; {length}{projection}", settings.gap,
            lambda domain, drawn: project(projector(), domain, drawn, settings.unit_length),
        )
    ]  # fmt: skip
    if settings.backbone is not None:
        encoder, digest = opened(settings.backbone)
        gap = max(settings.gap, encoder.window // 2)
        ways.append(
            View(
                FEATURES, encoder.name,
                f"{common} {gap} pixels apart; window {encoder.window}; backbone {digest}", gap,
                lambda domain, drawn: encode(encoder, domain, drawn),
            )
        )  # fmt: skip
    return ways


def run(settings: Settings, table: Table[DistanceRow], show: bool) -> None:
    """Measure every pair of domains and every domain against itself, and write the ordered list of sources.

    A row is one pair, looked at in one way, on one draw of pixels, tiles and folds. A pair that can't be measured
    leaves a row whose ``note`` says why.
    """
    domains = open_domains(settings.corpus)

    @functools.lru_cache(maxsize=1)
    def looked(seed: int, view: View) -> tuple[dict[str, Drawn], dict[str, np.ndarray]]:
        drawn = {d.name: draw(d, settings.samples, settings.folds, view.gap, seed) for d in domains}
        return drawn, {d.name: view.look(d, drawn[d.name]) for d in domains}

    @functools.lru_cache(maxsize=1)
    def turned(seed: int, view: View, axes: int) -> dict[str, np.ndarray]:
        _, samples = looked(seed, view)
        mean, leading = principal_axes(list(samples.values()), axes)
        return {name: (values - mean) @ leading for name, values in samples.items()}

    def job(seed: int, view: View, axes: int, pair: tuple[Domain, Domain]) -> Job:
        source, target = pair
        row = DistanceRow(
            experiment="distance",
            method=view.method,
            network=view.network,
            axes=str(axes or "all"),
            source=source.name,
            target=target.name,
            kind=" and ".join(dict.fromkeys(domain.kind for domain in pair)),
            data=" ".join(dict.fromkeys(domain.digest for domain in pair)),
            seed=seed,
            settings=view.settings,
        )

        def make() -> list[Made]:
            (drawn, _), x = looked(seed, view), turned(seed, view, axes)
            began = time.perf_counter()
            both = sides(*pair, drawn, x)
            measured: dict[str, Any]
            if small := [domain.name for domain, side in zip(pair, both, strict=True) if side.fewest < FEWEST]:
                where = f"{settings.folds} folds of tiles {view.gap} pixels apart"
                measured = {"note": f"{small[0]}: too few pixels for {where} ({view.method})"}
            else:
                measured = {key: round(value, 4) for key, value in asdict(proxy_a_distance(*both)).items()}
            return [(replace(row, **measured, seconds=round(time.perf_counter() - began, 3)), ())]

        return Job([row], make, needed=True)

    pairs = list(combinations_with_replacement(domains, 2))
    asked = product(range(settings.seeds), views(settings, domains), settings.axes, pairs)
    run_jobs("distance: row", [job(*one) for one in asked], table, show)
    write_rows(settings.folder / "nearest.csv", nearest(table.rows), NEAREST)


def nearest(rows: Iterable[DistanceRow]) -> list[dict[str, Any]]:
    """For every target the other domains, the nearest first.

    Args:
        rows: As :func:`run` adds them.

    Returns:
        Rows of method, network, axes, target, rank, source, distance (mean over draws), standard_error (see
        :func:`averaged`) and draws, by method, axes and target in the order of the rows.
    """
    measured = averaged(rows)
    targets = dict.fromkeys(name for key in measured for name in key[3:])
    lists: dict[tuple[str, ...], list[tuple[float, str, Pair]]] = {
        (*view, target): [] for view in dict.fromkeys(key[:3] for key in measured) for target in targets
    }
    for (method, network, axes, source, target), pair in measured.items():
        for one, other in ((source, target), (target, source)) if source != target else ():
            lists[method, network, axes, other].append((pair.distance, one, pair))
    return [
        {"method": key[0], "network": key[1], "axes": key[2], "target": key[3], "rank": rank, "source": source,
         "distance": round(distance, 4), "standard_error": round(pair.standard_error, 4), "draws": pair.draws}
        for key, sources in lists.items()
        for rank, (distance, source, pair) in enumerate(sorted(sources, key=lambda s: s[:2]), 1)
    ]  # fmt: skip


@dataclass(frozen=True)
class Pair:
    """A distance averaged over draws."""

    distance: float
    standard_error: float
    draws: int


def averaged(rows: Iterable[DistanceRow]) -> dict[tuple[str, ...], Pair]:
    """Mean distance by (method, network, axes, source, target).

    Its standard error is the root mean square of those of the draws: draws share pixels, so that more of them don't
    make a domain better known. Rows without a distance are left out.
    """
    measured = [row for row in rows if row.distance is not None]
    means: dict[tuple[str, ...], Pair] = {}
    for key, mine in grouped(measured, lambda r: (r.method, r.network, r.axes, r.source, r.target)).items():
        raw, error = np.array([(row.raw, row.standard_error) for row in mine]).T
        # Cut to the range once, after averaging: cutting each draw would push small distances up.
        means[key] = Pair(float(np.clip(raw.mean(), 0, 2)), float(np.sqrt((error**2).mean())), len(mine))
    return means
