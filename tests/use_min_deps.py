"""What `make min-deps` runs where every dependency is at its minimum: imports, one small run, and what follows it."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np

import sslhsi

RECIPE = """
name: smallest
corpus:
  cache: corpora
  scenes: [{path: a.npz}, {path: b.npz}]
  bands: {components: 13}
  patches: {window: 9, stride: 3, holdout: 0.2}
backbone: {name: hybridsn}
training: {steps: 2, batch_size: 8, checkpoint_every: 1}
evaluation: {seeds: 1, schemes: [random]}
"""


def write_scenes() -> None:
    """Two cameras that look at one mixture of materials each."""
    rng = np.random.default_rng(0)
    for name, bands in (("a", 30), ("b", 41)):
        labels = np.kron(np.array([[1, 2], [2, 1]]), np.ones((12, 12), int))
        cube = rng.random((24, 24, bands)) + labels[..., None] * np.linspace(0, 1, bands)
        np.savez(f"{name}.npz", cube=cube.astype("float32"), labels=labels, wavelengths=np.linspace(400, 1000, bands))


def sslhsi_command(*words: str) -> str:
    run = subprocess.run([sys.executable, "-m", "sslhsi.cli", *words], capture_output=True, text=True)
    assert run.returncode == 0, f"sslhsi {' '.join(words)}: {run.stderr}"
    return run.stdout


def main() -> None:
    modules = [module.name for module in pkgutil.walk_packages(sslhsi.__path__, "sslhsi.")]
    for name in modules:
        import_module(name)
    write_scenes()
    Path("recipe.yaml").write_text(RECIPE)
    sslhsi_command("prepare", "recipe.yaml")
    sslhsi_command("pretrain", "recipe.yaml")
    assert Path("runs/smallest/report.html").is_file()
    rows = sslhsi_command("eval", "linear", "runs/smallest", "a.npz", "--per-class", "5", "--seeds", "1")
    encoder = sslhsi.load_backbone("runs/smallest/backbone")
    scene = sslhsi.read_scene("b.npz")
    features = encoder.encode(scene.cube, scene.wavelengths)
    assert np.isfinite(features).all()
    print(json.dumps({"modules": len(modules), "features": features.shape, "rows": len(rows.splitlines())}))


if __name__ == "__main__":
    main()
