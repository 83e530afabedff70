"""The model of docs/scaling.md: constants measured here, predictions for 2 and 4 processes checked, and for GPUs.

    python benchmarks/scaling.py                 # five minutes on two idle cores
    python benchmarks/scaling.py --quick

Measured: seconds of a step at each share of the batch, with as many processes at once as there are shares but none
that talks to another; latency and bandwidth of an all-reduce over gloo; patches per second of the main job on 1, 2
and 4 processes. Predicted: a step on N processes is the step of the share beside its like, and the traffic of
NT-Xent, batch normalisation and gradients. The table for GPUs takes --rate (patches per second of one GPU, measured
with benchmarks/training_loop.py) and links as their makers state them.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from growth import on_ranks
from job import make_scenes, recipe
from measure import SPEED, median, write
from training_loop import bare

from sslhsi.methods.registry import create_method, method_options
from sslhsi.recipe import Recipe
from sslhsi.training.initialisation import initialise

# Bytes per second and seconds of latency of one collective step: NVLink within a node, 400 Gb/s InfiniBand or
# 8 x 400 Gb/s between nodes. Makers' figures, at the 70 % that all-reduce tests usually reach.
LINKS = {"node": (0.7 * 450e9, 10e-6), "one link": (0.7 * 50e9, 20e-6), "eight links": (0.7 * 400e9, 20e-6)}


def sizes(job: Recipe) -> tuple[int, int]:
    """Gradient bytes, and numbers of batch normalisations."""
    backbone = initialise(job, None, torch.device("cpu")).backbone
    model = create_method(job.method.name, backbone, job.method.options)
    norms = sum(isinstance(m, torch.nn.modules.batchnorm._BatchNorm) for m in model.modules())
    return sum(4 * p.numel() for p in model.parameters()), norms


def dimensions(job: Recipe) -> int:
    """D, of the embeddings that the loss compares."""
    return method_options(job.method.name, job.method.options).output


def traffic(job: Recipe, ranks: int, bandwidth: float, latency: float) -> float:
    """Seconds that a step spends on collectives: gradients, embeddings there and back, batch statistics."""
    gradient, norms = sizes(job)
    share = 2 * (ranks - 1) / ranks  # of a ring all-reduce; a gather moves half
    embeddings = 4 * 2 * job.training.batch_size * dimensions(job)
    volume = share * gradient + share / 2 * embeddings + share * embeddings
    # Two views are gathered and reduced; two sums a normalisation, forward and backward; gradients in buckets.
    calls = 4 + 4 * norms + max(1, gradient // (25 << 20))
    return volume / bandwidth + calls * latency * (ranks > 1)


def all_reduce(ranks: int) -> tuple[float, float]:
    """Bytes per second and seconds of latency of gloo's all-reduce over so many forked processes."""
    with tempfile.TemporaryDirectory() as folder:
        children = []
        for rank in range(ranks):
            child = os.fork()
            if child:
                children.append(child)
                continue
            torch.set_num_threads(1)
            dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=ranks)
            seconds = []
            for values in (16, 4 << 20):
                x = torch.ones(values)
                times = []
                for _ in range(12):
                    start = time.perf_counter()
                    dist.all_reduce(x)
                    times.append(time.perf_counter() - start)
                seconds.append(median(times[2:]))
            if rank == 0:
                moved = 2 * (ranks - 1) / ranks * 4 * (4 << 20)
                Path(folder, "network").write_text(f"{moved / seconds[1]} {seconds[0]}")
            os._exit(0)
        for child in children:
            os.waitpid(child, 0)
        bandwidth, latency = map(float, Path(folder, "network").read_text().split())
    return bandwidth, latency


def side_by_side(job: Recipe, ranks: int, steps: int) -> float:
    """Patches per second of each of several processes that train independently: they share cores and memory."""
    with tempfile.TemporaryDirectory() as folder:
        children = []
        for rank in range(ranks):
            child = os.fork()
            if not child:
                Path(folder, str(rank)).write_text(str(bare(job, torch.device("cpu"), steps)))
                os._exit(0)
            children.append(child)
        for child in children:
            os.waitpid(child, 0)
        # All wait for the slowest.
        return min(float(Path(folder, str(rank)).read_text()) for rank in range(ranks))


def checked(folder: Path, network: str, batch: int, steps: int, rounds: int) -> list[dict[str, Any]]:
    """Predicted and measured patches per second on processes of this machine."""
    torch.set_num_threads(1)
    step = {}
    for ranks in (1, 2, 4):
        share = batch // ranks
        job = recipe(folder, network, share, steps, 2)
        step[ranks] = share / median([side_by_side(job, ranks, steps) for _ in range(rounds)])
    job = recipe(folder, network, batch, steps, 2)
    measured = {ranks: median([on_ranks(folder, ranks, steps) for _ in range(rounds)]) for ranks in (1, 2, 4)}
    # What data, views and loss add to a bare step, as one process shows it.
    added = batch / measured[1] / step[1]
    rows = []
    for ranks in (1, 2, 4):
        bandwidth, latency = all_reduce(ranks) if ranks > 1 else (1.0, 0.0)
        spent = traffic(job, ranks, bandwidth, latency)
        seconds = added * step[ranks] + spent
        rows.append(
            {
                "on": "gloo, this machine",
                "ranks": ranks,
                "batch": batch,
                "predicted patches/s": batch / seconds,
                "measured patches/s": measured[ranks],
                "off %": 100 * (batch / seconds / measured[ranks] - 1),
                "traffic %": 100 * spent / seconds,
                "GB/s": bandwidth / 1e9 if ranks > 1 else "",
                "latency us": 1e6 * latency if ranks > 1 else "",
            }
        )
    return rows


def on_gpus(folder: Path, network: str, rate: float, per_gpu: int) -> list[dict[str, Any]]:
    """Predicted patches per second on 8 to 512 GPUs at a fixed batch per GPU."""
    rows = []
    for links in ("one link", "eight links"):
        for ranks in (8, 16, 64, 128, 256, 512) if links == "one link" else (16, 64, 128, 256, 512):
            job = recipe(folder, network, per_gpu * ranks, 1, 2)
            spent = traffic(job, ranks, *LINKS["node" if ranks <= 8 else links])
            # Similarities with all others: 2 (views) x 3 (forward, again, backward twice over two) x 2 x n x N x D.
            loss = 6 * 2 * (2 * per_gpu) * (2 * per_gpu * ranks) * dimensions(job) / 20e12
            seconds = per_gpu / rate + spent + loss
            rows.append(
                {
                    "on": "GPUs, one node" if ranks <= 8 else f"GPUs, {links} a node",
                    "ranks": ranks,
                    "batch": per_gpu * ranks,
                    "predicted patches/s": per_gpu * ranks / seconds,
                    "efficiency %": 100 * per_gpu / rate / seconds,
                    "traffic %": 100 * spent / seconds,
                    "loss %": 100 * loss / seconds,
                }
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="resnet18")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=5000.0, help="patches per second of one GPU")
    parser.add_argument("--per-gpu", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=SPEED)
    args = parser.parse_args()
    steps, rounds = (2, 1) if args.quick else (20, args.rounds)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_scenes(folder, 2, 80)
        rows = checked(folder, "pixelnet", args.batch, steps, rounds)
        rows += on_gpus(folder, args.network, args.rate, args.per_gpu)
    write("scaling", "How training scales", " ".join((__doc__ or "").split("\n\n")[2].split()), rows, args.out)


if __name__ == "__main__":
    main()
