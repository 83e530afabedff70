"""From what a recipe names to scenes: files, globs, folders and the simulated corpus."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from sslhsi.errors import InputError
from sslhsi.files import sha256
from sslhsi.read_options import ARRAYS
from sslhsi.recipe import Corpus, SceneSource
from sslhsi.scenes.folders import SceneFiles, beside_scene, doubled, plain_stem, scene_files, scene_names
from sslhsi.scenes.notes import note
from sslhsi.scenes.read import read_labels, read_scene
from sslhsi.scenes.scene import Scene
from sslhsi.scenes.sidecar import metadata_beside
from sslhsi.scenes.simulated.scenes import DOMAINS, simulate_domain
from sslhsi.scenes.simulated.stand_in import PREFIX, stand_in_of
from sslhsi.scenes.stack import stack_files, stack_name

# Settings that have always been part of a source's hash, in their order there.
_FIRST = (
    "simulated", "stand_in", "index", "size", "name", "domain", "sensor", "site", "cube", "labels_key", "abundances",
    "purity", "wavelengths", "nodata", "drop_bands", "background", "holdout",
)  # fmt: skip


def corpus_sources(corpus: Corpus) -> list[SceneSource]:
    """One source per scene that a recipe's corpus takes.

    Raises:
        InputError: A file is missing, a name under ``only`` or ``leave_out`` is none of the scenes',
            nothing is left, or a scene that is held out shows the same place as one that is not.
    """
    sources = expand(corpus.scenes)
    known = [s.name for s in sources]
    for key in ("only", "leave_out"):
        if unknown := [name for name in getattr(corpus, key) if name not in known]:
            near = difflib.get_close_matches(unknown[0], [str(k) for k in known], n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise InputError(f"corpus.{key}: no scene is named {unknown[0]!r}{hint}")
    kept = [s for s in sources if (not corpus.only or s.name in corpus.only) and s.name not in corpus.leave_out]
    if not kept:
        raise InputError("corpus.only and corpus.leave_out leave no scene")
    for out in (s for s in kept if s.holdout and s.site):
        if same := [s for s in kept if s.site == out.site and not s.holdout]:
            raise InputError(
                f"scenes {out.name!r} and {same[0].name!r} show the same place (site {out.site!r}), but only the "
                "first is held out; set holdout on both or on neither, or name one under corpus.leave_out"
            )
    return kept


def expand(sources: Sequence[SceneSource]) -> list[SceneSource]:
    """Replace globs and folders by one source per file, and check that every file is there.

    In ``labels``, ``abundances``, ``mask`` and ``wavelengths``, ``{stem}`` stands for the name of each scene's file.
    What is passed over is logged at INFO level under "sslhsi.scenes".

    Raises:
        InputError: A file is missing, a pattern matches nothing, a simulated domain is unknown, one label map is
            given for several scenes, or two scenes bear one name.
    """
    expanded: list[SceneSource] = []
    for source in sources:
        if source.simulated is not None:
            if source.simulated not in DOMAINS:
                raise InputError(f"simulated: {source.simulated!r} is none of {', '.join(DOMAINS)}")
            expanded.append(source.model_copy(update={"name": source.name or f"{source.simulated}-{source.index}"}))
        elif source.stand_in is not None:
            name = PREFIX + (source.name or source.stand_in).removeprefix(PREFIX)
            expanded.append(source.model_copy(update={"name": name}))
        else:
            expanded += _of_files(source)
    if double := doubled(str(s.name) for s in expanded):
        raise InputError(f"two scenes are named {double!r}; give each a name of its own")
    return expanded


def _of_files(source: SceneSource) -> list[SceneSource]:
    """A source for each file that a path, a pattern or a folder names."""
    assert source.path is not None
    files, skipped = _stack(source.path) if source.stack else scene_files(source.path)
    for path, reason in skipped:
        note(path, f"skipped ({reason})")
    one_for_many(source.given(), files, source.path)
    names = [source.name] if source.name and len(files) == 1 else scene_names(files)
    if source.stack and not source.name:
        names = [stack_name(files[0])]
    beside = {key: getattr(source, key) for key in ARRAYS if isinstance(getattr(source, key), str)}
    present = dict.fromkeys((key for key, value in beside.items() if "{stem}" in value), False)
    expanded = []
    for file, name in zip(files, names, strict=True):
        update: dict[str, Any] = {"path": str(file), "name": name}
        for key, pattern in beside.items():
            update[key] = beside_scene(pattern, file)
            if key in present:
                present[key] |= Path(update[key]).is_file()
                if not Path(update[key]).is_file():
                    note(file, f"no {Path(update[key]).name} there, read without {key}")
                    update[key] = "none" if key == "labels" else None
        expanded.append(source.model_copy(update=update))
    if missing := [key for key, there in present.items() if not there]:
        raise InputError(f"{missing[0]}: {beside[missing[0]]!r} names no file for any scene of {source.path}")
    return expanded


def one_for_many(options: Mapping[str, Any], files: Sequence[Path], where: str) -> None:
    """Refuse one file of labels or abundances for several scenes.

    Args:
        options: How the scenes are read.
        files: Theirs.
        where: What named them, for the message.

    Raises:
        InputError: It says how to pair each scene with a file of its own.
    """
    for key in ("labels", "abundances"):
        given = options.get(key)
        if len(files) > 1 and given and "{stem}" not in given and Path(given).is_file():
            raise InputError(
                f"{key}: {given} is one file for the {len(files)} scenes of {where}; write "
                f'{key}: "{_as_pattern(Path(given), files)}", where {{stem}} is each scene\'s, or list them'
            )


def _stack(pattern: str) -> SceneFiles:
    """A folder or a pattern of bands stays as it is: together they are one scene."""
    path = Path(pattern).expanduser()
    stack_files(path)  # says what is missing
    return SceneFiles([path], [])


def _as_pattern(given: Path, files: Sequence[Path]) -> str:
    """A label file's name with the name of its scene left open."""
    stem = next((s for file in files if (s := plain_stem(file)) and s in given.name), None)
    return given.name.replace(stem, "{stem}") if stem else "{stem}_gt" + given.suffix


