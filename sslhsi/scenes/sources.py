"""From what a recipe names to scenes: files, globs, folders and the simulated corpus."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Sequence
from pathlib import Path

from sslhsi.errors import InputError
from sslhsi.files import sha256
from sslhsi.read_options import ARRAYS
from sslhsi.recipe import Corpus, SceneSource
from sslhsi.scenes.envi import header_beside, is_envi_data
from sslhsi.scenes.read import read_labels, read_scene
from sslhsi.scenes.scene import Scene
from sslhsi.scenes.simulated.scenes import DOMAINS, simulate_domain
from sslhsi.scenes.simulated.stand_in import PREFIX, stand_in_of

# In a folder, an ENVI cube is known by its header.
READABLE = (".mat", ".hdr", ".tif", ".tiff", ".h5", ".hdf5", ".he5", ".npy", ".npz")


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

    Raises:
        InputError: A file is missing, a pattern matches nothing, a simulated domain is unknown, or two
            scenes bear one name.
    """
    expanded: list[SceneSource] = []
    for source in sources:
        if source.simulated is not None:
            if source.simulated not in DOMAINS:
                raise InputError(f"simulated: {source.simulated!r} is none of {', '.join(DOMAINS)}")
            expanded.append(source.model_copy(update={"name": source.name or f"{source.simulated}-{source.index}"}))
            continue
        if source.stand_in is not None:
            name = PREFIX + (source.name or source.stand_in).removeprefix(PREFIX)
            expanded.append(source.model_copy(update={"name": name}))
            continue
        assert source.path is not None
        files = _files(source.path)
        for file in files:
            name = source.name if source.name and len(files) == 1 else file.name.split(".")[0]
            expanded.append(source.model_copy(update={"path": str(file), "name": name}))
    names = [s.name for s in expanded]
    if double := sorted({str(n) for n in names if names.count(n) > 1}):
        raise InputError(f"two scenes are named {double[0]!r}; give each another name")
    return expanded


def _files(pattern: str) -> list[Path]:
    path = Path(pattern).expanduser()
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.suffix.lower() in READABLE)
        if not files:
            raise InputError(f"{path}: the folder holds no file ending in {', '.join(READABLE)}")
        return files
    if any(c in pattern for c in "*?["):
        anchor = Path(path.anchor or ".")
        files = sorted(anchor.glob(str(path.relative_to(anchor) if path.anchor else path)))
        if not files:
            raise InputError(f"{pattern}: no file matches this pattern")
        # An ENVI header and its data are one scene; the header stands for both, as in a folder.
        return [p for p in files if not (is_envi_data(p) and header_beside(p) in files)]
    if not path.exists():
        raise InputError(f"{path}: there is no such file; check corpus.scenes, or set the variable that it uses")
    return [path]


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
    settings = source.model_dump_json(exclude={"path", "labels"})
    digest.update(settings.encode())
    if source.path is None:
        digest.update(f"simulated with seed {seed}".encode())
        # The simulator's code stands for its version.
        for file in sorted((Path(__file__).parent / "simulated").glob("*.py")):
            digest.update(file.read_bytes())
    for name in (source.path, *(getattr(source, key) for key in ARRAYS)):
        if isinstance(name, str) and Path(name).is_file():
            for file in companions(Path(name)):
                digest.update(bytes.fromhex(sha256(file)))
        elif name is not None:
            digest.update(str(name).encode())
    return digest.hexdigest()


def companions(path: Path) -> list[Path]:
    """A file and those that belong to it by name, such as ENVI's header or data."""
    stems = {path.stem, path.name}
    return sorted({path, *(p for p in path.parent.iterdir() if p.is_file() and {p.stem, p.name} & stems)})
