"""Result rows of any table -> scores that say what they are, so that only like is set beside like."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sslhsi.report.tables import RAW, Row, number, per_class

# Kinds of cubes, in the order of the page: figures of one kind never share a table with those of another.
KINDS = {
    "real": "Real scenes",
    "8-bit real": "Real scenes, 8-bit versions",
    "stand-in": "Stand-ins",
    "simulated": "Simulated scenes",
    "": "Scenes of a kind that the rows don't state",
}
METRICS = {"oa": "overall accuracy", "aa": "average accuracy", "kappa": "kappa × 100", "f1_macro": "macro F1"}
UNTRAINED = ("from scratch", "random weights", *RAW)
_PROBES = ("k-NN", "linear", "SVM", "fine-tune")
# These splits draw the same pixels for every window; all others are made for one.
_ANY_WINDOW = ("random", "given")
# What tells rows of one method apart, in the order in which it enters the name, and how it is put there.
_DETAILS = {
    "pretraining": "{}",
    "recipe": "recipe {}",
    "window": "window {}",
    "projection_scope": "projection fitted on {}",
    "pretraining_saw_pixels": "saw the test pixels: {}",
    "settings": "{}",
    "run": "{}",
    "corpus": "corpus {:.8}",
    "backbone": "backbone {:.8}",
    "data": "data {:.8}",
}


@dataclass(frozen=True)
class Score:
    """One measured row.

    ``scene`` carries the task where that is not pixels, ``split`` the window where the split was made for
    one, ``size`` is the training samples per class (a number, ``all`` or an empty text). ``method`` is the
    name on the page, ``family`` the method alone. ``values`` are the ``METRICS`` that the row has, in
    percent; ``low`` and ``high`` bound the OA of this one split, redrawing its test samples. ``leak`` and
    ``touch`` are shares of test windows, 0 to 1: those that hold a training pixel, and those that share
    any pixel with a training window.
    """

    kind: str
    scene: str
    split: str
    size: int | str
    seed: str
    window: str
    probe: str
    method: str
    family: str
    values: dict[str, float]
    low: float | None
    high: float | None
    saw: str
    projector_saw: str
    leak: float | None
    touch: float | None
    train: float | None
    test: float | None


def read_scores(rows: Iterable[Row]) -> tuple[list[Score], int]:
    """Scores of the rows that hold any, and how many were measured again with another outcome.

    Methods of one name are told apart by as many of pretraining, recipe, window, projection and run as it
    takes to give every split and seed one score. What still coincides was measured twice: the later row
    holds. Columns that a table lacks are taken as not stated.

    Args:
        rows: Result rows with at least ``method``, ``probe`` and ``oa``; others are passed over.

    Returns:
        Scores, in the order of the rows, and the number of rows that a later one replaced.
    """
    scenes: dict[tuple[str, str], dict[str, list[Row]]] = {}
    for row in rows:
        if number(row.get("oa")) is not None and row.get("method") and row.get("probe"):
            of_scene = scenes.setdefault((kind_of(row), _scene(row)), {})
            of_scene.setdefault(str(row["method"]), []).append(row)
    found: dict[tuple, Score] = {}
    replaced = 0
    for (kind, scene), families in scenes.items():
        everything = [row for mine in families.values() for row in mine]
        windows = {str(row["window"]) for row in everything if row.get("window")}
        for family, mine in families.items():
            details = _details(family, mine)
            for row in mine:
                told = _told(row, mine, details)
                score = _score(row, kind, scene, family, told, len(windows) > 1)
                key = (kind, scene, score.split, score.size, score.seed, score.probe, score.method)
                before = found.get(key)
                replaced += before is not None and abs(before.values["oa"] - score.values["oa"]) > 1e-6
                found[key] = score
    return list(found.values()), replaced


def kind_of(row: Row) -> str:
    """``real``, ``8-bit real``, ``stand-in``, ``simulated``, or an empty text where nothing tells."""
    stated, scene = str(row.get("kind") or ""), str(row.get("scene", "")).lower()
    if stated:
        return stated
    if "stand-in" in scene or "stand_in" in scene:
        return "stand-in"
    if re.search(r"8.?bit", scene):
        return "8-bit real"
    return "simulated" if "simulated" in scene else ""


def split_name(row: Row) -> str:
    """The split as a heading: its scheme, and its protocol where that says more than samples per class."""
    scheme = str(row.get("split") or "")
    protocol = str(row.get("protocol") or "")
    rest = re.sub(r"(^|, *)(\d+ per class|per_class_\d+|all)$", "", protocol)
    if rest in ("", scheme):
        return scheme or "split not stated"
    return rest if scheme in ("", "given") or rest.startswith(scheme) else f"{scheme}, {rest}"


def probe_order(probe: str) -> tuple:
    """Sorts probes: from the plainest to the one that trains most."""
    return (_PROBES.index(probe) if probe in _PROBES else len(_PROBES), probe)


def method_order(score: Score) -> tuple:
    """Sorts methods: pretrained ones first, what knows nothing last."""
    family = score.family
    return (UNTRAINED.index(family) if family in UNTRAINED else -1, family != "pretrained", score.method)


def size_order(size: int | str) -> tuple:
    """Sorts samples per class: numbers, then texts."""
    return (1, 0, size) if isinstance(size, str) else (0, size, "")


def sizes_of(scores: Iterable[Score]) -> list[int | str]:
    """Samples per class that occur, in order."""
    return sorted({score.size for score in scores}, key=size_order)


def methods_of(scores: Sequence[Score]) -> list[str]:
    """Methods that occur, in order."""
    return list(dict.fromkeys(score.method for score in sorted(scores, key=method_order)))


def _scene(row: Row) -> str:
    task, scene = str(row.get("task") or "pixels"), str(row.get("scene") or "scene not stated")
    return scene if task == "pixels" else f"{scene}, {task}"


def _text(row: Row, key: str) -> str:
    value = str(row.get(key) or "")
    return "" if value == "none" else value


def _setting(row: Row) -> tuple:
    return split_name(row), per_class(row), str(row.get("seed") or ""), row["probe"], _bound_window(row)


def _bound_window(row: Row) -> str:
    return "" if row.get("split") in _ANY_WINDOW else str(row.get("window") or "")


def _details(family: str, rows: Sequence[Row]) -> list[str]:
    """Columns whose values name the rows of one method in one scene."""
    details = []
    if family not in UNTRAINED and any(_text(row, "pretraining") for row in rows):
        details.append("pretraining")
    # Raw spectra know neither a network nor a projection.
    candidates = ["settings", "run", "data"] if family in RAW else [key for key in _DETAILS if key not in details]
    for candidate in candidates:
        groups: dict[tuple, list[Row]] = {}
        for row in rows:
            groups.setdefault((*_setting(row), *(_text(row, key) for key in details)), []).append(row)
        collisions = [mine for mine in groups.values() if len({number(row["oa"]) for row in mine}) > 1]
        if not collisions:
            break
        if any(len({_text(row, candidate) for row in mine}) > 1 for mine in collisions):
            details.append(candidate)
    return details


def _told(row: Row, rows: Sequence[Row], details: Sequence[str]) -> str:
    """What follows a method's name; of settings only what not all rows of the probe share."""
    parts = []
    for key in details:
        value = _text(row, key)
        if key == "settings":
            others = [_text(other, key).split("; ") for other in rows if other["probe"] == row["probe"]]
            value = ", ".join(part for part in value.split("; ") if not all(part in other for other in others))
        if value:
            parts.append(_DETAILS[key].format(value))
    return ", ".join(parts)


def _score(row: Row, kind: str, scene: str, family: str, told: str, windows: bool) -> Score:
    window = _bound_window(row) if windows else ""
    return Score(
        kind=kind,
        scene=scene,
        split=split_name(row) + (f", window {window}" if window else ""),
        size=per_class(row),
        seed="" if row.get("seed") is None else str(row["seed"]),
        window=str(row.get("window") or ""),
        probe=str(row["probe"]),
        method=family + (f" ({told})" if told else ""),
        family=family,
        values={key: value for key in METRICS if (value := number(row.get(key))) is not None},
        low=number(row.get("oa_low")),
        high=number(row.get("oa_high")),
        saw=str(row.get("pretraining_saw_pixels") or ""),
        projector_saw=str(row.get("projection_saw_pixels") or ""),
        leak=number(row.get("leak")),
        touch=number(row.get("leak_overlap")),
        train=number(row.get("train")),
        test=number(row.get("test")),
    )
