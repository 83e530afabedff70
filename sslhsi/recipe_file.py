"""A YAML file with ``key=value`` overrides, read into a typed model and checked before any work."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ConfigDict, ValidationError
from yaml import YAMLError

from sslhsi.errors import InputError


class Section(BaseModel):
    """Part of a recipe: unknown keys and values of the wrong type are errors, and nothing changes afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


Settings = TypeVar("Settings", bound=BaseModel)


def read_settings(path: str | Path, model: type[Settings], overrides: Sequence[str] = ()) -> Settings:
    """Read and check a YAML file.

    Args:
        path: YAML file.
        model: What it must hold.
        overrides: ``key=value`` strings with dotted keys (``training.lr=1e-3``, ``corpus.scenes.0.index=1``).

    Raises:
        InputError: The file can't be read, a key is unknown (the nearest known one is named), a value has
            the wrong type or range, or an environment variable that the recipe uses is not set.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a UTF-8 text"
        raise InputError(f"{path}: can't read the recipe ({reason}); give the path of a YAML file") from None
    try:
        config = OmegaConf.create(text)
        if not OmegaConf.is_dict(config):
            raise InputError(f"{path}: a recipe is a YAML mapping of keys to values")
        for override in overrides:
            key, equals, value = override.partition("=")
            if not equals or not key:
                raise InputError(f"{override!r} is not an override; write key=value, as in training.lr=0.001")
            _check_entries(config, key, override)
            # Parsed as YAML, so that numbers, lists and null mean here what they mean in the file.
            OmegaConf.update(config, key, OmegaConf.create(f"v: {value}").v, merge=False)
        data = OmegaConf.to_container(config, resolve=True)
        return validated(data, str(path), model)
    except (OmegaConfBaseException, YAMLError, ValueError, TypeError, RecursionError, IndexError) as error:
        if isinstance(error, InputError):
            raise
        reason = " ".join(str(error).split()) or "nested too deeply"
        if "Environment variable" in reason:
            variable = reason.split("'")[1]
            reason = f"it uses the environment variable {variable}, which is not set; export {variable}=FOLDER"
        raise InputError(f"{path}: {reason}") from None


def _check_entries(config: Any, key: str, override: str) -> None:
    """Refuse a key that leads to an entry that a list doesn't have."""
    parts = key.replace("[", ".").replace("]", "").split(".")
    for number, part in enumerate(parts):
        if OmegaConf.is_list(config):
            where = ".".join(parts[:number])
            if not part.isdecimal():
                raise InputError(f"{override!r}: {where} is a list, and {part!r} is not the number of an entry")
            if int(part) >= len(config):
                held = f"entries 0 to {len(config) - 1}" if len(config) else "no entry"
                raise InputError(f"{override!r}: there is no entry {part}, {where} has {held}")
        if number + 1 == len(parts) or not OmegaConf.is_config(config):
            return  # the value itself is not looked at: it may use a variable that isn't set
        config = config[int(part)] if OmegaConf.is_list(config) else config.get(part)


def validated(data: Any, where: str, model: type[Settings]) -> Settings:
    """Settings from plain values (what YAML knows); ``where`` names their origin in messages.

    Raises:
        InputError: A key is unknown (the nearest known one is named), or a value has the wrong type or range.
    """
    try:
        # Through JSON, so that strict typing still takes a YAML list for a tuple.
        return model.model_validate_json(json.dumps(data))
    except ValidationError as error:
        first = error.errors()[0]
        location = [part for part in first["loc"] if not str(part).startswith(("list[", "literal["))]
        key = ".".join(map(str, location))
        if first["type"] == "extra_forbidden":
            raise InputError(f"{where}: unknown key {key!r}{_nearest(model, first['loc'])}") from None
        if first["type"] == "missing":
            raise InputError(f"{where}: the key {key!r} is missing") from None
        message = first["msg"].removeprefix("Value error, ")
        got = "" if first["type"] == "value_error" else f", not {first['input']!r}"
        raise InputError(f"{where}: {key + ': ' if key else ''}{message}{got}") from None


def _nearest(model: type[BaseModel], location: tuple[int | str, ...]) -> str:
    """A hint at the known key that the last part of ``location`` was probably meant to be."""
    for part in location[:-1]:
        if isinstance(part, str) and part in model.model_fields:
            model = _section(model.model_fields[part].annotation) or model
    near = difflib.get_close_matches(str(location[-1]), model.model_fields, n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else f"; known here are {', '.join(model.model_fields)}"


def _section(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((section for part in get_args(annotation) if (section := _section(part))), None)
