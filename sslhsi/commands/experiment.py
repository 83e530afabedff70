"""``sslhsi experiment``: labelled transfer from a recipe."""

from __future__ import annotations

import argparse
import sys

from sslhsi.commands.output import add_json, add_recipe, show
from sslhsi.studies.registry import STUDIES


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "experiment",
        help=f"run an experiment of labelled transfer: {', '.join(STUDIES)}",
        epilog="examples:\n"
        "  sslhsi experiment recipes/freezing.yaml\n"
        "  sslhsi experiment recipes/multitask_indian_pines.yaml seeds=1 output=runs/mine\n"
        "Interrupted? The same line goes on after the last row. rows.csv, history.csv and report.html are\n"
        "in the recipe's output folder.",
    )
    add_recipe(parser)
    add_json(parser)
    parser.set_defaults(run=run_experiment)


def run_experiment(options: argparse.Namespace) -> int:
    """Run or resume a study and write its page."""
    from sslhsi.studies.experiment import load_experiment, run_experiment
    from sslhsi.studies.page import write_experiment_page

    settings = load_experiment(options.recipe, options.overrides)
    rows, history = run_experiment(settings)
    page = write_experiment_page(settings, rows, history)
    if options.json:
        return show(
            options, {"folder": str(settings.folder), "page": str(page), "rows": [row.to_csv() for row in rows]}, ()
        )
    print(page, file=sys.stderr)
    return 0
