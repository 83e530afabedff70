"""What the result rows say, in one sentence, whichever way it turned out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sslhsi.evaluation.rows import ResultRow
from sslhsi.evaluation.summary import Differences, by_split, differences, grouped, scored
from sslhsi.report.tables import KEYS, RAW, probe_title

_RAW_NAMES = {"raw spectra": "raw spectra", "mean spectrum": "the plain mean spectrum"}


def verdict(rows: Iterable[ResultRow]) -> str:
    """Pretrained features against random weights and against the raw baseline, task by task.

    Differences are taken between rows that share setting, probe and seed, then averaged over seeds and
    over settings. A difference whose 95 % interval (seeds redrawn within settings) holds 0 is not called
    a gain or a loss.
    """
    tasks = grouped(filter(scored, rows), lambda row: row.task)
    sentences = [text for task, mine in tasks.items() if (text := _of_task(task, mine))]
    if not sentences:
        return "Nothing was compared: the run has no results of pretrained features beside a baseline."
    text = "; ".join(sentences)
    return text[0].upper() + text[1:] + "."


def gains(rows: Iterable[ResultRow], others: Iterable[str]) -> dict[str, Differences]:
    """Probe -> OA of pretrained features less that of any of the other methods, setting by setting."""
    others, by_probe = set(others), {}
    for probe, mine in grouped(filter(scored, rows), lambda row: row.probe).items():
        ours, theirs = (
            by_split((row for row in mine if row.method in methods), _setting) for methods in ({"pretrained"}, others)
        )
        if gain := differences(ours, theirs):
            by_probe[probe] = gain
    return by_probe


def _setting(row: ResultRow) -> tuple:
    return tuple(getattr(row, key) for key in KEYS)


def _of_task(task: str, rows: Sequence[ResultRow]) -> str:
    untrained, raw = gains(rows, ["random weights"]), gains(rows, RAW)
    parts = []
    if untrained:
        parts.append(_untrained(untrained))
    if raw:
        parts.append(_raw(raw, next(row.method for row in rows if row.method in RAW)))
    if not parts:
        return ""
    count = len({setting for gain in (*untrained.values(), *raw.values()) for setting in gain.pairs})
    where = f"{count} settings" if count > 1 else "1 setting"
    return f"on {task or 'one task'} ({where}) pretrained features " + ", and ".join(parts)


def _untrained(gains: Mapping[str, Differences]) -> str:
    verbs: dict[str, list[str]] = {}
    for probe, gain in gains.items():
        points = f"{gain.mean:+.1f}"
        if gain.interval is None:
            verb = "are, on too few seeds for an interval, off random weights by"
        elif not gain.sure:
            verb = "can't be distinguished from random weights:"
        else:
            verb = "beat random weights by" if gain.mean > 0 else "fall behind random weights by"
            points = f"{abs(gain.mean):.1f}"
        points_oa = "" if verb in verbs else " points OA"
        verbs.setdefault(verb, []).append(f"{points}{points_oa} ({probe_title(probe)})")
    return " but ".join(f"{verb} {' and '.join(amounts)}" for verb, amounts in verbs.items())


def _raw(gains: Mapping[str, Differences], method: str) -> str:
    name = _RAW_NAMES[method]
    lost: list[tuple[float, str, tuple]] = []
    counts = []
    for probe, gain in gains.items():
        worse = [(mean, probe, setting) for setting, mean in gain.means.items() if mean < 0]
        counts.append(f"{len(worse)} of {len(gain.means)} ({probe_title(probe)})")
        lost += worse
    if not lost:
        return f"they are not below {name} anywhere"
    mean, probe, setting = min(lost, key=lambda entry: entry[0])
    keys = dict(zip(KEYS, setting, strict=True))
    place = [str(keys[key]) for key in ("scene", "split") if keys[key]]
    if keys["per_class"] not in (None, "all"):
        place.append(f"{keys['per_class']} per class")
    where = f", by most on {', '.join(place)}: {-mean:.1f} points ({probe_title(probe)})" if place else ""
    wins = "win" if method == "raw spectra" else "wins"
    return f"{name} {wins} in {' and '.join(counts)}{where}"
