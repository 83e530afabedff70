"""From a path, a pattern or a folder to the files of scenes in it, and what is passed over there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import rasterio

from sslhsi.errors import InputError
from sslhsi.scenes.captures import reference_role
from sslhsi.scenes.envi import is_envi_data
from sslhsi.scenes.envi_header import header_beside, is_library
from sslhsi.scenes.labels import whole
from sslhsi.scenes.raw import Raw
from sslhsi.scenes.read import READERS, open_file
from sslhsi.scenes.sidecar import TIFFS, product_layer, spectral_images
from sslhsi.scenes.stack import matching

# In a folder, an ENVI cube is found by its header; text tables and archives are taken when they are named.
READABLE = tuple(
    suffix for suffix in READERS if suffix not in (".img", ".raw", ".dat", ".bil", ".bip", ".bsq", ".sli", ".zip")
    and suffix not in (".csv", ".txt", ".tsv", ".xz", ".png")
)  # fmt: skip


class SceneFiles(NamedTuple):
    """Files of scenes, and those that were passed over, each with the reason."""

    files: list[Path]
    skipped: list[tuple[Path, str]]


def scene_files(pattern: str) -> SceneFiles:
    """The files of the scenes that a path names.

    A file that exists is that file, whatever its name holds. In a folder, or among what a pattern matches, these are
    passed over: hidden files, white and dark references, pictures and other files that are no
    cubes, label maps; an ENVI header and its data are one scene, and so are a GeoTIFF and the header beside it.

    Args:
        pattern: A file, a folder, or a pattern with ``*``, ``?`` and ``[...]``; ``~`` is the home folder.

    Returns:
        The files in order of their paths, and what was passed over.

    Raises:
        InputError: There is no such file, nothing matches, or nothing of it is a scene.
    """
    path = Path(pattern).expanduser()
    if path.is_file():
        return SceneFiles([path], [])
    if path.is_dir():
        inside = (p for p in path.iterdir() if p.is_file() and (p.suffix.lower() in READABLE or _alone(p)))
        candidates = sorted({*inside, *spectral_images(path)})
        what = f"{path}: the folder holds no file ending in {', '.join(READABLE)}"
    elif any(sign in pattern for sign in "*?["):
        matches = matching(path)
        products = [image for p in matches if p.is_dir() for image in spectral_images(p)]
        candidates = sorted({*products, *(p for p in matches if p.is_file())})
        what = f"{pattern}: no file matches this pattern"
    else:
        raise InputError(f"{path}: there is no such file; check the path, or set the variable that it uses")
    if not candidates:
        raise InputError(what)
    files, skipped = _pass_over(candidates)
    if not files:
        reasons = "; ".join(f"{path.name}: {reason}" for path, reason in skipped)
        raise InputError(f"{pattern}: holds no scene ({reasons}); name the file itself")
    return SceneFiles(files, skipped)


def scene_names(files: Sequence[Path]) -> list[str]:
    """A name for each file: without suffixes, with as many of its folders before it as tell it apart.

    Examples:
        >>> scene_names([Path("a/raw_0.hdr"), Path("b/raw_0.hdr"), Path("b/leaf.2021.img.hdr")])
        ['a-raw_0', 'b-raw_0', 'leaf.2021']
    """
    parts = [(*file.absolute().parent.parts[1:], plain_stem(file)) for file in files]
    depth = [1] * len(files)
    while True:
        names = ["-".join(part[-n:]) for part, n in zip(parts, depth, strict=True)]
        clashing = [i for i, name in enumerate(names) if names.count(name) > 1 and depth[i] < len(parts[i])]
        if not clashing:
            return names
        for i in clashing:
            depth[i] += 1


def plain_stem(path: Path) -> str:
    """A file's name without its suffix, and of an ENVI header without that of its data (``a.img.hdr``)."""
    stem = path.stem
    inner = Path(stem)
    return inner.stem if path.suffix.lower() == ".hdr" and inner.suffix and is_envi_data(inner) else stem


def beside_scene(pattern: str, scene: Path) -> str:
    """A file that belongs to a scene: ``{stem}`` stands for the scene's name, and its folder is looked at first.

    Args:
        pattern: As ``{stem}_gt.npy``; without ``{stem}`` it is returned as it is.
        scene: File of the scene.
    """
    if "{stem}" not in pattern:
        return pattern
    name = pattern.replace("{stem}", plain_stem(scene))
    local = scene.parent / name
    return str(local if local.is_file() else Path(name).expanduser())


def _pass_over(candidates: Sequence[Path]) -> SceneFiles:
    """What is a scene among files, and why the others are none."""
    reasons: dict[Path, str] = {}
    shown = [p for p in candidates if not p.name.startswith(".")]
    hidden = [p for p in candidates if p.name.startswith(".")]
    reasons |= dict.fromkeys(hidden, "hidden")
    images = {p for p in shown if p.suffix.lower() in TIFFS}
    for path in shown:
        if path.suffix.lower() == ".hdr" and {path.with_suffix(s) for s in TIFFS} & images:
            reasons[path] = ""  # header of the GeoTIFF beside it, which reads it
        elif is_envi_data(path) and header_beside(path) in shown and path.suffix.lower() not in TIFFS:
            reasons[path] = ""  # the header stands for both
        elif product_layer(path):
            reasons[path] = "a layer of the product beside it"
        elif not _readable(path):
            reasons[path] = "no cube"
        elif path.suffix.lower() == ".hdr" and is_library(path):
            reasons[path] = "a library of spectra"
    left = [p for p in shown if p not in reasons]
    references = [p for p in left if reference_role(p.stem)[0]]
    if len(references) < len(left):
        reasons |= {p: f"a {reference_role(p.stem)[0]} reference" for p in references}
    left = [p for p in left if p not in reasons]
    maps = [p for p in left if is_label_map(p)] if len(left) > 1 else []
    if len(maps) < len(left):
        pair = 'pair such maps with their cubes by labels: "{stem}_gt.EXT"'
        reasons |= {p: f"a label map; {pair}" for p in maps}
    files = [p for p in candidates if p not in reasons]
    return SceneFiles(files, [(path, reason) for path, reason in reasons.items() if reason])


def _readable(path: Path) -> bool:
    return path.suffix.lower() in READABLE or (is_envi_data(path) and header_beside(path) is not None) or _alone(path)


def _alone(path: Path) -> bool:
    """Whether a file may be an image that GDAL reads without a header beside it."""
    return path.suffix.lower() in (".img", ".jp2", ".jpx", ".pix") and header_beside(path) is None


def is_label_map(path: Path) -> bool:
    """Whether a file holds a label map and no cube; False where it can't be opened, which its reader then says."""
    try:
        if path.suffix.lower() in TIFFS:
            with rasterio.open(path) as file:
                return file.count == 1 and np.dtype(file.dtypes[0]).kind in "iu"
        opened = open_file(path)
    except (InputError, rasterio.errors.RasterioError):
        return False
    if isinstance(opened, Raw):
        return opened.cube.shape[2] == 1 and whole(np.asarray(opened.cube))
    arrays = [v for v in opened if v.real and len(v.shape) >= 2 and min(v.shape) > 1]
    return bool(arrays) and all(len(v.shape) == 2 and whole(np.asarray(v.load())) for v in arrays)


def doubled(names: Iterable[str]) -> str | None:
    """The first name that is there twice."""
    listed = list(names)
    return next((name for name in sorted(set(listed)) if listed.count(name) > 1), None)
