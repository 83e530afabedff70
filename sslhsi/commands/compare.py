"""``sslhsi compare``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from sslhsi.commands.evaluate import networks
from sslhsi.commands.read_arguments import add_read_options, read_options
from sslhsi.errors import InputError
from sslhsi.files import check_replaceable

if TYPE_CHECKING:
    from sslhsi.evaluation.rows import ResultRow
    from sslhsi.report.examples import Example
    from sslhsi.scenes.scene import Scene


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "compare",
        help="one page that sets runs and series of results side by side",
        description="Write one self-contained HTML page from the results of runs and series: who wins where, tables "
        "with intervals,\nlabel-efficiency curves and, of a scene that is given, the split drawn on it, class maps, "
        "confusion matrices and features.\nReal scenes, 8-bit versions and stand-ins are kept apart. A method of one "
        "name that runs measured differently\nbears the run's name.",
        epilog="examples:\n"
        "  sslhsi compare runs/a runs/b --out comparison.html\n"
        "  sslhsi compare series.csv --out comparison.html --scene field=field.mat --labels field_gt.mat "
        "--backbone runs/mine",
    )
    parser.add_argument(
        "sources", nargs="+", metavar="RUN_OR_CSV", help="a run's directory, or a table of result rows"
    )
    parser.add_argument("--out", default="comparison.html", metavar="HTML", help="default: comparison.html")
    parser.add_argument("--title", default="Comparison", help="of the page (default: Comparison)")
    parser.add_argument(
        "--scene", metavar="[NAME=]FILE", help="a cube to draw pictures of; NAME is what the rows call it"
    )
    parser.add_argument("--backbone", metavar="BACKBONE", help="a run, its backbone/ folder or a hub id, for --scene")
    add_read_options(parser)
    parser.set_defaults(run=compare)


def compare(options: argparse.Namespace) -> int:
    """Gather the rows, draw the scene if one is given, write the page."""
    if not options.scene and (read_options(options) or options.backbone):
        raise InputError("--backbone, --labels and how to read a scene belong to a scene: name it with --scene")
    if Path(options.out).suffix.lower() not in (".html", ".htm"):
        raise InputError(f"--out {options.out}: the page is HTML; end the name in .html")
    check_replaceable(options.out)
    rows = gather([Path(source) for source in options.sources])
    from sslhsi.report.comparison import write_comparison

    scenes, examples = _pictures(options, rows) if options.scene else ({}, {})
    print(write_comparison(Path(options.out), rows, title=options.title, scenes=scenes, examples=examples))
    return 0


def gather(sources: list[Path]) -> list[ResultRow]:
    """Rows of runs and tables, each with its source's name as ``run``.

    Args:
        sources: Directories of finished runs, and CSV files.

    Raises:
        InputError: A source is missing or holds no result rows.
    """
    from dataclasses import replace

    from sslhsi.evaluation.rows import read_result_rows

    short = [source.resolve().name if source.is_dir() else source.stem for source in sources]
    rows: list[ResultRow] = []
    for source, name in zip(sources, short, strict=True):
        path = source / "results.csv" if source.is_dir() else source
        if not path.is_file():
            what = f"{source} holds no results.csv" if source.is_dir() else f"{source}: no such file"
            raise InputError(f"{what}; give the directory of a run that has been evaluated, or a table of results")
        kinds = _kinds(source) if source.is_dir() else {}
        label = name if short.count(name) == 1 else str(source)
        measured = read_result_rows(path)
        if not measured:
            raise InputError(f"{path}: no result rows; give the table of a run or series that has measured something")
        rows += [replace(row, run=row.run or label, kind=row.kind or kinds.get(row.scene, "")) for row in measured]
    return rows


def _kinds(run: Path) -> dict[str, str]:
    """Kind of each scene whose recipe tells it: only made-up ones are known for what they are."""
    from sslhsi.recipe import load_run_recipe
    from sslhsi.scenes.sources import corpus_sources

    try:
        sources = corpus_sources(load_run_recipe(run).corpus)
    except InputError:
        return {}
    kinds = {str(source.name): "simulated" for source in sources if source.simulated is not None}
    kinds |= {str(source.name): "stand-in" for source in sources if source.stand_in is not None}
    if sources and set(kinds.values()) == {"simulated"} and len(kinds) == len(sources):
        kinds["all scenes"] = "simulated"
    return kinds


def _pictures(
    options: argparse.Namespace, rows: list[ResultRow]
) -> tuple[dict[str, Scene], dict[str, list[Example]]]:
    """The scene and its example splits, under the name that the rows have for it."""
    from sslhsi.encoder.load import load_backbone
    from sslhsi.report.examples import make_examples
    from sslhsi.scenes.read import read_scene

    name, equals, path = options.scene.partition("=")
    if not equals or Path(options.scene).exists():
        name, path = "", options.scene
    scene = read_scene(path, **read_options(options, name=name or None))
    known = list(dict.fromkeys(row.scene for row in rows if row.scene))
    if scene.name not in known:
        raise InputError(
            f"--scene {options.scene}: the rows have no scene {scene.name!r}; say which it is as NAME={path}, "
            f"NAME being one of {', '.join(known)}"
        )
    if scene.labels is None:
        raise InputError(f"--scene {options.scene}: no ground truth; give it with --labels")
    compared = networks([options.backbone], [load_backbone(options.backbone)], scene) if options.backbone else []
    sizes = sorted({n for row in rows if row.scene == scene.name and isinstance(n := row.per_class, int)})
    amount = sizes[len(sizes) // 2] if sizes else 15
    return {scene.name: scene}, {scene.name: make_examples(scene, compared, per_class=amount)}
