"""One self-contained HTML page of an experiment of labelled transfer: its tables, charts and recipe."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from sslhsi.evaluation.summary import Summary, grouped, mean_of, tabulate
from sslhsi.files import write_atomic
from sslhsi.report import tables
from sslhsi.report.comparison import CAVEATS
from sslhsi.report.render import render
from sslhsi.report.scores import KINDS, METRICS
from sslhsi.report.tables import number
from sslhsi.studies.charts import size_words
from sslhsi.studies.registry import get_study
from sslhsi.studies.rows import History, StudyRow
from sslhsi.studies.study import Experiment

# With those of samples that bear several labels.
SCORES = METRICS | {"f1_micro": "micro F1", "map": "mean average precision"}
# More rows than this are left to rows.csv.
MOST_ROWS = 300
# What a training cost, beside its score.
COSTS = {
    "trainable": "trainable parameters",
    "parameters": "parameters",
    "macs": "multiply-adds a step",
    "seconds_per_step": "seconds a step",
    "seconds": "seconds",
}


@dataclass(frozen=True)
class ScoreTable:
    """One metric of one target and split: a line per method, a column per number of samples."""

    metric: str
    columns: tuple[str, ...]
    lines: tuple[tuple[str, str, tuple[Summary | None, ...]], ...]


def write_experiment_page(
    settings: Experiment, rows: Sequence[StudyRow], history: History = (), target: Path | None = None
) -> Path:
    """Write an experiment's page.

    Kinds of scenes (real, 8-bit versions, stand-ins, simulated) have separate sections.

    Args:
        settings: The recipe.
        rows: As :func:`sslhsi.studies.experiment.run_experiment` gives them.
        history: Losses by epoch.
        target: The file; report.html in the experiment's folder when not given. Written atomically.

    Returns:
        The page's path.
    """
    target = target or settings.folder / "report.html"
    study = get_study(settings.experiment)
    scored = [row for row in rows if any(_score(metric, row) is not None for metric in SCORES)]
    by_kind = grouped(scored, lambda row: row.kind)
    content = {
        "title": f"{study.title}: {settings.name}",
        "kinds": [_kind(kind, by_kind[kind]) for kind in sorted(by_kind, key=[*KINDS, *by_kind].index)],
        "drawn": study.charts(rows, history) if rows else [],
        "notes": _notes(rows),
        "plain_rows": plain_table(rows) if 0 < len(rows) <= MOST_ROWS and not scored else None,
        "count": len(rows),
        "settings": sorted({row.settings for row in rows} - {""}),
        "machines": sorted({row.machine for row in rows} - {""}),
        "revisions": sorted({row.git[:12] for row in rows} - {""}),
        "recipe": _portable(OmegaConf.to_yaml(OmegaConf.create(settings.model_dump(mode="json")))),
    }
    write_atomic(target, render("experiment.html", content))
    return target


def plain_table(rows: Sequence[StudyRow]) -> dict[str, Any]:
    """Rows as they are, without columns that hold one value or none and without what identifies code and data."""
    hidden, texts = {"git", "machine", "data", "note", "settings"}, [row.to_csv() for row in rows]
    columns = [c for c in texts[0] if c not in hidden and len({row[c] for row in texts}) > 1]
    return {
        "columns": [tables.title(c) for c in columns],
        "lines": [[_short(row[c]) for c in columns] for row in texts],
    }


def score_tables(rows: Sequence[StudyRow]) -> list[ScoreTable]:
    """Means over seeds with their spread; rows of one target and split.

    Returns:
        A table per metric that any row has; the highest mean of each column is marked.
    """
    sizes = sorted({row.per_class for row in rows}, key=lambda size: (size is None, size or 0))
    heads = tuple(size_words(size) or "all training samples" for size in sizes)
    by_metric = []
    for metric, title in SCORES.items():
        cells = tabulate(rows, _line, lambda row: row.per_class, functools.partial(_score, metric), best="column")
        if cells:
            lines = {line: cells.get(line, {}) for line in map(_line, rows)}
            body = tuple((*line, tuple(mine.get(size) for size in sizes)) for line, mine in lines.items())
            by_metric.append(ScoreTable(title, heads, body))
    return by_metric


def cost_table(rows: Sequence[StudyRow]) -> dict[str, Any] | None:
    """What each method's training cost, means over seeds and sizes; None where no row says."""
    columns = [c for c in COSTS if any(getattr(row, c) is not None for row in rows)]
    if not columns:
        return None
    lines = []
    for method, mine in grouped(rows, lambda row: _line(row)[0]).items():
        means = [mean_of(getattr(row, c) for row in mine) for c in columns]
        lines.append([method, *("" if mean is None else _short(mean) for mean in means)])
    return {"columns": ["method", *(COSTS[c] for c in columns)], "lines": lines}


def _portable(recipe: str) -> str:
    """A resolved recipe with its variable for the folder of scenes back in place: a page may leave this machine."""
    folder = os.environ.get("SSLHSI_DATA", "").rstrip("/")
    return recipe.replace(folder, "${oc.env:SSLHSI_DATA}") if folder else recipe


def _notes(rows: Sequence[StudyRow]) -> list[str]:
    """Notes of rows, each with the rows that it is about."""
    said = grouped((row for row in rows if row.note), lambda row: row.note)
    return [f"{'; '.join(dict.fromkeys(map(_where, mine)))}: {note}" for note, mine in said.items()]


def _where(row: StudyRow) -> str:
    seed = "" if row.seed is None else f" (seed {row.seed})"
    return ", ".join(filter(None, (row.method, row.target, row.split))) + seed


def _score(metric: str, row: StudyRow) -> float | None:
    return getattr(row, metric, None)


def _line(row: StudyRow) -> tuple[str, str]:
    """What is compared, with its network, and what it was trained on before."""
    return row.method + (f" ({row.network})" if row.network else ""), row.source


def _kind(kind: str, rows: Sequence[StudyRow]) -> dict[str, Any]:
    sections = [
        {"title": ", ".join(filter(None, place)), "tables": score_tables(mine), "costs": cost_table(mine),
         "seeds": len({row.seed for row in mine}),
         "leak": tables.percent(mean_of(row.leak_overlap for row in mine))}
        for place, mine in grouped(rows, lambda row: (row.target, row.split)).items()
    ]  # fmt: skip
    return {"title": KINDS.get(kind, kind), "caveat": CAVEATS.get(kind, ""), "sections": sections}


def _short(value: Any) -> str:
    amount = number(value)
    if amount is None:
        return str(value)
    return f"{amount:,.0f}" if abs(amount) >= 1000 or amount == int(amount) else f"{amount:.3g}"
