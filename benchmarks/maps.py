"""Whole scenes: work shared between neighbouring windows, against batched windows in the same run.

    python benchmarks/maps.py                                # CPU or GPU, whichever there is
    python benchmarks/maps.py --networks hybridsn --side 145
    python benchmarks/maps.py --clock process --threads 1    # on a CPU that others use too
    python benchmarks/maps.py --quick                        # seconds, only to see that it works

A scene of side x side random pixels goes through ``Encoder.encode``, from raw bands to features, one window
around every pixel. Its peer is the same network on the same windows in batches, projection included, in the
memory format and batch size that are quickest here. Where all windows would take too long, those in the middle
of the scene are timed and their seconds scaled to the scene; the table says how many were timed. Both run in
turn, round after round, and medians count. ``difference`` is the largest between the two ways, as a share of
the largest feature. ``--clock process`` counts the seconds that this process computed instead of those that
passed. Writes results/maps/DEVICE.csv and .md.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))
from measure import machine

from sslhsi.backbones.fast import CHANNELS_LAST, CONTIGUOUS, set_memory_format
from sslhsi.backbones.registry import create_backbone
from sslhsi.bands.moments import moments
from sslhsi.bands.projector import SpectralProjector
from sslhsi.encoder.encoder import Encoder
from sslhsi.encoder.strips import projected, window_features
from sslhsi.files import write_atomic, write_rows
from sslhsi.scenes.scene import Scene

# network: bands of the camera, components (None: all bands), window, options
CASES = {
    "hybridsn": (200, 30, 25, {}),
    "hybridsn, pool avg": (200, 30, 25, {"pool": "avg"}),
    "pixelnet": (200, 30, 15, {}),
    "ssrn": (200, None, 7, {}),
    "hresnet": (103, None, 9, {}),
    "ccnn": (103, None, 5, {}),
    "cnn1d": (103, None, 1, {}),
    "cnn2d": (200, 1, 27, {}),
    "cnn3d": (103, None, 27, {}),
}
BATCHES = {"cpu": (8, 32, 128, 512), "cuda": (256, 1024, 4096)}
COLUMNS = [
    "device", "threads", "clock", "network", "inputs", "window", "scene", "windows", "windows_timed",
    "batch", "memory_format", "windows_seconds", "shared_seconds", "ratio", "ratio_low", "ratio_high",
    "difference", "rounds",
]  # fmt: skip


def measure(
    name: str, side: int, device: torch.device, clock: Callable[[], float], rounds: int, budget: float
) -> dict:
    """One network's row of the table.

    Args:
        name: Of CASES.
        side: Of the scene, in pixels.
        device: Where to compute.
        clock: Seconds.
        rounds: Of both in turn; 3 where they take more than five budgets.
        budget: Seconds for the windows of all rounds, about.
    """
    bands, components, window, options = CASES[name]
    cube = np.random.default_rng(0).normal(size=(side, side, bands)).cumsum(axis=2).astype(np.float32)
    projector = SpectralProjector(grid=bands, components=components, align="index").fit([Scene("random", cube)])
    torch.manual_seed(0)
    network = create_backbone(name.split(",")[0], projector.channels, window, **options).to(device)
    encoder = Encoder(network, projector, {"window": window, "border": "reflect"})
    scene = projected(projector, cube, None, moments(cube[:1]))

    def seconds(run: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
        if device.type == "cuda":
            torch.cuda.synchronize()
        start = clock()
        features = run()  # arrays on the host: the device is done
        return clock() - start, features

    def windows(network: torch.nn.Module, batch: int, count: int) -> np.ndarray:
        """The features of ``count`` pixels of the middle rows."""
        rows = -(-count // side)
        first = (side - rows) // 2
        strip = scene.strip(
            (first - window // 2, first + rows - 1 - window // 2 + window), (-(window // 2), side + window)
        )
        at = np.argwhere(np.ones((rows, side), bool))[:count]
        return window_features(network, strip, at, window, device, batch)

    best = (float("inf"), network, 0, "")
    formats = (CONTIGUOUS, CHANNELS_LAST) if window > 1 else (CONTIGUOUS,)
    for layout in formats:
        laid_out = set_memory_format(copy.deepcopy(network).eval(), layout)
        for batch in BATCHES[device.type]:
            windows(laid_out, batch, batch)
            took = min(seconds(lambda n=laid_out, b=batch: windows(n, b, b))[0] for _ in range(2)) / batch
            best = min(best, (took, laid_out, batch, layout), key=lambda item: item[0])
            if took * batch > budget / rounds:
                break
    each, quickest, batch, layout = best
    count = min(side * side, max(1, int(budget / rounds / each / batch)) * batch)
    times: list[tuple[float, float]] = []
    encoder.encode(cube)  # warms up
    started = time.monotonic()
    while len(times) < rounds and (len(times) < 3 or time.monotonic() - started < 5 * budget):
        by_windows, expected = seconds(lambda: windows(quickest, batch, count))
        shared, features = seconds(lambda: encoder.encode(cube))
        times.append((by_windows * side * side / count, shared))
    first = (side + -count // side) // 2
    same = features[first:].reshape(-1, encoder.num_features)[:count]
    ratios = sorted(a / b for a, b in times)
    return {
        "device": device.type,
        "threads": torch.get_num_threads() if device.type == "cpu" else "",
        "network": name,
        "inputs": projector.channels,
        "window": window,
        "scene": f"{side}x{side}",
        "windows": side * side,
        "windows_timed": count,
        "batch": batch,
        "memory_format": layout,
        "windows_seconds": round(statistics.median(a for a, _ in times), 3),
        "shared_seconds": round(statistics.median(b for _, b in times), 3),
        "ratio": round(statistics.median(ratios), 2),
        "ratio_low": round(ratios[0], 2),
        "ratio_high": round(ratios[-1], 2),
        "difference": f"{np.abs(same - expected).max() / np.abs(expected).max():.1e}",
        "rounds": len(times),
    }


def write(rows: list[dict], folder: Path, device: torch.device, clock: str) -> None:
    """Write the CSV and the page, each at once."""
    write_rows(folder / f"{device.type}.csv", rows, COLUMNS)
    lines = [
        "# Speed of whole-scene inference",
        "",
        "Written by `benchmarks/maps.py`: seconds for one window around every pixel, from raw bands to features. "
        "The peer is the same network on batched windows in the same run, in the memory format and batch size that "
        "are quickest here; where not all windows were timed, their seconds are scaled to the scene.",
        "",
        f"Machine: {machine(device)}; {clock} clock.",
        "",
        "| network | input | scene | windows timed | batched windows, s | shared, s | ratio (range) | difference |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        spread = f"{row['ratio_low']:.1f}-{row['ratio_high']:.1f}, {row['rounds']} rounds"
        lines.append(
            f"| {row['network']} | {row['inputs']} x {row['window']}² | {row['scene']} "
            f"| {row['windows_timed']:,} of {row['windows']:,} | {row['windows_seconds']:,.2f} "
            f"| {row['shared_seconds']:,.2f} | **{row['ratio']:.1f}** ({spread}) | {row['difference']} |"
        )
    write_atomic(folder / f"{device.type}.md", "\n".join(lines) + "\n")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=CASES, default=list(CASES), metavar="NAME")
    parser.add_argument("--side", type=int, default=145, help="of the scene, in pixels")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, help="CPU threads; torch's choice when left out")
    parser.add_argument("--rounds", type=int, default=5, help="of both in turn; the median counts")
    parser.add_argument("--budget", type=float, default=8.0, help="seconds for a network's windows, about")
    parser.add_argument("--clock", choices=["wall", "process"], default="wall")
    parser.add_argument("--quick", action="store_true", help="one small network, a small scene, one round")
    parser.add_argument("--out", type=Path, default=Path("results/maps"))
    args = parser.parse_args(arguments)
    if args.threads:
        torch.set_num_threads(args.threads)
    device = torch.device(args.device)
    clock = time.process_time if args.clock == "process" and device.type == "cpu" else time.perf_counter
    names, side, rounds, budget = args.networks, args.side, args.rounds, args.budget
    if args.quick:
        names, side, rounds, budget = ["ccnn"], 20, 1, 0.1
    rows = []
    print(machine(device), flush=True)
    for name in names:
        rows.append({**measure(name, side, device, clock, rounds, budget), "clock": args.clock})
        row = rows[-1]
        print(
            f"{name:20s} windows {row['windows_seconds']:>9.2f} s  shared {row['shared_seconds']:>7.2f} s  "
            f"x{row['ratio']:.1f} ({row['rounds']}: {row['ratio_low']:.1f}-{row['ratio_high']:.1f})  "
            f"difference {row['difference']}",
            flush=True,
        )
        write(rows, args.out, device, args.clock)


if __name__ == "__main__":
    main()
