"""``sslhsi data inspect | list | get | calibrate | simulate``."""

from __future__ import annotations

import argparse
import zipfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from sslhsi.commands.calibrate import add_action as add_calibrate
from sslhsi.commands.output import add_json, each, show
from sslhsi.commands.read_arguments import add_read_options, in_flags, read_options
from sslhsi.errors import InputError
from sslhsi.files import MADE_BY, atomic, check_replaceable

# Imports of torch and readers are inside the commands, so that --help answers at once.


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command to the command line."""
    data = commands.add_parser(
        "data",
        help="look at cubes; list and download public scenes",
        epilog="example: sslhsi data inspect my_cubes/*.hdr --out looks",
    )
    actions = data.add_subparsers(title="actions", metavar="ACTION", required=True)

    inspect = actions.add_parser(
        "inspect",
        help="print what a file holds and draw a quick look",
        epilog="example: sslhsi data inspect my_cubes/*.hdr --out looks",
    )
    inspect.add_argument("paths", nargs="+", metavar="PATH", help="a cube in any supported format")
    inspect.add_argument("--out", default="looks", help="folder for the quick-look PNGs (default: looks)")
    inspect.add_argument("--no-png", action="store_true", help="print only")
    add_json(inspect)
    add_read_options(inspect)
    inspect.set_defaults(run=inspect_data)

    listing = actions.add_parser(
        "list",
        help="public scenes that can be downloaded, and simulated domains",
        epilog="example: sslhsi data list --json",
    )
    add_json(listing)
    listing.set_defaults(run=list_data)

    get = actions.add_parser(
        "get", help="download a public scene", epilog="example: sslhsi data get pavia_university --to scenes"
    )
    get.add_argument("name", help="as sslhsi data list prints it")
    get.add_argument("--to", default="scenes", help="folder (default: scenes)")
    get.set_defaults(run=get_data)

    add_calibrate(actions)

    simulate = actions.add_parser(
        "simulate",
        help="a stand-in cube on a real label map, for a scene whose cube is not at hand",
        epilog="example: sslhsi data simulate PaviaU_gt.mat --bands 103 --out stand-in-pavia.npz",
    )
    simulate.add_argument("labels", help="file with the label map")
    simulate.add_argument("--bands", type=int, default=103)
    simulate.add_argument("--difficulty", type=float, default=1.0, help="overlap of the classes (default: 1)")
    simulate.add_argument("--seed", type=int, default=0)
    simulate.add_argument("--out", required=True, help=".npz file; its name will begin with stand-in")
    add_read_options(simulate, ("labels_key", "purity", "shape"))
    simulate.set_defaults(run=simulate_data)


def inspect_data(options: argparse.Namespace) -> int:
    """Print what is known about each scene and draw it."""

    def inspect(scene: tuple[str, dict[str, Any]]) -> dict[str, Any]:
        path, keywords = scene
        description = _described(path, keywords, None if options.no_png else Path(options.out))
        if not options.json:
            print(path)
            known = [(key, _plain(value)) for key, value in description.items() if key != "notes"]
            for key, text in [*known, *(("note", in_flags(options, line)) for line in description["notes"])]:
                print(f"  {key:<16} {text}")
        return description

    words = partial(in_flags, options)
    scenes, unlisted = _listed(options.paths, read_options(options), words)
    descriptions, failed = each(scenes, inspect, words)
    if options.json:
        show(options, descriptions, ())
    return max(failed, unlisted)


def _listed(
    paths: Sequence[str], keywords: dict[str, Any], words: Callable[[str], str]
) -> tuple[list[tuple[str, dict[str, Any]]], int]:
    """Each scene that paths, folders and patterns name, with how to read it, and the exit code so far."""
    from sslhsi.recipe import SceneSource
    from sslhsi.recipe_file import validated
    from sslhsi.scenes.folders import scene_names
    from sslhsi.scenes.notes import printed_notes
    from sslhsi.scenes.sources import expand, one_for_many

    with printed_notes(words):
        named, failed = each(
            paths, lambda path: expand([validated({"path": path, **keywords}, "", SceneSource)]), words
        )
    scenes = [
        (str(source.path), {k: v for k, v in source.given().items() if k != "name"})
        for sources in named
        for source in sources
    ]
    files = [Path(path) for path, _ in scenes]
    one_for_many(keywords, files, " ".join(paths))
    names = scene_names(files)
    # A name longer than the file's tells files of one name apart, and their pictures.
    return [
        (path, given if name in Path(path).name else given | {"name": name})
        for (path, given), name in zip(scenes, names, strict=True)
    ], failed


def _described(path: str, keywords: dict[str, Any], pictures: Path | None) -> dict[str, Any]:
    """What a file holds, an image (drawn into a folder) or spectra without a place."""
    from sslhsi.report.quicklook import quicklook
    from sslhsi.scenes.inspect_scene import describe, describe_spectra
    from sslhsi.scenes.raw import TableOfSpectra
    from sslhsi.scenes.read import read_scene
    from sslhsi.scenes.read_spectra import read_spectra

    try:
        try:
            scene = read_scene(path, **keywords)
        except InputError as error:
            if "labels" not in keywords or isinstance(error, TableOfSpectra):
                raise
            # Labels of spectra are no map, and what reads maps says so first.
            read_scene(path, **{key: value for key, value in keywords.items() if key not in ("labels", "labels_key")})
            raise
    except TableOfSpectra:
        given = {key: keywords[key] for key in ("cube", "labels", "labels_key", "wavelengths") if key in keywords}
        return describe_spectra(read_spectra(path, **given))
    description = describe(scene)
    if pictures is not None:
        picture = pictures / f"{scene.name}.png"
        check_replaceable(picture)
        quicklook(scene, picture)
        description["quicklook"] = str(picture)
    return description


def _plain(value: Any) -> str:
    if isinstance(value, dict) and value.keys() - {"pixels", "spectra"} == {"label", "name"}:
        return f"{value['label']} {value['name']} ({value.get('pixels', value.get('spectra'))})"
    if isinstance(value, dict):
        return ", ".join(f"{k}: {_plain(v)}" for k, v in value.items()) or "-"
    if isinstance(value, (list, tuple)):
        return ", ".join(_plain(v) for v in value) or "-"
    if isinstance(value, float):
        return f"{value:.6g}"
    return "-" if value is None else str(value)


def list_data(options: argparse.Namespace) -> int:
    """Print the catalogue of public scenes."""
    from sslhsi.scenes.catalog import list_catalog
    from sslhsi.scenes.simulated.scenes import DOMAINS

    entries = list_catalog()
    lines = [
        f"{e.name:<18} {e.sensor:<9} {f'{e.height}x{e.width}x{e.bands}':<14} {len(e.classes):>2} classes  {e.title}"
        for e in entries
    ]
    return show(options, [vars(e) for e in entries], [*lines, f"simulated, no download: {', '.join(DOMAINS)}"])


def get_data(options: argparse.Namespace) -> int:
    """Download a scene of the catalogue."""
    from sslhsi.scenes.download import fetch

    for path in fetch(options.name, options.to):
        print(path)
    return 0


def simulate_data(options: argparse.Namespace) -> int:
    """Write a stand-in cube on a real label map."""
    import numpy as np

    from sslhsi.scenes.read import read_labels
    from sslhsi.scenes.simulated.stand_in import stand_in

    target = Path(options.out)
    if target.suffix != ".npz":
        raise InputError(f"{target}: a stand-in is written as .npz; end the name so")
    if not target.name.startswith("stand-in"):
        # Whatever reads the file names the scene after it; a stand-in must not pass for the real one.
        target = target.with_name(f"stand-in-{target.name}")
    check_replaceable(target)
    name = Path(options.labels).stem
    labels = read_labels(options.labels, **read_options(options))
    scene = stand_in(labels, name=name, bands=options.bands, seed=options.seed, difficulty=options.difficulty)
    known = {} if scene.wavelengths is None else {"wavelengths": scene.wavelengths}
    with atomic(target) as part:
        np.savez(part, allow_pickle=False, cube=scene.cube, labels=labels, **known)
        with zipfile.ZipFile(part, "a") as archive:
            archive.comment = MADE_BY.encode()
    print(f"{target}: {scene.name}, {scene.height}x{scene.width}x{scene.bands}, simulated on a real label map")
    return 0
