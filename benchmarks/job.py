"""The main job's loop, as the benchmarks time it: a corpus in a temporary folder, and real runs on it."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

import numpy as np

from sslhsi import pretrain
from sslhsi.recipe import Recipe
from sslhsi.report.run_report import Report

BANDS = 64
# name: window, components, options of the backbone
NETWORKS: dict[str, tuple[int, int, dict[str, Any]]] = {
    "hybridsn": (25, 30, {}),
    "ainet": (27, 30, {}),
    "pixelnet": (15, 30, {}),
    "resnet10t": (32, 30, {"small_window": False}),
    "resnet18": (32, 30, {"small_window": False}),
    "vit_small_patch8_224": (32, 30, {}),
}


def make_scenes(folder: Path, domains: int = 4, side: int = 220) -> None:
    """Cubes of smooth mixtures, one per domain."""
    rng = np.random.default_rng(0)
    axis = np.linspace(0, 1, BANDS)
    spectra = np.stack([np.exp(-(((axis - c) / 0.15) ** 2)) for c in np.linspace(0, 1, 8)])
    for n in range(domains):
        if not (folder / f"{n}.npy").exists():
            blocks = rng.random((side // 20 + 1, side // 20 + 1, 8)).repeat(20, 0).repeat(20, 1)[:side, :side]
            cube = (blocks + 0.1 * rng.random((side, side, 8))) @ spectra + 0.02 * rng.random((side, side, BANDS))
            np.save(folder / f"{n}.npy", cube.astype(np.float32))


def recipe(folder: Path, network: str, batch: int, steps: int, domains: int = 4, **training: Any) -> Recipe:
    window, components, options = NETWORKS[network]
    scenes = [{"path": str(folder / f"{n}.npy"), "background": "none", "domain": str(n)} for n in range(domains)]
    text = {
        "name": "bench",
        "output": str(folder / f"run-{os.getpid()}-{len(list(folder.glob('run-*')))}"),
        "corpus": {
            "scenes": scenes,
            "cache": str(folder / "corpora"),
            "bands": {"grid": BANDS, "components": components, "align": "index"},
            "patches": {"window": window, "stride": 4},
        },
        "backbone": {"name": network, "options": options},
        # Half of the steps warm up: threads, caches, the allocator.
        "training": {"steps": 2 * steps, "batch_size": batch, "log_every": steps, "checkpoint_every": 2 * steps,
                     "monitor_every": 0, **training},
        "evaluation": {"tasks": []},
    }  # fmt: skip
    return Recipe.model_validate_json(json.dumps(text))


def run(recipe: Recipe) -> float:
    """Patches per second of the second half of a real run, as its log gives them."""
    with silent():
        folder = pretrain.pretrain(recipe)
    return rate(folder)


def rate(folder: Path) -> float:
    with (folder / "metrics.csv").open(newline="") as stream:
        return float(list(csv.DictReader(stream))[-1]["patches_per_second"])


@contextmanager
def silent() -> Iterator[None]:
    """Without the report, which is not what is timed, and without the log."""
    original = pretrain.write_report
    pretrain.write_report = lambda run, *_: Report(run / "report.html", [])  # type: ignore[assignment]
    try:
        with open(os.devnull, "w") as nothing, redirect_stderr(nothing):
            yield
    finally:
        pretrain.write_report = original
        sys.stderr.flush()
