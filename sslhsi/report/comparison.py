"""One self-contained HTML page that sets methods side by side: who wins where, and how that was found out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sslhsi.errors import InputError
from sslhsi.files import write_atomic
from sslhsi.report import class_pictures, curves, example_charts, tables
from sslhsi.report.chart import Chart, figure_chart
from sslhsi.report.examples import Example
from sslhsi.report.method_table import split_table
from sslhsi.report.paired import Standing, kind_sentence, standing_sentence, standings
from sslhsi.report.render import render
from sslhsi.report.scores import KINDS, METRICS, Score, read_scores
from sslhsi.report.tables import Row
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
    rows: Iterable[Row],
    *,
    title: str,
    scenes: Mapping[str, Scene] | None = None,
    examples: Mapping[str, Sequence[Example]] | None = None,
) -> Path:
    """Write a page that compares the methods of result rows.

    Kinds of scenes (real, 8-bit versions, stand-ins) have sections of their own and never share a table or
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
    found = standings(scores)
    styles = curves.method_styles(scores)
    kinds: list[dict[str, Any]] = []
    for kind in sorted({score.kind for score in scores}, key=lambda k: [*KINDS, k].index(k)):
        mine = [score for score in scores if score.kind == kind]
        led = [standing for standing in found if standing.kind == kind]
        kinds.append(
            {
                "title": KINDS.get(kind, kind),
                "caveat": CAVEATS.get(kind, ""),
                "verdict": kind_sentence(kind, led) if led else "",
                "scenes": [
                    _scene(name, [score for score in mine if score.scene == name], led, styles)
                    | {"examples": [_example(scenes[name], e, not n) for n, e in enumerate(examples.get(name, ()))]}
                    for name in dict.fromkeys(score.scene for score in mine)
                ],
            }
        )
    content = {
        "title": title,
        "kinds": kinds,
        "facts": _facts(scores, rows),
        "notes": tables.notes(row for row in rows if not _scored(row)),
        "remarks": list(
            dict.fromkeys(f"{row.get('scene')}: {row['note']}" for row in rows if row.get("note") and _scored(row))
        ),
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
                    "the scene's own classes, 0 where nothing was classified"
                )


def _scored(row: Row) -> bool:
    return tables.number(row.get("oa")) is not None


def _facts(scores: Sequence[Score], rows: Sequence[Row]) -> list[tuple[str, str]]:
    revisions = sorted({str(row["git"])[:12] for row in rows if row.get("git")})
    facts = [
        ("scores", f"{len(scores):,}"),
        ("scenes", str(len({(score.kind, score.scene) for score in scores}))),
        ("methods", str(len({score.method for score in scores}))),
    ]
    return facts + ([("code revision", ", ".join(revisions))] if revisions else [])


def _scene(
    name: str, scores: Sequence[Score], led: Sequence[Standing], styles: Mapping[str, tuple[str, str, str]]
) -> dict[str, Any]:
    """Tables, curves and comparisons of one scene, split by split."""
    splits = []
    for split in dict.fromkeys(score.split for score in scores):
        mine = [score for score in scores if score.split == split]
        shown = [table for metric in METRICS if (table := split_table(mine, metric))]
        standing = next((s for s in led if (s.scene, s.split) == (name, split)), None)
        splits.append(
            {
                "name": split,
                "tables": shown,
                "sentence": standing_sentence(standing) if standing else "",
                "standing": standing,
                "curves": _curves(mine, styles),
            }
        )
    windows = sorted({score.window for score in scores if score.window}, key=lambda w: (len(w), w))
    return {"name": name, "splits": splits, "windows": windows}


def _curves(scores: Sequence[Score], styles: Mapping[str, tuple[str, str, str]]) -> list[Chart]:
    charts = []
    for probe, figure in curves.curve_figures(scores, styles):
        mine = [score.values["oa"] for score in scores if score.probe == probe]
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
        "legend": class_pictures.legend(scene),
        "maps": example_charts.maps(scene, example),
        "confusions": example_charts.confusions(scene, example),
        "embeddings": example_charts.embeddings(scene, example) if first else [],
    }
