"""How cost grows: with pixels, bands, batch, domains and ranks; one table and one picture.

    python benchmarks/growth.py                  # some four minutes on two idle cores
    python benchmarks/growth.py --what batch ranks
    python benchmarks/growth.py --quick

pixels, bands: seconds and private memory of preparing one cube. batch: seconds and private memory of NT-Xent, forward
and backward, of 128 dimensions, in chunks and with all similarities at once (PyTorch's cross entropy on the full
matrix). domains: patches per second of the main job (PixelNet). ranks: the same on gloo processes that share this
machine's cores, one thread each, with one global batch.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from job import make_scenes, rate, recipe, run
from measure import SPEED, alone, median, spread, write
from torch.nn import functional as F

from sslhsi.corpus.prepare import prepare
from sslhsi.methods.ntxent import NTXentLoss

mpl.use("Agg")
ROOT = Path(__file__).parents[1]
Rows = list[dict[str, Any]]


def of_rounds(what: str, values: Sequence[float]) -> dict[str, Any]:
    """Columns of a table: median, range and number of rounds."""
    return {what: median(values), f"{what}, range": spread(values), "rounds": len(values)}


def preparing(side: int, bands: int, rounds: int) -> dict[str, Any]:
    """Seconds and extra memory of preparing one square cube."""
    from preparation import recipe as recipe_of

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rng = np.random.default_rng(0)
        cube = np.lib.format.open_memmap(folder / "cube.npy", "w+", np.uint16, (side, side, bands))
        mixing = rng.random((8, bands)).cumsum(1)
        for row in range(side):
            cube[row] = 100 * rng.random((side, 8)) @ mixing + rng.normal(200, 5, (side, bands))
        cube.flush()
        base = recipe_of(folder)
        waves = np.linspace(400, 1000, bands).tolist()
        scene = base.corpus.scenes[0].model_copy(update={"path": str(folder / "cube.npy"), "wavelengths": waves})
        runs = []
        for n in range(rounds):
            corpus = base.corpus.model_copy(update={"scenes": [scene], "cache": str(folder / f"c{n}")})
            runs.append(alone(lambda corpus=corpus: prepare(base.model_copy(update={"corpus": corpus})) and None))
    return {**of_rounds("seconds", [f[0] for f in runs]), "MB": max(f[1] for f in runs) / 1e6}


def pixels(quick: bool, rounds: int) -> Rows:
    rows = []
    for factor in (1, 4, 16):
        side = round((2_000 if quick else 75_000) ** 0.5 * factor**0.5)
        rows.append({"what": "pixels", "of": "prepare", "size": side * side, **preparing(side, 200, rounds)})
    return rows


def bands(quick: bool, rounds: int) -> Rows:
    rows = []
    for number in (50, 100, 200, 400):
        measured = preparing(40 if quick else 300, number, rounds)
        rows.append({"what": "bands", "of": "prepare", "size": number, **measured})
    return rows


def at_once(z1: torch.Tensor, z2: torch.Tensor) -> torch.Tensor:
    """NT-Xent with the whole matrix of similarities, as it is usually written."""
    z = F.normalize(torch.cat([z1, z2]), dim=1)
    logits = (z @ z.T / 0.1).fill_diagonal_(float("-inf"))
    n = len(z1)
    return F.cross_entropy(logits, torch.cat([torch.arange(n) + n, torch.arange(n)]))


def batch(quick: bool, rounds: int) -> Rows:
    rows = []
    losses: dict[str, Callable] = {"chunked": NTXentLoss(0.1, 1024), "at once": at_once}
    for size in (64, 128, 256) if quick else (256, 512, 1024, 2048, 4096):
        for name, loss in losses.items():

            def once(loss=loss, size=size) -> None:
                z = [torch.randn(size, 128, requires_grad=True) for _ in range(2)]
                loss(*z).backward()

            runs = [alone(once) for _ in range(rounds)]
            rows.append(
                {
                    "what": "batch",
                    "of": f"NT-Xent {name}",
                    "size": size,
                    **of_rounds("seconds", [f[0] for f in runs]),
                    "MB": max(f[1] for f in runs) / 1e6,
                }
            )
    return rows


def domains(quick: bool, rounds: int) -> Rows:
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in (2, 4) if quick else (2, 8, 32):
            make_scenes(folder, number, 80)
            speeds = [run(recipe(folder, "pixelnet", 32, 3 if quick else 20, number)) for _ in range(rounds)]
            rows.append({"what": "domains", "of": "training", "size": number, **of_rounds("patches/s", speeds)})
    return rows


def ranks(quick: bool, rounds: int) -> Rows:
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_scenes(folder, 2, 80)
        for number in (1, 2) if quick else (1, 2, 4):
            speeds = [on_ranks(folder, number, 3 if quick else 20) for _ in range(rounds)]
            rows.append({"what": "ranks", "of": "training", "size": number, **of_rounds("patches/s", speeds)})
    return rows


def on_ranks(folder: Path, number: int, steps: int) -> float:
    """Patches per second of the main job on gloo processes."""
    job = recipe(folder, "pixelnet", 32, steps, 2)
    (folder / "ranks.yaml").write_text(job.dump())
    env = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "WORLD_SIZE": str(number)}
    env |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(20000 + time.time_ns() % 20000)}
    command = [sys.executable, "sslhsi/pretrain.py", str(folder / "ranks.yaml")]
    processes = [
        subprocess.Popen(
            command, cwd=ROOT, env={**env, "RANK": str(r), "LOCAL_RANK": str(r), "LOCAL_WORLD_SIZE": str(number)},
            stderr=subprocess.DEVNULL,
        )
        for r in range(number)
    ]  # fmt: skip
    if any([process.wait() for process in processes]):
        raise SystemExit(f"a run on {number} processes failed")
    return rate(job.run_dir)


PARTS = {"pixels": pixels, "bands": bands, "batch": batch, "domains": domains, "ranks": ranks}


def plot(rows: Rows, path: Path) -> None:
    """One panel for each thing that grows; dotted, what would be proportional."""
    import matplotlib.pyplot as plt
    from matplotlib.ticker import FuncFormatter, LogLocator

    names = list(dict.fromkeys(row["what"] for row in rows))
    figure, axes = plt.subplots(1, len(names), figsize=(3.2 * len(names), 3), layout="constrained", squeeze=False)
    for axis, name in zip(axes[0], names, strict=True):
        mine = [row for row in rows if row["what"] == name]
        y = "MB" if name == "batch" else "patches/s" if "patches/s" in mine[0] else "seconds"
        for of in dict.fromkeys(row["of"] for row in mine):
            line = [(row["size"], row[y]) for row in mine if row["of"] == of]
            axis.plot(*zip(*line, strict=True), "o-", label=of)
        first = mine[0]
        sizes = sorted({row["size"] for row in mine})
        flat = name == "domains"
        axis.plot(sizes, [first[y] * (1 if flat else s / sizes[0]) for s in sizes], ":", color="grey", lw=1)
        axis.set(xscale="log", yscale="linear" if flat else "log", xlabel=name, ylabel=y, title=f"{y} against {name}")
        axis.minorticks_off()
        axis.set_xticks(sizes, [f"{s:,}" for s in sizes], rotation=30)
        if flat:
            axis.set_ylim(bottom=0)
        else:
            axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
        axis.legend(fontsize=7, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--what", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=SPEED)
    args = parser.parse_args()
    rows: Rows = []
    for name in args.what:
        new = PARTS[name](args.quick, 1 if args.quick else args.rounds)
        print("\n".join(map(str, new)), flush=True)
        rows += new
    text = " ".join((__doc__ or "").split("\n\n")[2].split())
    write("growth", "How cost grows", text + "\n\n![growth](growth.png)", rows, args.out)
    plot(rows, args.out / "growth.png")


if __name__ == "__main__":
    main()
