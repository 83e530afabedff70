"""Result rows -> tables: means over seeds with their spread, as a structure, as Markdown, as plain text."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sslhsi.probes.metrics import bootstrap_interval, summarise

Row = Mapping[str, Any]

# What a baseline without any network is called in the rows, task by task.
RAW = {"raw spectra": "raw baseline", "mean spectrum": "raw baseline"}
KEYS = ("task", "scene", "split", "per_class", "window")
_METHODS = ("pretrained", "random weights")
_PROBES = {"k-NN": "k-NN", "linear": "linear probe", "SVM": "SVM", "fine-tune": "fine-tuning"}


@dataclass(frozen=True)
class Cell:
    """One score over seeds, in percent; ``std`` from two seeds on, the 95 % interval from three on."""

    mean: float
    std: float | None = None
    low: float | None = None
    high: float | None = None
    seeds: int = 1
    best: bool = False

    def __str__(self) -> str:
        return f"{self.mean:.1f}" + ("" if self.std is None else f" ± {self.std:.1f}")


@dataclass(frozen=True)
class Line:
    """One setting: the values of the keys, and a cell per column that has any rows."""

    keys: dict[str, Any]
    leak: float | None
    saw: str
    seeds: int
    cells: dict[tuple[str, str], Cell]


@dataclass(frozen=True)
class Table:
    """``columns`` are (probe, method); ``lines`` are in reading order."""

    columns: tuple[tuple[str, str], ...]
    lines: tuple[Line, ...]

    @property
    def probes(self) -> list[tuple[str, int]]:
        """Each probe's title and the number of its columns."""
        names = [probe for probe, _ in self.columns]
        return [(probe_title(name), names.count(name)) for name in dict.fromkeys(names)]

    @property
    def methods(self) -> int:
        """Most columns under one probe."""
        return max((count for _, count in self.probes), default=1)


def probe_title(probe: str) -> str:
    """A probe's name as readers see it."""
    return _PROBES.get(probe, probe)


def number(value: Any) -> float | None:
    """A finite number, from a number or its text; None for anything else."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) else None


def per_class(row: Row) -> int | str:
    """Training samples per class: a number, ``all``, or an empty text where the row doesn't say.

    Rows of pixels say it in the name of their protocol (``blocks, 5 per class``).
    """
    value = row.get("per_class")
    if value in (None, ""):
        value = found[1] if (found := re.search(r"(\d+) per class", str(row.get("protocol", "")))) else ""
    whole = number(value)
    return str(value) if whole is None else int(whole)


def key_of(row: Row, key: str) -> Any:
    """A row's value of one key; an empty text when it has none."""
    if key == "per_class":
        return per_class(row)
    value = row.get(key)
    return "" if value is None else value


def results_table(rows: Iterable[Row], metric: str = "oa", keys: Sequence[str] = KEYS) -> Table:
    """Gather rows into one line per setting and one column per probe and method.

    Args:
        rows: Result rows, as ``sslhsi.evaluation.judge`` yields them or as read back from results.csv; rows
            without a usable value of the metric, such as notes, are passed over.
        metric: ``oa``, ``aa`` or ``kappa``.
        keys: What makes a setting; rows that agree in all keys, probe and method are its seeds.

    Returns:
        The table; in each line the highest mean is marked (and whatever prints the same).
    """
    values: dict[tuple, dict[tuple[str, str], list[float]]] = {}
    members: dict[tuple, list[Row]] = {}
    for row in rows:
        value = number(row.get(metric))
        if value is None or not row.get("method") or not row.get("probe"):
            continue
        setting = tuple(key_of(row, key) for key in keys)
        column = (str(row["probe"]), str(row["method"]))
        values.setdefault(setting, {}).setdefault(column, []).append(value)
        members.setdefault(setting, []).append(row)
    columns = sorted({column for cells in values.values() for column in cells}, key=_column_order)
    places = {key: n for n, key in enumerate(keys)}
    lines = []
    for setting in sorted(values, key=lambda s: _setting_order(s, places)):
        cells = {column: cell_of(found) for column, found in values[setting].items()}
        top = round(max(cell.mean for cell in cells.values()), 1)
        cells = {
            column: Cell(c.mean, c.std, c.low, c.high, c.seeds, best=len(cells) > 1 and round(c.mean, 1) == top)
            for column, c in cells.items()
        }
        leaks = [leak for row in members[setting] if (leak := number(row.get("leak"))) is not None]
        # Baselines never saw anything: the line speaks of what was pretrained, where there is such.
        trained = [row for row in members[setting] if row["method"] == "pretrained"] or members[setting]
        saw = sorted({str(row["pretraining_saw_pixels"]) for row in trained if row.get("pretraining_saw_pixels")})
        lines.append(
            Line(
                dict(zip(keys, setting, strict=True)),
                sum(leaks) / len(leaks) if leaks else None,
                " / ".join(saw),
                max(cell.seeds for cell in cells.values()),
                cells,
            )
        )
    return Table(tuple(columns), tuple(lines))


