"""What the result rows say, in one sentence, whichever way it turned out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sslhsi.evaluation.rows import NO_TRAINING, ResultRow
from sslhsi.evaluation.summary import Differences, best_untrained, by_split, differences, grouped, scored
from sslhsi.report.tables import KEYS, probe_title

BEST = "the best that needs no training"


def verdict(rows: Iterable[ResultRow]) -> str:
    """Pretrained features against random weights and against the best that needs no training, task by task.

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


def gains(rows: Iterable[ResultRow]) -> tuple[dict[str, Differences], dict[str, Differences], dict[tuple, str]]:
    """OA of pretrained features less that of others, setting by setting.

    Returns:
        Probe -> differences from random weights; probe -> differences from the best that needs no training; and what
        that is, by probe and setting.
    """
    untrained: dict[str, Differences] = {}
    best: dict[str, Differences] = {}
    names: dict[tuple, str] = {}
    for probe, mine in grouped(filter(scored, rows), lambda row: row.probe).items():
        ours, random = (
            by_split((row for row in mine if row.method == method), _setting)
            for method in ("pretrained", "random weights")
        )
        theirs, named = best_untrained(mine, _setting)
        names |= {(probe, setting): name for setting, name in named.items()}
        for place, others in ((untrained, random), (best, theirs)):
            if gain := differences(ours, others):
                place[probe] = gain
    return untrained, best, names


def _setting(row: ResultRow) -> tuple:
    return tuple(getattr(row, key) for key in KEYS)


def _of_task(task: str, rows: Sequence[ResultRow]) -> str:
    untrained, best, names = gains(rows)
    parts = [_untrained(untrained)] if untrained else []
    if best and {row.method for row in rows} & {*NO_TRAINING[1:]}:
        parts.append(_over_best(best, names))
    if not parts:
        return ""
    count = len({setting for gain in (*untrained.values(), *best.values()) for setting in gain.pairs})
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


def _over_best(gains: Mapping[str, Differences], names: Mapping[tuple, str]) -> str:
    """How far above (or below) the best that needs no training, and where that wins by most."""
    amounts = " and ".join(f"{gain.mean:+.1f} ({probe_title(probe)})" for probe, gain in gains.items())
    text = f"lie {amounts} points OA over {BEST}"
    lost = {probe: {where: -mean for where, mean in gain.means.items() if mean < 0} for probe, gain in gains.items()}
    most = max(
        ((gap, probe, where) for probe, some in lost.items() for where, gap in some.items()),
        key=lambda entry: entry[0],
        default=None,
    )
    if most is None:
        return f"{text}, which wins nowhere"
    counts = [f"{len(lost[probe])} of {len(gain.means)} ({probe_title(probe)})" for probe, gain in gains.items()]
    gap, probe, setting = most
    keys = dict(zip(KEYS, setting, strict=True))
    place = [str(keys[key]) for key in ("scene", "split") if keys[key]]
    if keys["per_class"] not in (None, "all"):
        place.append(f"{keys['per_class']} per class")
    where = f" on {', '.join(place)}" if place else ""
    name = f"{names[probe, setting]} by {gap:.1f} points ({probe_title(probe)})"
    return f"{text}, which wins in {' and '.join(counts)}, by most{where}: {name}"
