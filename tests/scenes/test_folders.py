"""Folders of captures as cameras and people leave them: what is a scene, what is passed over, and what is told."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import rasterio
from scipy.io import savemat
from spectral.io import envi

from sslhsi.errors import InputError
from sslhsi.recipe import SceneSource
from sslhsi.scenes.sources import expand, source_hash

CUBE = np.random.default_rng(0).random((5, 6, 12)).astype(np.float32)
LABELS = np.arange(30).reshape(5, 6) % 4


def write_envi(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    envi.save_image(str(path), CUBE, ext=".raw", force=True)


def write_tif(path: Path, bands: int = 12) -> None:
    values = np.moveaxis(CUBE, 2, 0) if bands > 1 else LABELS[None].astype(np.uint8)
    with rasterio.open(path, "w", driver="GTiff", width=6, height=5, count=bands, dtype=values.dtype) as file:
        file.write(values)


def names(pattern: Path | str, **options) -> list[str | None]:
    return [source.name for source in expand([SceneSource(path=str(pattern), **options)])]


@pytest.fixture
def notes(caplog):
    caplog.set_level(logging.INFO, "sslhsi.scenes")
    return lambda: [record.getMessage() for record in caplog.records]


def test_what_a_laboratory_camera_leaves(tmp_path, notes):
    for name in ("leaf", "WHITEREF_leaf", "DARKREF_leaf"):
        write_envi(tmp_path / f"{name}.hdr")
    (tmp_path / "._leaf.hdr").write_bytes(b"\0\5\26\7")
    (tmp_path / "leaf.png").write_bytes(b"picture")
    (tmp_path / "manifest.xml").write_text("<x/>")
    for pattern in (tmp_path, tmp_path / "*.hdr", tmp_path / "*"):
        assert names(pattern) == ["leaf"]
    told = " ".join(notes())
    assert "WHITEREF_leaf.hdr: skipped (a white reference)" in told
    assert "DARKREF_leaf.hdr: skipped (a dark reference)" in told
    assert "._leaf.hdr: skipped (hidden)" in told
    assert "leaf.png: skipped (no cube)" in told
    # A reference that is named is read: a pattern of references alone, or the file.
    assert names(tmp_path / "WHITEREF*.hdr") == ["WHITEREF_leaf"]
    assert names(tmp_path / "WHITEREF_leaf.hdr") == ["WHITEREF_leaf"]


@pytest.mark.parametrize("kind", ["mat", "tif", "npy", "hdr"])
def test_label_maps_beside_cubes(tmp_path, notes, kind):
    for number in (1, 2):
        cube, labels = tmp_path / f"plot{number}.{kind}", tmp_path / f"plot{number}_gt.{kind}"
        if kind == "mat":
            savemat(cube, {"cube": CUBE})
            savemat(labels, {"gt": LABELS.astype(np.uint8)})
        elif kind == "tif":
            write_tif(cube)
            write_tif(labels, bands=1)
        elif kind == "npy":
            np.save(cube, CUBE)
            np.save(labels, LABELS)
        else:
            write_envi(cube)
            envi.save_image(str(labels), LABELS[:, :, None].astype(np.uint8), ext=".raw")
    assert names(tmp_path) == ["plot1", "plot2"]
    assert sum("a label map" in note for note in notes()) == 2
    paired = expand([SceneSource(path=str(tmp_path), labels=f"{{stem}}_gt.{kind}")])
    assert [Path(str(s.labels)).name for s in paired] == [f"plot1_gt.{kind}", f"plot2_gt.{kind}"]


def test_one_label_map_is_not_that_of_many_scenes(tmp_path, notes):
    for number in (1, 2):
        np.save(tmp_path / f"plot{number}.npy", CUBE)
    np.save(tmp_path / "plot1_gt.npy", LABELS)
    with pytest.raises(InputError, match=r'is one file for the 2 scenes .* labels: "\{stem\}_gt.npy"'):
        names(tmp_path / "plot?.npy", labels=str(tmp_path / "plot1_gt.npy"))
    first, second = expand([SceneSource(path=str(tmp_path / "plot?.npy"), labels="{stem}_gt.npy")])
    assert Path(str(first.labels)) == tmp_path / "plot1_gt.npy"
    assert second.labels == "none"
    assert any("plot2.npy: no plot2_gt.npy" in note for note in notes())
    with pytest.raises(InputError, match="names no file for any scene"):
        names(tmp_path / "plot?.npy", labels="{stem}_truth.npy")


def test_names_stay_apart(tmp_path):
    for folder in ("2021-03", "2021-04"):
        write_envi(tmp_path / folder / "raw_0.hdr")
    for name in ("leaf.2021.03", "leaf.2021.04"):
        write_envi(tmp_path / "dots" / f"{name}.hdr")
    assert names(tmp_path / "*" / "raw_0.hdr") == ["2021-03-raw_0", "2021-04-raw_0"]
    assert names(tmp_path / "dots") == ["leaf.2021.03", "leaf.2021.04"]


def test_a_name_with_brackets_is_a_name(tmp_path):
    write_envi(tmp_path / "[2021] trip" / "leaf [1].hdr")
    assert names(tmp_path / "[2021] trip" / "leaf [1].hdr") == ["leaf [1]"]
    assert names(tmp_path / "[2021] trip" / "*.hdr") == ["leaf [1]"]
    assert names(tmp_path / "[2021] trip" / "leaf [[]1].hdr") == ["leaf [1]"]


def test_a_header_beside_a_geotiff_is_part_of_it(tmp_path):
    write_tif(tmp_path / "field.tif")
    (tmp_path / "field.hdr").write_text("ENVI\nsamples = 6\nlines = 5\nbands = 12\ndata type = 4\n")
    (source,) = expand([SceneSource(path=str(tmp_path))])
    assert Path(str(source.path)).name == "field.tif"


def test_nothing_but_other_things(tmp_path):
    (tmp_path / "._a.hdr").write_bytes(b"\0")
    with pytest.raises(InputError, match=r"holds no scene \(.*hidden"):
        names(tmp_path)


@pytest.mark.parametrize("key", ["labels", "abundances", "mask", "wavelengths"])
def test_every_file_that_is_named_is_part_of_the_hash(tmp_path, key):
    np.save(tmp_path / "cube.npy", CUBE)
    np.save(tmp_path / "side.npy", np.ones(3))
    source = SceneSource(path=str(tmp_path / "cube.npy"), **{key: str(tmp_path / "side.npy")})
    before = source_hash(source, 0)
    np.save(tmp_path / "side.npy", np.zeros(3))
    assert source_hash(source, 0) != before
