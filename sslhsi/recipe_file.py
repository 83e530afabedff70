"""A YAML file with ``key=value`` overrides, read into a typed model and checked before any work."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar, get_args

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ConfigDict, ValidationError
from yaml import YAMLError

from sslhsi.errors import InputError


class Section(BaseModel):
    """Part of a recipe: unknown keys and values of the wrong type are errors, and nothing changes afterwards.

    ``renamed`` holds keys of earlier versions and what they are called now, both as seen from this section
    (``{"alike": "neighbours.candidates"}``): such a key is refused with the new one's full name.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
    renamed: ClassVar[Mapping[str, str]] = {}


Settings = TypeVar("Settings", bound=BaseModel)


def read_settings(
    path: str | Path,
    model: type[Settings],
    overrides: Sequence[str] = (),
    translate: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
) -> Settings:
    """Read and check a YAML file.

    Args:
        path: YAML file.
        model: What it must hold.
        overrides: ``key=value`` strings with dotted keys (``training.lr=1e-3``, ``corpus.scenes.0.index=1``).
        translate: Brings what was read, overrides included, into the form of ``model``; may raise ValueError.

    Raises:
        InputError: The file can't be read, a key is unknown (the nearest known one is named) or was renamed
            (its new name is given), a value has the wrong type or range, or an environment variable that the
            recipe uses is not set.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a UTF-8 text"
        raise InputError(f"{path}: can't read the recipe ({reason}); give the path of a YAML file") from None
    return _settings(text, str(path), model, overrides, translate)


def settings_of(model: type[Settings], overrides: Sequence[str], where: str) -> Settings:
    """A model's defaults with overrides.

    Args:
        model: Every key of it has a default.
        overrides: As for :func:`read_settings`.
        where: Named first in an error.

    Raises:
        InputError: As for :func:`read_settings`.

    Examples:
        >>> class Loss(Section):
        ...     temperature: float = 0.1
        >>> settings_of(Loss, ["temperature=5e-1"], "--set")
        Loss(temperature=0.5)
    """
    return _settings("{}", where, model, overrides)


def _settings(
    text: str,
    where: str,
    model: type[Settings],
    overrides: Sequence[str],
    translate: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
) -> Settings:
    try:
        config = OmegaConf.create(text)
        if not OmegaConf.is_dict(config):
            raise InputError(f"{where}: a recipe is a YAML mapping of keys to values")
        _override(config, overrides)
        data: Any = OmegaConf.to_container(config, resolve=True)
        return validated(translate(data) if translate else data, where, model)
    except InputError:
        raise
    except (OmegaConfBaseException, YAMLError, ValueError, TypeError, RecursionError, IndexError) as error:
        reason = " ".join(str(error).split()) or "nested too deeply"
        if "Environment variable" in reason:
            variable = reason.split("'")[1]
            reason = f"it uses the environment variable {variable}, which is not set; export {variable}=FOLDER"
        raise InputError(f"{where}: {reason}") from None


def _override(config: Any, overrides: Sequence[str]) -> None:
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals or not key:
            raise InputError(f"{override!r} is not an override; write key=value, as in training.lr=0.001")
        _check_entries(config, key, override)
        # Parsed as YAML, so that numbers, lists and null mean here what they mean in the file.
        OmegaConf.update(config, key, OmegaConf.create(f"v: {value}").v, merge=False)


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


def validated(data: Any, where: str, model: type[Settings], section: str = "") -> Settings:
    """Check plain values against a model.

    Args:
        data: What YAML knows.
        where: Named first in an error, such as the file; may be empty.
        model: What they must be.
        section: Dotted key under which ``data`` stands in the file.

    Raises:
        InputError: As for :func:`read_settings`.

    Examples:
        >>> class Loss(Section):
        ...     temperature: float = 0.1
        >>> validated({"temperature": 0.5}, "", Loss)
        Loss(temperature=0.5)
        >>> validated({"temperatur": 0.5}, "", Loss, section="method.options")
        Traceback (most recent call last):
        sslhsi.errors.InputError: unknown key 'method.options.temperatur'; did you mean 'temperature'?
    """
    try:
        # Through JSON, so that strict typing still takes a YAML list for a tuple.
        return model.model_validate_json(json.dumps(_home(data)))
    except ValidationError as error:
        first = error.errors()[0]
    location = [part for part in first["loc"] if not str(part).startswith(("list[", "literal["))]
    key = ".".join([section] * bool(section) + [str(part) for part in location])
    if first["type"] == "extra_forbidden":
        message = _unknown(model, first["loc"], key)
    elif first["type"] == "missing":
        message = f"the key {key!r} is missing"
    else:
        got = "" if first["type"] == "value_error" else f", not {first['input']!r}"
        message = f"{key + ': ' if key else ''}{first['msg'].removeprefix('Value error, ')}{got}"
    raise InputError(f"{where}: {message}" if where else message)


def with_new_names(data: Any, model: type[BaseModel]) -> Any:
    """A copy of plain values in which renamed keys of an earlier version bear their new names."""
    if isinstance(data, list):
        return [with_new_names(entry, model) for entry in data]
    if not isinstance(data, dict):
        return data
    renewed: dict[str, Any] = {}
    for key, value in data.items():
        field = model.model_fields.get(key)
        section = _section(field.annotation) if field else None
        *parents, last = _renamed(model).get(key, key).split(".")
        place = renewed
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = with_new_names(value, section) if section else value
    return renewed


def _home(value: Any) -> Any:
    """One rule for every key that may hold a path: a leading ``~`` is the home folder, as in a shell."""
    if isinstance(value, str):
        return os.path.expanduser(value) if value == "~" or value.startswith("~/") else value
    if isinstance(value, dict):
        return {key: _home(entry) for key, entry in value.items()}
    return [_home(entry) for entry in value] if isinstance(value, list) else value


def _unknown(model: type[BaseModel], location: tuple[int | str, ...], key: str) -> str:
    """What a key is called now, or the known key that it was probably meant to be."""
    for part in location[:-1]:
        if isinstance(part, str) and part in model.model_fields:
            model = _section(model.model_fields[part].annotation) or model
    last = str(location[-1])
    if new := _renamed(model).get(last):
        return f"{key} is now {key.removesuffix(last)}{new}"
    near = difflib.get_close_matches(last, model.model_fields, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known here are {', '.join(model.model_fields)}"
    return f"unknown key {key!r}; {hint}"


def _renamed(model: type[BaseModel]) -> Mapping[str, str]:
    return model.renamed if issubclass(model, Section) else {}


def _section(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((section for part in get_args(annotation) if (section := _section(part))), None)
