"""``sslhsi publish``."""

from __future__ import annotations

import argparse

from sslhsi.commands.output import add_json, show


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "publish",
        help="hand a run's backbone on: a folder, or a repository on the Hugging Face Hub",
        description="Write a run's weights, spectral projection, results and a model card to a folder that others "
        "load with\nsslhsi.load_backbone, or push them to the Hugging Face Hub.",
        epilog="examples:\n"
        "  sslhsi publish runs/mine published/mine --licence cc-by-4.0\n"
        "  sslhsi publish runs/mine hf:me/resnet10t.fields --name fields      # after: hf auth login\n"
        "  sslhsi publish runs/mine published/mine --results results/small_scenes.csv",
    )
    parser.add_argument("folder", metavar="RUN", help="directory of a finished run")
    parser.add_argument("target", metavar="TARGET", help="a new folder, or hf:user/name")
    parser.add_argument("--name", metavar="TAG", help="the name is ARCHITECTURE.TAG (default: the recipe's name)")
    parser.add_argument("--licence", default="unknown", help="of the weights, such as cc-by-4.0 (default: unknown)")
    parser.add_argument("--results", action="append", default=[], metavar="CSV", help="more results for the card")
    parser.add_argument("--private", action="store_true", help="make the repository on the hub a private one")
    add_json(parser)
    parser.set_defaults(run=publish_run)


def publish_run(options: argparse.Namespace) -> int:
    """Publish a finished run and say what was written."""
    from sslhsi.publish import publish

    published = publish(
        options.folder, options.target, options.name, options.licence, options.results, private=options.private
    )
    lines = [f"{published['name']}: {published['target']}", *(f"  {name}" for name in published["files"])]
    if not published["results"]:
        lines.append("  no results on the card: the run measured none; add some with --results")
    return show(options, published, lines)
