"""One self-contained HTML page that sets methods side by side: who wins where, and how that was measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sslhsi.errors import InputError
from sslhsi.evaluation.rows import ResultRow
from sslhsi.evaluation.summary import grouped
from sslhsi.files import write_atomic
from sslhsi.report import curves, example_charts, scene_pictures, tables
from sslhsi.report.chart import Chart, figure_chart
from sslhsi.report.examples import Example
from sslhsi.report.method_table import split_table
from sslhsi.report.paired import Standing, kind_sentence, standing_sentence, standings
from sslhsi.report.render import render
from sslhsi.report.scores import KINDS, METRICS, Score, read_scores
from sslhsi.scenes.scene import Scene

# What has to be known before figures of a kind are read.
CAVEATS = {
    "8-bit real": "Values of these cubes were rounded to 8 bits: not comparable with published figures, which were "
    "measured on the full-precision cubes.",
    "stand-in": "Simulated cubes on the label maps of real scenes. They show how methods compare, not what a method "
    "reaches on the real scene: never to be set beside real or published figures.",
    "simulated": "Simulated cubes: they show how methods compare, nothing about a real scene.",
    "": "Nothing says whether these cubes are real, rounded to 8 bits or simulated.",
}


def write_comparison(
    target: Path,
    rows: Iterable[ResultRow],
    *,
    title: str,
    scenes: Mapping[str, Scene] | None = None,
    examples: Mapping[str, Sequence[Example]] | None = None,
) -> Path:
    """Write a page that compares the methods of result rows.

    Kinds of scenes (real, 8-bit versions, stand-ins) have separate sections and never share a table or
    a verdict. Columns that rows lack are taken as not stated.

    Args:
        target: HTML file to write, atomically; its folder is made if need be.
        rows: Result rows: ``method``, ``probe``, ``oa`` and whatever else the tables of results hold.
        title: Of the page.
        scenes: Scenes by the name that the rows have for them, labelled, for pictures.
        examples: For each of these scenes one or several splits with their predictions and features.

    Returns:
        The page's path.

    Raises:
        InputError: No row holds a score, an example's scene is not given, not labelled or not among the
            rows, its predictions don't fit it, or the page can't be written.
    """
    rows = [*rows]
    scenes, examples = scenes or {}, examples or {}
    scores, replaced = read_scores(rows)
    if not scores:
        raise InputError("nothing to compare: no row has method, probe and oa")
    for name, some in examples.items():
        _check(name, scenes.get(name), some, {score.scene for score in scores})
    led = {(one.kind, one.scene, one.split): one for one in standings(scores)}
    styles = curves.method_styles(scores)
    kinds: list[dict[str, Any]] = []
    of_kind = grouped(scores, lambda score: score.row.kind)
    for kind in sorted(of_kind, key=lambda kind: [*KINDS, kind].index(kind)):
        here = [standing for (its_kind, *_), standing in led.items() if its_kind == kind]
        kinds.append(
            {
                "title": KINDS.get(kind, kind),
                "caveat": CAVEATS.get(kind, ""),
                "verdict": kind_sentence(kind, here) if here else "",
                "scenes": [
                    _scene(name, mine, led, styles)
                    | {"examples": [_example(scenes[name], e, not n) for n, e in enumerate(examples.get(name, ()))]}
                    for name, mine in grouped(of_kind[kind], lambda score: score.scene).items()
                ],
            }
        )
    content = {
        "title": title,
        "kinds": kinds,
        "overview": _overview(scores),
        "notes": tables.notes(row for row in rows if row.oa is None),
        "remarks": list(dict.fromkeys(f"{row.scene}: {row.note}" for row in rows if row.note and row.oa is not None)),
        "replaced": replaced,
        "wide_matrices": any(
            chart.wide for k in kinds for s in k["scenes"] for e in s["examples"] for chart in e["confusions"]
        ),
        "sides": example_charts.SIDES_LEGEND,
        "errors": example_charts.ERRORS_LEGEND,
    }
    return write_atomic(target, render("comparison.html", content))


def _check(name: str, scene: Scene | None, examples: Sequence[Example], known: set[str]) -> None:
    if scene is None or scene.labels is None:
        raise InputError(f"example of scene {name!r}: give the labelled scene under the same name in scenes")
    if name not in known:
        raise InputError(f"example of scene {name!r}: the rows hold no such scene, only {', '.join(sorted(known))}")
    for example in examples:
        for method, predicted in example.predictions.items():
            if predicted.shape != scene.labels.shape or not np.isin(predicted, [0, *np.unique(scene.labels)]).all():
                raise InputError(
                    f"example of scene {name!r}: predictions of {method!r} must be {scene.labels.shape} labels of "
                    "the scene's classes, 0 where nothing was classified"
                )


def _overview(scores: Sequence[Score]) -> list[tuple[str, str]]:
    revisions = sorted({score.row.git[:12] for score in scores if score.row.git})
    overview = [
        ("scores", f"{len(scores):,}"),
        ("scenes", str(len({(score.row.kind, score.scene) for score in scores}))),
        ("methods", str(len({score.method for score in scores}))),
    ]
    return overview + ([("code revision", ", ".join(revisions))] if revisions else [])


def _scene(
    name: str, scores: Sequence[Score], led: Mapping[tuple[str, str, str], Standing], styles: curves.Styles
) -> dict[str, Any]:
    """Tables, curves and comparisons of one scene, split by split."""
    splits = []
    for split, mine in grouped(scores, lambda score: score.split).items():
        standing = led.get(mine[0].place)
        splits.append(
            {
                "name": split,
                "tables": [table for metric in METRICS if (table := split_table(mine, metric))],
                "sentence": standing_sentence(standing) if standing else "",
                "standing": standing,
                "curves": _curves(mine, styles),
            }
        )
    return {"name": name, "splits": splits, "windows": sorted({s.row.window for s in scores if s.row.window})}


def _curves(scores: Sequence[Score], styles: curves.Styles) -> list[Chart]:
    charts = []
    for probe, figure in curves.curve_figures(scores, styles):
        mine = [score.oa for score in scores if score.row.probe == probe]
        alt = (
            f"{scores[0].scene}, {scores[0].split}: overall accuracy over training samples per class, "
            f"{tables.probe_title(probe)}, from {min(mine):.1f} to {max(mine):.1f} %"
        )
        charts.append(figure_chart(figure, alt))
    return charts


def _example(scene: Scene, example: Example, first: bool) -> dict[str, Any]:
    """Pictures of one example; features look the same in all, so only the first shows them."""
    return {
        "title": example.title,
        "split": example_charts.split_chart(scene, example),
        "lines": example_charts.split_lines(scene, example),
        "legend": scene_pictures.legend(scene),
        "maps": example_charts.maps(scene, example),
        "confusions": example_charts.confusions(scene, example),
        "embeddings": example_charts.embeddings(scene, example) if first else [],
    }
