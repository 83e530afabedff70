"""Result rows of runs, series and older tables, distinguished by what they say of themselves."""

from dataclasses import replace

import pytest
from made_rows import result_rows

from sslhsi.errors import InputError
from sslhsi.evaluation.rows import ResultRow
from sslhsi.report.curves import write_curves
from sslhsi.report.scores import read_scores, split_name

LINEAR = {("pretrained", "linear"): 70.0, ("raw spectra", "linear"): 60.0}


def methods(rows):
    return {score.method for score in read_scores(rows)[0]}


def test_methods_bear_the_least_that_tells_them_apart():
    rows = result_rows(LINEAR)
    assert methods(rows) == {"pretrained (other scenes)", "raw spectra"}
    other = [replace(r, oa=r.oa + (r.method == "pretrained"), run="b") for r in rows]
    both = [replace(r, run="a") for r in rows] + other
    assert methods(both) == {"pretrained (other scenes, a)", "pretrained (other scenes, b)", "raw spectra"}
    # What was measured twice with the same outcome counts once.
    scores, replaced = read_scores(both)
    assert len(scores) == 3 * len(rows) / 2
    assert replaced == 0
    # Fine-tunings differ by a setting; only that one is named.
    tuned = [replace(r, settings=f"epochs {n}; lr 0.1", oa=r.oa + n) for n in (30, 60) for r in rows]
    assert "pretrained (other scenes, epochs 30)" in methods(tuned)
    # Nothing tells them apart: the later measurement holds, and that is counted.
    scores, replaced = read_scores(rows + [replace(r, oa=1.0) for r in rows])
    assert {score.oa for score in scores} == {1.0}
    assert replaced == len(rows)


def test_windows_share_random_splits_but_not_blocks():
    rows = [
        replace(row, window=window, oa=row.oa + window)
        for scheme in ("random", "blocks")
        for window in (9, 15)
        for row in result_rows(LINEAR, split=scheme)
    ]
    scores, _ = read_scores([r for r in rows if r.method == "pretrained"])
    assert {(score.split, score.method) for score in scores} == {
        *(("random", f"pretrained (other scenes, window {w})") for w in (9, 15)),
        *((f"blocks, window {w}", f"pretrained (other scenes, window {w})") for w in (9, 15)),
    }


@pytest.mark.parametrize(
    ("columns", "name"),
    [
        ({"split": "random", "protocol": "random", "per_class": 5}, "random"),
        ({"split": "given", "protocol": "DASE", "per_class": "all"}, "DASE"),
        ({"split": "random", "protocol": "indian_pines_1765"}, "random, indian_pines_1765"),
        ({"split": "held-out ground"}, "held-out ground"),
        ({}, "split not stated"),
    ],
)
def test_split_of_a_row(columns, name):
    assert split_name(ResultRow(**columns)) == name


@pytest.mark.slow
def test_curves_are_drawn_where_there_are_sizes(tmp_path, series_rows):
    once = result_rows(LINEAR, scene="moor", sizes=(5,))
    some = [row for row in series_rows if row.probe == "linear"]
    files = write_curves(some + once, tmp_path / "new")
    assert {file.name for file in files} == {
        "real-field-blocks.png", "real-field-random.png", "8-bit-real-field-8bit-blocks.png",
        "stand-in-field-stand-in-blocks.png",
    }  # fmt: skip
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files)


def test_curves_replace_no_picture_of_others(tmp_path, series_rows):
    files = write_curves(series_rows, tmp_path)
    assert write_curves(series_rows, tmp_path) == files
    files[0].write_bytes(b"somebody else's")
    with pytest.raises(InputError, match="was not made by sslhsi"):
        write_curves(series_rows, tmp_path)
