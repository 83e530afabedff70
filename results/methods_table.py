"""Every self-supervised method with four networks on the real scenes, all with the same budget.

Pretrains each pair once on the pixel recipe's scenes without the two that are evaluated on, evaluates it beside the
same network untrained and what needs no network on identical splits, and writes methods.csv and methods.md. What has
been pretrained or measured is skipped, so that an interrupted run goes on where it stopped.

    python results/methods_table.py [--methods simclr vicreg] [--networks vit] [--steps 300]
    python results/methods_table.py --page        # only the page, from the rows that are there
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sslhsi.encoder.load import load_backbone
from sslhsi.errors import InputError
from sslhsi.evaluation.labelled_scene import labelled_pixels
from sslhsi.evaluation.monitor import collapse
from sslhsi.evaluation.network import PRETRAINED, RANDOM, beside
from sslhsi.evaluation.pretraining_scenes import pretraining_words
from sslhsi.evaluation.rows import COLUMNS, ResultRow
from sslhsi.evaluation.runner import evaluate
from sslhsi.evaluation.summary import grouped, tabulate
from sslhsi.files import read_rows, write_atomic
from sslhsi.methods.registry import list_methods
from sslhsi.pretrain import pretrain
from sslhsi.recipe import Recipe, load_recipe
from sslhsi.report.tables import markdown
from sslhsi.scenes.scene import Scene
from sslhsi.scenes.sources import corpus_sources, open_source
from sslhsi.training.row_file import RowFile

HERE = Path(__file__).resolve().parent
RECIPE = HERE.parent / "recipes" / "simclr_real_scenes_pixel.yaml"
# Left out of every pretraining; labels of the others are supcon's.
TARGETS = {"indian_pines_8bit": (5, 30), "muufl": (5,)}
NETWORKS: dict[str, dict[str, Any]] = {
    "hybridsn": {"name": "hybridsn", "options": {}},
    "resnet10t": {"name": "resnet10t", "options": {"small_window": True}},
    "vit": {
        "name": "timm/vit_tiny_patch16_224",
        "options": {"patch_size": 3, "depth": 4, "embed_dim": 96, "num_heads": 3},
    },
    "pixelnet": {"name": "pixelnet", "options": {"width": 128, "depth": 2, "mixed": 256, "radii": [0, 1, 3, 6]}},
}
# Methods that don't take every network.
FITS = {"mae": ("vit",)}
# Before the columns of a result row: what was pretrained how, for how long, and what the monitor saw at its end.
HEADS = ("ssl_method", "network", "steps", "batch_size", "rank", "spread", "collapse")
INTRO = """# Methods and networks

