"""Tree crowns: read by their table, laid side by side without touching, divided by year."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import rasterio

from sslhsi.errors import InputError
from sslhsi.scenes.crowns import Crop, crown_split, mosaic, read_crowns

BANDS = 6


def crop(tree: str, species: str, year: int, height: int = 4, width: int = 5) -> Crop:
    rng = np.random.default_rng([ord(tree[-1]), year])
    return Crop(rng.integers(0, 900, (height, width, BANDS)).astype(np.int16), tree, species, year)


def test_a_folder_is_read_by_its_table(tmp_path):
    known = [crop("t2", "OAK", 2018), crop("t1", "ASH", 2019, 6, 7), crop("t1", "ASH", 2017)]
    lines = []
    for n, c in enumerate(known):
        with rasterio.open(
            tmp_path / f"{n}.tif", "w", driver="GTiff", height=c.cube.shape[0], width=c.cube.shape[1], count=BANDS,
            dtype="int16",
        ) as file:  # fmt: skip
            file.write(np.moveaxis(c.cube, 2, 0))
        lines.append({"image_path": f"{n}.tif", "individualID": c.tree, "taxonID": c.species, "tile_year": c.year})
    lines.append({"image_path": "gone.tif", "individualID": "t9", "taxonID": "ELM", "tile_year": 2018})
    with (tmp_path / "annotations.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    crops = read_crowns(tmp_path)
    assert [(c.tree, c.species, c.year) for c in crops] == [
        ("t1", "ASH", 2017),
        ("t1", "ASH", 2019),
        ("t2", "OAK", 2018),
    ]
    np.testing.assert_array_equal(crops[1].cube, known[1].cube)


def test_a_folder_without_a_table_is_named(tmp_path):
    with pytest.raises(InputError, match=r"annotations\.csv"):
        read_crowns(tmp_path)
    (tmp_path / "annotations.csv").write_text("image_path,individualID\na.tif,t\n")
    with pytest.raises(InputError, match="taxonID"):
        read_crowns(tmp_path)


def test_each_crop_is_framed_by_its_own_reflection():
    crops = [crop("a", "OAK", 1, 4, 5), crop("b", "ASH", 1, 7, 3)]
    scene, groups = mosaic(crops, 3, "crowns")
    for number, one in enumerate(crops, 1):
        rows, columns = np.nonzero(groups == number)
        np.testing.assert_array_equal(scene.cube[rows, columns], one.cube.reshape(-1, BANDS))
        top, left = rows.min(), columns.min()
        h, w = one.cube.shape[:2]
        around = scene.cube[top - 3 : top + h + 3, left - 3 : left + w + 3]
        np.testing.assert_array_equal(around, np.pad(one.cube, ((3, 3), (3, 3), (0, 0)), mode="reflect"))
    assert scene.classes == ["ASH", "OAK"]
    assert set(scene.labels[groups == 1]) == {2}
    np.testing.assert_array_equal(scene.mask, groups > 0)


def test_of_every_tree_the_earliest_years_train():
    crops = [crop("a", "OAK", y) for y in (2021, 2017, 2018)] + [crop("b", "ASH", y) for y in (2019, 2018)]
    train, test = crown_split(crops, 1)
    assert [crops[i].year for i in train] == [2017, 2018]
    assert sorted(crops[i].year for i in test) == [2018, 2019, 2021]
    train, test = crown_split(crops, 2)
    # The other tree was not flown a third time: it is on neither side.
    assert [crops[i].tree for i in [*train, *test]] == ["a", "a", "a"]
    with pytest.raises(InputError, match="more than 3 years"):
        crown_split(crops, 3)
