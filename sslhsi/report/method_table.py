"""Tables of one scene: methods down, samples per class across, one table per split."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from sslhsi.evaluation.rows import PerClass, ResultRow
from sslhsi.evaluation.summary import Summary, grouped, leak_of, tabulate
from sslhsi.report.scores import METRICS, Score, method_order, sizes_of
from sslhsi.report.tables import percent, probe_order, probe_title


@dataclass(frozen=True)
class Column:
    """Samples per class with what holds for all methods there; texts are empty where nothing is known."""

    title: str
    leak: str
    leak_overlap: str
    train: str
    test: str


@dataclass(frozen=True)
class MethodLine:
    """A method under a probe: whether its pretraining and its projection saw the test pixels, a cell per column.

    ``within`` marks cells whose interval is that of a single split over its test samples.
    """

    method: str
    pretraining_saw_pixels: str
    projection_saw_pixels: str
    cells: tuple[Summary | None, ...]
    within: tuple[bool, ...]


@dataclass(frozen=True)
class SplitTable:
    """One split of one scene in one metric; ``groups`` are (probe, lines)."""

    split: str
    metric: str
    columns: tuple[Column, ...]
    groups: tuple[tuple[str, tuple[MethodLine, ...]], ...]
    seeds: str

    @property
    def shows_projection(self) -> bool:
        """Whether any row says what the projection saw."""
        return any(line.projection_saw_pixels for _, lines in self.groups for line in lines)

    @property
    def shows_within(self) -> bool:
        """Whether any interval is that of a single split."""
        return any(any(line.within) for _, lines in self.groups for line in lines)


def split_table(scores: Sequence[Score], metric: str = "oa") -> SplitTable | None:
    """The table of one scene and one split.

    Args:
        scores: Of one scene and one split.
        metric: A key of ``METRICS``.

    Returns:
        The table, the highest mean of every column marked; None where no score has the metric.
    """
    scores = [score for score in scores if getattr(score.row, metric) is not None]
    if not scores:
        return None
    scores.sort(key=lambda score: (probe_order(score.row.probe), method_order(score)))
    sizes = sizes_of(scores)
    cells = tabulate(scores, _key, lambda s: s.row.per_class, lambda s: getattr(s.row, metric), best="column")
    groups: dict[str, list[MethodLine]] = {}
    for (probe, method), mine in grouped(scores, _key).items():
        rows = [score.row for score in mine]
        groups.setdefault(probe_title(probe), []).append(_line(method, rows, cells[probe, method], sizes, metric))
    at_size = grouped((score.row for score in scores), lambda row: row.per_class)
    return SplitTable(
        scores[0].split,
        METRICS[metric],
        tuple(_column(size, at_size[size]) for size in sizes),
        tuple((probe, tuple(lines)) for probe, lines in groups.items()),
        _range([cell.seeds for line in cells.values() for cell in line.values()]),
    )


def _key(score: Score) -> tuple[str, str]:
    return score.row.probe, score.method


def _line(
    method: str,
    rows: Sequence[ResultRow],
    cells: dict[PerClass, Summary],
    sizes: Sequence[PerClass],
    metric: str,
) -> MethodLine:
    """A method's line; cells of a single split have the interval of that split's test samples, where it is known."""
    within: dict[PerClass, Summary] = {}
    for row in rows:
        cell = cells[row.per_class]
        if metric == "oa" and cell.seeds == 1 and row.oa_low is not None and row.oa_high is not None:
            within[row.per_class] = replace(cell, low=row.oa_low, high=row.oa_high)
    return MethodLine(
        method,
        _stated(row.pretraining_saw_pixels for row in rows),
        _stated(row.projection_saw_pixels for row in rows),
        tuple({**cells, **within}.get(size) for size in sizes),
        tuple(size in within for size in sizes),
    )


def _column(size: PerClass, rows: Sequence[ResultRow]) -> Column:
    return Column(
        {None: "as listed", "all": "all training"}.get(size, f"{size} per class"),  # type: ignore[arg-type]
        _shares(rows, "leak"),
        _shares(rows, "leak_overlap"),
        _range([row.train for row in rows if row.train is not None]),
        _range([row.test for row in rows if row.test is not None]),
    )


def _stated(values: Iterable[str]) -> str:
    return " / ".join(sorted(filter(None, set(values))))


def _shares(rows: Sequence[ResultRow], column: Literal["leak", "leak_overlap"]) -> str:
    """Mean share over seeds; for windows of several sizes from the least to the greatest."""
    windows = grouped(rows, lambda row: row.window).values()
    means = sorted(mean for mine in windows if (mean := leak_of(mine, column)) is not None)
    return " to ".join(dict.fromkeys(percent(mean) for mean in (*means[:1], *means[-1:])))


def _range(values: Sequence[int]) -> str:
    if not values:
        return ""
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
