"""Who wins: methods of one scene and split compared pair by pair, over the same splits, and said in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from sslhsi.probes.metrics import Comparison, paired_comparison
from sslhsi.report.scores import KINDS, Score, method_order, probe_order, sizes_of
from sslhsi.report.tables import probe_title

# Fewer seeds than this give no interval.
LEAST_SEEDS = 3


@dataclass(frozen=True)
class Entry:
    """A method under a probe, with its OA by (samples per class, seed)."""

    probe: str
    method: str
    family: str
    saw: str
    oa: dict[tuple[int | str, str], float]

    @property
    def mean(self) -> float:
        """Mean OA over sizes of the means over seeds."""
        by_size: dict[int | str, list[float]] = {}
        for (size, _), value in self.oa.items():
            by_size.setdefault(size, []).append(value)
        return float(np.mean([np.mean(values) for values in by_size.values()]))

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
    sizes: tuple[int | str, ...]
    leader: Entry
    duels: tuple[Duel, ...]

    @property
    def rivals(self) -> list[Duel]:
        """The best entry of every family, of the leader's own family that of another method; nearest first."""
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


def pairs(a: Entry, b: Entry) -> tuple[list[float], list[float]]:
    """OA of a and of b, one number per seed that both have.

    A number is the mean over the sizes that both have at the seed. Sizes with a single split (all training
    pixels: nothing is drawn) take part only where there are no others, since they tell nothing of spread.
    """
    seeds: dict[int | str, set[str]] = {}
    for size, seed in a.oa.keys() & b.oa.keys():
        seeds.setdefault(size, set()).add(seed)
    drawn = {size: some for size, some in seeds.items() if len(some) > 1} or seeds
    first, second = [], []
    for seed in sorted(set().union(*drawn.values())):
        shared = [(size, seed) for size in drawn if seed in drawn[size]]
        first.append(float(np.mean([a.oa[key] for key in shared])))
        second.append(float(np.mean([b.oa[key] for key in shared])))
    return first, second


def standings(scores: Iterable[Score]) -> list[Standing]:
    """A standing for every scene and split on which at least two entries share splits.

    The leader is the entry that wins most comparisons by mean difference, then the one with the largest
    sum of differences: entries need not all have been measured at the same sizes.
    """
    places: dict[tuple[str, str, str], list[Score]] = {}
    for score in scores:
        places.setdefault((score.kind, score.scene, score.split), []).append(score)
    found = []
    for (kind, scene, split), mine in places.items():
        entries = _entries(mine)
        wins, sums = np.zeros(len(entries)), np.zeros(len(entries))
        for i, j in combinations(range(len(entries)), 2):
            ours, theirs = pairs(entries[i], entries[j])
            if ours:
                gap = float(np.mean(ours) - np.mean(theirs))
                wins += np.eye(len(entries))[i] * (gap > 0) + np.eye(len(entries))[j] * (gap < 0)
                sums += np.eye(len(entries))[i] * gap - np.eye(len(entries))[j] * gap
        best = int(np.lexsort((sums, wins))[-1])
        both = [(other, pairs(entries[best], other)) for n, other in enumerate(entries) if n != best]
        duels = [Duel(other, paired_comparison(*values)) for other, values in both if values[0]]
        if duels:
            duels.sort(key=lambda duel: duel.result.difference)
            found.append(Standing(kind, scene, split, tuple(sizes_of(mine)), entries[best], tuple(duels)))
    return found


def kind_sentence(kind: str, found: Sequence[Standing]) -> str:
    """How often each family of methods leads, for the standings of one kind of scenes."""
    count = len(found)
    families: dict[str, list[Standing]] = {}
    for standing in found:
        families.setdefault(standing.leader.family, []).append(standing)
    parts = []
    for family, led in sorted(families.items(), key=lambda item: -len(item[1])):
        sure = sum(standing.sure for standing in led)
        saw = sum(standing.leader.saw == "yes" for standing in led)
        note = f"{sure} beyond doubt" + (f", {saw} having seen the test pixels without labels" if saw else "")
        parts.append(f"{family} in {len(led)} ({note})")
    where = "1 pair of scene and split" if count == 1 else f"{count} pairs of scene and split"
    return f"{KINDS.get(kind, kind)}: of {where}, first is {'; '.join(parts)}."


def standing_sentence(standing: Standing) -> str:
    """The leader of one scene and split, and how far it is from the best entry of every family."""
    leader = standing.leader
    groups: dict[str, list[str]] = {}
    for duel in standing.rivals[::-1]:
        gap, low, high, n = duel.result.difference, duel.result.low, duel.result.high, duel.result.n
        other = duel.other.method if duel.other.probe == leader.probe else str(duel.other)
        if n < LEAST_SEEDS:
            groups.setdefault("on too few seeds for an interval", []).append(f"{gap:+.1f} from {other}")
        elif duel.sure and gap > 0:
            groups.setdefault("ahead", []).append(f"of {other} by {gap:.1f} [{low:.1f}, {high:.1f}]")
        elif duel.sure:
            groups.setdefault("behind", []).append(f"{other} by {-gap:.1f} [{-high:.1f}, {-low:.1f}]")
        else:
            groups.setdefault("not told", []).append(f"from {other}, {gap:+.1f} [{low:+.1f}, {high:+.1f}]")
    amounts = ", ".join(str(size) for size in standing.sizes if size != "")
    text = "; ".join(f"{verb} {', '.join(parts)}" for verb, parts in groups.items())
    counts = sorted({duel.result.n for duel in standing.duels})
    seeds = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    where = f"Over {seeds} seed{'s' * (seeds != '1')}" + (f" at {amounts} per class" if amounts else "") + ","
    sentence = f"{where} {leader} is first with {leader.mean:.1f} % OA" + (f": {text}." if text else ".")
    if leader.saw != "yes":
        return sentence
    blind = next((duel for duel in standing.duels if duel.other.saw == "no"), None)
    nearest = f"; the nearest that did not is {blind.other}, {blind.result.difference:.1f} below" if blind else ""
    return f"{sentence} Its pretraining saw the test pixels, without labels{nearest}."


def _entries(scores: Sequence[Score]) -> list[Entry]:
    ordered = sorted(scores, key=lambda score: (probe_order(score.probe), method_order(score)))
    found: dict[tuple[str, str], Entry] = {}
    for score in ordered:
        key = score.probe, score.method
        entry = found.setdefault(key, Entry(score.probe, score.method, score.family, score.saw, {}))
        entry.oa[score.size, score.seed] = score.values["oa"]
    return list(found.values())
