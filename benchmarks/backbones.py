"""Speed of every backbone, each setting against the plain float32 network of the same run.

    python benchmarks/backbones.py                        # CPU or GPU, whichever there is
    python benchmarks/backbones.py --quick                # seconds, only to see that it works
    python benchmarks/backbones.py --compile all          # with torch.compile, minutes more; on a GPU, too
    python benchmarks/backbones.py --networks hybridsn ainet --compile hybridsn
    python benchmarks/backbones.py --clock process --threads 1     # on a CPU that others use too

Plain means float32, eager, torch's layers (``torch.nn.Conv3d``). The other settings use the
network as this package builds it: with the equal rewrites of `sslhsi/backbones/conv3d.py`
("rewritten"), then channels-last, bfloat16 by autocast, both, and torch.compile. All settings of a
network run in turn, round after round, and the median of the rounds counts; emulated bfloat16 is
timed once, and not at all on large networks. A training step is forward, backward and an SGD step.
A network that torch.compile can't compile here, for want of a C++ compiler, say, has no row for it; the
reason stands below the table.
``--clock process`` counts the seconds that this process computed instead of those that passed.
Writes results/backbones/DEVICE.csv and .md.
"""

from __future__ import annotations

import argparse
import copy
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from sslhsi.backbones.conv3d import Conv3d
from sslhsi.backbones.fast import cpu_has_bf16, fastest_safe_setting, set_memory_format
from sslhsi.backbones.registry import create_backbone
from sslhsi.files import write_atomic, write_rows

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
COLUMNS = [
    "device",
    "network",
    "bands",
    "window",
    "batch",
    "parameters",
    "multiply_adds",
    "setting",
    "mode",
    "samples_per_second",
    "ratio",
    "rounds",
    "default",
]


class PlainBatchNorm3d(nn.BatchNorm3d):
    """torch's, but another class: what is pooled before normalisation is so behind torch's own class alone."""


def plain(network: nn.Module) -> nn.Module:
    """The network with torch's 3D convolutions in place of the rewritten ones, and every layer as it is written."""
    for layer in network.modules():
        if isinstance(layer, Conv3d):
            layer.__class__ = nn.Conv3d  # type: ignore[assignment]
        elif type(layer) is nn.BatchNorm3d:
            layer.__class__ = PlainBatchNorm3d
    return network


def multiply_adds(network: nn.Module, x: torch.Tensor) -> int:
    """Multiply-adds of one window's forward pass."""
    counter = FlopCounterMode(display=False)
    network.eval()
    with torch.no_grad(), counter:
        network(x[:1])
    return counter.get_total_flops() // 2


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


