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
_METAVARS = {"labels": "GT", "mask": "FILE", "wavelengths": "WL", "nodata": "VALUE", "scale": "DIVISOR",
             "unit": "UNIT", "purity": "SHARE", "drop_bands": "BANDS", "classes": "NAMES",
             "layout": "AXES", "shape": "HxW", "order": "C|F"}  # fmt: skip
_WRITTEN = {
    "ignore": "; several with commas between",
    "wavelengths": "; numbers with commas between",
    "drop_bands": ": bad, none, or 0-3,107,150-162",
    "classes": ", with commas between",
    "shape": ", as 145x145",
}


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
            flag = {"action": "store_const", "const": True}
            group.add_argument(f"--{key.replace('_', '-')}", **flag, help=_description(key))  # type: ignore[arg-type]
            continue
        group.add_argument(
            f"--{key.replace('_', '-')}",
            metavar=_METAVARS.get(key, "NAME"),
            nargs="+" if key in per_scene else None,
            help=_description(key) + ("; one per scene" if key in per_scene else ""),
        )
    if "drop_bands" in keys:
        group.add_argument(
            "--drop-bad-bands",
            dest="drop_bands",
            action="store_const",
            const="bad",
            help="the same as --drop-bands bad",
        )
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


def _description(key: str) -> str:
    text = ReadOptions.model_fields[key].description or ""
    written = _WRITTEN.get(key, "")
    return (text.split(":")[0] if written.startswith(":") else text) + written


def _parse(key: str, text: Any) -> Any:
    parser = _PARSERS.get(key)
    try:
        return parser(text) if parser and isinstance(text, str) else text
    except ValueError:
        raise InputError(f"--{key.replace('_', '-')} {text}: write it as {_description(key)}") from None


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


_PARSERS: dict[str, Callable[[str], Any]] = {
    "ignore": lambda text: [int(word) for word in text.split(",")],
    "zero_is_class": _yes,
    "drop_bands": _bands,
    "wavelengths": _centres,
    "shape": lambda text: [int(word) for word in re.split("[x, ]+", text.strip())],
    "classes": lambda text: [word.strip() for word in text.split(",")],
    "nodata": _number,
    "scale": _number,
    "purity": float,
}
