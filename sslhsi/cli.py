"""The command line: ``sslhsi data | prepare | pretrain``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from sslhsi import __version__
from sslhsi.commands import data, job
from sslhsi.errors import InputError

# In the order in which a user meets them.
COMMANDS = (data, job)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code (0 done, 2 bad input, 130 interrupted)."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    try:
        return options.run(options) or 0
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output (head, say) has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = argparse.ArgumentParser(
        prog="sslhsi",
        description="Self-supervised pretraining for hyperspectral cubes of any camera.",
        epilog="The path: look at your cubes (data inspect), write a recipe, prepare it, pretrain, read report.html.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"sslhsi {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
