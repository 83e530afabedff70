"""Speed of every backbone against the plain float32 network, and against the machine's own matrix product.

    python benchmarks/backbones.py                        # CPU or GPU, whichever there is; some minutes
    python benchmarks/backbones.py --quick                # seconds, only to see that it works
    python benchmarks/backbones.py --networks hybridsn ainet --all-settings
    python benchmarks/backbones.py --compile all          # with torch.compile, minutes more; on a GPU, too
    python benchmarks/backbones.py --clock process --threads 1     # on a CPU that others use too

Plain means float32, eager, torch's layers (``torch.nn.Conv3d``). The other settings use the network as this package
builds it, with the equal rewrites of `sslhsi/backbones/conv3d.py` and `conv2d.py`; "default: yes" is what
`fastest_safe_setting` picks here. A training step is forward, backward and an SGD step. All settings of a network
and a large matrix product run in turn, round after round: median and range of the rounds, ratios round by round.
GFLOP/s count the operations that the network's plain definition asks for, padding included, whatever the setting
computes, and stand beside what the product reached in the same rounds (of bfloat16, where the hardware multiplies
it, for settings in bfloat16).

By default the settings are the plain and the picked one; ``--all-settings`` adds the rewrites in the plain layout,
channels-last and bfloat16 (where it is emulated, on small networks alone). A network that torch.compile can't
compile here, for want of a C++ compiler, say, has no row for it; the reason stands above the table. ``--clock
process`` counts the seconds that this process computed instead of those that passed. Writes
results/backbones/DEVICE.csv and .md.
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).parent))
from measure import compared, machine, median, write

from sslhsi.backbones.conv2d import Conv2d
from sslhsi.backbones.conv3d import Conv3d
from sslhsi.backbones.fast import cpu_has_bf16, fastest_safe_setting, set_memory_format
from sslhsi.backbones.registry import create_backbone

# network: bands, window, batch on a CPU, batch on a GPU
CASES = {
    "hybridsn": (30, 25, 8, 256),
    "ainet": (200, 27, 2, 64),
    "hresnet": (103, 9, 64, 1024),
    "ccnn": (103, 5, 64, 1024),
    "ssrn": (200, 7, 16, 256),
    "cnn1d": (103, 1, 256, 4096),
    "cnn2d": (1, 27, 64, 1024),
    "cnn3d": (103, 27, 1, 32),
    "pixelnet": (30, 15, 64, 1024),
    "timm/resnet18": (30, 32, 4, 256),
}
# A second input of a network.
SMALL = {"ainet": (48, 7, 32, 1024)}
PLAIN = "float32, plain"
EMULATED_LIMIT = 1e9  # multiply-adds per step above which emulated bfloat16 would take minutes
SETTINGS = {
    PLAIN: ("contiguous", None, False),
    "float32, rewritten": ("contiguous", None, False),
    "float32, channels-last": ("channels_last", None, False),
    "bfloat16": ("contiguous", torch.bfloat16, False),
    "bfloat16, channels-last": ("channels_last", torch.bfloat16, False),
    "float32, compiled": ("contiguous", None, True),
}
PRODUCT = {None: "product, float32", torch.bfloat16: "product, bfloat16"}


class PlainBatchNorm3d(nn.BatchNorm3d):
    """torch's, but another class: what is pooled before normalisation is so behind torch's own class alone."""


def plain(network: nn.Module) -> nn.Module:
    """The network with torch's convolutions in place of the rewritten ones, and every layer as it is written."""
    for layer in network.modules():
        if isinstance(layer, Conv3d):
            layer.__class__ = nn.Conv3d  # type: ignore[assignment]
        elif isinstance(layer, Conv2d):
            layer.__class__ = nn.Conv2d  # type: ignore[assignment]
        elif type(layer) is nn.BatchNorm3d:
            layer.__class__ = PlainBatchNorm3d
    return network


def multiply_adds(network: nn.Module, x: torch.Tensor, train: bool = False) -> int:
    """Multiply-adds of one window's forward pass, or of its forward and backward pass."""
    counter = FlopCounterMode(display=False)
    x = x[:2]
    with torch.set_grad_enabled(train), counter:
        y = network.train(train)(x)
        if train:
            y.square().mean().backward()
    return counter.get_total_flops() // 2 // len(x)


