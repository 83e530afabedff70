"""Experiments of labelled transfer: one recipe, one command, one table that grows row by row."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Annotated, Any

from omegaconf import OmegaConf
from pydantic import BaseModel, ConfigDict, Field

from sslhsi.errors import InputError
from sslhsi.files import write_atomic
from sslhsi.recipe import SceneSource
from sslhsi.recipe_file import Section, read_settings
from sslhsi.scenes.scene import Scene
from sslhsi.scenes.sources import expand, open_source
from sslhsi.training.provenance import git_revision, machine
from sslhsi.training.row_file import RowFile

# experiment: module with ``Settings`` and ``run``
KINDS = {
    "freezing": "sslhsi.studies.freezing.study",
    "fusion": "sslhsi.studies.fusion.study",
    "multitask": "sslhsi.studies.multitask.study",
    "distance": "sslhsi.studies.distance.study",
    "adaptation": "sslhsi.studies.adaptation.study",
}

# What a row of labelled transfer holds. A row is one training, judged once.
COLUMNS = (
    "experiment", "method", "network", "source", "target", "kind", "data", "split", "per_class", "train", "test",
    "seed", "settings", "epochs", "oa", "aa", "kappa", "f1_macro", "oa_low", "oa_high", "leak", "leak_overlap",
    "left_out", "short", "trainable", "parameters", "macs", "seconds_per_step", "seconds", "note", "git", "machine",
)  # fmt: skip
KEY = ("experiment", "method", "network", "source", "target", "data", "split", "per_class", "seed", "settings")
HISTORY = ("epoch", "phase", "loss", "accuracy")


class Experiment(Section):
    """What the recipes of all experiments have in common."""

    experiment: str
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    output: str | None = Field(default=None, description="folder of the rows and the page; runs/NAME when not given")
    seeds: Annotated[int, Field(gt=0)] = 3

    @property
    def folder(self) -> Path:
        return Path(self.output or f"runs/{self.name}")


class _Kind(BaseModel):
    model_config = ConfigDict(extra="ignore")
    experiment: str


def load_experiment(path: str | Path, overrides: Sequence[str] = ()) -> tuple[Experiment, ModuleType]:
    """Read and check an experiment's recipe.

    Args:
        path: YAML file, whose key ``experiment`` says which.
        overrides: ``key=value`` strings.

    Returns:
        The settings, and the experiment's module.

    Raises:
        InputError: As for :func:`sslhsi.recipe_file.read_settings`, or there is no such experiment.
    """
    kind = read_settings(path, _Kind, overrides).experiment
    if kind not in KINDS:
        raise InputError(f"{path}: experiment {kind!r} is not known; use {', '.join(KINDS)}")
    module = importlib.import_module(KINDS[kind])
    return read_settings(path, module.Settings, overrides), module


def run_experiment(
    settings: Experiment, module: ModuleType, *, show: bool = True
) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Measure what the folder's table lacks.

    Args:
        settings: What to run.
        module: Of the experiment, as :func:`load_experiment` gives it: ``run(settings, table, show)`` adds the
            missing rows; ``COLUMNS`` and ``KEY``, where it has them, stand for those of this module.
        show: Show progress, rate and time left.

    Returns:
        All rows and the history of the folder.

    Raises:
        InputError: The folder holds rows of another recipe, or the experiment can't run as asked.
    """
    recipe = settings.folder / "recipe.yaml"
    mine = settings.model_dump(mode="json")
    columns, key = getattr(module, "COLUMNS", COLUMNS), getattr(module, "KEY", KEY)
    with Table(settings.folder, columns, key) as table:
        if table.rows and recipe.is_file():
            _check_same(settings.folder, recipe, mine)
        write_atomic(recipe, OmegaConf.to_yaml(OmegaConf.create(mine)))
        module.run(settings, table, show)
        return table.rows, table.history


def _check_same(folder: Path, recipe: Path, mine: dict[str, Any]) -> None:
    """Refuse rows of another recipe; more seeds, or another place, make no other one."""
    theirs = OmegaConf.to_container(OmegaConf.load(recipe))
    assert isinstance(theirs, dict)
    if differing := [k for k in mine if k not in ("seeds", "output") and theirs.get(k) != mine[k]]:
        raise InputError(f"{folder}: holds rows of a recipe whose {differing[0]} differs; give another output")


class Table:
    """The rows of an experiment with the losses of every epoch, in a folder; each row is kept as soon as it is there.

    Args:
        folder: Gets ``rows.csv`` and ``history.csv``; None keeps both in memory.
        columns: Of the rows.
        key: The columns by which a row that is there already is known again.

    Raises:
        InputError: As for :class:`sslhsi.training.row_file.RowFile`.
    """

    def __init__(self, folder: Path | None, columns: Sequence[str] = COLUMNS, key: Sequence[str] = KEY) -> None:
        self.key = tuple(key)
        self._rows = RowFile(None if folder is None else folder / "rows.csv", columns)
        self._there = {self._of(row): row for row in self._rows.rows}
        try:
            self._history = RowFile(None if folder is None else folder / "history.csv", (*self.key, *HISTORY))
        except BaseException:
            self._rows.close()
            raise
        self._made = {"git": git_revision(), "machine": machine()["cpu"]}

    def __enter__(self) -> Table:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._rows.close()
        self._history.close()

    @property
    def rows(self) -> list[dict[str, str]]:
        return self._rows.rows

    @property
    def history(self) -> list[dict[str, str]]:
        """Rows of ``history.csv``, of finished rows only; of a training that was begun twice, the last."""
        found: dict[tuple[str, ...], dict[str, str]] = {}
        for row in self._history.rows:
            if self._of(row) in self._there:
                found[*self._of(row), row["phase"], row["epoch"]] = row
        return list(found.values())

    def has(self, row: Mapping[str, Any]) -> bool:
        """Whether a row with the same key is there."""
        return self._of(row) in self._there

    def add(self, row: Mapping[str, Any], history: Iterable[Mapping[str, Any]] = ()) -> None:
        """Append a row, with the losses that led to it (see ``HISTORY``), and the code and machine that made it."""
        about = {column: row.get(column, "") for column in self.key}
        for epoch in history:
            self._history.add({**about, **{k: epoch.get(k, "") for k in HISTORY}})
        self._rows.add({**row, **self._made})
        self._there[self._of(self._rows.rows[-1])] = self._rows.rows[-1]

    def _of(self, row: Mapping[str, Any]) -> tuple[str, ...]:
        return tuple(str(row.get(column, "")) for column in self.key)


def open_scenes(sources: Sequence[SceneSource], seed: int = 0) -> list[Scene]:
    """The scenes that a recipe names, in its order.

    Raises:
        InputError: As for :func:`sslhsi.scenes.sources.expand`, or a file can't be read.
    """
    return [open_source(source, seed) for source in expand(sources)]
