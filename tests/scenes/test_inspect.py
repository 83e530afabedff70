"""Scene summaries and bad bands."""

import json
import tracemalloc

import numpy as np

from sslhsi.scenes import bad_bands as reading
from sslhsi.scenes.bad_bands import bad_bands, band_statistics
from sslhsi.scenes.inspect_scene import describe
from sslhsi.scenes.read import read_scene
from sslhsi.scenes.scene import Scene


def odd_scene():
    cube = np.random.default_rng(0).normal(size=(6, 8, 10)).astype(np.float32)
    mask = np.ones((6, 8), dtype=bool)
    mask[0] = False
    cube[:, :, 2] = 0  # constant
    cube[1:, :, 3] = 4  # constant in the foreground only
    cube[:, :, 5] = np.nan
    cube[:4, :, 7] = np.nan  # 24 of 40 foreground pixels
    cube[5, 7, 8] = np.inf  # one pixel: no bad band
    cube[0, 0, 0] = 1e9  # background
    labels = np.zeros((6, 8), dtype=int)
    labels[2, :3], labels[3, :5] = 1, 4
    wavelengths = np.linspace(900, 400, 10)
    return Scene("odd", cube, wavelengths, labels, ("soil",), mask, domain="lab", sensor="toy")


def test_bad_bands():
    assert np.flatnonzero(bad_bands(odd_scene())).tolist() == [2, 3, 5, 7]


def test_integer_cube():
    cube = np.zeros((3, 4, 5), dtype=np.uint16)
    cube[:, :, 1] = 7
    cube[0, 0, 4] = 1
    assert bad_bands(Scene("a", cube)).tolist() == [True, True, True, True, False]


def test_describe():
    scene = odd_scene()
    described = json.loads(json.dumps(describe(scene)))
    inside = np.asarray(scene.cube)[1:]
    finite = inside[np.isfinite(inside)]
    assert described["values"] == [float(finite.min()), float(finite.max())]
    assert (described["height"], described["width"], described["bands"], described["dtype"]) == (6, 8, 10, "float32")
    assert described["wavelengths"] == [400, 900]
    assert described["bad_bands"] == [2, 3, 5, 7]
    assert described["nonfinite_bands"] == [5, 7, 8]
    assert described["masked_share"] == 8 / 48
    assert described["classes"] == [
        {"label": 1, "name": "soil", "pixels": 3},
        {"label": 4, "name": "class 4", "pixels": 5},
    ]
    assert described["labelled"] == 8
    assert described["memory_mapped"] is False


def test_blocks_of_rows_change_nothing(monkeypatch):
    scene = odd_scene()
    whole = band_statistics(scene.cube, foreground=scene.mask)
    monkeypatch.setattr(reading, "BLOCK_BYTES", 1)
    rows = band_statistics(scene.cube, foreground=scene.mask)
    assert rows.pixels == whole.pixels == 40
    for field in ("empty", "nonfinite", "minimum", "maximum"):
        np.testing.assert_array_equal(getattr(rows, field), getattr(whole, field))


def test_memory_stays_bounded_on_a_mapped_cube(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "BLOCK_BYTES", 2**20)
    stored = np.lib.format.open_memmap(tmp_path / "a.npy", "w+", np.float32, (400, 100, 200))  # 32 MB
    stored[:] = np.random.default_rng(0).random((400, 1, 200), dtype=np.float32)
    stored.flush()
    del stored
    tracemalloc.start()
    described = describe(read_scene(tmp_path / "a.npy", layout="hwb"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert described["memory_mapped"] is True
    assert peak < 6 * 2**20
