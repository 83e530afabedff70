"""Rows of results -> what they say: mean, spread and interval over seeds, and differences over identical splits."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any, Literal, TypeVar

import numpy as np

from sslhsi.evaluation.rows import NO_TRAINING, WINDOW_MEANS, ResultRow
from sslhsi.probes import metrics

R = TypeVar("R")
K = TypeVar("K", bound=Hashable)
L = TypeVar("L", bound=Hashable)

LEAST_SEEDS = 3
"""Fewer seeds than this give no interval."""


@dataclass(frozen=True)
class Summary:
    """One score over seeds, in the unit of its values.

    Args:
        mean: Over seeds.
        std: Sample standard deviation; None for a single seed.
        low, high: 95 % bootstrap interval of the mean; None below ``LEAST_SEEDS`` seeds.
        seeds: Values.
        best: Whether no other summary of its line or column of a table prints a higher mean.

    Examples:
        >>> str(summarise([70.0, 72.0]))
        '71.0 ± 1.4'
        >>> f"{summarise([70.0]):.2f}"
        '70.00'
    """

    mean: float
    std: float | None = None
    low: float | None = None
    high: float | None = None
    seeds: int = 1
    best: bool = False

    def __str__(self) -> str:
        return format(self, ".1f")

    def __format__(self, spec: str) -> str:
        spec = spec or ".1f"
        return format(self.mean, spec) + ("" if self.std is None else f" ± {self.std:{spec}}")

    @property
    def interval(self) -> str:
        """``69.3 to 72.1``; an empty text where there is none."""
        return "" if self.low is None or self.high is None else f"{self.low:.1f} to {self.high:.1f}"


def summarise(values: Sequence[float]) -> Summary:
    """Mean, spread and interval of a score, one value per seed.

    Raises:
        InputError: There are no values, or one is not finite.
    """
    _, std, seeds = metrics.summarise(values)
    low, high = metrics.bootstrap_interval(values) if seeds >= LEAST_SEEDS else (None, None)
    # Rounded once: a mean between two printed digits prints the same in whatever order its values come.
    return Summary(fmean(values), std if seeds > 1 else None, low, high, seeds)


def mean_of(values: Iterable[float | None]) -> float | None:
    """Mean of the values that are known; None where none is."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def leak_of(rows: Iterable[ResultRow], column: Literal["leak", "leak_overlap"] = "leak") -> float | None:
    """Mean leak through the windows that splits are made for; boxes of window means may reach further."""
    rows = list(rows)
    within = [row for row in rows if not row.method.startswith(WINDOW_MEANS)]
    return mean_of(getattr(row, column) for row in within or rows)