def pool_scenes(rows: Iterable[Row], metrics: Sequence[str] = ("oa", "aa", "kappa")) -> list[dict[str, Any]]:
    """Average over the scenes of each task: one row per task, split, samples per class, window, method, probe, seed.

    Only scenes that every seed and method of a setting could use take part, so that averages compare.
    The raw baselines of all tasks get one name.
    """
    groups: dict[tuple, list[Row]] = {}
    for row in rows:
        if row.get("method") and row.get("probe") and number(row.get("oa")) is not None:
            groups.setdefault(tuple(key_of(row, k) for k in ("task", "split", "per_class", "window")), []).append(row)
    pooled = []
    for group in groups.values():
        cells: dict[tuple, dict[str, Row]] = {}
        for row in group:
            method = RAW.get(str(row["method"]), row["method"])
            cells.setdefault((row["probe"], method, key_of(row, "seed")), {})[str(row.get("scene", ""))] = row
        shared = set.intersection(*(set(scenes) for scenes in cells.values()))
        for (probe, method, seed), scenes in cells.items():
            chosen = [scenes[name] for name in sorted(shared or scenes)]
            pool = {key: key_of(chosen[0], key) for key in ("task", "split", "window")}
            pool |= {"per_class": per_class(chosen[0]), "probe": probe, "method": method, "seed": seed}
            pool["scene"] = next(iter(scenes)) if len(chosen) == 1 else f"mean of {len(chosen)} scenes"
            saw = {str(row.get("pretraining_saw_pixels") or "") for row in chosen}
            pool["pretraining_saw_pixels"] = " / ".join(sorted(saw))
            for key in (*metrics, "leak"):
                found = [value for row in chosen if (value := number(row.get(key))) is not None]
                pool[key] = sum(found) / len(found) if found else None
            pooled.append(pool)
    return pooled


def notes(rows: Iterable[Row]) -> list[str]:
    """What could not be judged and why, each thing once."""
    found: dict[str, int] = {}
    for row in rows:
        if note := row.get("note"):
            where = ", ".join(str(row[k]) for k in ("task", "scene", "split") if row.get(k))
            text = f"{where}: {note}" if where else str(note)
            found[text] = found.get(text, 0) + 1
    return [text + (f" ({count} seeds)" if count > 1 else "") for text, count in found.items()]


def percent(share: float | None) -> str:
    """0.0312 -> ``3 %``; an empty text for None."""
    return "" if share is None else f"{100 * share:.0f} %" if share == 0 or share >= 0.01 else "< 1 %"


def markdown_table(rows: Iterable[Row], metric: str = "oa", keys: Sequence[str] = KEYS) -> str:
    """A GitHub table: mean ± standard deviation, the best of each line in bold; empty without results."""
    table = results_table(rows, metric, keys)
    if not table.lines:
        return ""
    heads = [*(title(key) for key in keys), "leak", "saw test pixels", "seeds"]
    heads += [f"{probe_title(probe)}: {method}" for probe, method in table.columns]
    lines = [heads, ["---"] * (len(keys)) + ["--:"] * (len(heads) - len(keys))]
    for line in table.lines:
        cells = [line.cells.get(column) for column in table.columns]
        shown = ["" if cell is None else f"**{cell}**" if cell.best else str(cell) for cell in cells]
        lines.append([*map(str, line.keys.values()), percent(line.leak), line.saw, str(line.seeds), *shown])
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |" for cells in lines) + "\n"


def text_table(rows: Iterable[Row], metric: str = "oa", limit: int | None = None) -> list[str]:
    """Aligned lines for a terminal: one per task, split and samples per class, averaged over scenes.

    Args:
        rows: Result rows.
        metric: ``oa``, ``aa`` or ``kappa``.
        limit: Most lines after the two of the heading; a last one says what was left out.
    """
    table = results_table(pool_scenes(rows), metric)
    if not table.lines:
        return []
    short = {"random weights": "random", "raw baseline": "raw"}
    heads = ["task", "split", "per class", *(short.get(method, method) for _, method in table.columns)]
    body = []
    for line in table.lines:
        scene = str(line.keys["scene"])
        task = f"{line.keys['task']}, {scene.removeprefix('mean of ')}" if scene.startswith("mean of ") else None
        cells = [str(line.cells.get(column, "")).replace(" ", "") for column in table.columns]
        body.append([task or str(line.keys["task"]), str(line.keys["split"]), str(line.keys["per_class"]), *cells])
    left = 0
    if limit is not None and len(body) > limit:
        left, body = len(body) - limit + 1, body[: limit - 1]
    widths = [max(len(line[n]) for line in [heads, *body]) for n in range(len(heads))]
    over = ""
    for n, (probe, _) in enumerate(table.columns):
        if n == 0 or table.columns[n - 1][0] != probe:
            over = over.ljust(sum(widths[: n + 3]) + 2 * (n + 3)) + f"{metric.upper()}, {probe_title(probe)}"
    out = [over]
    for cells in [heads, *body]:
        padded = [
            cell.ljust(width) if n < 2 else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        out.append("  ".join(padded).rstrip())
    return out + ([f"... and {left} more settings"] if left else [])


def cell_of(values: Sequence[float]) -> Cell:
    """Mean of a score over seeds with its spread."""
    mean, std, n = summarise(values)
    low, high = bootstrap_interval(values) if n >= 3 else (None, None)
    return Cell(mean, std if n > 1 else None, low, high, n)


def title(key: str) -> str:
    """A key as a column's heading."""
    return {"per_class": "per class", "pretraining_saw_pixels": "saw test pixels"}.get(key, key.replace("_", " "))


def _column_order(column: tuple[str, str]) -> tuple:
    probe, method = column
    probes, known = list(_PROBES), list(_METHODS)
    first = probes.index(probe) if probe in probes else len(probes)
    second = known.index(method) if method in known else len(known)
    return first, probe, second, method


def _setting_order(setting: tuple, places: Mapping[str, int]) -> list:
    """Numbers by size, ``all`` after them, texts by the alphabet; averages over scenes first."""
    order: list = []
    for key, place in places.items():
        value = setting[place]
        size = number(value)
        average = key == "scene" and str(value).startswith("mean of ")
        order.append((0 if average else 1 if size is not None else 2, size or 0.0, str(value)))
    return order
