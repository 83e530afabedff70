"""``sslhsi prepare`` and ``sslhsi pretrain``."""

from __future__ import annotations

import argparse
import json
import sys


def add(commands: argparse._SubParsersAction) -> None:
    """Add the commands to the command line."""
    prepare = commands.add_parser(
        "prepare",
        help="prepare a recipe's corpus and stop",
        epilog="examples:\n"
        "  sslhsi prepare mine.yaml\n"
        "  sslhsi prepare mine.yaml corpus.bands.components=15 corpus.patches.window=16",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    prepare.add_argument("recipe", help="YAML file")
    prepare.add_argument("overrides", nargs="*", metavar="key=value", help="of the recipe, with dotted keys")
    prepare.add_argument("--json", action="store_true", help="print JSON")
    prepare.set_defaults(run=prepare_corpus)

    train = commands.add_parser(
        "pretrain",
        help="run a recipe on this process (accelerate launch sslhsi/pretrain.py for many)",
        epilog="examples:\n"
        "  sslhsi pretrain mine.yaml\n"
        "  sslhsi pretrain recipes/simclr_multidomain.yaml training.steps=1000\n"
        "Interrupted? The same line goes on from the last checkpoint.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    train.add_argument("recipe", help="YAML file")
    train.add_argument("overrides", nargs="*", metavar="key=value", help="of the recipe, with dotted keys")
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
    if options.json:
        summary = {
            "folder": str(corpus.folder),
            "key": corpus.key,
            "scenes": [scene.name for scene in corpus.scenes],
            "domains": list(corpus.domains),
            "patches": len(windows),
            "channels": corpus.channels,
            "notes": corpus.notes,
        }
        print(json.dumps(summary, indent=1))
    else:
        print(corpus.folder)
    return 0


def run_pretrain(options: argparse.Namespace) -> int:
    """Run the main job in this process."""
    from sslhsi.pretrain import main as pretrain

    return pretrain([options.recipe, *options.overrides])
