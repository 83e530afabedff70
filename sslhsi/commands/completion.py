"""``sslhsi completion``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

SHELLS = ("bash", "zsh")


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "completion",
        help="print a script that completes sslhsi's words in your shell",
        epilog="examples:\n"
        "  source <(sslhsi completion bash)                                   # this session\n"
        "  sslhsi completion bash > ~/.local/share/bash-completion/completions/sslhsi\n"
        "  sslhsi completion zsh > ~/.zfunc/_sslhsi                           # a folder of $fpath",
    )
    parser.add_argument("shell", choices=SHELLS)
    parser.set_defaults(run=print_completion)


def print_completion(options: argparse.Namespace) -> int:
    """Print what a shell completes commands and options by."""
    import shtab

    for action in _actions(options.parser):
        if action.nargs != 0 and not action.choices:
            # Nearly every value is a file; names and numbers lose nothing by it.
            action.complete = shtab.FILE  # type: ignore[attr-defined]
    print(shtab.complete(options.parser, shell=options.shell))
    return 0


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Every argument of a parser and of its commands."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                yield from _actions(child)
        else:
            yield action
