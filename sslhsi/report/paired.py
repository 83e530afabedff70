"""Who wins: methods of one scene and split compared pair by pair, over the same splits, and said in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean

import numpy as np

from sslhsi.evaluation.rows import PerClass
from sslhsi.evaluation.summary import LEAST_SEEDS, by_split, differences, grouped
from sslhsi.probes.metrics import Comparison
from sslhsi.report.scores import KINDS, Score, method_order, sizes_of
from sslhsi.report.tables import probe_order, probe_title


@dataclass(frozen=True)
class Entry:
    """A method under a probe, with its OA by (samples per class, seed)."""

    probe: str
    method: str
    family: str
    pretraining_saw_pixels: str
    oa: dict[tuple[PerClass, int | None], float]

    @property
    def mean(self) -> float:
        """Mean OA over sizes of the means over seeds."""
        return fmean(fmean(self.oa[key] for key in keys) for keys in grouped(self.oa, lambda key: key[0]).values())

    def __str__(self) -> str:
        return f"{self.method} under {probe_title(self.probe)}"


@dataclass(frozen=True)
class Duel:
    """The leader against another entry."""

    other: Entry
    result: Comparison

    @property
    def sure(self) -> bool:
        """Whether the interval over seeds leaves no doubt of the sign."""
        return self.result.n >= LEAST_SEEDS and (self.result.low > 0 or self.result.high < 0)


@dataclass(frozen=True)
class Standing:
    """Entries of one scene and split, the leader apart, the others as duels with it, in order of their gap."""

    kind: str
    scene: str
    split: str
    sizes: tuple[PerClass, ...]
    leader: Entry
    duels: tuple[Duel, ...]

    @property
    def rivals(self) -> list[Duel]:
        """The best entry of every family, of the leader's family that of another method; nearest first."""
        first: dict[str, Duel] = {}
        for duel in self.duels:
            if duel.other.method != self.leader.method:
                first.setdefault(duel.other.family, duel)
        return list(first.values())

    @property
    def sure(self) -> bool:
        """Whether the leader is beyond doubt ahead of all that belongs to another family of methods."""
        others = [duel for duel in self.rivals if duel.other.family != self.leader.family]
        return bool(others) and all(duel.sure and duel.result.difference > 0 for duel in others)


def standings(scores: Iterable[Score]) -> list[Standing]:
    """A standing for every scene and split on which at least two entries share splits.

    The leader is the entry that wins most comparisons by mean difference, then the one with the largest
    sum of differences: entries need not all have been measured at the same sizes.
    """
    placed = []
    for (kind, scene, split), mine in grouped(scores, lambda score: score.place).items():
        entries = _entries(mine)
        wins, sums = np.zeros(len(entries)), np.zeros(len(entries))
        for i, j in combinations(range(len(entries)), 2):
            if pairs := differences(entries[i].oa, entries[j].oa):
                ours, theirs = pairs.by_seed
                gap = float(np.mean(ours) - np.mean(theirs))
                wins[[i, j]] += gap > 0, gap < 0
                sums[[i, j]] += gap, -gap
        best = int(np.lexsort((sums, wins))[-1])
        others = [(entry, differences(entries[best].oa, entry.oa)) for n, entry in enumerate(entries) if n != best]
        duels = [Duel(entry, pairs.over_seeds()) for entry, pairs in others if pairs]
        if duels:
            duels.sort(key=lambda duel: duel.result.difference)
            placed.append(Standing(kind, scene, split, tuple(sizes_of(mine)), entries[best], tuple(duels)))
    return placed


def kind_sentence(kind: str, standings: Sequence[Standing]) -> str:
    """How often each family of methods leads, for the standings of one kind of scenes."""
    families = grouped(standings, lambda standing: standing.leader.family)
    parts = []
    for family, led in sorted(families.items(), key=lambda item: -len(item[1])):
        sure = sum(standing.sure for standing in led)
        aware = sum(standing.leader.pretraining_saw_pixels == "yes" for standing in led)
        note = f"{sure} beyond doubt" + (f", {aware} pretrained on the test pixels without labels" if aware else "")
        parts.append(f"{family} in {len(led)} ({note})")
    count = len(standings)
    where = "1 pair of scene and split" if count == 1 else f"{count} pairs of scene and split"
    return f"{KINDS.get(kind, kind)}: of {where}, first is {'; '.join(parts)}."


def standing_sentence(standing: Standing) -> str:
    """The leader of one scene and split, and how far it is from the best entry of every family."""
    leader = standing.leader
    groups: dict[str, list[str]] = {}
    for duel in standing.rivals[::-1]:
        verb, text = _duel_words(duel, leader)
        groups.setdefault(verb, []).append(text)
    amounts = ", ".join(str(size) for size in standing.sizes if size is not None)
    text = "; ".join(f"{verb} {', '.join(parts)}" for verb, parts in groups.items())
    counts = sorted({duel.result.n for duel in standing.duels})
    seeds = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    where = f"Over {seeds} seed{'s' * (seeds != '1')}" + (f" at {amounts} per class" if amounts else "") + ","
    sentence = f"{where} {leader} is first with {leader.mean:.1f} % OA" + (f": {text}." if text else ".")
    if leader.pretraining_saw_pixels != "yes":
        return sentence
    blind = next((duel for duel in standing.duels if duel.other.pretraining_saw_pixels == "no"), None)
    nearest = f"; the nearest that did not is {blind.other}, {blind.result.difference:.1f} below" if blind else ""
    return f"{sentence} Its pretraining saw the test pixels, without labels{nearest}."


def _duel_words(duel: Duel, leader: Entry) -> tuple[str, str]:
    """How the leader stands to another entry, and that entry with the difference."""
    gap, low, high = duel.result.difference, duel.result.low, duel.result.high
    other = duel.other.method if duel.other.probe == leader.probe else str(duel.other)
    if duel.result.n < LEAST_SEEDS:
        return "on too few seeds for an interval", f"{gap:+.1f} from {other}"
    if not duel.sure:
        return "not distinguishable", f"from {other}, {gap:+.1f} [{low:+.1f}, {high:+.1f}]"
    if gap > 0:
        return "ahead", f"of {other} by {gap:.1f} [{low:.1f}, {high:.1f}]"
    return "behind", f"{other} by {-gap:.1f} [{-high:.1f}, {-low:.1f}]"


def _entries(scores: Sequence[Score]) -> list[Entry]:
    compared = (score for score in scores if not score.row.variant)
    ordered = sorted(compared, key=lambda score: (probe_order(score.row.probe), method_order(score)))
    entries = []
    for (probe, method), mine in grouped(ordered, lambda score: (score.row.probe, score.method)).items():
        rows = [score.row for score in mine]
        oa = by_split(rows, lambda row: row.per_class)
        entries.append(Entry(probe, method, rows[0].method, rows[0].pretraining_saw_pixels, oa))
    return entries
