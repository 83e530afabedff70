"""The model of docs/scaling.md: constants measured here, predictions for 2 and 4 processes checked, and for GPUs.

    python benchmarks/scaling.py                 # five minutes on two idle cores
    python benchmarks/scaling.py --quick

Measured: seconds of a step of the main job at each share of the batch, with as many processes at once as there are
shares but none that talks to another; latency and bandwidth of gloo's all-reduce among as many processes; patches
per second of the main job on processes that do talk. Predicted: a step on N processes is the step of the share
beside its like, and the traffic of NT-Xent, batch normalisation and gradients. Then one process with all cores
against one process a core, round by round: processes that share a run over gloo, and processes that don't talk,
which is the limit for those that do. The table for GPUs takes --rate (patches per second of one GPU, measured with
benchmarks/training_loop.py) and links as their makers state them.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from job import make_scenes, rate, recipe, silent
from measure import SPEED, median, spread, write

from sslhsi.methods.registry import create_method, method_options
from sslhsi.pretrain import pretrain
from sslhsi.recipe import Recipe
from sslhsi.training.initialisation import initialise

Rows = list[dict[str, Any]]
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
    # Embeddings are gathered, their gradients summed; so are the statistics of a normalisation; gradients in buckets.
    calls = 2 + 2 * norms + max(1, gradient // (25 << 20))
    return volume / bandwidth + calls * latency * (ranks > 1)


def all_reduce(ranks: int) -> tuple[float, float]:
    """Bytes per second and seconds of latency of gloo's all-reduce over so many forked processes."""
    if ranks == 1:
        return float("inf"), 0.0
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
                for _ in range(200 if values == 16 else 12):
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


def on_processes(jobs: Sequence[Recipe], threads: int, talk: bool) -> float:
    """Patches per second, of the slowest, of main jobs in forked processes; they make one run where they talk."""
    port = str(20000 + time.time_ns() % 20000)
    children = []
    for rank, job in enumerate(jobs):
        child = os.fork()
        if child:
            children.append(child)
            continue
        code = 1
        try:
            torch.set_num_threads(threads)
            os.environ |= {"ACCELERATE_USE_CPU": "true", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
            if talk:
                os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank)}
                os.environ |= {"WORLD_SIZE": str(len(jobs)), "LOCAL_WORLD_SIZE": str(len(jobs))}
            with silent():
                pretrain(job)
            code = 0
        finally:
            os._exit(code)
    if any([os.waitpid(child, 0)[1] for child in children]):
        raise SystemExit(f"a run on {len(jobs)} processes failed")
    return min(rate(job.run_dir) for job in jobs)


def together(folder: Path, network: str, batch: int, steps: int, ranks: int, threads: int = 1) -> float:
    """Patches per second of one run on several processes."""
    return on_processes([new_job(folder, network, batch, steps)] * ranks, threads, talk=ranks > 1)


def side_by_side(folder: Path, network: str, share: int, steps: int, ranks: int) -> float:
    """Patches per second of each of several processes that train independently: they share cores and memory."""
    return on_processes([new_job(folder, network, share, steps) for _ in range(ranks)], 1, talk=False)


def new_job(folder: Path, network: str, batch: int, steps: int) -> Recipe:
    """A job with a run directory of its own."""
    job = recipe(folder, network, batch, steps, 2)
    return job.model_copy(update={"output": str(folder / f"run-{time.time_ns()}")})


def checked(folder: Path, network: str, batch: int, steps: int, counts: Sequence[int], rounds: int) -> Rows:
    """Predicted and measured patches per second on processes of this machine."""
    apart: dict[int, list[float]] = {ranks: [] for ranks in counts}
    joined: dict[int, list[float]] = {ranks: [] for ranks in counts}
    links: dict[int, list[tuple[float, float]]] = {ranks: [] for ranks in counts}
    for _ in range(rounds):
        for ranks in counts:
            apart[ranks].append(side_by_side(folder, network, batch // ranks, steps, ranks))
            joined[ranks].append(together(folder, network, batch, steps, ranks))
            links[ranks].append(all_reduce(ranks))
    rows = []
    for ranks in counts:
        bandwidth, latency = (median([link[part] for link in links[ranks]]) for part in (0, 1))
        spent = traffic(new_job(folder, network, batch, steps), ranks, bandwidth, latency)
        seconds = batch / ranks / median(apart[ranks]) + spent
        rows.append(
            {
                "on": f"gloo, this machine, {network}",
                "ranks": ranks,
                "threads": 1,
                "batch": batch,
                "predicted patches/s": batch / seconds,
                "measured patches/s": median(joined[ranks]),
                "range": spread(joined[ranks]),
                "off %": 100 * (batch / seconds / median(joined[ranks]) - 1),
                "traffic %": 100 * spent / seconds,
                "GB/s": bandwidth / 1e9 if ranks > 1 else "",
                "latency us": 1e6 * latency if ranks > 1 else "",
                "rounds": rounds,
            }
        )
    return rows


def against_threads(folder: Path, network: str, batch: int, steps: int, rounds: int) -> Rows:
    """One process with all cores, and one process a core, that talk and that don't: the same batch.

    What those that don't talk lose is the limit: each of them prepares, clips and updates all weights.
    """
    cores = os.cpu_count() or 1
    speeds: dict[str, list[float]] = {"one": [], "no exchange": [], "gloo": []}
    for _ in range(rounds):
        speeds["one"].append(together(folder, network, batch, steps, 1, threads=cores))
        speeds["no exchange"].append(cores * side_by_side(folder, network, batch // cores, steps, cores))
        speeds["gloo"].append(together(folder, network, batch, steps, cores))
    return [
        {
            "on": f"{name}, this machine, {network}",
            "ranks": 1 if name == "one" else cores,
            "threads": cores if name == "one" else 1,
            "batch": batch,
            "measured patches/s": median(measured),
            "range": spread(measured),
            "of one process": median(ratios := [m / one for m, one in zip(measured, speeds["one"], strict=True)]),
            "of one process, range": spread(ratios),
            "rounds": rounds,
        }
        for name, measured in speeds.items()
    ]


def on_gpus(folder: Path, network: str, rate: float, per_gpu: int) -> Rows:
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
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=SPEED)
    args = parser.parse_args()
    steps, rounds = (2, 1) if args.quick else (30, args.rounds)
    # A process that has started OpenMP's threads can't be forked into one that uses them.
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_scenes(folder, 2, 80)
        rows = checked(folder, "pixelnet", args.batch, steps, (1, 2, 4), rounds)
        if not args.quick:
            for batch, number in ((64, 6), (256, 3)):
                rows += against_threads(folder, "resnet10t", batch, number, rounds)
        rows += on_gpus(folder, args.network, args.rate, args.per_gpu)
    write("scaling", "How training scales", " ".join((__doc__ or "").split("\n\n")[2].split()), rows, args.out)


if __name__ == "__main__":
    main()
