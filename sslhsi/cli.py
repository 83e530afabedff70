"""The command line: ``sslhsi data | prepare | pretrain | eval | experiment | map | publish | ...``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

from sslhsi import __version__
from sslhsi.commands import compare, completion, data, evaluate, experiment, export, job, publish
from sslhsi.commands import map as map_command
from sslhsi.commands.read_arguments import in_flags
from sslhsi.errors import InputError
from sslhsi.scenes.notes import printed_notes

# In the order in which a user meets them.
COMMANDS = (data, job, evaluate, compare, experiment, map_command, publish, export, completion)

EPILOG = """\
from cubes to a map, and on to others:

  sslhsi data inspect my_cubes/*.hdr --out looks          what files hold, and a picture
  sslhsi data get pavia_university                        a public scene; data list names them
  sslhsi prepare mine.yaml                                bring all scenes into one space
  sslhsi pretrain mine.yaml                               train and evaluate: runs/mine/report.html
  sslhsi eval linear runs/mine field.mat --labels gt.mat  beside what needs no training
  sslhsi compare runs/a runs/b                            side by side, on one page
  sslhsi experiment recipes/freezing.yaml                 labelled transfer, multitask, distances
  sslhsi map runs/mine field.mat --labels gt.mat          a class for every pixel
  sslhsi publish runs/mine published/mine                 what others load, with its model card
  sslhsi export published/mine mine.onnx                  for programs without Python

in Python:

  encoder = sslhsi.load_backbone("published/mine")
  features = encoder.encode(scene.cube, scene.wavelengths)

on many GPUs: accelerate launch -m sslhsi.pretrain mine.yaml
sslhsi COMMAND --help shows each command's options and examples.
exit codes: 0 done, 2 bad input or usage (one line says what), 130 interrupted.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code (0 done, 2 bad input, 130 interrupted)."""
    parser = build_parser()
    options = parser.parse_args(arguments, argparse.Namespace(parser=parser))
    # Commands of a prepared corpus print its notes, and data inspect those of its scenes, by themselves.
    words = partial(in_flags, options)
    shown = nullcontext() if options.command in ("data", "prepare", "pretrain") else printed_notes(words)
    try:
        with shown:
            return options.run(options) or 0
    except InputError as error:
        print(f"error: {words(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output (head, say) has read enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


class Parser(argparse.ArgumentParser):
    """Descriptions and examples stand as they are written, also those of the commands below it."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, **settings)


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = Parser(
        prog="sslhsi",
        description="Self-supervised pretraining for hyperspectral cubes of any camera.",
        epilog=EPILOG,
    )
    parser.add_argument("--version", action="version", version=f"sslhsi {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, dest="command")
    for command in COMMANDS:
        command.add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
