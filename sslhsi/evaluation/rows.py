"""One row of results: what a probe of a method on a split was measured to be, with all that tells it from others."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from sslhsi.errors import InputError
from sslhsi.files import read_rows

PerClass = int | Literal["all"] | None
WINDOW_MEANS = "window means"
NO_TRAINING = ("random weights", "raw spectra", "mean spectrum", WINDOW_MEANS)
"""Methods that nothing was trained for but the probe."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What every measured row says; None and empty texts stand for what does not apply or was not measured.

    Args:
        kind: ``real``, ``8-bit real``, ``stand-in`` or ``simulated``.
        split: Scheme: ``random``, ``blocks``, ``given``, or what it is in words.
        per_class: Training samples per class; ``all`` that the split offers.
        seed: Of the split, and of all else that is left to chance.
        method: What was measured.
        settings: Of the measurement, in words.
        oa, aa, kappa, f1_macro: Overall and average accuracy, Cohen's kappa, macro F1, in percent.
        oa_low, oa_high: Bounds of the OA of this one split, redrawing its test samples (95 %).
        leak: Share (0 to 1) of the test windows that hold a training pixel.
        leak_overlap: Share of the test windows that share any pixel with a training window.
        train, test: Samples.
        left_out: Classes on neither side.
        short: Classes with fewer training samples than asked.
        pretraining_saw_pixels: Whether pretraining saw the test pixels (never their labels): ``yes``, ``no``
            or ``unknown``.
        data: Digest of cube and labels.
        seconds: Time of fit and prediction.
        git, machine: Revision of the code, and the processor.
        note: Why nothing was measured, or what a reader should know.
    """

    # Of the CSV, in order; and those by which a row that is there already is known again.
    COLUMNS: ClassVar[tuple[str, ...]] = ()
    KEY: ClassVar[tuple[str, ...]] = ()

    kind: str = ""
    split: str = ""
    per_class: PerClass = None
    seed: int | None = None
    method: str = ""
    settings: str = ""
    oa: float | None = None
    oa_low: float | None = None
    oa_high: float | None = None
    aa: float | None = None
    kappa: float | None = None
    f1_macro: float | None = None
    leak: float | None = None
    leak_overlap: float | None = None
    train: int | None = None
    test: int | None = None
    left_out: int | None = None
    short: int | None = None
    pretraining_saw_pixels: str = ""
    data: str = ""
    seconds: float | None = None
    git: str = ""
    machine: str = ""
    note: str = ""

    @property
    def key(self) -> tuple:
        """What makes a row (``KEY``): nothing that agrees in all of these is measured twice."""
        return tuple(getattr(self, name) for name in self.KEY)

    def to_csv(self) -> dict[str, str]:
        """Texts by column, in the order of ``COLUMNS``; empty where there is nothing."""
        return {name: "" if (value := getattr(self, name)) is None else str(value) for name in self.COLUMNS}

    @classmethod
    def from_csv(cls, row: Mapping[str, Any]) -> Self:
        """A row from texts, of this version or an earlier one; columns of other tables are passed over.

        Raises:
            InputError: A number can't be read.
        """
        values: dict[str, Any] = {}
        readers = _readers(cls)  # type: ignore[arg-type]
        for column, value in row.items():
            read = readers.get(name := RENAMED.get(column, column))
            if read is None or value is None or value == "":
                continue
            try:
                values[name] = read(value)
            except ValueError:
                raise InputError(f"column {column}: {value!r} is not a number") from None
        return cls(**values)


@dataclass(frozen=True, kw_only=True)
class ResultRow(Measured):
    """What a probe of a method on a split was measured to be; see :class:`Measured` for the columns of all rows.

    Args:
        task: ``pixels``, ``spectra``, ``crowns``, ``domain`` or ``scene type``.
        scene: Name of the labelled scene.
        protocol: Title of the protocol: its scheme, or the name of given masks (``DASE``).
        window: Side in pixels of the windows that the split is made for.
        method: ``pretrained``, ``random weights``, ``from scratch``, ``raw spectra``, ``mean spectrum``, or ``window
            means`` (by itself the better of two on training samples) with ``whitened`` or ``standardised``.
        probe: ``k-NN``, ``linear``, ``SVM`` or ``fine-tune``; ``settings`` are its.
        chosen: Where a method offers several features, which suited the training samples best.
        pretraining: What the network was pretrained on, in words.
        projection_saw_pixels: Whether the projection was fitted on the test pixels: as above, or ``statistics``.
        projection_scope: Which pixels of a scene the projection was fitted on.
        corpus, backbone: Digests of the pretraining corpus and of the network.
        recipe: Name of the recipe of the run that measured the row.
        run: Name of the run that a comparison read the row from.

    Examples:
        >>> row = ResultRow(scene="salinas_a", protocol="blocks", split="blocks", per_class=5, seed=0, oa=90.5)
        >>> row.setting
        'blocks, 5 per class'
        >>> ResultRow.from_csv(row.to_csv()) == row
        True
    """

    COLUMNS = (
        "task", "scene", "kind", "protocol", "split", "per_class", "seed", "window", "method", "probe", "settings",
        "chosen", "oa", "oa_low", "oa_high", "aa", "kappa", "f1_macro", "leak", "leak_overlap", "train", "test",
        "left_out", "short", "pretraining", "pretraining_saw_pixels", "projection_saw_pixels", "projection_scope",
        "corpus", "backbone", "data", "seconds", "git", "machine", "recipe", "run", "note",
    )  # fmt: skip
    KEY = (
        "task", "scene", "data", "protocol", "per_class", "seed", "window", "method", "probe", "settings", "corpus",
        "backbone",
    )  # fmt: skip

    task: str = "pixels"
    scene: str = ""
    protocol: str = ""
    window: int | None = None
    probe: str = ""
    chosen: str = ""
    pretraining: str = ""
    projection_saw_pixels: str = ""
    projection_scope: str = ""
    corpus: str = ""
    backbone: str = ""
    recipe: str = ""
    run: str = ""

    @property
    def setting(self) -> str:
        """Protocol and samples per class as a reader sees them: ``blocks, 5 per class``, ``DASE, all``."""
        title = self.protocol or self.split
        if self.per_class is None:
            return title
        return f"{title}, all" if self.per_class == "all" else f"{title}, {self.per_class} per class"

    @property
    def variant(self) -> bool:
        """Whether it stands beside a row of the choice between variants, so that no summary counts it again."""
        return self.method.startswith(f"{WINDOW_MEANS}, ")

    @classmethod
    def from_csv(cls, row: Mapping[str, Any]) -> Self:
        """See :meth:`Measured.from_csv`."""
        made = super().from_csv(row)
        # Version 0.1 wrote the samples per class behind the protocol's title, too.
        tail = ", all" if made.per_class == "all" else f", {made.per_class} per class"
        return replace(made, protocol=made.protocol.removesuffix(tail))


def read_result_rows(path: str | Path) -> list[ResultRow]:
    """Rows of a table of results; none where there is no such file.

    Raises:
        InputError: It can't be read, is no table of results, or holds a number that is none; the file is named.
    """
    path = Path(path)
    try:
        rows = read_rows(path)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: can't be read as a table ({error}); give a CSV of result rows") from None
    if rows and not {"method", "probe", "oa"} <= rows[0].keys():
        raise InputError(f"{path}: no result rows; a table of results has the columns method, probe and oa")
    try:
        return [ResultRow.from_csv(row) for row in rows]
    except InputError as error:
        raise InputError(f"{path}: {error}; mend it or give another table") from None


def _whole(value: Any) -> int | None:
    number = _number(value)
    return None if number is None else int(number)


def _number(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None


def _per_class(value: Any) -> PerClass:
    return "all" if value == "all" else _whole(value)


COLUMNS, KEY = ResultRow.COLUMNS, ResultRow.KEY
# Columns as version 0.1 called them.
RENAMED = {
    "saw_test_pixels": "pretraining_saw_pixels",
    "projector_saw_test_pixels": "projection_saw_pixels",
    "projector_scope": "projection_scope",
    "leak_touch": "leak_overlap",
}
_TYPES: dict[str, Callable[[Any], Any]] = {
    "str": str,
    "int | None": _whole,
    "float | None": _number,
    "PerClass": _per_class,
}


@cache
def _readers(row: type[Measured]) -> dict[str, Callable[[Any], Any]]:
    return {field.name: _TYPES[str(field.type)] for field in fields(row)}
