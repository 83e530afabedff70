"""What the result rows say, in one sentence, whichever way it turned out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from sslhsi.report.tables import KEYS, RAW, Row, key_of, number, probe_title

# Differences of each setting, seed by seed: {setting: (differences)}
Gaps = dict[tuple, list[float]]


def verdict(rows: Iterable[Row]) -> str:
    """Pretrained features against random weights and against the raw baseline, task by task.

    Differences are taken between rows that share setting, probe and seed, then averaged over seeds and
    over settings. A difference whose 95 % interval (seeds redrawn within settings) holds 0 is not called
    a gain or a loss.
    """
    rows = [row for row in rows if number(row.get("oa")) is not None and row.get("method") and row.get("probe")]
    tasks = list(dict.fromkeys(str(row.get("task", "")) for row in rows))
    sentences = [
        text for task in tasks if (text := _of_task(task, [r for r in rows if str(r.get("task", "")) == task]))
    ]
    if not sentences:
        return "Nothing was compared: the run has no results of pretrained features beside a baseline."
    text = "; ".join(sentences)
    return text[0].upper() + text[1:] + "."


def gaps(rows: Iterable[Row], other: str) -> dict[str, Gaps]:
    """Probe -> setting -> OA of pretrained minus OA of another method, one number per seed of both.

    Args:
        rows: Result rows.
        other: The other method; ``raw baseline`` stands for the raw baseline of any task.
    """
    scores: dict[tuple[str, tuple], dict[str, dict[Any, float]]] = {}
    for row in rows:
        method = RAW.get(str(row["method"]), str(row["method"]))
        where = (str(row["probe"]), tuple(key_of(row, key) for key in KEYS))
        value = number(row["oa"])
        assert value is not None
        scores.setdefault(where, {}).setdefault(method, {})[key_of(row, "seed")] = value
    found: dict[str, Gaps] = {}
    for (probe, setting), methods in scores.items():
        ours, theirs = methods.get("pretrained", {}), methods.get(other, {})
        if pairs := [ours[seed] - theirs[seed] for seed in ours if seed in theirs]:
            found.setdefault(probe, {})[setting] = pairs
    return found


def mean_gap(found: Gaps) -> tuple[float, bool]:
    """Mean over settings, and whether its sign is beyond doubt (one split per setting leaves it in doubt)."""
    mean = float(np.mean([np.mean(pairs) for pairs in found.values()]))
    if max(len(pairs) for pairs in found.values()) < 3:
        return mean, False
    rng = np.random.default_rng(0)
    draws = np.mean([rng.choice(pairs, (2000, len(pairs))).mean(axis=1) for pairs in found.values()], axis=0)
    low, high = np.percentile(draws, [2.5, 97.5])
    return mean, bool(low > 0 or high < 0)


def _of_task(task: str, rows: list[Row]) -> str:
    against = gaps(rows, "random weights")
    raw = gaps(rows, "raw baseline")
    parts = []
    if against:
        parts.append(_random(against))
    if raw:
        parts.append(_raw(raw, next((str(r["method"]) for r in rows if str(r["method"]) in RAW), "raw baseline")))
    if not parts:
        return ""
    count = len({setting for found in (*against.values(), *raw.values()) for setting in found})
    where = f"{count} settings" if count > 1 else "1 setting"
    return f"on {task or 'one task'} ({where}) pretrained features " + ", and ".join(parts)


def _random(against: Mapping[str, Gaps]) -> str:
    verbs: dict[str, list[str]] = {}
    for probe, found in against.items():
        mean, sure = mean_gap(found)
        if max(len(pairs) for pairs in found.values()) < 3:
            verb, points = "are, on too few seeds for an interval, off random weights by", f"{mean:+.1f}"
        elif not sure:
            verb, points = "can't be told from random weights:", f"{mean:+.1f}"
        else:
            verb = "beat random weights by" if mean > 0 else "fall behind random weights by"
            points = f"{abs(mean):.1f}"
        unit = "" if verb in verbs else " points OA"
        verbs.setdefault(verb, []).append(f"{points}{unit} ({probe_title(probe)})")
    return " but ".join(f"{verb} {' and '.join(amounts)}" for verb, amounts in verbs.items())


def _raw(raw: Mapping[str, Gaps], name: str) -> str:
    name = {"raw spectra": "raw spectra", "mean spectrum": "the plain mean spectrum"}.get(name, "the raw baseline")
    lost: list[tuple[float, str, tuple]] = []
    counts = []
    for probe, found in raw.items():
        means = [(float(np.mean(pairs)), probe, setting) for setting, pairs in found.items()]
        worse = [entry for entry in means if entry[0] < 0]
        counts.append(f"{len(worse)} of {len(means)} ({probe_title(probe)})")
        lost += worse
    if not lost:
        return f"they are not below {name} anywhere"
    mean, probe, setting = min(lost, key=lambda entry: entry[0])
    keys = dict(zip(KEYS, setting, strict=True))
    place = [str(keys[key]) for key in ("scene", "split") if keys[key]]
    if keys["per_class"] not in ("", "all"):
        place.append(f"{keys['per_class']} per class")
    where = f", by most on {', '.join(place)}: {-mean:.1f} points ({probe_title(probe)})" if place else ""
    wins = "win" if name == "raw spectra" else "wins"
    return f"{name} {wins} in {' and '.join(counts)}{where}"
