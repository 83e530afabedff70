"""Result rows -> tables: means over seeds with their spread, as a structure, as Markdown, as plain text."""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sslhsi.evaluation.rows import ResultRow
from sslhsi.evaluation.summary import Summary, grouped, leak_of, mean_of, scored, summarise, tabulate

# A row of a table that is none of results: a study's, or metrics.csv.
Row = Mapping[str, Any]
# What a baseline without any network is called in the rows, task by task.
RAW = {"raw spectra": "raw baseline", "mean spectrum": "raw baseline"}
KEYS = ("task", "scene", "split", "per_class", "window")
_METHODS = ("pretrained", "random weights")
_SHORT = {"random weights": "random", "raw baseline": "raw", "window means": "means"}
_PROBES = {"k-NN": "k-NN", "linear": "linear probe", "SVM": "SVM", "fine-tune": "fine-tuning"}
_TITLES = {"per_class": "per class", "pretraining_saw_pixels": "pretraining saw pixels"}


@dataclass(frozen=True)
class Line:
    """One setting: the values of the keys, and a cell per column that has any rows.

    ``leak`` is the mean share of test windows that hold a training pixel, ``pretraining_saw_pixels`` whether
    pretraining saw the test pixels, ``scenes`` the number of scenes that cells are averages over.
    """

    keys: dict[str, Any]
    leak: float | None
    pretraining_saw_pixels: str
    seeds: int
    cells: dict[tuple[str, str], Summary]
    scenes: int = 1

    @property
    def texts(self) -> list[str]:
        """The values of the keys as readers see them."""
        return ["" if value is None else str(value) for value in self.keys.values()]


@dataclass(frozen=True)
class Table:
    """``columns`` are (probe, method); ``lines`` are in reading order."""

    columns: tuple[tuple[str, str], ...]
    lines: tuple[Line, ...]

    @property
    def probes(self) -> list[tuple[str, int]]:
        """Each probe's title and the number of its columns."""
        return [(probe_title(name), len(some)) for name, some in grouped(self.columns, lambda c: c[0]).items()]

    @property
    def methods(self) -> int:
        """Most columns under one probe."""
        return max((count for _, count in self.probes), default=1)


@dataclass(frozen=True)
class _Score:
    """A score under its line and column: of one row, or the mean over scenes at one seed."""

    setting: tuple
    column: tuple[str, str]
    value: float
    rows: Sequence[ResultRow]


def probe_title(probe: str) -> str:
    """A probe's name as readers see it."""
    return _PROBES.get(probe, probe)


def probe_order(probe: str) -> tuple:
    """Sorts probes: from the plainest to the one that trains most."""
    return ([*_PROBES, probe].index(probe), probe)


def title(key: str) -> str:
    """A key as a column's heading."""
    return _TITLES.get(key, key.replace("_", " "))


def number(value: Any) -> float | None:
    """A finite number, from a number or its text; None for anything else."""
    try:
        amount = float(value)
    except (TypeError, ValueError):
        return None
    return amount if math.isfinite(amount) else None


def percent(share: float | None) -> str:
    """0.0312 -> ``3 %``; an empty text for None."""
    return "" if share is None else f"{100 * share:.0f} %" if share == 0 or share >= 0.01 else "< 1 %"


def results_table(rows: Iterable[ResultRow], metric: str = "oa", *, pooled: bool = False) -> Table:
    """Gather rows into one line per setting (``KEYS``) and one column per probe and method.

    Args:
        rows: Result rows; those without the metric, such as notes, are passed over.
        metric: ``oa``, ``aa`` or ``kappa``.
        pooled: Average over the scenes of each task, seed by seed. Only scenes that every seed and method of a
            setting could use take part, so that averages compare; raw baselines of all tasks get one name.

    Returns:
        The table; in each line the highest mean is marked (and whatever prints the same).
    """
    rows = [row for row in rows if scored(row, metric)]
    scores = _pooled(rows, metric) if pooled else [
        _Score(tuple(getattr(row, key) for key in KEYS), (row.probe, row.method), getattr(row, metric), [row])
        for row in rows
    ]  # fmt: skip
    settings = grouped(scores, lambda score: score.setting)
    cells = tabulate(scores, lambda score: score.setting, lambda score: score.column, lambda score: score.value)
    columns = sorted({score.column for score in scores}, key=_column_order)
    lines = [_line(settings[setting], cells[setting]) for setting in cells]
    return Table(tuple(columns), tuple(sorted(lines, key=_line_order)))


def _pooled(rows: Sequence[ResultRow], metric: str) -> list[_Score]:
    scores = []
    for group in grouped(rows, lambda row: tuple(getattr(row, key) for key in KEYS if key != "scene")).values():
        seeds = grouped(group, lambda row: (row.probe, RAW.get(row.method, row.method), row.seed))
        scenes = {key: {row.scene: row for row in some} for key, some in seeds.items()}
        everywhere = set.intersection(*(set(some) for some in scenes.values()))
        for (probe, method, _), by_name in scenes.items():
            chosen = [by_name[name] for name in sorted(everywhere or by_name)]
            name = next(iter(by_name)) if len(chosen) == 1 else f"mean of {len(chosen)} scenes"
            setting = tuple(name if key == "scene" else getattr(chosen[0], key) for key in KEYS)
            value = sum(getattr(row, metric) for row in chosen) / len(chosen)
            scores.append(_Score(setting, (probe, method), value, chosen))
    return scores


