"""What a recipe of multitask learning may say."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sslhsi.recipe import Positive, SceneSource
from sslhsi.studies.multitask.training import Schedule
from sslhsi.studies.sections import Schemes, check_once
from sslhsi.studies.study import Experiment

METHODS = {
    "single": "single task",
    "shared": "multitask, shared first layer",
    "shared_wavelength": "multitask, shared first layer, by wavelength",
    "separate": "multitask, separate first layers",
    "inverse": "multitask, shared first layer, inverted bands",
}
# Methods whose bands are those of the published rule, which knows two cameras.
BY_RULE = ("shared", "separate", "inverse")
_ONCE = ("together", "targets", "networks", "methods", "per_class", "schemes")


class Settings(Experiment):
    """A comparison of joint and separate trainings."""

    experiment: Literal["multitask"]
    seeds: Positive = 10
    scenes: Annotated[list[SceneSource], Field(min_length=1)]
    together: list[list[str]] = Field(
        default=[], description="scenes of each joint training, in order; all of them when empty"
    )
    targets: list[str] = Field(default=[], description="scenes that are tested; all of them when empty")
    networks: Annotated[list[Literal["hresnet", "ccnn"]], Field(min_length=1)] = ["hresnet"]
    methods: list[Literal["single", "shared", "shared_wavelength", "separate", "inverse"]] = [
        "single", "shared", "separate", "inverse"
    ]  # fmt: skip
    per_class: Annotated[list[Positive], Field(min_length=1)] = [5, 10, 15, 20, 25, 30]
    schemes: Schemes = ["random"]
    schedule: Schedule = Schedule()
    catalogue: dict[str, str] = Field(
        default={}, description="catalogue names of scenes that bear others: for their camera and wavelengths"
    )
    self_supervised: str | None = Field(default=None, description="a backbone/ folder or hub id, fine-tuned beside")

    @model_validator(mode="after")
    def consistent(self) -> Self:
        check_once(**{key: getattr(self, key) for key in _ONCE})
        if not self.methods and self.self_supervised is None:
            raise ValueError(f"methods is empty; name some of {', '.join(METHODS)}")
        if few := [group for group in self.together if len(set(group)) < 2 or len(set(group)) < len(group)]:
            raise ValueError(f"together: {few[0]} is no joint training; name two or more scenes, each once")
        return self
