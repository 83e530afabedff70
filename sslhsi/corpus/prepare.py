"""Scenes -> prepared corpus, once per content hash, shared over processes, written atomically."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from sslhsi.bands.moments import Moments, moments
from sslhsi.bands.projector import SpectralProjector
from sslhsi.corpus.corpus import FORMAT, Corpus
from sslhsi.corpus.holdout import holdout_map, shared_sites
from sslhsi.corpus.masks import background_mask
from sslhsi.corpus.unfinished import claim_folder, load_read, load_written, save_read, save_written, tidy
from sslhsi.errors import InputError
from sslhsi.files import cannot_write
from sslhsi.ranks import Gather
from sslhsi.recipe import Recipe, SceneSource
from sslhsi.scenes.scene import Scene
from sslhsi.scenes.sources import corpus_sources, open_source, source_hash

# Bytes of loaded cubes that are kept between the two passes over them.
HOLD_BYTES = 2 << 30

Progress = Callable[[str, int, int], None]


def corpus_key(recipe: Recipe, hashes: Sequence[str]) -> str:
    """Hash of all that a prepared corpus depends on; ``hashes`` are the sources' own."""
    parts = [
        f"format {FORMAT}",
        recipe.corpus.bands.model_dump_json(),
        # The seed only says which end of a scene is held out: without that, all seeds share a corpus.
        f"holdout {recipe.corpus.patches.holdout} seed {recipe.seed if recipe.corpus.patches.holdout else 0}",
        *hashes,
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


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
    whole; a preparation that was killed goes on after the last scene that it finished.

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
    problem: InputError | None = None
    own: dict[int, str] = {}
    cache = Path(recipe.corpus.cache)
    try:
        sources = corpus_sources(recipe.corpus)
        mine = range(rank, len(sources), world)
        with ThreadPoolExecutor(4) as pool:
            own = dict(zip(mine, pool.map(lambda i: source_hash(sources[i], recipe.seed), mine), strict=True))
    except InputError as error:
        problem = error
    _raise_together(problem, gather)
    hashes = {i: found for share in gather(own) for i, found in share.items()}
    key = corpus_key(recipe, [hashes[i] for i in range(len(sources))])
    final = cache / key
    if gather((final / "manifest.json").is_file())[0]:
        return Corpus(final)
    part, lock = cache, None
    try:
        if rank == 0:
            part, lock = claim_folder(cache, key)
    except OSError as error:
        problem = cannot_write(cache, error)
    _raise_together(problem, gather)
    part = Path(gather(str(part))[0])
    with lock or nullcontext():
        try:
            _fill(recipe, sources, hashes, key, part, rank, world, gather, progress)
            if rank == 0:
                try:
                    tidy(part)
                    os.replace(part, final)
                except OSError as error:
                    # Another run that prepared the same corpus got there first.
                    if not (final / "manifest.json").is_file():
                        raise cannot_write(final, error) from None
                    shutil.rmtree(part, ignore_errors=True)
            gather(None)
        except InputError:
            # Bad input or a full disk; whatever else stops the run leaves what is done for the next one.
            if rank == 0:
                shutil.rmtree(part, ignore_errors=True)
            raise
    return Corpus(final)


def _fill(
    recipe: Recipe,
    sources: list[SceneSource],
    hashes: Mapping[int, str],
    key: str,
    part: Path,
    rank: int,
    world: int,
    gather: Gather,
    progress: Progress | None,
) -> None:
    bands, shared = recipe.corpus.bands, shared_sites(sources)
    mine = [i for i in range(len(sources)) if i % world == rank]
    projector = SpectralProjector(**bands.model_dump())
    problem: InputError | None = None
    # Cubes that had to be loaded whole, kept for the second pass as far as they fit.
    loaded: dict[int, Scene] = {}
    held_bytes = 0
    taken: dict[int, tuple[Scene, Moments, Moments]] = {}
    try:
        for n, i in enumerate(mine):
            source = sources[i]
            known = load_read(part, i)
            if known is None:
                scene = open_source(source, recipe.seed)
                scene = scene.with_(mask=_mask(scene, source))
                shape = scene.cube.shape[:2]
                held = holdout_map(source, shape, recipe.corpus.patches.holdout, source.site in shared, recipe.seed)
                own = projector.scene_moments(scene.cube, scene.mask)
                check_bands(scene, own)
                train = projector.fit_mask(scene, ~held)
                fit = own if train is scene.mask else moments(scene.cube, train)
                save_read(part, i, scene, scene.mask, held, own, fit)
                known = load_read(part, i)
                assert known is not None
                held_bytes += 0 if isinstance(scene.cube, np.memmap) else scene.cube.nbytes
                if held_bytes <= HOLD_BYTES:
                    loaded[i] = scene
            taken[i] = known
            if progress:
                progress(f"read {known[0].name}", n + 1, 2 * len(mine))
    except InputError as error:
        problem = error
    except OSError as error:
        problem = cannot_write(part, error)
    _raise_together(problem, gather)
    everything = {k: v for share in gather(taken) for k, v in share.items()}
    ordered = [everything[i] for i in range(len(sources))]
    try:
        projector.fit_moments([o[0] for o in ordered], [o[2] for o in ordered])
    except InputError as error:
        problem = error
    _raise_together(problem, gather)
    entries: dict[int, dict[str, Any]] = {}
    try:
        for n, i in enumerate(mine):
            done = load_written(part, i)
            if done is None:
                mask = np.load(part / f"{i:04d}.mask.npy")
                scene = loaded.pop(i) if i in loaded else open_source(sources[i], recipe.seed)
                scene = scene.with_(mask=None if mask.all() else mask)
                done = _write(
                    scene, np.load(part / f"{i:04d}.held.npy"), sources[i], projector, everything[i][1], part, i
                )
                done["hash"] = hashes[i]
                save_written(part, i, done)
            entries[i] = done
            if progress:
                progress(f"wrote {entries[i]['name']}", len(mine) + n + 1, 2 * len(mine))
    except InputError as error:
        problem = error
    except OSError as error:
        problem = cannot_write(part, error)
    _raise_together(problem, gather)
    all_entries = {k: v for share in gather(entries) for k, v in share.items()}
    if rank == 0:
        manifest = {
            "format": FORMAT,
            "key": key,
            "projector": projector.state(),
            # What augmentations are measured in: the noise, where that has been brought to one.
            "unit": [1.0] * projector.channels if projector.denoise else _spread(projector, ordered).tolist(),
            "scenes": [all_entries[i] for i in range(len(sources))],
        }
        try:
            projector.save(part)
            (part / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
        except OSError as error:
            problem = cannot_write(part, error)
    _raise_together(problem, gather)


def _mask(scene: Scene, source: SceneSource) -> np.ndarray | None:
    if source.background == "given":
        if scene.mask is None:
            raise InputError(f"scene {scene.name!r}: background is 'given', but the scene has no mask")
        return scene.mask
    mask = background_mask(scene, source.background, nodata=source.nodata)
    return None if mask.all() else mask


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


def _write(
    scene: Scene,
    held: np.ndarray,
    source: SceneSource,
    projector: SpectralProjector,
    own: Moments,
    folder: Path,
    number: int,
) -> dict[str, Any]:
    file = f"{number:04d}"
    mask = np.ones(scene.cube.shape[:2], dtype=bool) if scene.mask is None else scene.mask
    shape = (*scene.cube.shape[:2], projector.channels)
    components = np.lib.format.open_memmap(folder / f"{file}.components.npy", "w+", np.float16, shape)
    with np.errstate(over="ignore", invalid="ignore"):
        projector.transform(scene.cube, scene.wavelengths, raw=own, out=components, scaled=True)
    neutralise(components, mask)
    components.flush()
    if scene.labels is not None:
        np.save(folder / f"{file}.labels.npy", scene.labels.astype(np.int32))
    _, offset = projector.affine(scene.wavelengths, scene.bands, own, scene.name)
    return {
        "file": file,
        "name": scene.name,
        "domain": scene.domain,
        "sensor": scene.sensor,
        "site": source.site,
        "source": source.origin,
        "shape": list(scene.cube.shape),
        "wavelengths": None if scene.wavelengths is None else [scene.wavelengths.min(), scene.wavelengths.max()],
        "foreground": float(mask.mean()),
        "held": float(held.mean()),
        "labelled": scene.labels is not None,
        "classes": list(scene.classes),
        "stand_in": scene.stand_in,
        "black": (offset / projector.scale).tolist(),
    }


def _spread(projector: SpectralProjector, scenes: Sequence[tuple[Scene, Moments, Moments]]) -> np.ndarray:
    """(K,) root mean squares of all foreground components, from the moments of the spectra that they come from."""
    count, squares = 0, np.zeros(projector.channels)
    for scene, own, _ in scenes:
        matrix, offset = projector.affine(scene.wavelengths, scene.bands, own, scene.name)
        mean, variance = own.mean @ matrix + offset, ((own.covariance @ matrix) * matrix).sum(axis=0)
        squares += own.count * (variance + mean**2)
        count += own.count
    return np.sqrt(squares / count) / projector.scale


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


def _raise_together(problem: InputError | None, gather: Gather) -> None:
    """Raise on every rank what any rank ran into, so that none waits for one that has stopped."""
    messages = [m for m in gather(str(problem) if problem else None) if m]
    if messages:
        raise InputError(messages[0]) from None
