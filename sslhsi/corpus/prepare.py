"""Scenes -> prepared corpus, once per content hash, shared over processes, written atomically."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from sslhsi.bands.moments import Moments, moments
from sslhsi.bands.projection import Projection
from sslhsi.bands.projector import SpectralProjector, load_projection
from sslhsi.corpus.corpus import FORMAT, Corpus, Manifest, SceneRecord
from sslhsi.corpus.holdout import holdout_map, shared_sites
from sslhsi.corpus.masks import background_mask
from sslhsi.corpus.unfinished import (
    Measured,
    claim_folder,
    load_measured,
    load_record,
    save_measured,
    save_record,
    tidy,
)
from sslhsi.errors import InputError
from sslhsi.files import cannot_write, write_atomic, writing
from sslhsi.ranks import Gather, all_ranks
from sslhsi.recipe import Recipe, SceneSource
from sslhsi.scenes.identity import data_hash, kind_of
from sslhsi.scenes.notes import collected_notes
from sslhsi.scenes.scene import Scene
from sslhsi.scenes.sources import corpus_sources, open_source, source_hash

# Bytes of loaded cubes that are kept between the two passes over them.
HOLD_BYTES = 2 << 30

Progress = Callable[[str, int, int], None]
T = TypeVar("T")


def corpus_key(recipe: Recipe, hashes: Sequence[str]) -> str:
    """Hash of all that a prepared corpus depends on; ``hashes`` are those of the sources.

    The words are those of 0.1, so that its runs are taken up and its results name the same corpus.
    """
    bands = recipe.corpus.bands.model_dump_json()
    for new, old in (("noise_whitening", "denoise"), ("quietest_share", "quiet")):
        bands = bands.replace(f'"{new}":', f'"{old}":')
    parts = [
        "format 2",
        bands,
        # The seed only says which end of a scene is held out: without that, all seeds share a corpus.
        f"holdout {recipe.corpus.patches.holdout} seed {recipe.seed if recipe.corpus.patches.holdout else 0}",
        *hashes,
    ]
    if (kept := kept_projection(recipe)) is not None:
        parts.append(f"projection {hashlib.sha256(kept.content()).hexdigest()}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def kept_projection(recipe: Recipe) -> Projection | None:
    """The projection that a recipe keeps instead of fitting one; None where it fits one.

    Raises:
        InputError: Its folder holds none, or ``corpus.bands`` describes another.
    """
    folder = recipe.corpus.projection
    if folder is None:
        return None
    projection = load_projection(folder)
    bands = recipe.corpus.bands
    settings = {"components": projection.channels, **projection.state()} if bands.components else projection.state()
    for key, value in bands.model_dump().items():
        if key in settings and settings[key] != value:
            raise InputError(
                f"corpus.bands.{key} is {value}, but the projection kept from {folder} has {settings[key]}; give "
                "corpus.bands as that one has them, or leave corpus.projection out"
            )
    return projection


def prepare(
    recipe: Recipe,
    *,
    rank: int = 0,
    world: int = 1,
    gather: Gather | None = None,
    progress: Progress | None = None,
) -> Corpus:
    """Prepare the corpus of a recipe, or open it where it has been prepared before.

    With several processes each streams its own scenes: their moments are gathered, the projection is
    fitted alike on all, and each writes its scenes. A folder appears under its final name only when it is
    whole; a preparation that was killed goes on after the last scene that it finished. What another version of
    this package prepared is left where it is and prepared anew.

    Args:
        recipe: The recipe.
        rank, world: This process and their number.
        gather: Collects one object from every process (``accelerate.utils.gather_object`` style); called
            the same number of times on every rank. None for one process.
        progress: Called with what is done, how far, and out of how many.

    Raises:
        InputError: A scene can't be used, or the disk is full.
    """
    gather = gather or (lambda value: [value])
    cache = Path(recipe.corpus.cache)
    shares: dict[int, str] = {}
    with all_ranks(gather):
        with collected_notes() as skipped:
            sources = corpus_sources(recipe.corpus)
        mine = range(rank, len(sources), world)
        with ThreadPoolExecutor(4) as pool:
            shares = dict(zip(mine, pool.map(lambda i: source_hash(sources[i], recipe.seed), mine), strict=True))
    hashes = _merged(gather(shares))
    key = corpus_key(recipe, hashes)
    final = cache / f"{key}-{FORMAT}"
    if gather((final / "manifest.json").is_file())[0]:
        return Corpus(final, skipped)
    folder, lock = cache, None
    with all_ranks(gather), writing(cache):
        if rank == 0:
            folder, lock = claim_folder(cache, final.name)
    folder = Path(gather(str(folder))[0])
    with lock or nullcontext():
        try:
            _fill(_Job(recipe, sources, hashes, folder, rank, world, gather, progress), key)
            if rank == 0:
                _publish(folder, final)
            gather(None)
        except InputError:
            # Bad input or a full disk; whatever else stops the run leaves what is done for the next one.
            if rank == 0:
                shutil.rmtree(folder, ignore_errors=True)
            raise
    return Corpus(final, skipped)


@dataclass(frozen=True)
class _Job:
    """What all steps of a preparation need; ``folder`` is the unfinished one."""

    recipe: Recipe
    sources: Sequence[SceneSource]
    hashes: Sequence[str]
    folder: Path
    rank: int
    world: int
    gather: Gather
    progress: Progress | None

    @property
    def mine(self) -> range:
        """Numbers of this process's scenes."""
        return range(self.rank, len(self.sources), self.world)

    def say(self, what: str, done: int) -> None:
        """Tell how far this process is, each scene being read and written."""
        if self.progress is not None:
            self.progress(what, done, 2 * len(self.mine))


