"""A cube larger than memory: an ENVI file is written, prepared, and the memory that this took is measured.

    python benchmarks/stream_large.py                       # 2 GB
    python benchmarks/stream_large.py --gigabytes 20 --limit-mb 1000      # 40 GB of disk for a while
    python benchmarks/stream_large.py --quick

The file is band-interleaved by line, 224 bands of int16, as satellites deliver it. The preparation (hash, two
passes, components on disk) runs in another process; counted is its private memory (RssAnon) beyond what Python,
PyTorch and the package take at rest. Mapped pages of the file are the system's to drop and don't count; with
--cgroup FOLDER the process also runs in a memory control group of --limit-mb, where they do.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
from measure import SPEED, alone, median, own_bytes, spread, write

from sslhsi.corpus.prepare import prepare
from sslhsi.recipe import Recipe

BANDS, SAMPLES = 224, 1024


def make(folder: Path, gigabytes: float) -> int:
    """Write cube.hdr and cube.img; returns the number of lines."""
    lines = max(2, round(gigabytes * 1e9 / (2 * BANDS * SAMPLES)))
    rng = np.random.default_rng(0)
    spectra = np.stack([np.exp(-(((np.arange(BANDS) - c) / 25) ** 2)) for c in np.linspace(0, BANDS, 8)])
    # A thousand lines that differ, over and over: what they hold doesn't matter for memory.
    some = rng.random((min(lines, 64), SAMPLES, 8)) @ (1000 * spectra) + rng.normal(500, 20, (1, SAMPLES, BANDS))
    block = some.astype(np.int16).transpose(0, 2, 1)
    with (folder / "cube.img").open("wb") as file:
        for start in range(0, lines, len(block)):
            file.write(np.ascontiguousarray(block[: lines - start]).tobytes())
    (folder / "cube.hdr").write_text(
        f"ENVI\nsamples = {SAMPLES}\nlines = {lines}\nbands = {BANDS}\nheader offset = 0\ndata type = 2\n"
        "interleave = bil\nbyte order = 0\nwavelength units = nm\nwavelength = {"
        + ", ".join(f"{w:.2f}" for w in np.linspace(420, 2450, BANDS))
        + "}\n"
    )
    return lines


def recipe(folder: Path) -> Recipe:
    corpus = {
        "scenes": [{"path": str(folder / "cube.hdr"), "background": "none"}],
        "cache": str(folder / "corpora"),
        "patches": {"holdout": 0.2},
    }
    text = {"name": "t", "corpus": corpus, "backbone": {"name": "pixelnet"}, "training": {"steps": 1}}
    return Recipe.model_validate_json(json.dumps(text))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--limit-mb", type=int, default=1000)
    parser.add_argument("--cgroup", type=Path, help="memory control group (v1 or v2) to make and run in")
    parser.add_argument("--folder", type=Path, help="on a disk with room for the file and a seventh of it")
    parser.add_argument("--quick", action="store_true", help="0.1 GB, one round")
    parser.add_argument("--out", type=Path, default=SPEED)
    args = parser.parse_args()
    size = 0.1 if args.quick else args.gigabytes
    folder = Path(tempfile.mkdtemp(prefix="stream-", dir=args.folder))

    def run() -> tuple[int, list[int]]:
        if args.cgroup:
            (args.cgroup / "cgroup.procs").write_text(str(os.getpid()))
        rest = own_bytes()
        return rest, list(prepare(recipe(folder)).arrays[0].shape)

    try:
        began = time.perf_counter()
        make(folder, size)
        print(f"wrote {size} GB in {time.perf_counter() - began:.0f} s", flush=True)
        if args.cgroup:
            args.cgroup.mkdir(exist_ok=True)
            name = "memory.max" if (args.cgroup / "memory.max").exists() else "memory.limit_in_bytes"
            (args.cgroup / name).write_text(str(args.limit_mb * 1_000_000))
        runs = []
        for _ in range(1 if args.quick else args.rounds):
            shutil.rmtree(folder / "corpora", ignore_errors=True)
            runs.append(alone(run))
        seconds, extra = [r[0] for r in runs], max(r[1] for r in runs)
        rest, shape = max(r[2][0] for r in runs), runs[0][2][1]
        row = {
            "file GB": size,
            "components": "x".join(map(str, shape)),
            "seconds": median(seconds),
            "seconds, range": spread(seconds),
            "rounds": len(runs),
            "MB/s": 1000 * size / median(seconds),
            "memory at rest MB": round(rest / 1e6),
            "extra memory MB": round(extra / 1e6),
            "limit MB": args.limit_mb if args.cgroup else "",
        }
        text = " ".join((__doc__ or "").split("\n\n")[2].split())
        write("stream_large", "A cube larger than memory", text, [row], args.out)
        if rest + extra > args.limit_mb * 1_000_000:
            raise SystemExit(f"took more than {args.limit_mb} MB")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if args.cgroup:
            with suppress(OSError):
                args.cgroup.rmdir()


if __name__ == "__main__":
    main()
