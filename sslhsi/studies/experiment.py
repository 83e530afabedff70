"""Experiments of labelled transfer: one recipe, one command, one table that grows row by row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from pydantic import BaseModel, ConfigDict

from sslhsi.errors import InputError
from sslhsi.files import write_atomic
from sslhsi.recipe_file import read_settings
from sslhsi.studies.registry import get_study
from sslhsi.studies.rows import History, StudyRow
from sslhsi.studies.study import Experiment
from sslhsi.studies.table import Table


class _Name(BaseModel):
    model_config = ConfigDict(extra="ignore")
    experiment: str


def load_experiment(path: str | Path, overrides: Sequence[str] = ()) -> Experiment:
    """Read and check an experiment's recipe.

    Args:
        path: YAML file, whose key ``experiment`` names the study.
        overrides: ``key=value`` strings.

    Returns:
        Settings of that study.

    Raises:
        InputError: As for :func:`sslhsi.recipe_file.read_settings`, or there is no such study.
    """
    name = read_settings(path, _Name, overrides).experiment
    try:
        study = get_study(name)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return read_settings(path, study.settings, overrides)


def run_experiment(settings: Experiment, *, show: bool = True) -> tuple[list[StudyRow], History]:
    """Measure what the folder's table lacks.

    Args:
        settings: What to run, as :func:`load_experiment` gives it.
        show: Show progress, rate and time left.

    Returns:
        All rows and the history of the folder.

    Raises:
        InputError: The folder holds rows of another recipe, or files of those names that no experiment wrote; or the
            experiment can't run as asked.
    """
    study = get_study(settings.experiment)
    written = [settings.folder / name for name in ("recipe.yaml", "report.html")]
    begun = any((settings.folder / name).is_file() for name in ("rows.csv", "history.csv"))
    if not begun and (other := [path for path in written if path.exists()]):
        raise InputError(
            f"{other[0]}: is there already, without an experiment's rows; move it away or give another output="
        )
    recipe, resolved = settings.folder / "recipe.yaml", settings.model_dump(mode="json")
    with Table(settings.folder, study.row) as table:
        if table.rows and recipe.is_file():
            _check_same(settings.folder, recipe, resolved)
        write_atomic(recipe, OmegaConf.to_yaml(OmegaConf.create(resolved)))
        study.run(settings, table, show)
        return table.rows, table.history


def _check_same(folder: Path, recipe: Path, resolved: dict[str, Any]) -> None:
    """Refuse rows of another recipe; more seeds, or another place, make no other one."""
    before = OmegaConf.to_container(OmegaConf.load(recipe))
    assert isinstance(before, dict)
    if differing := [k for k in resolved if k not in ("seeds", "output") and before.get(k) != resolved[k]]:
        raise InputError(f"{folder}: holds rows of a recipe whose {differing[0]} differs; give another output")