def in_turns(
    timed: dict[str, Callable[[], object]],
    device: torch.device,
    rounds: int,
    budget: float,
    emulated: bool,
    clock: Callable[[], float],
) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Seconds of every setting, round by round, and why a setting could not be compiled.

    The first run of a setting warms up; it is the only one where bfloat16 is emulated.
    """
    times: dict[str, list[float]] = {}
    failures: dict[str, str] = {}
    for setting, step in timed.items():
        try:
            first = seconds(step, device, clock)
        except Exception as error:
            if not SETTINGS[setting][2]:
                raise
            # A compiler fails in many ways, each with another error.
            failures[setting] = f"not compiled here: {str(error).strip().splitlines()[0][:120]}"
            continue
        times[setting] = [first] if SETTINGS[setting][1] and emulated else []
    repeated = [setting for setting, measured in times.items() if not measured]
    start = clock()
    for _ in range(rounds):
        for setting in repeated:
            times[setting].append(seconds(timed[setting], device, clock))
        if clock() - start > budget:
            break
    return times, failures


def measure(
    name: str,
    device: torch.device,
    compiled: bool,
    rounds: int,
    budget: float,
    quick: bool,
    clock: Callable[[], float],
) -> tuple[list[dict], dict[str, str]]:
    """All settings of one network, as rows of the table; stops after ``budget`` seconds per mode.

    Returns:
        The rows, and what has none: setting -> why.
    """
    bands, window, cpu_batch, gpu_batch = CASES[name]
    batch = 2 if quick else gpu_batch if device.type == "cuda" else cpu_batch
    torch.manual_seed(0)
    original = create_backbone(name, bands, window).to(device)
    skipped: dict[str, str] = {}
    x = torch.randn(batch, bands, window, window, device=device)
    safe = fastest_safe_setting(original, device)
    rewritten = device.type == "cpu" and any(isinstance(layer, Conv3d) for layer in original.modules())
    macs = multiply_adds(copy.deepcopy(original), x)
    emulated = device.type == "cpu" and not cpu_has_bf16()
    timed = {}
    for setting, (layout, dtype, compile_) in SETTINGS.items():
        if (compile_ and not compiled) or (setting == "float32, rewritten" and not rewritten):
            continue
        if dtype and emulated and macs * batch > EMULATED_LIMIT:
            continue
        network = copy.deepcopy(original)
        network = plain(network) if setting == PLAIN else network
        timed[setting] = steps(set_memory_format(network, layout), x, dtype, compile_)

    common = {
        "device": device.type,
        "network": name,
        "bands": bands,
        "window": window,
        "batch": batch,
        "parameters": sum(p.numel() for p in original.parameters()),
        "multiply_adds": macs,
    }
    rows = []
    for mode in ("forward", "train"):
        times, failures = in_turns(
            {setting: of[mode] for setting, of in timed.items()}, device, rounds, budget, emulated, clock
        )
        skipped |= failures
        timed = {setting: of for setting, of in timed.items() if setting not in failures}
        reference = statistics.median(times[PLAIN])
        for setting, measured in times.items():
            layout, dtype, compile_ = SETTINGS[setting]
            chosen = (layout, dtype) == (safe["memory_format"], safe["autocast_dtype"]) and not compile_
            median = statistics.median(measured)
            rows.append(
                common
                | {
                    "setting": setting,
                    "mode": mode,
                    "samples_per_second": round(batch / median, 2),
                    "ratio": round(reference / median, 2),
                    "rounds": len(measured),
                    "default": "yes" if chosen and not (rewritten and setting == PLAIN) else "",
                }
            )
    # A network that compiles in one mode alone has no row for the other, nor for this one.
    return [row for row in rows if row["setting"] not in skipped], skipped


def machine(device: torch.device) -> str:
    """One line that names the hardware and the versions."""
    model, flags = platform.processor() or platform.machine(), ""
    if Path("/proc/cpuinfo").exists():
        text = Path("/proc/cpuinfo").read_text()
        lines = dict(line.split(":", 1) for line in text.split("\n\n")[0].splitlines() if ":" in line)
        lines = {key.strip(): value.strip() for key, value in lines.items()}
        model = lines.get("model name", model)
        model += f" (family {lines.get('cpu family')}, model {lines.get('model')})"
        present = lines.get("flags", "").split()
        wanted = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
        flags = ", ".join(f"{flag} {'yes' if flag in present else 'no'}" for flag in wanted)
    parts = [model, flags, f"{torch.get_num_threads()} threads of {os.cpu_count()} cores"]
    if device.type == "cuda":
        parts.append(torch.cuda.get_device_name(device))
    return "; ".join([*filter(None, parts), f"torch {torch.__version__}"])


def write(rows: list[dict], skipped: list[str], folder: Path, device: torch.device, clock: str) -> None:
    """Write the CSV and the page, each at once."""
    write_rows(folder / f"{device.type}.csv", rows, COLUMNS)

    lines = [
        "# Speed of the backbones",
        "",
        "Written by `benchmarks/backbones.py`. Ratios are against plain float32 eager in the same run (higher "
        "is faster); bold is what `fastest_safe_setting` picks here. MMAC: million multiply-adds per window.",
        "",
        f"Machine: {machine(device)}; {clock} clock.",
        "",
        "| network | input | batch | parameters | MMAC | setting | forward/s | ratio | train/s | ratio |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    trained = {(row["network"], row["setting"]): row for row in rows if row["mode"] == "train"}
    for row in (row for row in rows if row["mode"] == "forward"):
        train = trained[row["network"], row["setting"]]
        mark = "**" if row["default"] else ""
        lines.append(
            f"| {row['network']} | {row['bands']} x {row['window']}² | {row['batch']} | {row['parameters']:,} "
            f"| {row['multiply_adds'] / 1e6:,.1f} | {mark}{row['setting']}{mark} "
            f"| {row['samples_per_second']:,.1f} | {row['ratio']:.2f} "
            f"| {train['samples_per_second']:,.1f} | {mark}{train['ratio']:.2f}{mark} |"
        )
    if skipped:
        lines += ["", *(f"- {line}" for line in skipped)]
    write_atomic(folder / f"{device.type}.md", "\n".join(lines) + "\n")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=CASES, default=list(CASES), metavar="NAME")
    parser.add_argument("--compile", nargs="*", default=[], metavar="NAME", help="networks to compile; all")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, help="CPU threads; torch's choice when left out")
    parser.add_argument("--rounds", type=int, default=15, help="at most this many; the median counts")
    parser.add_argument("--budget", type=float, default=6.0, help="seconds per network and mode, about")
    parser.add_argument("--clock", choices=["wall", "process"], default="wall")
    parser.add_argument("--quick", action="store_true", help="two small networks, two windows, one round")
    parser.add_argument("--out", type=Path, default=Path("results/backbones"))
    args = parser.parse_args(arguments)
    if args.threads:
        torch.set_num_threads(args.threads)
    names, rounds = (["hresnet", "ssrn"], 1) if args.quick else (args.networks, args.rounds)
    device = torch.device(args.device)
    clock = time.process_time if args.clock == "process" and device.type == "cpu" else time.perf_counter
    rows: list[dict] = []
    left_out: list[str] = []
    print(machine(device), flush=True)
    for name in names:
        compiled = "all" in args.compile or name in args.compile
        new, skipped = measure(name, device, compiled, rounds, args.budget, args.quick, clock)
        for row in new:
            print(
                f"{name:14s} {row['mode']:8s} {row['setting']:24s} {row['samples_per_second']:>12,.1f}/s "
                f"x{row['ratio']:.2f} ({row['rounds']}) {'<- default' if row['default'] else ''}",
                flush=True,
            )
        for setting, why in skipped.items():
            left_out.append(f"{name}, {setting}: {why}")
            print(left_out[-1], flush=True)
        rows += new
    write(rows, left_out, args.out, device, args.clock)


if __name__ == "__main__":
    main()
