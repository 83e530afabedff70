"""What a study is: its recipe, what is measured for it, and the charts of its page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from sslhsi.errors import InputError
from sslhsi.recipe import SceneSource
from sslhsi.recipe_file import Section
from sslhsi.report.chart import Chart
from sslhsi.scenes.scene import Scene
from sslhsi.scenes.sources import expand, open_source
from sslhsi.studies.rows import History, StudyRow
from sslhsi.studies.table import Table


class Experiment(Section):
    """What the recipes of all studies have in common."""

    experiment: str
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    output: str | None = Field(default=None, description="folder of the rows and the page; runs/NAME when not given")
    seeds: Annotated[int, Field(gt=0)] = 3

    @property
    def folder(self) -> Path:
        return Path(self.output or f"runs/{self.name}")


@dataclass(frozen=True)
class Study:
    """One kind of experiment, as its folder offers it under the name ``STUDY``.

    Args:
        name: As recipes call it, in their key ``experiment``.
        title: As pages call it.
        settings: Its recipe, a subclass of :class:`Experiment`.
        run: ``run(settings, table, show)`` adds the rows that the table lacks.
        charts: Rows and history -> charts of the page.
        row: Kind of the rows.
    """

    name: str
    title: str
    settings: type[Experiment]
    run: Callable[[Any, Table, bool], None]
    charts: Callable[[Sequence[Any], History], list[Chart]]
    row: type[StudyRow] = StudyRow


def open_scenes(sources: Sequence[SceneSource]) -> list[Scene]:
    """The labelled scenes that a recipe names, in its order.

    Raises:
        InputError: As for :func:`sslhsi.scenes.sources.expand`, a file can't be read, or a scene has no labels.
    """
    scenes = [open_source(source, 0) for source in expand(sources)]
    if bare := next((scene.name for scene in scenes if scene.labels is None), None):
        raise InputError(f"{bare}: no labels to train on; give the ground truth as labels")
    return scenes
