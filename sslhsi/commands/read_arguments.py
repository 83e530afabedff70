"""The reading options of every command that opens a scene: ``--labels``, ``--mask``, ``--layout`` and the others."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable, Sequence
from typing import Any

from sslhsi.errors import InputError
from sslhsi.read_options import DESCRIPTIONS, ReadOptions

#: The options as the command line has them; a scene is named after its file there.
KEYS = tuple(key for key in ReadOptions.model_fields if key not in DESCRIPTIONS)


def add_read_options(
    parser: argparse.ArgumentParser, keys: Sequence[str] = KEYS, *, per_scene: Sequence[str] = ()
) -> None:
    """Add the reading options to a command.

    Args:
        parser: Of the command.
        keys: Which of them.
        per_scene: Those that take several values, one for each scene of the command line.
    """
    group = parser.add_argument_group("reading the scene", "Whatever is given overrules what the file says.")
    for key in keys:
        if ReadOptions.model_fields[key].annotation is bool:
            group.add_argument(_flag(key), action="store_const", const=True, help=_description(key))
            continue
        group.add_argument(
            _flag(key),
            metavar=_WRITTEN[key][0] if key in _WRITTEN else "NAME",
            nargs="+" if key in per_scene else None,
            help=_description(key) + ("; one per scene" if key in per_scene else ""),
        )
    if "drop_bands" in keys:
        group.add_argument(
            "--drop-bad-bands", dest="drop_bands", action="store_const", const="bad",
            help="the same as --drop-bands bad",
        )  # fmt: skip
    parser.set_defaults(read_keys=tuple(keys))


def read_options(namespace: argparse.Namespace, **changed: Any) -> dict[str, Any]:
    """The reading options of a command line, as keywords of ``read_scene``.

    Args:
        namespace: What the parser returned.
        **changed: Options to take in place of the command line's.

    Raises:
        InputError: A value isn't written as its option wants it.
    """
    given = {key: getattr(namespace, key, None) for key in namespace.read_keys} | changed
    return {key: _parse(key, value) for key, value in given.items() if value is not None}


def in_flags(namespace: argparse.Namespace, text: str) -> str:
    """A message of the readers in the words of a command: options that it takes as they are typed there.

    Examples:
        >>> options = argparse.Namespace(read_keys=("cube", "shape", "drop_bands"))
        >>> in_flags(options, 'two matrices; give cube="one", shape=(rows, columns) or drop_bands=, or labels=')
        'two matrices; give --cube one, --shape HxW or --drop-bands, or labels='
    """
    keys = getattr(namespace, "read_keys", ())
    if not keys:
        return text

    def flag(match: re.Match[str]) -> str:
        key, quoted, several, word = match.groups()
        if several is not None:
            several = re.sub(", *", "x" if key == "shape" else ",", several) or "none"
            # (rows, columns) in words stands for two numbers.
            several = several.replace("rowsxcolumns", "HxW")
        return f"{_flag(key)} {quoted or several or word or ''}".rstrip()

    names, value = "|".join(keys), r"""(?:["']([^"']*)["']|[([]([^()\[\]]*)[)\]]|([\w./-]*\w))?"""
    text = re.sub(rf"(?<![\w./-])({names})={value}", flag, text)
    # A key of two words is no word of a sentence.
    compound = "|".join(key for key in keys if "_" in key) or "-"
    return re.sub(rf"(?<![\w./-])({compound})(?!\.?\w)", lambda match: _flag(match[1]), text)


def _flag(key: str) -> str:
    return f"--{key.replace('_', '-')}"


def _description(key: str) -> str:
    text = ReadOptions.model_fields[key].description or ""
    _, written, _ = _WRITTEN.get(key, ("", "", None))
    return (text.split(":")[0] if written.startswith(":") else text) + written


def _parse(key: str, text: Any) -> Any:
    *_, parser = _WRITTEN.get(key, ("", "", None))
    try:
        return parser(text) if parser and isinstance(text, str) else text
    except ValueError:
        raise InputError(f"{_flag(key)} {text}: write it as {_description(key)}") from None


def _bands(text: str) -> str | list[int]:
    if text == "bad":
        return text
    bands: list[int] = []
    for word in [] if text == "none" else text.split(","):
        first, _, last = word.strip().partition("-")
        bands += range(int(first), int(last or first) + 1)
    return bands


def _centres(text: str) -> str | list[float]:
    return text if "," not in text or os.path.exists(text) else [float(word) for word in text.split(",")]


def _number(text: str) -> str | float:
    return text if text == "none" else float(text)


def _yes(text: str) -> bool:
    if text.lower() not in ("true", "false", "yes", "no"):
        raise ValueError(text)
    return text.lower() in ("true", "yes")


# Options whose value is a placeholder other than NAME: the placeholder, how the value is written, and what reads it.
_WRITTEN: dict[str, tuple[str, str, Callable[[str], Any] | None]] = {
    "labels": ("GT", "", None),
    "mask": ("FILE", "", None),
    "unit": ("UNIT", "", None),
    "layout": ("AXES", "", None),
    "order": ("C|F", "", None),
    "purity": ("SHARE", "", float),
    "nodata": ("VALUE", "", _number),
    "scale": ("DIVISOR", "", _number),
    "zero_is_class": ("NAME", "", _yes),
    "ignore": ("NAME", "; several with commas between", lambda text: [int(word) for word in text.split(",")]),
    "wavelengths": ("WL", "; numbers with commas between", _centres),
    "drop_bands": ("BANDS", ": bad, none, or 0-3,107,150-162", _bands),
    "classes": ("NAMES", ", with commas between", lambda text: [word.strip() for word in text.split(",")]),
    "shape": ("HxW", ", as 145x145", lambda text: [int(word) for word in re.split("[x, ]+", text.strip())]),
}