def grouped(rows: Iterable[R], key: Callable[[R], K]) -> dict[K, list[R]]:
    """Rows by key, both in the order in which they came.

    Examples:
        >>> grouped(["ab", "c", "de"], len)
        {2: ['ab', 'de'], 1: ['c']}
    """
    groups: dict[K, list[R]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def scored(row: ResultRow, metric: str = "oa") -> bool:
    """Whether a row holds a score of a method, and not a note alone."""
    return bool(row.method and row.probe) and getattr(row, metric) is not None


def tabulate(
    rows: Iterable[R],
    line: Callable[[R], L],
    column: Callable[[R], K],
    value: Callable[[R], float | None],
    best: Literal["line", "column"] = "line",
) -> dict[L, dict[K, Summary]]:
    """Rows as a table of summaries: those of one line and one column are seeds of each other.

    Args:
        rows: Of any kind.
        line, column: What a row stands under.
        value: Its score; rows without one are passed over.
        best: Whether the highest mean of each line or of each column is marked (and whatever prints the same),
            where it has another to compare with.

    Returns:
        Summaries by line and column, in the order of the rows; a line lacks the columns that it has no rows of.

    Examples:
        >>> rows = [("linear", 5, 70.0), ("linear", 5, 72.0), ("k-NN", 5, 65.0)]
        >>> table = tabulate(rows, lambda r: r[0], lambda r: r[1], lambda r: r[2], best="column")
        >>> {name: (str(line[5]), line[5].best) for name, line in table.items()}
        {'linear': ('71.0 ± 1.4', True), 'k-NN': ('65.0', False)}
    """
    values: dict[L, dict[K, list[float]]] = {}
    for row in rows:
        if (score := value(row)) is not None:
            values.setdefault(line(row), {}).setdefault(column(row), []).append(score)
    table = {key: {at: summarise(scores) for at, scores in cells.items()} for key, cells in values.items()}
    rivals: dict[Hashable, list[float]] = {}
    for key, cells in table.items():
        for at, cell in cells.items():
            rivals.setdefault(key if best == "line" else at, []).append(round(cell.mean, 1))
    top = {place: max(means) for place, means in rivals.items() if len(means) > 1}
    return {
        key: {
            at: replace(cell, best=round(cell.mean, 1) == top.get(key if best == "line" else at))
            for at, cell in cells.items()
        }
        for key, cells in table.items()
    }


def by_split(rows: Iterable[ResultRow], setting: Callable[[ResultRow], K]) -> dict[tuple[K, int | None], float]:
    """One method's OA by setting and seed; what was measured twice counts as measured last."""
    return {(setting(row), row.seed): row.oa for row in rows if scored(row) and row.oa is not None}


def best_untrained(
    rows: Iterable[ResultRow], setting: Callable[[ResultRow], K]
) -> tuple[dict[tuple[K, int | None], float], dict[K, str]]:
    """OA by setting and seed of the best that needs no training, and what that is.

    In each setting the method with the highest mean is taken: chosen by the scores that it is compared with, it is as
    hard to beat as can be.

    Args:
        rows: Of one probe; methods other than ``NO_TRAINING`` are passed over.
        setting: What seeds belong to.
    """
    scores: dict[tuple[K, int | None], float] = {}
    names: dict[K, str] = {}
    untrained = (row for row in rows if row.method in NO_TRAINING and scored(row))
    for place, mine in grouped(untrained, setting).items():
        methods = {name: by_split(some, setting) for name, some in grouped(mine, lambda row: row.method).items()}
        names[place] = max(methods, key=lambda name: fmean(methods[name].values()))
        scores |= methods[names[place]]
    return scores, names


@dataclass(frozen=True)
class Differences:
    """Scores of two methods over identical splits: setting -> seed -> (first, second).

    All differences are the first less the second.
    """

    pairs: Mapping[Any, Mapping[Any, tuple[float, float]]]

    def __bool__(self) -> bool:
        return bool(self.pairs)

    @property
    def by_setting(self) -> dict[Any, list[float]]:
        """Setting -> differences, one per seed."""
        return {setting: [a - b for a, b in seeds.values()] for setting, seeds in self.pairs.items()}

    @property
    def means(self) -> dict[Any, float]:
        """Setting -> mean difference over seeds."""
        return {setting: float(np.mean(values)) for setting, values in self.by_setting.items()}

    @property
    def mean(self) -> float:
        """Over settings, of the means over seeds."""
        return float(np.mean(list(self.means.values())))

    @property
    def wins(self) -> int:
        """Settings in which the first is ahead on average."""
        return sum(mean > 0 for mean in self.means.values())

    @property
    def standard_error(self) -> float:
        """Of ``mean``, from the spread over seeds within settings; a single seed counts as without spread."""
        errors = [summarise(values).std or 0.0 for values in self.by_setting.values()]
        counts = [len(values) for values in self.by_setting.values()]
        return sum(e**2 / n for e, n in zip(errors, counts, strict=True)) ** 0.5 / max(1, len(errors))

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % bootstrap interval of ``mean``, seeds redrawn within settings; None below ``LEAST_SEEDS`` seeds."""
        values = list(self.by_setting.values())
        if max(map(len, values)) < LEAST_SEEDS:
            return None
        rng = np.random.default_rng(0)
        draws = np.mean([rng.choice(some, (2000, len(some))).mean(axis=1) for some in values], axis=0)
        low, high = np.percentile(draws, [2.5, 97.5])
        return float(low), float(high)

    @property
    def sure(self) -> bool:
        """Whether ``interval`` leaves no doubt of the sign."""
        bounds = self.interval
        return bounds is not None and (bounds[0] > 0 or bounds[1] < 0)

    @property
    def by_seed(self) -> tuple[list[float], list[float]]:
        """Scores of the first and of the second, one per seed, each the mean over its settings.

        Settings with a single split (all training pixels: nothing is drawn) take part only where there are no
        others, since they tell nothing of spread.
        """
        drawn = {setting: seeds for setting, seeds in self.pairs.items() if len(seeds) > 1} or self.pairs
        first, second = [], []
        for seed in sorted(set().union(*drawn.values())):
            ours, theirs = zip(*(some[seed] for some in drawn.values() if seed in some), strict=True)
            first.append(fmean(ours))
            second.append(fmean(theirs))
        return first, second

    def over_seeds(self) -> metrics.Comparison:
        """Seed against seed (see :attr:`by_seed`): difference, interval, Wilcoxon's test, seeds won."""
        return metrics.paired_comparison(*self.by_seed)


def differences(first: Mapping[tuple[K, Any], float], second: Mapping[tuple[K, Any], float]) -> Differences:
    """Pair two methods on the splits that both were measured on.

    Args:
        first, second: Scores by (setting, seed), as :func:`by_split` gives them.

    Examples:
        >>> ours = {("blocks", 0): 80.0, ("blocks", 1): 78.0, ("random", 0): 99.0}
        >>> theirs = {("blocks", 0): 75.0, ("blocks", 1): 76.0}
        >>> gain = differences(ours, theirs)
        >>> gain.mean, gain.wins, gain.over_seeds().wins
        (3.5, 1, 2)
    """
    pairs: dict[K, dict[Any, tuple[float, float]]] = {}
    for (setting, seed), score in first.items():
        if (setting, seed) in second:
            pairs.setdefault(setting, {})[seed] = (score, second[setting, seed])
    return Differences(pairs)
