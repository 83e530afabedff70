"""Encoder.encode on a large cube, in seconds and memory, against the loop that one would write.

    python benchmarks/encode.py                        # 1,000 x 1,000 x 200
    python benchmarks/encode.py --networks hybridsn --side 300
    python benchmarks/encode.py --quick

A cube of side x side pixels and 200 bands (int16) through encode(), from raw bands to one feature per pixel, with
border reflect. The peer is a plain loop over windows through the same network: the components of the whole cube, its
border mirrored, cut into one window per pixel, 128 at a time. It is timed on as many whole rows of windows from the
middle of the cube as take some seconds, and those seconds are scaled to the cube, its projection added: its total is
an extrapolation, and the table says from how many windows. Memory is the private peak (RssAnon) beyond the start of
the process, features included; `Encoder.strips` gives the same without holding them.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from measure import SPEED, alone, compared, median, write

from sslhsi.backbones.registry import create_backbone
from sslhsi.bands.projector import SpectralProjector
from sslhsi.encoder.encoder import Encoder
from sslhsi.scenes.scene import Scene

BANDS, BATCH = 200, 128
# components (None: all bands), window, options
NETWORKS = {"pixelnet": (30, 15, {}), "cnn1d": (None, 1, {}), "hybridsn": (30, 25, {"pool": "avg"})}


def make_cube(path: Path, side: int) -> None:
    """Mixtures of smooth spectra, written row by row."""
    rng = np.random.default_rng(0)
    spectra = np.stack([np.exp(-(((np.arange(BANDS) - c) / 25) ** 2)) for c in np.linspace(0, BANDS, 8)])
    cube = np.lib.format.open_memmap(path, "w+", np.int16, (side, side, BANDS))
    for row in range(side):
        cube[row] = 1000 * rng.random((side, 8)) @ spectra + rng.normal(500, 20, size=(side, BANDS))
    cube.flush()


def encoder_of(name: str, cube: np.ndarray) -> Encoder:
    components, window, options = NETWORKS[name]
    projector = SpectralProjector(BANDS, components, align="index").fit([Scene("random", cube[::16])])
    torch.manual_seed(0)
    network = create_backbone(name, projector.channels, window, **options)
    return Encoder(network, projector, {"window": window, "border": "reflect"})


def encoded(encoder: Encoder, cube: np.ndarray) -> tuple[float, np.ndarray]:
    """Seconds of the whole cube, and the features of its middle row."""
    start = time.perf_counter()
    features = encoder.encode(cube)
    return time.perf_counter() - start, features[len(cube) // 2]


def loop(encoder: Encoder, cube: np.ndarray, budget: float) -> tuple[float, int, np.ndarray]:
    """Seconds that a plain loop over all windows would take, how many it was timed on, and their features."""
    window, side = encoder.window, len(cube)
    before, after = window // 2, window - 1 - window // 2
    start = time.perf_counter()
    components = encoder.projector.transform(np.asarray(cube), scaled=True).astype(np.float16)
    scene = np.pad(components, ((before, after), (before, after), (0, 0)), mode="reflect")
    once = time.perf_counter() - start
    features: list[np.ndarray] = []
    start = time.perf_counter()
    row = side // 2
    with torch.inference_mode():
        while row < side and (not features or time.perf_counter() - start < budget):
            for first in range(0, side, BATCH):
                columns = range(first, min(first + BATCH, side))
                windows = np.stack([scene[row : row + window, c : c + window] for c in columns])
                batch = torch.from_numpy(windows).permute(0, 3, 1, 2).float()
                features.append(encoder.backbone(batch).numpy())
            row += 1
    seconds, timed = time.perf_counter() - start, (row - side // 2) * side
    return once + seconds * side * side / timed, timed, np.concatenate(features)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=["pixelnet", "cnn1d"], metavar="NAME")
    parser.add_argument("--side", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--budget", type=float, default=2.0, help="seconds for a round of the loop")
    parser.add_argument("--quick", action="store_true", help="60 x 60 pixels, one round")
    parser.add_argument("--out", type=Path, default=SPEED)
    args = parser.parse_args()
    if args.quick:
        args.side, args.rounds, args.budget = 60, 1, 0.1
    folder = Path(tempfile.mkdtemp(prefix="encode-"))
    rows = []
    try:
        make_cube(folder / "cube.npy", args.side)
        cube = np.load(folder / "cube.npy", mmap_mode="r")
        shape = f"{args.side}x{args.side}x{BANDS}"
        for name in args.networks:
            measured = []
            for _ in range(args.rounds):
                # Each in a process of its own, which starts torch's threads and whose memory is the run's.
                _, extra, (whole, features) = alone(lambda name=name: encoded(encoder_of(name, cube), cube))
                windows, timed, expected = alone(lambda name=name: loop(encoder_of(name, cube), cube, args.budget))[2]
                difference = np.abs(features - expected[: args.side]).max() / np.abs(expected).max()
                measured.append((whole, windows, extra, timed, difference))
            whole, windows, extra, timed, difference = zip(*measured, strict=True)
            row = {"network": name, "window": NETWORKS[name][1], "cube": shape, "features": features.shape[1]}
            row |= compared(whole, windows) | {"loop, seconds (extrapolated)": median(windows)}
            row |= {"from windows": min(timed), "difference": f"{max(difference):.1e}"}
            row |= {"extra memory MB": round(max(extra) / 1e6)}
            row |= {"features alone MB": round(4e-6 * args.side**2 * features.shape[1])}
            rows.append(row)
            print(row, flush=True)
        write("encode", "Encoding a large cube", " ".join((__doc__ or "").split("\n\n")[2].split()), rows, args.out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