def _fill(job: _Job, key: str) -> None:
    """Measure every scene, fit the projection, write every scene and the manifest."""
    kept = kept_projection(job.recipe)
    fitted = SpectralProjector(**job.recipe.corpus.bands.model_dump())
    projector = kept or fitted
    # Cubes that had to be loaded whole, kept for the second pass as far as they fit.
    loaded: dict[int, Scene] = {}
    mine: dict[int, Measured] = {}
    with all_ranks(job.gather), writing(job.folder):
        for done, number in enumerate(job.mine):
            mine[number] = _measured(job, projector, number, loaded, done + 1)
    measured = _merged(job.gather(mine))
    with all_ranks(job.gather):
        if kept is None:
            fitted.fit_moments(measured, [scene.fit for scene in measured])
    records: dict[int, SceneRecord] = {}
    with all_ranks(job.gather), writing(job.folder):
        for done, number in enumerate(job.mine, len(job.mine)):
            records[number] = _written(job, projector, number, measured[number], loaded, done + 1)
    ordered = _merged(job.gather(records))
    with all_ranks(job.gather), writing(job.folder):
        if job.rank == 0:
            manifest = Manifest(
                format=FORMAT,
                key=key,
                projector=projector.state(),
                component_spread=_spread(projector, measured),
                scenes=ordered,
            )
            projector.save(job.folder)
            write_atomic(job.folder / "manifest.json", manifest.model_dump_json(indent=1) + "\n")


def _measured(job: _Job, projector: Projection, number: int, loaded: dict[int, Scene], done: int) -> Measured:
    """Read one scene: its mask and held-out pixels go to the folder, what the projection needs comes back."""
    if (known := load_measured(job.folder, number)) is not None:
        job.say(f"{known.name} had been read", done)
        return known
    source, seed = job.sources[number], job.recipe.seed
    scene = open_source(source, seed)
    scene = scene.with_(mask=_mask(scene, source))
    shape = (scene.height, scene.width)
    on_shared_site = source.site in shared_sites(job.sources)
    held = holdout_map(source, shape, job.recipe.corpus.patches.holdout, on_shared_site, seed)
    foreground = projector.scene_moments(scene.cube, scene.mask)
    check_bands(scene, foreground)
    train = projector.fit_mask(scene, ~held) if isinstance(projector, SpectralProjector) else scene.mask
    fit = foreground if train is scene.mask else moments(scene.cube, train)
    measured = Measured(scene.name, scene.domain, scene.bands, scene.wavelengths, foreground, fit)
    save_measured(job.folder, number, measured, scene.foreground, held)
    cubes = [kept.cube for kept in (*loaded.values(), scene)]
    if sum(cube.nbytes for cube in cubes if not isinstance(cube, np.memmap)) <= HOLD_BYTES:
        loaded[number] = scene
    job.say(f"read {scene.name}", done)
    return measured


def _written(
    job: _Job, projector: Projection, number: int, measured: Measured, loaded: dict[int, Scene], done: int
) -> SceneRecord:
    """Project one scene into the folder."""
    if (known := load_record(job.folder, number)) is not None:
        job.say(f"{known.name} had been written", done)
        return known
    file, source = f"{number:04d}", job.sources[number]
    scene = loaded.pop(number) if number in loaded else open_source(source, job.recipe.seed)
    mask, held = (np.load(job.folder / f"{file}.{part}.npy") for part in ("mask", "held"))
    shape = (scene.height, scene.width, projector.channels)
    components = np.lib.format.open_memmap(job.folder / f"{file}.components.npy", "w+", np.float16, shape)
    with np.errstate(over="ignore", invalid="ignore"):
        projector.transform(
            scene.cube, scene.wavelengths, moments=measured.foreground_moments, out=components, scaled=True
        )
    neutralise(components, mask)
    components.flush()
    if scene.labels is not None:
        np.save(job.folder / f"{file}.labels.npy", scene.labels.astype(np.int32))
        # What probes of raw spectra look at; the cube itself need not be there any more.
        np.save(job.folder / f"{file}.spectra.npy", np.asarray(scene.cube)[tuple(np.argwhere(scene.labels > 0).T)])
    _, offset = projector.affine(scene.wavelengths, scene.bands, measured.foreground_moments, scene.name)
    record = SceneRecord(
        file=file,
        name=scene.name,
        domain=scene.domain,
        sensor=scene.sensor,
        kind=kind_of(scene),
        site=source.site,
        source=source.origin,
        hash=job.hashes[number],
        data="" if scene.labels is None else data_hash(scene.cube, scene.labels),
        shape=scene.cube.shape,
        wavelengths=None if scene.wavelengths is None else scene.wavelengths.tolist(),
        labelled=scene.labels is not None,
        classes=list(scene.classes),
        foreground=float(mask.mean()),
        held=float(held.mean()),
        zero_spectrum=(offset / projector.scale).tolist(),
        notes=[*scene.notes, *_background_note(scene, mask, source.background)],
    )
    save_record(job.folder, number, record)
    job.say(f"wrote {scene.name}", done)
    return record


