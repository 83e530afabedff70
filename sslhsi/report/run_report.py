"""One self-contained HTML page about a finished run: what it learnt, on what, and how that was measured."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from sslhsi.corpus.corpus import Corpus
from sslhsi.evaluation.rows import ResultRow
from sslhsi.evaluation.summary import grouped, scored
from sslhsi.files import read_rows, write_atomic
from sslhsi.methods.registry import method_options
from sslhsi.recipe import Recipe
from sslhsi.report import sections, tables
from sslhsi.report.pictures import channels_text
from sslhsi.report.render import render
from sslhsi.report.verdict import verdict

_MOST_LINES = 8  # a longer table is folded away
_METRICS = (("OA", "overall accuracy", "oa"), ("AA", "average accuracy", "aa"), ("κ × 100", "kappa", "kappa"))


@dataclass(frozen=True)
class Report:
    """Where the page is, and a few lines that say the same on a terminal."""

    path: Path
    summary: list[str]


def write_report(
    run_dir: Path, recipe: Recipe, corpus: Corpus, backbone: nn.Module, rows: Sequence[ResultRow]
) -> Report:
    """Write run_dir/report.html and run_dir/plots/*.png.

    Args:
        run_dir: A finished run; its metrics.csv and provenance.json are shown where they are there.
        recipe: The resolved recipe.
        corpus: What the run trained on.
        backbone: The trained network, (N, K, S, S) -> (N, D).
        rows: Result rows, possibly none.

    Returns:
        The page's path, and a table with a verdict in plain text, at most 8 lines.

    Raises:
        InputError: The page can't be written. Parts that can't be drawn are left out and named on the page.
    """
    page = sections.Page(run_dir)
    sentence = verdict(rows)
    content = {
        "recipe": recipe,
        "verdict": sentence,
        "overview": page.part("overview", lambda: _overview(recipe, corpus, run_dir), []),
        "tasks": page.part("results", lambda: _tasks(rows), []),
        "notes": tables.notes(rows),
        "collapsed": page.part("collapse", lambda: sections.collapsed(page), ""),
        "curves": page.part("training curves", lambda: sections.curves(page), []),
        "spectra": page.part("explained variance", lambda: sections.variance(page, corpus), [])
        + page.part("components by domain", lambda: sections.components(page, corpus), []),
        "features": page.part("embedding", lambda: sections.embedding(page, recipe, corpus, backbone), []),
        "scenes": page.part("scenes", lambda: sections.scenes(page, corpus), []),
        "scenes_left_out": max(0, len(corpus.scenes) - sections.MOST_SCENES),
        "channels": page.part("channels", lambda: channels_text(corpus), ""),
        "sheet": page.part("views", lambda: sections.views(page, recipe, corpus), None),
        "provenance": page.part("provenance", lambda: _provenance(run_dir, corpus), {}),
        "resolved": recipe.dump(),
        "missing": page.missing,
        "reading_notes": corpus.notes,
    }
    path = run_dir / "report.html"
    write_atomic(path, render("report.html", content))
    return Report(path, [*tables.text_table(rows, limit=5), sentence])


def _overview(recipe: Recipe, corpus: Corpus, run_dir: Path) -> list[tuple[str, str]]:
    last = next(iter(reversed(read_rows(run_dir / "metrics.csv"))), {})
    steps = tables.number(last.get("step"))
    amount = f" ({steps * recipe.training.batch_size:,.0f} patches)" if steps else ""
    sensors = {s.record.sensor for s in corpus.scenes if s.record.sensor}
    window = recipe.corpus.patches.window
    scenes = f"{len(corpus.scenes)} scenes, {len(corpus.domains)} domains"
    options = method_options(recipe.method.name, recipe.method.options)
    return [
        ("backbone", recipe.backbone.name),
        ("input", f"{window} × {window} pixels, {corpus.channels} channels"),
        ("corpus", scenes + (f", {len(sensors)} cameras" if sensors else "")),
        ("method", ", ".join([recipe.method.name, *(f"{key} {value}" for key, value in options)])),
        ("training", f"{steps:,.0f} steps of {recipe.training.batch_size}{amount}" if steps else "no metrics yet"),
    ]


def _tasks(rows: Sequence[ResultRow]) -> list[dict[str, Any]]:
    """For each task: tables of its scenes, and of their average where there are several."""
    tasks = []
    for task, mine in grouped(filter(scored, rows), lambda row: row.task or "results").items():
        several = len({row.scene for row in mine}) > 1
        parts = {"average over scenes": True, "scene by scene": False} if several else {"": False}
        for part, pooled in parts.items():
            shown = [
                (short, long, table)
                for short, long, metric in _METRICS
                if (table := tables.results_table(mine, metric, pooled=pooled)).lines
            ]
            name = f"{task}, {part}" if part else task
            folded = several and not pooled and len(shown[0][2].lines) > _MOST_LINES
            tasks.append({"name": name, "tables": shown, "folded": folded})
    return tasks


def _provenance(run_dir: Path, corpus: Corpus) -> dict[str, Any]:
    path = run_dir / "provenance.json"
    recorded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    shown = {key: _flat(value) for key, value in recorded.items() if key != "corpus"}
    shown["corpus key"] = corpus.key
    shown["projector"] = _flat(corpus.manifest.projector)
    scenes = [
        {
            "name": scene.name,
            "shape": " × ".join(map(str, scene.record.shape)),
            "hash": scene.record.hash,
            "source": scene.record.source,
        }
        for scene in corpus.scenes
    ]
    return {"entries": shown, "scenes": scenes}


def _flat(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_flat(part)}" for key, part in value.items())
    if isinstance(value, list):
        return " ".join(map(_flat, value)) if value else "none"
    return "none" if value is None else str(value)