Made by `python results/methods_table.py`; nothing here is typed by hand. Each cell is one pretraining of a method
with a network on the real scenes without {targets}, {budget}; then the mean OA, percent, over splits
(random and spatially disjoint, {seeds} of each) and samples per class ({sizes}). The untrained network is
drawn anew for each split. All methods have the same steps, batch and views, and their own defaults otherwise; supcon
also reads the labels of the scenes that it is pretrained on. One pretraining says little about single points.
"""


def pairs(methods: Sequence[str], networks: Sequence[str]) -> list[tuple[str, str]]:
    """Network by network, (method, network) of all that fit."""
    return [(m, n) for n in networks for m in methods if n in FITS.get(m, NETWORKS)]


def recipe_of(method: str, network: str, runs: Path, steps: int, batch: int) -> Recipe:
    """The pixel recipe with a method and a network, mirrored and turned, without the targets."""
    words = [
        f"name={method}-{network}",
        f"output={runs / f'{method}-{network}'}",
        f"corpus.leave_out=[{','.join(TARGETS)}]",
        f"backbone={NETWORKS[network]}",
        f"method={{name: {method}, options: {{}}}}",
        f"training.steps={steps}",
        f"training.batch_size={batch}",
        "training.monitor_every=1",
        "views.flip=0.5",
        "views.quarter_turns=true",
        "evaluation.tasks=[]",
    ]
    return load_recipe(RECIPE, words)


def trained(recipe: Recipe) -> Path:
    """The run directory, made where it isn't there.

    Raises:
        InputError: It was made by another recipe.
    """
    run = recipe.run_dir
    finished = (run / "report.html").is_file()
    if finished and (run / "recipe.yaml").read_text() != recipe.dump():
        raise InputError(f"{run}: made by another recipe; move it away, or give another --runs")
    if not finished:
        pretrain(recipe)
    return run


def label(row: ResultRow, recipe: Recipe, network: str) -> tuple[str, str]:
    """The method and the network that a row of a run stands for; what needs no network stands for all."""
    if row.method == PRETRAINED:
        return recipe.method.name, network
    return f"none: {row.method}", network if row.method == RANDOM else ""


def measure(
    recipe: Recipe, network: str, scenes: Sequence[Scene], seeds: int, there: Collection[tuple[str, str]]
) -> Iterator[dict[str, Any]]:
    """Rows of a finished run on all targets, and those that it is compared with unless they are there."""
    run = recipe.run_dir
    metrics = read_rows(run / "metrics.csv")
    first, untrained, *means = beside(
        load_backbone(run / "backbone"),
        pretraining=pretraining_words(recipe, len(corpus_sources(recipe.corpus))),
        pretraining_saw_pixels="no",
        projection_saw_pixels="no",
    )
    wanted = [first] if (f"none: {RANDOM}", network) in there else [first, untrained]
    wanted += [] if any(not known for _, known in there) else means
    for scene in scenes:
        labelled = labelled_pixels(scene, wanted, per_class=TARGETS[scene.name])
        for row in evaluate([labelled], probes=dict.fromkeys(("k-NN", "linear"), seeds)):
            pair = label(row, recipe, network)
            if pair in there:
                continue
            heads = dict(zip(HEADS, (*pair, recipe.training.steps, recipe.training.batch_size), strict=False))
            if row.method == PRETRAINED:
                heads |= {key: metrics[-1][key] for key in ("rank", "spread")} | {"collapse": collapse(metrics)}
            yield {**heads, **row.to_csv()}


def fill(table: RowFile, wanted: Iterable[tuple[str, str]], options: argparse.Namespace) -> None:
    """Pretrain and measure what is missing.

    Raises:
        InputError: The table holds rows of another budget.
    """
    scenes: list[Scene] = []
    budget = (str(options.steps), str(options.batch_size))
    if other := next((row for row in table.rows if (row["steps"], row["batch_size"]) != budget), None):
        raise InputError(
            f"{options.out / 'methods.csv'}: holds rows of {other['steps']} steps of {other['batch_size']}; move it "
            "away, give another --out, or the same --steps and --batch-size"
        )
    for method, network in wanted:
        there = {(row["ssl_method"], row["network"]) for row in table.rows}
        if (method, network) in there:
            continue
        recipe = recipe_of(method, network, options.runs, options.steps, options.batch_size)
        trained(recipe)
        if not scenes:
            sources = {source.name: source for source in corpus_sources(load_recipe(RECIPE).corpus)}
            scenes = [open_source(sources[name], 0) for name in TARGETS]
        # All rows of a pair at once: one that was cut off is measured again.
        for row in list(measure(recipe, network, scenes, options.seeds, there)):
            table.add(row)


def page(rows: Sequence[Mapping[str, str]]) -> str:
    """methods.md of the table's rows."""
    scored = [(row, ResultRow.from_csv({c: row[c] for c in COLUMNS})) for row in rows]
    scored = [(row, result) for row, result in scored if result.oa is not None]
    budgets = sorted({f"{row['steps']} steps of {row['batch_size']}" for row, _ in scored})
    seeds = 1 + max((result.seed or 0 for _, result in scored), default=0)
    sizes = "; ".join(f"{name} {', '.join(map(str, sizes))}" for name, sizes in TARGETS.items())
    blocks = [INTRO.format(targets=" and ".join(TARGETS), budget=" or ".join(budgets), seeds=seeds, sizes=sizes)]
    for (scene, probe), mine in grouped(scored, lambda pair: (pair[1].scene, pair[1].probe)).items():
        lines = tabulate(mine, lambda p: p[0]["ssl_method"], lambda p: p[0]["network"], lambda p: p[1].oa, "column")
        blocks.append(f"## {scene}, {probe}")
        body = []
        for method, cells in sorted(lines.items(), key=lambda item: item[0].startswith("none")):
            everywhere = cells.get("")
            shown = [everywhere or cells.get(network) for network in NETWORKS]
            body.append([method, *("" if cell is None else f"{cell.mean:.1f}" for cell in shown)])
        blocks.append("\n".join(markdown(["method", *NETWORKS], body)))
    blocks.append(
        "## What the monitor saw at the end\n\nEffective rank and spread of features of windows that train."
    )
    measured = {(row["ssl_method"], row["network"]): row for row in rows if row["rank"]}
    body = []
    for method in dict.fromkeys(method for method, _ in measured):
        cells = [measured.get((method, network)) for network in NETWORKS]
        texts = ("" if c is None else f"{float(c['rank']):.1f}, {float(c['spread']):.2f}" for c in cells)
        body.append([method, *texts])
    blocks.append("\n".join(markdown(["method", *NETWORKS], body)))
    if named := {pair: row["collapse"] for pair, row in measured.items() if row["collapse"]}:
        blocks.append("\n".join(f"- {method} with {network}: {text}" for (method, network), text in named.items()))
    return "\n\n".join(block.rstrip() for block in blocks) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", choices=list_methods(), default=list_methods())
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--seeds", type=int, default=5, help="splits of each kind")
    parser.add_argument("--runs", type=Path, default=Path("runs/methods"), help="folder of the pretrainings")
    parser.add_argument("--out", type=Path, default=HERE, help="folder of methods.csv and methods.md")
    parser.add_argument("--page", action="store_true", help="only write the page from the rows that are there")
    options = parser.parse_args()
    if not os.environ.get("SSLHSI_DATA"):
        print("error: SSLHSI_DATA must name the folder of the real scenes (README: Real scenes)", file=sys.stderr)
        return 2
    try:
        with RowFile(options.out / "methods.csv", (*HEADS, *COLUMNS)) as table:
            if not options.page:
                fill(table, pairs(options.methods, options.networks), options)
            write_atomic(options.out / "methods.md", page(table.rows))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
