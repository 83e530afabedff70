"""What data, views and loss cost: the real training loop against its bare step.

    python benchmarks/training_loop.py                      # HybridSN, two ResNets, PixelNet
    python benchmarks/training_loop.py --networks hybridsn --batch 32
    python benchmarks/training_loop.py --quick

Bare: forward, backward and optimiser step of the same network and head, in the same precision and layout, on a
resident random batch of as many views, with a mean of squares for a loss. Loop: the main job itself. Both run
in turn; the medians count. On a CPU, where runs minutes apart differ by more than what is asked, also within the same
steps: what the loop spends outside the network's forward, the backward pass, clipping and the optimiser's step,
as a share of those.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer
from job import NETWORKS, make_scenes, recipe, run
from measure import SPEED, median, write

from sslhsi.methods.base import Batch
from sslhsi.methods.registry import create_method
from sslhsi.methods.simclr import SimCLR
from sslhsi.recipe import Recipe
from sslhsi.training.initialisation import initialise
from sslhsi.training.optimiser import create_optimiser


def bare(recipe: Recipe, device: torch.device, steps: int) -> float:
    """Patches per second of forward, backward and step alone, over the second half."""
    training, patches = recipe.training, recipe.corpus.patches
    start = initialise(recipe, None, device)
    model = create_method(recipe.method.name, start.backbone, recipe.method.options).to(device).train()
    optimiser = create_optimiser(model, training)
    mixed = start.record["setting"]["precision"] == "bf16"
    channels = recipe.corpus.bands.components or recipe.corpus.bands.grid
    size = training.batch_size
    views = torch.randn(2 * size, channels, patches.window, patches.window, device=device).chunk(2)

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=mixed):
            loss, _ = model(Batch(views, 0, steps, 0, size, 0))
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), training.clip)
        optimiser.step()

    for _ in range(steps):
        step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    clock = time.perf_counter()
    for _ in range(steps):
        step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return steps * training.batch_size / (time.perf_counter() - clock)


def within(recipe: Recipe) -> float:
    """Percent that a run's steps spend outside what the bare step does, over the second half; for CPUs."""
    inside: list[float] = []
    parts = [(SimCLR, "forward"), (AcceleratedOptimizer, "step"), (AcceleratedOptimizer, "zero_grad")]
    parts += [(Accelerator, "backward"), (Accelerator, "clip_grad_norm_")]

    def timed(original: Callable) -> Callable:
        def call(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            try:
                return original(*args, **kwargs)
            finally:
                inside.append(time.perf_counter() - start)

        return call

    with ExitStack() as stack:
        for owner, name in parts:
            stack.enter_context(patch.object(owner, name, timed(getattr(owner, name))))
        speed = run(recipe)
    steps, batch = recipe.training.steps or 0, recipe.training.batch_size
    # The last pass through the network belongs to the report.
    each = len(parts) * steps
    bare_seconds = sum(inside[each // 2 : each]) / (steps - steps // 2)
    return 100 * (batch / speed / bare_seconds - 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, metavar="NAME",
                        default=["hybridsn", "resnet10t", "resnet18", "pixelnet"])  # fmt: skip
    parser.add_argument("--batch", type=int, help="patches; 16 on a CPU, 256 on a GPU when left out")
    parser.add_argument("--steps", type=int, default=20, help="timed, after as many that aren't")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=SPEED)
    args = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    batch = args.batch or (256 if device.type == "cuda" else 16)
    names, rounds, steps = (["pixelnet"], 1, 3) if args.quick else (args.networks, args.rounds, args.steps)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_scenes(folder)
        for network in names:
            speeds: dict[str, list[float]] = {"bare": [], "loop": []}
            for _ in range(rounds):
                job = recipe(folder, network, batch, steps)
                speeds["bare"].append(bare(job, device, steps))
                speeds["loop"].append(run(job))
            speed = {key: median(values) for key, values in speeds.items()}
            shares = [
                within(recipe(folder, network, batch, steps)) for _ in range(rounds if device.type == "cpu" else 0)
            ]
            rows.append(
                {
                    "network": network,
                    "batch": batch,
                    "bare patches/s": speed["bare"],
                    "loop patches/s": speed["loop"],
                    "added %": 100 * (speed["bare"] / speed["loop"] - 1),
                    "added % within the same steps": median(shares) if shares else "",
                    "rounds": rounds,
                }
            )
            print(rows[-1], flush=True)
    text = " ".join((__doc__ or "").split("\n\n")[2].split())
    write(f"training_loop_{device.type}", "The training loop against its bare step", text, rows, args.out)


if __name__ == "__main__":
    main()