def _publish(folder: Path, final: Path) -> None:
    """Give a whole corpus its name."""
    try:
        tidy(folder)
        os.replace(folder, final)
    except OSError as error:
        # Another run that prepared the same corpus got there first.
        if not (final / "manifest.json").is_file():
            raise cannot_write(final, error) from None
        shutil.rmtree(folder, ignore_errors=True)


def _merged(shares: Sequence[Mapping[int, T]]) -> list[T]:
    """Values by number out of every process's share, in order."""
    everything = {number: value for share in shares for number, value in share.items()}
    return [everything[number] for number in sorted(everything)]


def _mask(scene: Scene, source: SceneSource) -> np.ndarray | None:
    if source.background == "given":
        if scene.mask is None:
            raise InputError(f"scene {scene.name!r}: background is 'given', but the scene has no mask")
        return scene.mask
    mask = background_mask(scene, source.background, nodata=source.nodata_value)
    return None if mask.all() else mask


def _background_note(scene: Scene, mask: np.ndarray, method: str) -> list[str]:
    masked = int(mask.size - mask.sum())
    name = scene.source.name if scene.source else scene.name
    return [f"{name}: {masked:,} of {mask.size:,} pixels are background ({method})"] if masked else []


def check_bands(scene: Scene, raw: Moments) -> None:
    """Refuse bands that hold no information, which standardising or whitening would turn into noise."""
    if not raw.count:
        raise InputError(f"scene {scene.name!r} ({scene.source}): no foreground pixel is left; check its background")
    if not np.isfinite(raw.mean).all() or not np.isfinite(raw.covariance).all():
        bad = np.flatnonzero(~np.isfinite(raw.mean))
        where = f"bands {_ranges(bad)} hold" if bad.size else "the cube holds"
        raise InputError(
            f"scene {scene.name!r} ({scene.source}): {where} values that are not finite or too large; "
            "mask those pixels or give drop_bands"
        )
    constant = np.flatnonzero(np.diag(raw.covariance) <= 1e-12 * raw.mean**2)
    if constant.size:
        raise InputError(
            f"scene {scene.name!r} ({scene.source}): bands {_ranges(constant)} are constant; "
            "add drop_bands: bad to this scene, or list them"
        )


def _ranges(numbers: np.ndarray) -> str:
    """0, 3-7, 12."""
    runs = np.split(numbers, np.flatnonzero(np.diff(numbers) != 1) + 1)
    return ", ".join(f"{r[0]}" if len(r) == 1 else f"{r[0]}-{r[-1]}" for r in runs)


def _spread(projector: Projection, scenes: Sequence[Measured]) -> list[float]:
    """(K,) root mean squares of all foreground components, from the moments of the spectra that they come from."""
    if projector.noise_whitening:
        # Noise has been brought to one.
        return [1.0] * projector.channels
    count, squares = 0, np.zeros(projector.channels)
    for scene in scenes:
        matrix, offset = projector.affine(scene.wavelengths, scene.bands, scene.foreground_moments, scene.name)
        mean, variance = (
            scene.foreground_moments.mean @ matrix + offset,
            ((scene.foreground_moments.covariance @ matrix) * matrix).sum(axis=0),
        )
        squares += scene.foreground_moments.count * (variance + mean**2)
        count += scene.foreground_moments.count
    return (np.sqrt(squares / count) / projector.scale).tolist()


def neutralise(components: np.ndarray, mask: np.ndarray) -> None:
    """Set background that no spectrum could be (no-data values, NaN) to zero, the mean of a centred space.

    Windows may hold some background; a no-data value of -9999 in them would drown everything else. Real
    background, such as a tray, stays as it is.
    """
    if mask.all():
        return
    bound = 10 * float(np.abs(components[mask].astype(np.float32)).max())
    with np.errstate(invalid="ignore"):
        wild = ~mask & ~(np.abs(components) <= bound).all(axis=2)
    components[wild] = 0
