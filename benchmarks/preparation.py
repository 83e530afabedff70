"""Corpus preparation against the usual way: SciPy interpolation and scikit-learn's PCA on stacked pixels.

    python benchmarks/preparation.py             # 1.2 million pixels, about 10 GB of memory for the peer
    python benchmarks/preparation.py --quick

Three cubes, of 160, 256 and 288 bands, on disk as uint16. Both sides start from the files and end with float16
components on disk, of 30 components on a grid of 256 wavelengths. The peer is given all it needs: float32,
one interpolation per cube, one PCA over all pixels.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
from measure import SPEED, alone, compared, write
from scipy.interpolate import interp1d
from sklearn.decomposition import PCA

from sslhsi.corpus.prepare import prepare
from sslhsi.recipe import Recipe

CAMERAS = {160: (405.0, 995.0), 256: (400.0, 1000.0), 288: (390.0, 1010.0)}
GRID, COMPONENTS = 256, 30


def make_cubes(folder: Path, pixels: int) -> None:
    """One cube per camera, mixtures of eight smooth spectra with noise, written row by row."""
    rng = np.random.default_rng(0)
    side = round((pixels / len(CAMERAS)) ** 0.5)
    for bands, (low, high) in CAMERAS.items():
        waves = np.linspace(low, high, bands)
        spectra = np.stack([np.exp(-(((waves - c) / 80) ** 2)) for c in np.linspace(400, 1000, 8)])
        cube = np.lib.format.open_memmap(folder / f"{bands}.npy", "w+", np.uint16, (side, side, bands))
        for row in range(side):
            cube[row] = 1000 + 500 * rng.random((side, 8)) @ spectra + rng.normal(scale=20, size=(side, bands))
        cube.flush()


def recipe(folder: Path) -> Recipe:
    scenes = [
        {"path": str(folder / f"{b}.npy"), "background": "none", "domain": str(b),
         "wavelengths": np.linspace(*CAMERAS[b], b).tolist()}
        for b in CAMERAS
    ]  # fmt: skip
    corpus = {"scenes": scenes, "cache": str(folder / "corpora"), "bands": {"grid": GRID, "components": COMPONENTS}}
    corpus["patches"] = {"holdout": 0.2}
    text = {"name": "t", "corpus": corpus, "backbone": {"name": "pixelnet"}, "training": {"steps": 1}}
    return Recipe.model_validate_json(json.dumps(text))


def ours(folder: Path) -> list[float]:
    corpus = prepare(recipe(folder))
    return np.asarray(corpus.projector.ratio).tolist()


def usual(folder: Path) -> list[float]:
    low, high = max(c[0] for c in CAMERAS.values()), min(c[1] for c in CAMERAS.values())
    grid = np.linspace(low, high, GRID)
    flat = []
    for bands, ends in CAMERAS.items():
        cube = np.load(folder / f"{bands}.npy").astype(np.float32)
        onto = interp1d(np.linspace(*ends, bands), cube.reshape(-1, bands), axis=1)
        flat.append(onto(grid).astype(np.float32))
    pixels = np.concatenate(flat)
    pca = PCA(COMPONENTS, random_state=0).fit(pixels)
    start = 0
    for bands, part in zip(CAMERAS, flat, strict=True):
        scores = pca.transform(pixels[start : start + len(part)]).astype(np.float16)
        np.save(folder / f"usual-{bands}.npy", scores)
        start += len(part)
    return pca.explained_variance_ratio_.tolist()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pixels", type=int, default=1_210_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="30,000 pixels, one round")
    parser.add_argument("--out", type=Path, default=SPEED)
    args = parser.parse_args()
    pixels, rounds = (30_000, 1) if args.quick else (args.pixels, args.rounds)
    folder = Path(tempfile.mkdtemp(prefix="preparation-"))
    try:
        make_cubes(folder, pixels)
        measured: dict[str, list] = {"sslhsi prepare": [], "SciPy + scikit-learn": []}
        for _ in range(rounds):
            shutil.rmtree(folder / "corpora", ignore_errors=True)
            measured["sslhsi prepare"].append(alone(lambda: ours(folder)))
            measured["SciPy + scikit-learn"].append(alone(lambda: usual(folder)))
        counted = sum(np.load(folder / f"{b}.npy", mmap_mode="r")[..., 0].size for b in CAMERAS)
        seconds = {name: [took for took, _, _ in runs] for name, runs in measured.items()}
        rows = []
        for name, runs in measured.items():
            row = {"method": name, "pixels": counted, **compared(seconds[name], seconds["SciPy + scikit-learn"])}
            row["extra memory MB"] = round(max(r[1] for r in runs) / 1e6)
            row["first component %"] = 100 * runs[0][2][0]
            rows.append(row)
        write("preparation", "Corpus preparation", " ".join((__doc__ or "").split("\n\n")[2].split()), rows, args.out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
