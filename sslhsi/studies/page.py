"""One self-contained HTML page of an experiment of labelled transfer: its tables, charts and recipe."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from sslhsi.evaluation import summary
from sslhsi.evaluation.summary import Summary, tabulate
from sslhsi.files import write_atomic
from sslhsi.report import tables
from sslhsi.report.comparison import CAVEATS
from sslhsi.report.render import render
from sslhsi.report.scores import KINDS, METRICS
from sslhsi.report.tables import Row, number
from sslhsi.studies.grouping import grouped
from sslhsi.studies.registry import get_study
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
    settings: Experiment, rows: Sequence[Row], history: Sequence[Row] = (), target: Path | None = None
) -> Path:
    """Write an experiment's page.

    Kinds of scenes (real, 8-bit versions, stand-ins, simulated) have sections of their own.

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
    scored = [row for row in rows if any(number(row.get(metric)) is not None for metric in SCORES)]
    places = [row for row in scored if "target" in row]
    content = {
        "title": f"{study.title}: {settings.name}",
        "kinds": [_kind(kind, [row for row in places if row["kind"] == kind]) for kind in _kinds(places)],
        "drawn": study.charts(rows, history) if rows else [],
        "notes": _notes(rows),
        "plain_rows": plain_table(rows) if 0 < len(rows) <= MOST_ROWS and not places else None,
        "count": len(rows),
        "settings": sorted({str(row["settings"]) for row in rows if row.get("settings")}),
        "machines": sorted({str(row["machine"]) for row in rows if row.get("machine")}),
        "revisions": sorted({str(row["git"])[:12] for row in rows if row.get("git")}),
        "recipe": _portable(OmegaConf.to_yaml(OmegaConf.create(settings.model_dump(mode="json")))),
    }
    write_atomic(target, render("experiment.html", content))
    return target


def plain_table(rows: Sequence[Row]) -> dict[str, Any]:
    """Rows as they are, without columns that hold one value or none and without what identifies code and data."""
    hidden = {"git", "machine", "data", "note", "settings"}
    columns = [c for c in rows[0] if c not in hidden and len({str(row.get(c, "")) for row in rows}) > 1]
    return {
        "columns": [tables.title(c) for c in columns],
        "lines": [[_short(row.get(c, "")) for c in columns] for row in rows],
    }


def score_tables(rows: Sequence[Row]) -> list[ScoreTable]:
    """Means over seeds with their spread; rows of one target and split.

    Args:
        rows: With ``method``, ``source``, ``per_class`` and the metrics.

    Returns:
        A table per metric that any row has; the highest mean of each column is marked.
    """
    sizes = sorted({_size(row) for row in rows}, key=lambda size: (number(size) is None, number(size) or 0))
    heads = tuple(f"{size} per class" if size else "all training samples" for size in sizes)
    by_metric = []
    for metric, title in SCORES.items():
        scores = [(row, number(row.get(metric))) for row in rows]
        cells = tabulate(
            scores, lambda pair: _line(pair[0]), lambda pair: _size(pair[0]), lambda pair: pair[1], best="column"
        )
        if cells:
            lines = {line: cells.get(line, {}) for line in map(_line, rows)}
            body = tuple((*line, tuple(mine.get(size) for size in sizes)) for line, mine in lines.items())
            by_metric.append(ScoreTable(title, heads, body))
    return by_metric


def cost_table(rows: Sequence[Row]) -> dict[str, Any] | None:
    """What each method's training cost, means over seeds and sizes; None where no row says."""
    columns = [c for c in COSTS if any(number(row.get(c)) is not None for row in rows)]
    if not columns:
        return None
    lines = []
    for method, mine in summary.grouped(rows, lambda row: _line(row)[0]).items():
        means = [tables.mean_of(number(row.get(c)) for row in mine) for c in columns]
        lines.append([method, *("" if mean is None else _short(mean) for mean in means)])
    return {"columns": ["method", *(COSTS[c] for c in columns)], "lines": lines}


def _portable(recipe: str) -> str:
    """A resolved recipe with its variable for the folder of scenes back in place: a page may leave this machine."""
    folder = os.environ.get("SSLHSI_DATA", "").rstrip("/")
    return recipe.replace(folder, "${oc.env:SSLHSI_DATA}") if folder else recipe


def _notes(rows: Sequence[Row]) -> list[str]:
    """Notes of rows, each with the rows that it is about."""
    said: dict[str, list[str]] = {}
    for row in rows:
        if row.get("note"):
            where = ", ".join(str(row[c]) for c in ("method", "target", "split") if row.get(c))
            seed = f" (seed {row['seed']})" if str(row.get("seed", "")) else ""
            said.setdefault(str(row["note"]), []).append(where + seed)
    return [f"{'; '.join(dict.fromkeys(rows))}: {note}" for note, rows in said.items()]


def _size(row: Row) -> str:
    return str(row.get("per_class", ""))


def _line(row: Row) -> tuple[str, str]:
    """What is compared, with its network, and what it was trained on before."""
    network = str(row.get("network", ""))
    return str(row["method"]) + (f" ({network})" if network else ""), str(row.get("source", ""))


def _kinds(rows: Iterable[Row]) -> list[str]:
    return sorted({str(row.get("kind", "")) for row in rows}, key=lambda kind: [*KINDS, kind].index(kind))


def _kind(kind: str, rows: Sequence[Row]) -> dict[str, Any]:
    sections = [
        {"title": ", ".join(filter(None, place)), "tables": score_tables(mine), "costs": cost_table(mine),
         "seeds": len({row.get("seed") for row in mine}),
         "leak": tables.percent(tables.mean_of(number(row.get("leak_overlap")) for row in mine))}
        for place, mine in grouped(rows, ("target", "split")).items()
    ]  # fmt: skip
    return {"title": KINDS.get(kind, kind), "caveat": CAVEATS.get(kind, ""), "sections": sections}


def _short(value: Any) -> str:
    amount = number(value)
    if amount is None:
        return str(value)
    return f"{amount:,.0f}" if abs(amount) >= 1000 or amount == int(amount) else f"{amount:.3g}"
