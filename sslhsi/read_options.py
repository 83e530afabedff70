"""What can be said about how a scene's file is read: the same in Python, in recipes and on the command line."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, field_validator

from sslhsi.recipe_file import Section, validated

Side = Annotated[int, Field(gt=0)]

#: Options that ``read_scene`` also takes as arrays.
ARRAYS = ("labels", "abundances", "wavelengths", "mask")
#: Options that describe a scene; they say nothing about how its file is read.
DESCRIPTIONS = ("name", "domain", "sensor")


class ReadOptions(Section):
    """How a scene's file is read. Whatever is given overrules what the file says.

    Examples:
        >>> ReadOptions(layout="bhw", nodata=-9999.0).given()
        {'nodata': -9999.0, 'layout': 'bhw'}
    """

    name: str | None = Field(default=None, description="of the scene; the file's name when not given")
    domain: str | None = Field(
        default=None, description="kind of material or place under one camera; the scene's name when not given"
    )
    sensor: str = Field(default="", description="the camera, for tables")
    cube: str | None = Field(default=None, description="variable that holds the cube")
    stack: bool = Field(
        default=False, description="path is a folder or a pattern of images of one band each: read them as one cube"
    )
    labels: str | None = Field(
        default=None, description="file or variable that holds the label map or abundances; none: read without"
    )
    labels_key: str | None = Field(default=None, description="variable of the labels' or abundances' file")
    abundances: str | None = Field(
        default=None, description="file or variable of abundances whose largest share becomes the label"
    )
    purity: Annotated[float, Field(ge=0, le=1)] | None = Field(
        default=None, description="pixels whose largest abundance is below this (0 to 1) stay unlabelled"
    )
    wavelengths: str | list[float] | None = Field(
        default=None,
        description="band centres: a file, a variable or numbers; without a unit nm, or um when all are below 100",
    )
    unit: Literal["nm", "um", "angstrom", "1/cm"] | None = Field(
        default=None, description="unit of the wavelengths: nm, um, angstrom or 1/cm"
    )
    ignore: int | list[int] | None = Field(
        default=None, description="label values that are no class, as 255; negative values and NaN never are one"
    )
    zero_is_class: bool | None = Field(
        default=None, description="true: label 0 is the first class; false: unlabelled; not given: as class names say"
    )
    mask: str | None = Field(default=None, description="file of a map whose non-zero pixels are foreground")
    nodata: Annotated[float, Field(allow_inf_nan=True)] | Literal["none"] | None = Field(
        default=None, description="value of pixels without data, in place of the file's; none: all pixels have data"
    )
    scale: Annotated[float, Field(gt=0)] | Literal["none"] | None = Field(
        default=None,
        description="stored numbers are divided by this, in place of the file's scaling; none: as stored",
    )
    drop_bands: Literal["bad"] | list[int] | None = Field(
        default=None, description="bad: bands that hold no signal; or 0-based numbers of bands; empty: none at all"
    )
    classes: tuple[str, ...] = Field(default=(), description="names of labels 1, 2, ...")
    layout: Literal["hwb", "hbw", "whb", "wbh", "bhw", "bwh"] | None = Field(
        default=None, description="axes of a 3-D array as its software shows them: h height, w width, b bands"
    )
    shape: tuple[Side, Side] | None = Field(default=None, description="height, width of a cube of (bands, pixels)")
    order: Literal["C", "F"] | None = Field(
        default=None, description="how flattened pixels run: C along the rows, F down the columns"
    )

    @field_validator("drop_bands", mode="before")
    @classmethod
    def _bands(cls, value: Any) -> Any:
        numbers = isinstance(value, list | tuple) and all(isinstance(n, int) and n >= 0 for n in value)
        if value not in (None, "bad") and not numbers:
            raise ValueError(f'must be "bad" or a list of 0-based bands, not {value!r}')
        return value

    @field_validator("labels", mode="before")
    @classmethod
    def _without(cls, value: Any) -> Any:
        return "none" if value is False else value

    @property
    def nodata_value(self) -> float | None:
        """The no-data value as a number: NaN, which no value equals, for none, and None where nothing is said."""
        return float("nan") if self.nodata == "none" else self.nodata

    def given(self) -> dict[str, Any]:
        """The options that were given, as keywords of ``read_scene``."""
        defaults = {key: field.default for key, field in ReadOptions.model_fields.items()}
        return {key: getattr(self, key) for key in defaults if getattr(self, key) != defaults[key]}


def checked(options: Mapping[str, Any], where: str) -> tuple[ReadOptions, dict[str, Any]]:
    """Check keywords of ``read_scene``.

    Args:
        options: The keywords; those in ``ARRAYS`` may be arrays, and ``labels`` False is "none".
        where: File, for messages.

    Returns:
        The options without arrays, and the arrays by name.

    Raises:
        InputError: An option is unknown (the nearest known one is named), or its value is of the wrong kind.
    """
    arrays = {
        key: value
        for key in ARRAYS
        if (value := options.get(key)) is not None and value is not False and not isinstance(value, str | os.PathLike)
    }
    return validated({key: _plain(v) for key, v in options.items() if key not in arrays}, where, ReadOptions), arrays


def _plain(value: Any) -> Any:
    """Paths as text, NumPy's numbers as Python's, sequences as lists."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, list | tuple | range | set):
        return [_plain(entry) for entry in value]
    return value if value is None or isinstance(value, str | int | float) else repr(value)
