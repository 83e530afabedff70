"""``sslhsi prepare`` and ``sslhsi pretrain``."""

from __future__ import annotations

import argparse
import sys


def add(commands: argparse._SubParsersAction) -> None:
    """Add the commands to the command line."""
    prepare = commands.add_parser("prepare", help="prepare a recipe's corpus and stop")
    prepare.add_argument("recipe")
    prepare.add_argument("overrides", nargs="*", metavar="key=value")
    prepare.set_defaults(run=prepare_corpus)

    train = commands.add_parser(
        "pretrain",
        help="run a recipe on this process (accelerate launch sslhsi/pretrain.py for many)",
        epilog="example: sslhsi pretrain recipes/simclr_multidomain.yaml training.steps=1000",
    )
    train.add_argument("recipe")
    train.add_argument("overrides", nargs="*", metavar="key=value")
    train.set_defaults(run=run_pretrain)


def prepare_corpus(options: argparse.Namespace) -> int:
    from sslhsi.patches.prepare import prepare
    from sslhsi.recipe import load_recipe

    recipe = load_recipe(options.recipe, options.overrides)
    corpus = prepare(recipe, progress=lambda what, done, total: print(f"{done}/{total}: {what}", file=sys.stderr))
    corpus.windows(recipe.corpus.patches)
    print(corpus.folder)
    return 0


def run_pretrain(options: argparse.Namespace) -> int:
    from sslhsi.pretrain import main as pretrain

    return pretrain([options.recipe, *options.overrides])
