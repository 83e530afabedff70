"""Result rows of any table -> scores that say what they are, so that only like is set beside like."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sslhsi.evaluation.rows import WINDOW_MEANS, PerClass, ResultRow
from sslhsi.evaluation.summary import grouped, scored
from sslhsi.report.tables import RAW

# Kinds of cubes, in the order of the page: figures of one kind never share a table with those of another.
KINDS = {
    "real": "Real scenes",
    "8-bit real": "Real scenes, 8-bit versions",
    "stand-in": "Stand-ins",
    "simulated": "Simulated scenes",
    "": "Scenes of a kind that the rows don't state",
}
METRICS = {"oa": "overall accuracy", "aa": "average accuracy", "kappa": "kappa × 100", "f1_macro": "macro F1"}
_MEANS = (WINDOW_MEANS, f"{WINDOW_MEANS}, whitened", f"{WINDOW_MEANS}, standardised")
UNTRAINED = ("from scratch", "random weights", *_MEANS, *RAW)
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
    """One measured row under the names that the page has for it.

    Args:
        row: The row, with a score.
        oa: Its OA, in percent.
        scene: With the task where that is not pixels.
        split: With the window where the split was made for one and the scene has several.
        method: With what tells it from others of its kind; ``row.method`` is the kind.
    """

    row: ResultRow
    oa: float
    scene: str
    split: str
    method: str

    @property
    def place(self) -> tuple[str, str, str]:
        """Kind, scene and split: what methods are compared on."""
        return self.row.kind, self.scene, self.split


def read_scores(rows: Iterable[ResultRow]) -> tuple[list[Score], int]:
    """Scores of the rows that hold any, and how many were measured again with another outcome.

    Methods of one name are distinguished by as many of pretraining, recipe, window, projection and run as it
    takes to give every split and seed one score. What still coincides was measured twice: the later row
    holds. Columns that a table lacks are taken as not stated.

    Returns:
        Scores, in the order of the rows, and the number of rows that a later one replaced.
    """
    scores: dict[tuple, Score] = {}
    replaced = 0
    for of_scene in grouped(filter(scored, rows), lambda row: (row.kind, _scene(row))).values():
        several = len({row.window for row in of_scene if row.window}) > 1
        for mine in grouped(of_scene, lambda row: row.method).values():
            details = _details(mine)
            settings = {
                probe: [row.settings.split("; ") for row in some]
                for probe, some in grouped(mine, lambda row: row.probe).items()
            }
            for row in mine:
                detail = _detail(row, details, settings[row.probe])
                window = _bound_window(row) if several else None
                split = split_name(row) + (f", window {window}" if window else "")
                name = row.method + (f" ({detail})" if detail else "")
                assert row.oa is not None
                score = Score(row, row.oa, _scene(row), split, name)
                key = (*score.place, row.per_class, row.seed, row.probe, name)
                replaced += key in scores and abs(scores[key].oa - score.oa) > 1e-6
                scores[key] = score
    return list(scores.values()), replaced


def split_name(row: ResultRow) -> str:
    """The split as a heading: its scheme, and its protocol where that says more."""
    if row.protocol in ("", row.split):
        return row.split or "split not stated"
    return row.protocol if row.split in ("", "given") else f"{row.split}, {row.protocol}"


def method_order(score: Score) -> tuple:
    """Sorts methods: pretrained ones first, what knows nothing last."""
    family = score.row.method
    return (UNTRAINED.index(family) if family in UNTRAINED else -1, family != "pretrained", score.method)


def size_order(size: PerClass) -> tuple:
    """Sorts samples per class: numbers, then what is not stated, then all."""
    return (0, size) if isinstance(size, int) else (1, size == "all")


def sizes_of(scores: Iterable[Score]) -> list[PerClass]:
    """Samples per class that occur, in order."""
    return sorted({score.row.per_class for score in scores}, key=size_order)


def methods_of(scores: Sequence[Score]) -> list[str]:
    """Methods that occur, in order."""
    return list(dict.fromkeys(score.method for score in sorted(scores, key=method_order)))


def _scene(row: ResultRow) -> str:
    scene = row.scene or "scene not stated"
    return scene if row.task == "pixels" else f"{scene}, {row.task}"


def _text(row: ResultRow, key: str) -> str:
    value = str(getattr(row, key) or "")
    return "" if value == "none" else value


def _bound_window(row: ResultRow) -> int | None:
    return None if row.split in _ANY_WINDOW else row.window


def _details(rows: Sequence[ResultRow]) -> list[str]:
    """Columns whose values name the rows of one method in one scene."""
    family, details = rows[0].method, []
    if family not in UNTRAINED and any(_text(row, "pretraining") for row in rows):
        details.append("pretraining")
    # Raw spectra know neither a network nor a projection.
    candidates = ["settings", "run", "data"] if family in RAW else [key for key in _DETAILS if key not in details]
    for candidate in candidates:
        splits = grouped(
            rows,
            lambda row: (
                split_name(row), row.per_class, row.seed, row.probe, _bound_window(row),
                *(_text(row, key) for key in details),
            ),
        )  # fmt: skip
        collisions = [mine for mine in splits.values() if len({row.oa for row in mine}) > 1]
        if not collisions:
            break
        if any(len({_text(row, candidate) for row in mine}) > 1 for mine in collisions):
            details.append(candidate)
    return details


def _detail(row: ResultRow, details: Sequence[str], settings: Sequence[Sequence[str]]) -> str:
    """What follows a method's name; of settings only what not all rows of the probe share."""
    parts = []
    for key in details:
        value = _text(row, key)
        if key == "settings":
            value = ", ".join(part for part in value.split("; ") if not all(part in other for other in settings))
        if value:
            parts.append(_DETAILS[key].format(value))
    return ", ".join(parts)
