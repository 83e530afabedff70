"""What data, views and logging cost: the real training loop against its bare step.

    python benchmarks/training_loop.py                      # HybridSN, two ResNets, PixelNet; four minutes
    python benchmarks/training_loop.py --networks hybridsn --batch 32
    python benchmarks/training_loop.py --quick

Loop: the main job itself, logging every tenth step; checkpoints are not counted. Bare: forward, loss, backward,
clipping and optimiser step of the same method in the same process, on a batch that lies ready. Five steps of one
and five of the other take turns within each run, so that what else the machine does falls on both; before the clock
changes sides, the thread that makes batches ahead has to be done with all that the block's steps made it do. Added:
the loop's seconds over those of the bare steps right behind it, less one; median of all pairs, range of the rounds'
medians.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import torch
from job import NETWORKS, make_scenes, recipe, run
from measure import SPEED, median, spread, write

from sslhsi.backbones.fast import fastest_safe_setting
from sslhsi.methods.base import Batch, Method
from sslhsi.methods.registry import create_method
from sslhsi.methods.simclr import SimCLR
from sslhsi.recipe import Recipe
from sslhsi.training.batches import Batches
from sslhsi.training.initialisation import initialise
from sslhsi.training.optimiser import create_optimiser

# Steps of a block, and blocks that nothing is counted of: threads, caches and the allocator warm up.
BLOCK, WARM_UP = 5, 2


def bare_step(recipe: Recipe, model: Method, device: torch.device) -> Callable[[], None]:
    """A step of forward, loss, backward, clipping and optimiser on a random batch that lies ready."""
    training, window, channels = recipe.training, recipe.corpus.patches.window, recipe.corpus.bands.components or 0
    optimiser = create_optimiser(model, training)
    mixed = fastest_safe_setting(model.backbone, device)["autocast_dtype"] is not None
    size = training.batch_size
    batch = Batch(torch.randn(2 * size, channels, window, window, device=device).chunk(2), 0, 1, 0, size, 0)

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=mixed):
            loss, _ = model(batch)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), training.clip)
        optimiser.step()

    return step


def bare(recipe: Recipe, device: torch.device, steps: int) -> float:
    """Patches per second of bare steps alone, after as many that aren't timed."""
    start = initialise(recipe, None, device)
    model = create_method(recipe.method.name, start.backbone, recipe.method.options).to(device).train()
    step = bare_step(recipe, model, device)
    for _ in range(steps):
        step()
    synchronise(device)
    clock = time.perf_counter()
    for _ in range(steps):
        step()
    synchronise(device)
    return steps * recipe.training.batch_size / (time.perf_counter() - clock)


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def in_blocks(recipe: Recipe, device: torch.device) -> list[tuple[float, float]]:
    """Seconds of a step in the loop, and of a bare one, for each pair of blocks of a run of the main job."""
    pairs: list[tuple[float, float]] = []
    making, make = threading.Lock(), Batches.__call__
    clock, step = 0.0, None

    def watched(batches: Batches, number: int) -> Batch:
        with making:
            return make(batches, number)

    def after_step(method: Method, number: int, steps: int) -> None:
        nonlocal clock, step
        if (number + 1) % BLOCK:
            return
        with making:
            synchronise(device)
        loop = (time.perf_counter() - clock) / BLOCK
        step = step or bare_step(recipe, method, device)
        clock = time.perf_counter()
        for _ in range(BLOCK):
            step()
        synchronise(device)
        pairs.append((loop, (time.perf_counter() - clock) / BLOCK))
        clock = time.perf_counter()

    with patch.object(Batches, "__call__", watched), patch.object(SimCLR, "after_step", after_step):
        run(recipe)
    return pairs[WARM_UP:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, metavar="NAME",
                        default=["hybridsn", "resnet10t", "resnet18", "pixelnet"])  # fmt: skip
    parser.add_argument("--batch", type=int, help="patches; 16 on a CPU, 256 on a GPU when left out")
    parser.add_argument("--blocks", type=int, default=3, help="of five steps, timed, of each kind and round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=SPEED)
    args = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    batch = args.batch or (256 if device.type == "cuda" else 16)
    names, rounds, blocks = (["pixelnet"], 1, 1) if args.quick else (args.networks, args.rounds, args.blocks)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_scenes(folder)
        pairs: dict[str, list[list[tuple[float, float]]]] = {network: [] for network in names}
        for _ in range(rounds):
            for network in names:
                # A step takes a millisecond or half a second: as many seconds of each.
                number = blocks * (8 if network == "pixelnet" else 1) + WARM_UP
                job = recipe(folder, network, batch, (BLOCK * number + 1) // 2, log_every=10)
                pairs[network].append(in_blocks(job, device))
    rows = [row_of(network, batch, pairs[network]) for network in names]
    text = " ".join((__doc__ or "").split("\n\n")[2].split())
    write(f"training_loop_{device.type}", "The training loop against its bare step", text, rows, args.out)


def row_of(network: str, batch: int, rounds: list[list[tuple[float, float]]]) -> dict:
    """A line of the table."""
    everything = [pair for pairs in rounds for pair in pairs]
    added = [median([100 * (loop / bare - 1) for loop, bare in pairs]) for pairs in rounds]
    return {
        "network": network,
        "batch": batch,
        "bare patches/s": batch / median([bare for _, bare in everything]),
        "loop patches/s": batch / median([loop for loop, _ in everything]),
        "added %": median([100 * (loop / bare - 1) for loop, bare in everything]),
        "added %, range": spread(added),
        "pairs of blocks": len(everything),
        "rounds": len(rounds),
    }


if __name__ == "__main__":
    main()
