"""A large batch in the memory of a small one: gradient caching against the direct pass.

    python benchmarks/micro_batch.py                    # batches to 4,096 patches, PixelNet on a CPU
    python benchmarks/micro_batch.py --network hybridsn --batches 64 256 --micro 32
    python benchmarks/micro_batch.py --quick

One forward and backward pass of backbone, head and NT-Xent. Memory is a process's private memory beyond the views and
the network; on a GPU, the peak that PyTorch allocated. The direct pass is left out where it would take more than
--limit-gb. Gradients differ by rounding: the largest difference is given relative to the largest gradient.
"""

from __future__ import annotations

import argparse
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from job import NETWORKS
from measure import SPEED, alone, median, spread, write

from sslhsi.backbones.registry import create_backbone
from sslhsi.methods.base import Batch
from sslhsi.methods.registry import create_method
from sslhsi.training.grad_cache import cached_backward


def passed(network: str, batch: int, micro: int, device: torch.device) -> tuple[float, int, torch.Tensor]:
    """Seconds, extra bytes and gradient of the first layer, of one pass."""
    window, channels, options = NETWORKS[network]
    torch.manual_seed(0)
    # A process that has started OpenMP's threads can't be forked into one that uses them.
    threads = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(1)
    model = create_method("simclr", create_backbone(network, channels, window, **options)).to(device).train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0  # what is dropped depends on the parts
    views = torch.randn(2 * batch, channels, window, window, device=device).chunk(2)

    def run() -> torch.Tensor:
        torch.set_num_threads(threads)
        if micro:
            cached_backward(model, views, micro, 0, nullcontext)
        else:
            model(Batch(views, 0, 1, 0, batch, 0))[0].backward()
        return next(p.grad for p in model.parameters() if p.grad is not None).cpu()

    if device.type == "cpu":
        seconds, extra, gradient = alone(lambda: run().numpy())
        torch.set_num_threads(threads)
        return seconds, extra, torch.from_numpy(gradient)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before, start = torch.cuda.memory_allocated(), time.perf_counter()
    gradient = run()
    return time.perf_counter() - start, torch.cuda.max_memory_allocated() - before, gradient


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=["pixelnet", "hybridsn"], default="pixelnet", metavar="NAME")
    parser.add_argument("--batches", type=int, nargs="+", default=[128, 256, 512, 1024, 4096])
    parser.add_argument("--micro", type=int, default=256)
    parser.add_argument("--limit-gb", type=float, default=8.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=SPEED)
    args = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    batches, micro, rounds = ([8, 16], 8, 1) if args.quick else (args.batches, args.micro, args.rounds)
    rows: list[dict[str, Any]] = []
    each = 0.0
    for batch in batches:
        passes: dict[str, list[tuple[float, int, torch.Tensor]]] = {"direct": [], "cached": []}
        for _ in range(rounds):
            for name, part in (("direct", 0), ("cached", micro)):
                if name == "cached" or each * batch < args.limit_gb * 1e9:
                    passes[name].append(passed(args.network, batch, part, device))
        for name, runs in passes.items():
            if not runs:
                continue
            extra = max(r[1] for r in runs)
            if name == "direct":
                each = extra / batch
            apart = (passes["cached"][0][2] - runs[0][2]).abs().max() / runs[0][2].abs().max()
            rows.append(
                {
                    "network": args.network,
                    "batch": batch,
                    "pass": name,
                    "views at a time": micro if name == "cached" else 2 * batch,
                    "seconds": median([r[0] for r in runs]),
                    "seconds, range": spread([r[0] for r in runs]),
                    "extra memory MB": extra / 1e6,
                    "gradients apart from cached": float(apart) if passes["direct"] else "",
                    "rounds": rounds,
                }
            )
            print(rows[-1], flush=True)
    text = " ".join((__doc__ or "").split("\n\n")[2].split())
    write(f"micro_batch_{device.type}", "Batches beyond memory", text, rows, args.out)


if __name__ == "__main__":
    main()
