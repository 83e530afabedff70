"""Whole-scene features: encode() against batches of windows, in pixels per second.

    python benchmarks/encode.py
    python benchmarks/encode.py --networks pixelnet --side 256
    python benchmarks/encode.py --quick

Batched windows: the cube is projected, every window is cut out and goes through the network in batches of 512, as
evaluation code usually does. encode(): the same features from the raw cube, in strips, sharing the work of
neighbouring windows where the network allows it. The largest difference between the two is given, too.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from job import BANDS
from measure import SPEED, in_turn, median, write

from sslhsi.backbones.registry import create_backbone
from sslhsi.bands.projector import SpectralProjector
from sslhsi.patches.reader import PatchReader
from sslhsi.probes.encoder import Encoder
from sslhsi.probes.features import features
from sslhsi.scenes.scene import Scene

# network: window, components, options, side of the cube
CASES = {
    "pixelnet": (15, 30, {}, 256),
    "hybridsn": (25, 30, {}, 48),
    "hresnet": (9, 30, {}, 96),
    "resnet10t": (32, 30, {"small_window": False}, 64),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=CASES, default=list(CASES), metavar="NAME")
    parser.add_argument("--side", type=int, help="of the square cube; by network when left out")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=SPEED)
    args = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    names, rounds = (["pixelnet"], 1) if args.quick else (args.networks, args.rounds)
    rows = []
    for name in names:
        window, components, options, side = CASES[name]
        side = 40 if args.quick else args.side or (4 * side if device.type == "cuda" else side)
        cube = np.random.default_rng(0).random((side, side, BANDS), dtype=np.float32).cumsum(axis=2)
        projector = SpectralProjector(grid=BANDS, components=components, align="index").fit([Scene("a", cube)])
        torch.manual_seed(0)
        backbone = create_backbone(name, components, window, **options).to(device).eval()
        encoder = Encoder(backbone, projector, {"window": window, "border": "reflect"})
        grid = np.stack(np.meshgrid(np.arange(side), np.arange(side), indexing="ij"), -1).reshape(-1, 2)
        corners = np.column_stack([np.zeros(len(grid), int), grid - window // 2])
        found: dict[str, np.ndarray] = {}

        def windows(p=projector, c=cube, b=backbone, w=window, at=corners, found=found) -> None:
            stored = p.transform(c, scaled=True).astype(np.float16)
            found["windows"] = features(b, PatchReader([stored], w, device=device), at)

        def encode(e=encoder, c=cube, found=found) -> None:
            found["encode"] = e.encode(c)

        seconds = in_turn({"batched windows": windows, "encode()": encode}, rounds)
        reference = median(seconds["batched windows"])
        apart = np.abs(found["encode"].reshape(found["windows"].shape) - found["windows"]).max()
        for method, times in seconds.items():
            rows.append(
                {
                    "network": name,
                    "cube": f"{side}x{side}x{BANDS}",
                    "window": window,
                    "method": method,
                    "pixels/s": side * side / median(times),
                    "times faster": reference / median(times),
                    "largest difference": float(apart / np.abs(found["windows"]).max()),
                    "rounds": rounds,
                }
            )
            print(rows[-1], flush=True)
    text = " ".join((__doc__ or "").split("\n\n")[2].split())
    write(f"encode_{device.type}", "Whole-scene features", text, rows, args.out)


if __name__ == "__main__":
    main()