def open_source(source: SceneSource, seed: int) -> Scene:
    """Open one expanded source."""
    if source.simulated is not None:
        scene = simulate_domain(source.simulated, index=source.index, seed=seed, size=source.size)
        return scene.with_(name=source.name or scene.name, domain=source.domain or scene.domain)
    if source.stand_in is not None:
        assert source.labels is not None
        labels = read_labels(source.labels, labels_key=source.labels_key, purity=source.purity, shape=source.shape)
        made = stand_in_of(source.stand_in, labels, seed)
        return made.with_(name=source.name or made.name, domain=source.domain or made.domain)
    assert source.path is not None
    return read_scene(source.path, **source.given())


def source_hash(source: SceneSource, seed: int) -> str:
    """Hash of everything that a source's scene depends on: settings, file contents, the simulator's code."""
    digest = hashlib.blake2b(digest_size=16)
    settings = source.model_dump(mode="json", exclude={"path", "labels"})
    # As 0.1 wrote them, so that its corpora and runs keep their names; younger keys count where they are set.
    later = [key for key in settings if key not in _FIRST]
    given = [key for key in later if getattr(source, key) != SceneSource.model_fields[key].default]
    digest.update(to_json({key: settings[key] for key in (*_FIRST, *given)}))
    if source.path is None:
        digest.update(f"simulated with seed {seed}".encode())
        # The simulator's code stands for its version.
        for file in sorted((Path(__file__).parent / "simulated").glob("*.py")):
            digest.update(file.read_bytes())
    for name in (source.path, source.labels, source.wavelengths, source.abundances, source.mask):
        bands = source.stack and name == source.path
        if isinstance(name, str) and (bands or Path(name).exists()):
            for file in stack_files(Path(name))[0] if bands else companions(Path(name)):
                digest.update(bytes.fromhex(sha256(file)))
        elif name is not None and name != source.abundances:
            digest.update(str(name).encode())
    return digest.hexdigest()


def companions(path: Path) -> list[Path]:
    """A file and those that belong to it by name, such as ENVI's header or data; all files of a folder."""
    if path.is_dir():
        return sorted(p for p in path.rglob("*") if p.is_file())
    stems = {path.stem, path.name, plain_stem(path)}
    beside = (p for p in path.parent.iterdir() if p.is_file() and {p.stem, p.name, plain_stem(p)} & stems)
    return sorted({path, *beside, *metadata_beside(path)})