def steps(network: nn.Module, x: torch.Tensor, dtype: torch.dtype | None, compiled: bool) -> dict[str, Callable]:
    """What is timed: a forward pass in eval mode, and a training step."""
    run = torch.compile(network) if compiled else network
    optimiser = torch.optim.SGD(network.parameters(), lr=1e-4)
    mixed = torch.autocast(x.device.type, dtype or torch.bfloat16, enabled=dtype is not None)

    def forward() -> None:
        network.eval()
        with torch.no_grad(), mixed:
            run(x)

    def train() -> None:
        network.train()
        with mixed:
            y = run(x)
        y.float().square().mean().backward()
        optimiser.step()
        optimiser.zero_grad()

    return {"forward": forward, "train": train}


def seconds(step: Callable, device: torch.device, clock: Callable[[], float]) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    start = clock()
    step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return clock() - start


def product(side: int, device: torch.device, dtype: torch.dtype | None) -> Callable[[], Any]:
    a, b = (torch.randn(side, side, device=device, dtype=dtype or torch.float32) for _ in range(2))
    out = torch.empty_like(a)
    return lambda: torch.mm(a, b, out=out)


def in_turns(
    timed: dict[str, Callable[[], object]],
    device: torch.device,
    rounds: int,
    limit: float,
    clock: Callable[[], float],
) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Seconds a step of every setting, round by round, and why a setting could not be compiled.

    A round takes as many steps as fit into its part of ``limit`` seconds, at least one.
    """
    counts: dict[str, int] = {}
    failures: dict[str, str] = {}

    def several(step: Callable[[], object], count: int) -> None:
        for _ in range(count):
            step()

    for setting, step in timed.items():
        try:
            step()
        except Exception as error:
            if setting not in SETTINGS or not SETTINGS[setting][2]:
                raise
            # A compiler fails in many ways, each with another error.
            failures[setting] = f"not compiled here: {str(error).strip().splitlines()[0][:120]}"
            continue
        counts[setting] = max(1, int(limit / rounds / seconds(step, device, clock)))
    times: dict[str, list[float]] = {setting: [] for setting in counts}
    for _ in range(rounds):
        for setting, count in counts.items():
            times[setting].append(seconds(partial(several, timed[setting], count), device, clock) / count)
    return times, failures


def picked(network: nn.Module, device: torch.device) -> tuple[str, torch.dtype | None, bool]:
    safe = fastest_safe_setting(network, device)
    return safe["memory_format"], safe["autocast_dtype"], False


def settings(original: nn.Module, device: torch.device, every: bool, compiled: bool, emulated_too: bool) -> list[str]:
    """What to time: the plain network and the picked setting, or ``every`` one; ``compiled`` comes on top."""
    rewritten = device.type == "cpu" and any(isinstance(layer, Conv3d) for layer in original.modules())
    names = []
    for setting, (_, dtype, compile_) in SETTINGS.items():
        if setting == "float32, rewritten" and not rewritten:
            continue
        if dtype and device.type == "cpu" and not cpu_has_bf16() and not emulated_too:
            continue
        if compiled if compile_ else every or setting == PLAIN or SETTINGS[setting] == picked(original, device):
            names.append(setting)
    return names


def measure(
    name: str, case: tuple[int, int, int, int], device: torch.device, args: argparse.Namespace
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Settings of one network on one input, as rows of the table.

    Returns:
        The rows, and what has none: setting -> why.
    """
    bands, window, cpu_batch, gpu_batch = case
    batch = 2 if args.quick else gpu_batch if device.type == "cuda" else cpu_batch
    torch.manual_seed(0)
    original = create_backbone(name, bands, window).to(device)
    x = torch.randn(batch, bands, window, window, device=device)
    macs = {mode: multiply_adds(plain(copy.deepcopy(original)), x, mode == "train") for mode in ("forward", "train")}
    compiled = "all" in args.compile or name in args.compile
    names = settings(original, device, args.all_settings, compiled, macs["forward"] * batch < EMULATED_LIMIT)
    timed = {}
    for setting in names:
        layout, dtype, compile_ = SETTINGS[setting]
        network = copy.deepcopy(original)
        network = plain(network) if setting == PLAIN else network
        timed[setting] = steps(set_memory_format(network, layout), x, dtype, compile_)
    products: set[torch.dtype | None] = {None}
    if device.type == "cuda" or cpu_has_bf16():
        products |= {SETTINGS[setting][1] for setting in names}
    side = 256 if args.quick else 8192 if device.type == "cuda" else 2048
    peaks = {PRODUCT[dtype]: product(side, device, dtype) for dtype in products}

    clock = time.process_time if args.clock == "process" and device.type == "cpu" else time.perf_counter
    default = [setting for setting in names if SETTINGS[setting] == picked(original, device)][-1:]
    rows: list[dict[str, Any]] = []
    skipped: dict[str, str] = {}
    for mode in ("forward", "train"):
        runs = {setting: of[mode] for setting, of in timed.items() if setting not in skipped} | peaks
        times, failures = in_turns(runs, device, args.rounds, args.limit, clock)
        skipped |= failures
        for setting in (setting for setting in times if setting in SETTINGS):
            dtype = SETTINGS[setting][1]
            peak = 2e-9 * side**3 / median(times[PRODUCT[dtype] if dtype in products else PRODUCT[None]])
            row = {"network": name, "bands": bands, "window": window, "batch": batch}
            row |= {"parameters": sum(p.numel() for p in original.parameters()), "MMAC": macs[mode] / 1e6}
            row |= {"mode": mode, "setting": setting} | compared(times[setting], times[PLAIN])
            row |= {"samples/s": batch / row["seconds"], "GFLOP/s": 2e-9 * macs[mode] * batch / row["seconds"]}
            row |= {"product's GFLOP/s": peak, "% of the product": 100 * row["GFLOP/s"] / peak}
            rows.append(row | {"default": "yes" if setting in default else ""})
    # A network that compiles in one mode alone has no row for the other, nor for this one.
    return [row for row in rows if row["setting"] not in skipped], skipped


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=CASES, default=list(CASES), metavar="NAME")
    parser.add_argument("--all-settings", action="store_true", help="not the plain and the picked one alone")
    parser.add_argument("--compile", nargs="*", default=[], metavar="NAME", help="networks to compile; all")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, help="CPU threads; torch's choice when left out")
    parser.add_argument("--rounds", type=int, default=5, help="the median counts")
    parser.add_argument("--limit", type=float, default=2.0, help="seconds per setting and mode, about")
    parser.add_argument("--clock", choices=["wall", "process"], default="wall")
    parser.add_argument("--quick", action="store_true", help="two small networks, two windows, two rounds")
    parser.add_argument("--out", type=Path, default=Path("results/backbones"))
    args = parser.parse_args(arguments)
    if args.threads:
        torch.set_num_threads(args.threads)
    if args.quick:
        args.networks, args.rounds, args.limit = ["hresnet", "ssrn"], 2, 0.0
    device = torch.device(args.device)
    rows: list[dict[str, Any]] = []
    left_out: list[str] = []
    print(machine(device), flush=True)
    for name in args.networks:
        for case in filter(None, (CASES[name], SMALL.get(name))):
            new, skipped = measure(name, case, device, args)
            for row in new:
                print(
                    f"{name:14s} {row['mode']:8s} {row['setting']:24s} {row['samples/s']:>12,.1f}/s "
                    f"x{row['times faster']:.2f} {row['% of the product']:.0f} % {row['default'] and '<- default'}",
                    flush=True,
                )
            left_out += [f"- {name}, {setting}: {why}" for setting, why in skipped.items()]
            rows += new
    text = " ".join((__doc__ or "").split("\n\n")[2].split())
    text = "\n\n".join(filter(None, [text, "\n".join(left_out)]))
    write(device.type, "Speed of the backbones", text, rows, args.out)


if __name__ == "__main__":
    main()