def _line(scores: Sequence[_Score], cells: dict[tuple[str, str], Summary]) -> Line:
    rows = [row for score in scores for row in score.rows]
    # Baselines never saw anything: the line speaks of what was pretrained, where there is such.
    trained = [row for row in rows if row.method == "pretrained"] or rows
    known = " / ".join(sorted({row.pretraining_saw_pixels for row in trained if row.pretraining_saw_pixels}))
    setting = dict(zip(KEYS, scores[0].setting, strict=True))
    leak, seeds = leak_of(rows), max(cell.seeds for cell in cells.values())
    return Line(setting, leak, known, seeds, cells, max(len(score.rows) for score in scores))


def notes(rows: Iterable[ResultRow]) -> list[str]:
    """What could not be measured and why, each thing once."""
    texts = grouped(
        (", ".join(filter(None, (row.task, row.scene, row.split))) + f": {row.note}" for row in rows if row.note),
        lambda text: text,
    )
    return [text + (f" ({len(same)} seeds)" if len(same) > 1 else "") for text, same in texts.items()]


def markdown(heads: Sequence[str], body: Iterable[Sequence[str]]) -> list[str]:
    r"""Lines of a GitHub table.

    Examples:
        >>> markdown(["a", "b"], [["1", "x|y"]])
        ['| a | b |', '|---|---|', '| 1 | x\\|y |']
    """
    first, *rest = ("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |" for cells in (heads, *body))
    return [first, "|---" * len(heads) + "|", *rest]


def aligned(heads: Sequence[str], body: Sequence[Sequence[str]], left: Collection[str]) -> list[str]:
    """Lines of a table for a terminal; columns of the headings under ``left`` begin in line, others end in line."""
    widths = [max(map(len, column)) for column in zip(heads, *body, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if head in left else cell.rjust(width)
            for head, cell, width in zip(heads, cells, widths, strict=True)
        ).rstrip()
        for cells in (heads, *body)
    ]


def text_table(rows: Iterable[ResultRow], limit: int | None = None) -> list[str]:
    """Aligned lines of OA for a terminal: one per task, split and samples per class, averaged over scenes.

    Args:
        rows: Result rows.
        limit: Most lines after the two of the heading; a last one says what was left out.
    """
    table = results_table((row for row in rows if not row.variant), pooled=True)
    if not table.lines:
        return []
    heads = ["task", "split", "per class", *(_SHORT.get(method, method) for _, method in table.columns)]
    body = []
    for line in table.lines:
        task = f"{line.keys['task']}, {line.scenes} scenes" if line.scenes > 1 else line.keys["task"]
        size = "" if line.keys["per_class"] is None else str(line.keys["per_class"])
        cells = [str(line.cells.get(column, "")).replace(" ", "") for column in table.columns]
        body.append([task, line.keys["split"], size, *cells])
    left = 0
    if limit is not None and len(body) > limit:
        left, body = len(body) - limit + 1, body[: limit - 1]
    widths = [max(map(len, column)) for column in zip(heads, *body, strict=True)]
    over, at = "", 3
    for probe, count in table.probes:
        over = over.ljust(sum(widths[:at]) + 2 * at) + f"OA, {probe}"
        at += count
    return [over, *aligned(heads, body, ("task", "split")), *([f"... and {left} more settings"] if left else [])]


def score_lines(rows: Iterable[ResultRow]) -> list[str]:
    """Aligned lines for a terminal: means over seeds, methods of one probe under each other, scene by scene."""
    heads = ["scene", "split", "per class", "probe", "method", "OA", "+-", "95 %", "AA", "kappa", "leak (touch)"]
    heads += ["saw", "seeds"]
    keys = (
        "scene", "kind", "split", "protocol", "per_class", "probe", "method", "pretraining", "pretraining_saw_pixels",
        "projection_saw_pixels", "window",
    )  # fmt: skip
    groups = grouped(filter(scored, rows), lambda row: tuple(getattr(row, key) for key in keys))
    body = []
    for setting in sorted(groups, key=lambda values: [_value_order(value) for value in values]):
        mine, row = groups[setting], groups[setting][0]
        cell = summarise([r.oa for r in mine if r.oa is not None])
        low, high = cell.low, cell.high
        if low is None:
            low, high = (mean_of(getattr(r, bound) for r in mine) for bound in ("oa_low", "oa_high"))
        leak, touch = (mean_of(getattr(r, share) for r in mine) for share in ("leak", "leak_overlap"))
        body.append([
            f"{row.scene} ({row.kind})", row.protocol, "" if row.per_class is None else str(row.per_class),
            probe_title(row.probe), row.method, f"{cell.mean:.1f}", "" if cell.std is None else f"{cell.std:.1f}",
            f"{low:.1f}-{high:.1f}", *(f"{mean_of(getattr(r, key) for r in mine):.1f}" for key in ("aa", "kappa")),
            "unknown" if touch is None else f"{percent(leak)} ({percent(touch)})",
            f"{row.pretraining_saw_pixels} / {row.projection_saw_pixels}", str(cell.seeds),
        ])  # fmt: skip
    return aligned(heads, body, ("scene", "split", "probe", "method", "saw"))


def _column_order(column: tuple[str, str]) -> tuple:
    probe, method = column
    return (*probe_order(probe), [*_METHODS, method].index(method), method)


def _line_order(line: Line) -> list[tuple]:
    """Lines by their keys, averages over scenes first."""
    return [(key != "scene" or line.scenes == 1, *_value_order(value)) for key, value in line.keys.items()]


def _value_order(value: Hashable) -> tuple:
    """Numbers by size, then texts by the alphabet, such as ``all``."""
    return (False, value, "") if isinstance(value, int | float) else (True, 0, str(value or ""))
