"""Tables of one scene: methods down, samples per class across, one table per split."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from sslhsi.report.scores import METRICS, Score, method_order, probe_order, sizes_of
from sslhsi.report.tables import Cell, cell_of, percent, probe_title


@dataclass(frozen=True)
class Column:
    """Samples per class with what holds for all methods there; texts are empty where nothing is known."""

    size: int | str
    title: str
    leak: str
    touch: str
    train: str
    test: str


@dataclass(frozen=True)
class MethodLine:
    """A method under a probe: whether its pretraining and its projection saw the test pixels, a cell per column.

    ``within`` marks cells whose interval is that of a single split over its test samples.
    """

    method: str
    saw: str
    projector_saw: str
    cells: tuple[Cell | None, ...]
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
    def shows_projector(self) -> bool:
        """Whether any row says what the projection saw."""
        return any(line.projector_saw for _, lines in self.groups for line in lines)

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
    scores = [score for score in scores if metric in score.values]
    if not scores:
        return None
    sizes = sizes_of(scores)
    cells: dict[tuple[str, str], dict[int | str, tuple[Cell, bool]]] = {}
    first: dict[tuple[str, str], Score] = {}
    for score in sorted(scores, key=lambda score: (probe_order(score.probe), method_order(score))):
        key = score.probe, score.method
        first.setdefault(key, score)
        if score.size not in cells.setdefault(key, {}):
            mine = [s for s in scores if (s.probe, s.method, s.size) == (*key, score.size)]
            cells[key][score.size] = _cell(mine, metric)
    groups: dict[str, list[MethodLine]] = {}
    tops = {size: max(round(row[size][0].mean, 1) for row in cells.values() if size in row) for size in sizes}
    rivals = {size: sum(size in row for row in cells.values()) for size in sizes}
    for (probe, method), row in cells.items():
        marked = [
            replace(row[size][0], best=rivals[size] > 1 and round(row[size][0].mean, 1) == tops[size])
            if size in row
            else None
            for size in sizes
        ]
        mine = [score for score in scores if (score.probe, score.method) == (probe, method)]
        groups.setdefault(probe, []).append(
            MethodLine(
                method,
                _stated(score.saw for score in mine),
                _stated(score.projector_saw for score in mine),
                tuple(marked),
                tuple(size in row and row[size][1] for size in sizes),
            )
        )
    return SplitTable(
        scores[0].split,
        METRICS[metric],
        tuple(_column(size, [score for score in scores if score.size == size]) for size in sizes),
        tuple((probe_title(probe), tuple(lines)) for probe, lines in groups.items()),
        _range([cell.seeds for row in cells.values() for cell, _ in row.values()]),
    )


def _cell(scores: Sequence[Score], metric: str) -> tuple[Cell, bool]:
    """The cell of one method at one size, and whether its interval is that of a single split."""
    cell = cell_of([score.values[metric] for score in scores])
    low, high = scores[0].low, scores[0].high
    if len(scores) == 1 and metric == "oa" and low is not None and high is not None:
        return replace(cell, low=low, high=high), True
    return cell, False


def _column(size: int | str, scores: Sequence[Score]) -> Column:
    train, test = (
        _range([round(count) for count in counts if count is not None])
        for counts in ([score.train for score in scores], [score.test for score in scores])
    )
    return Column(
        size,
        {"": "as listed", "all": "all training"}.get(str(size), f"{size} per class"),
        _shares([(score.window, score.leak) for score in scores]),
        _shares([(score.window, score.touch) for score in scores]),
        train,
        test,
    )


def _stated(values: Iterable[str]) -> str:
    return " / ".join(sorted({value for value in values if value}))


def _shares(values: Sequence[tuple[str, float | None]]) -> str:
    """Mean share over seeds; for windows of several sizes from the least to the greatest."""
    by_window: dict[str, list[float]] = {}
    for window, share in values:
        if share is not None:
            by_window.setdefault(window, []).append(share)
    means = sorted(sum(shares) / len(shares) for shares in by_window.values())
    return " to ".join(dict.fromkeys(percent(mean) for mean in (*means[:1], *means[-1:])))


def _range(values: Sequence[int]) -> str:
    if not values:
        return ""
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
