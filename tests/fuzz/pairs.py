"""Files that belong together: labels of every kind on a placed cube, references of a capture, and mismatches."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import rasterio
from PIL import Image
from rasterio.transform import from_origin
from spectral.io import envi

from sslhsi.cli import main
from sslhsi.errors import InputError
from sslhsi.scenes.read import read_scene

HEIGHT, WIDTH, BANDS = 9, 7, 20
PLACE = from_origin(600_000, 5_300_000, 30, 30)
LABELS = (np.arange(HEIGHT)[:, None] // 3 + np.zeros((1, WIDTH), int)).astype(np.uint8)
Kinds = dict[str, tuple[list[Path], Callable[[], object]]]


def write_tiff(path: Path, cube: np.ndarray, **place: object) -> Path:
    profile = {"driver": "GTiff", "height": cube.shape[0], "width": cube.shape[1], "count": cube.shape[2]}
    with rasterio.open(path, "w", dtype=cube.dtype.name, **profile, **place) as file:
        file.write(cube.transpose(2, 0, 1))
    return path


def pairs(folder: Path) -> Kinds:
    """By kind: the files to harm, and what reads them together with their cube, as ``valid_files`` has them."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    counts = (rng.integers(100, 900, (1, 1, BANDS)) + np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH, 1)).astype(
        "u2"
    )
    place = {"crs": "EPSG:32632", "transform": PLACE}
    cube = write_tiff(folder / "cube.tif", counts, **place)
    files = {
        "placed": write_tiff(folder / "gt.tif", LABELS[..., None], **place),
        "painted": folder / "gt.png",
        "polygons": folder / "gt.geojson",
        "regions": folder / "gt.txt",
    }
    Image.fromarray(np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0]], np.uint8)[LABELS]).save(files["painted"])
    area = [[10.0, 47.0], [12.0, 47.0], [12.0, 48.5], [10.0, 48.5], [10.0, 47.0]]
    features = [
        {"type": "Feature", "properties": {"class": 1}, "geometry": {"type": "Polygon", "coordinates": [area]}}
    ]
    files["polygons"].write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    lines = ["; ENVI Output of ROIs (5.6) [x]", "; Number of ROIs: 1", f"; File Dimension: {WIDTH} x {HEIGHT}", ";",
             "; ROI name: leaf", "; ROI rgb value: {255, 0, 0}", "; ROI npts: 2", ";   ID    X    Y      B1",
             "  1  2  3  0.5", "  2  3  3  0.5"]  # fmt: skip
    files["regions"].write_text("\n".join(lines) + "\n")
    kinds: Kinds = {kind: ([path], labelled(cube, path)) for kind, path in files.items()}
    captures = []
    for name, values in {"leaf": counts, "WHITEREF_leaf": counts + 2000, "DARKREF_leaf": counts // 100}.items():
        fields = {"wavelength": list(np.linspace(400, 900, BANDS)), "tint": 10.0}
        envi.save_image(str(folder / f"{name}.hdr"), values, dtype=values.dtype, ext=".raw", metadata=fields)
        captures += [folder / f"{name}.hdr", folder / f"{name}.raw"]
    out = folder / "calibrated"
    kinds["calibrate"] = captures, lambda: calibrated(folder / "leaf.hdr", out)
    seed = folder / "seed"
    seed.write_bytes(bytes(range(64)))
    kinds["mismatch"] = [seed], lambda: mismatch(folder / "planted", seed.read_bytes(), counts)
    return kinds


def labelled(cube: Path, labels: Path) -> Callable[[], object]:
    return lambda: read_scene(cube, labels=labels).labels


def calibrated(capture: Path, out: Path) -> None:
    code = main(["data", "calibrate", str(capture), "--out", str(out)])
    if code not in (0, 2):
        raise AssertionError(f"exit code {code}")


def mismatch(folder: Path, seed: bytes, counts: np.ndarray) -> None:
    """Write a cube and its labels, of which one contradicts the other or itself, and see that something is said."""
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(seed).digest()[:8], "big"))
    folder.mkdir(exist_ok=True)
    planted = [_size, _place, _turned, _bands, _bytes, _mask][int(rng.integers(6))]
    try:
        scene = read_scene(**planted(folder, rng, counts))
    except InputError:
        return
    words = ("shifted", "flipped", "resampled")
    if planted is not _place or not any(word in note for note in scene.notes for word in words):
        raise AssertionError(f"silent about {planted.__name__}: {scene.notes}")


def _other(rng: np.random.Generator, *sides: int) -> tuple[int, ...]:
    """Other sides, one of them at least."""
    changed = list(sides)
    changed[int(rng.integers(len(sides)))] += int(rng.integers(1, 5))
    return tuple(changed)


def _cube(folder: Path, counts: np.ndarray) -> Path:
    return write_tiff(folder / "cube.tif", counts, crs="EPSG:32632", transform=PLACE)


def _size(folder: Path, rng: np.random.Generator, counts: np.ndarray) -> dict[str, object]:
    np.save(folder / "gt.npy", rng.integers(0, 3, _other(rng, HEIGHT, WIDTH)))
    return {"path": _cube(folder, counts), "labels": folder / "gt.npy"}


def _turned(folder: Path, rng: np.random.Generator, counts: np.ndarray) -> dict[str, object]:
    Image.fromarray(rng.integers(0, 3, (WIDTH, HEIGHT)).astype(np.uint8)).save(folder / "gt.png")
    return {"path": _cube(folder, counts), "labels": folder / "gt.png"}


def _mask(folder: Path, rng: np.random.Generator, counts: np.ndarray) -> dict[str, object]:
    np.save(folder / "mask.npy", rng.random(_other(rng, HEIGHT, WIDTH)) < 0.5)
    return {"path": _cube(folder, counts), "mask": folder / "mask.npy"}


def _place(folder: Path, rng: np.random.Generator, counts: np.ndarray) -> dict[str, object]:
    x, y = (float(side) for side in rng.integers(-12, 13, 2))
    crs = f"EPSG:{rng.choice([32632, 32633])}"
    moved = PLACE * PLACE.translation(x or 1.0, y) * PLACE.scale(1, rng.choice([-1, 1]))
    write_tiff(folder / "gt.tif", LABELS[..., None] + 1, crs=crs, transform=moved)
    return {"path": _cube(folder, counts), "labels": folder / "gt.tif"}


def _bands(folder: Path, rng: np.random.Generator, counts: np.ndarray) -> dict[str, object]:
    wavelengths = np.linspace(400, 900, _other(rng, BANDS)[0]).tolist()
    return {"path": _cube(folder, counts), "wavelengths": wavelengths}


def _bytes(folder: Path, rng: np.random.Generator, counts: np.ndarray) -> dict[str, object]:
    lines, samples, bands = _other(rng, *counts.shape)
    (folder / "a.hdr").write_text(
        f"ENVI\nsamples = {samples}\nlines = {lines}\nbands = {bands}\nheader offset = 0\ndata type = 12\n"
        f"interleave = {rng.choice(['bsq', 'bil', 'bip'])}\nbyte order = 0\n"
    )
    (folder / "a.raw").write_bytes(counts.tobytes())
    return {"path": folder / "a.hdr"}
