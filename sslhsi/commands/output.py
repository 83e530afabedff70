"""What commands share: their JSON and recipe arguments, how a result is printed, and one file after the other."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from sslhsi.errors import InputError

Item = TypeVar("Item")
Result = TypeVar("Result")


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add ``--json`` to a command."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def add_recipe(parser: argparse.ArgumentParser) -> None:
    """Add a recipe and its overrides to a command."""
    parser.add_argument("recipe", help="YAML file")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="of the recipe, with dotted keys")


def show(options: argparse.Namespace, result: Any, lines: Iterable[str]) -> int:
    """Print a result as ``--json`` asks, or its lines; returns the exit code."""
    print(json.dumps(result, indent=1, default=str) if options.json else "\n".join(lines))
    return 0


def each(
    items: Iterable[Item], work: Callable[[Item], Result], words: Callable[[str], str] = str
) -> tuple[list[Result], int]:
    """Results of the items that did, and the exit code: a bad file among many must not keep the others from it.

    ``words`` turns an error into the words of the command.
    """
    results, code = [], 0
    for item in items:
        try:
            results.append(work(item))
        except InputError as error:
            code = 2
            print(f"error: {words(str(error))}", file=sys.stderr)
    return results, code
