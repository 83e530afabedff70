"""``sslhsi prepare`` and ``sslhsi pretrain``."""

from __future__ import annotations

import argparse
import sys

from sslhsi.commands.output import add_json, add_recipe, show


def add(commands: argparse._SubParsersAction) -> None:
    """Add the commands to the command line."""
    prepare = commands.add_parser(
        "prepare",
        help="prepare a recipe's corpus and stop",
        epilog="examples:\n"
        "  sslhsi prepare mine.yaml\n"
        "  sslhsi prepare mine.yaml corpus.bands.components=15 corpus.patches.window=16",
    )
    add_recipe(prepare)
    add_json(prepare)
    prepare.set_defaults(run=prepare_corpus)

    train = commands.add_parser(
        "pretrain",
        help="run a recipe on this process (accelerate launch sslhsi/pretrain.py for many)",
        epilog="examples:\n"
        "  sslhsi pretrain mine.yaml\n"
        "  sslhsi pretrain recipes/simclr_multidomain.yaml training.steps=1000\n"
        "Interrupted? The same line goes on from the last checkpoint.",
    )
    add_recipe(train)
    train.set_defaults(run=run_pretrain)


def prepare_corpus(options: argparse.Namespace) -> int:
    """Prepare a recipe's corpus, or find it prepared, and say where it lies."""
    from sslhsi.corpus.prepare import prepare
    from sslhsi.recipe import load_recipe

    recipe = load_recipe(options.recipe, options.overrides)
    corpus = prepare(recipe, progress=lambda what, done, total: print(f"{done}/{total}: {what}", file=sys.stderr))
    for line in corpus.notes:
        print(f"note: {line}", file=sys.stderr)
    windows = corpus.windows(recipe.corpus.patches)
    summary = {
        "folder": str(corpus.folder),
        "key": corpus.key,
        "scenes": [scene.name for scene in corpus.scenes],
        "domains": list(corpus.domains),
        "patches": len(windows),
        "channels": corpus.channels,
        "notes": corpus.notes,
    }
    return show(options, summary, [str(corpus.folder)])


def run_pretrain(options: argparse.Namespace) -> int:
    """Run the main job in this process."""
    from sslhsi.pretrain import main as pretrain

    return pretrain([options.recipe, *options.overrides])
