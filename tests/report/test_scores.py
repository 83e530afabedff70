"""Result rows of runs, series and older tables, told apart by what they say of themselves."""

import pytest
from made_rows import result_rows

from sslhsi.report.curves import write_curves
from sslhsi.report.scores import kind_of, read_scores, split_name

LINEAR = {("pretrained", "linear"): 70.0, ("raw spectra", "linear"): 60.0}


def methods(rows):
    return {score.method for score in read_scores(rows)[0]}


def test_methods_bear_the_least_that_tells_them_apart():
    rows = result_rows(LINEAR)
    assert methods(rows) == {"pretrained (other scenes)", "raw spectra"}
    other = [{**r, "oa": r["oa"] + (r["method"] == "pretrained"), "run": "b"} for r in rows]
    both = [{**r, "run": "a"} for r in rows] + other
    assert methods(both) == {"pretrained (other scenes, a)", "pretrained (other scenes, b)", "raw spectra"}
    # What was measured twice with the same outcome counts once.
    scores, replaced = read_scores(both)
    assert len(scores) == 3 * len(rows) / 2
    assert replaced == 0
    # Fine-tunings differ by a setting; only that one is named.
    tuned = [{**r, "settings": f"epochs {n}; lr 0.1", "oa": r["oa"] + n} for n in (30, 60) for r in rows]
    assert "pretrained (other scenes, epochs 30)" in methods(tuned)
    # Nothing tells them apart: the later measurement holds, and that is counted.
    scores, replaced = read_scores(rows + [{**r, "oa": 1.0} for r in rows])
    assert {score.values["oa"] for score in scores} == {1.0}
    assert replaced == len(rows)


def test_windows_share_random_splits_but_not_blocks():
    rows = [
        {**row, "window": window, "oa": row["oa"] + window}
        for scheme in ("random", "blocks")
        for window in (9, 15)
        for row in result_rows(LINEAR, split=scheme)
    ]
    scores, _ = read_scores([r for r in rows if r["method"] == "pretrained"])
    found = {(score.split, score.method) for score in scores}
    assert found == {
        *(("random", f"pretrained (other scenes, window {w})") for w in (9, 15)),
        *((f"blocks, window {w}", f"pretrained (other scenes, window {w})") for w in (9, 15)),
    }


@pytest.mark.parametrize(
    ("row", "kind", "name"),
    [
        ({"scene": "ip_8bit", "split": "random", "protocol": "random, 5 per class"}, "8-bit real", "random"),
        ({"scene": "stand-in-pavia", "split": "given", "protocol": "DASE, all"}, "stand-in", "DASE"),
        ({"scene": "x", "kind": "real", "split": "random", "protocol": "per_class_15"}, "real", "random"),
        ({"scene": "x", "split": "random", "protocol": "indian_pines_1765"}, "", "random, indian_pines_1765"),
        ({"scene": "simulated corpus", "split": "held-out ground"}, "simulated", "held-out ground"),
        ({}, "", "split not stated"),
    ],
)
def test_kind_and_split_of_a_row(row, kind, name):
    assert (kind_of(row), split_name(row)) == (kind, name)


def test_curves_are_drawn_where_there_are_sizes(tmp_path, series_rows):
    once = result_rows(LINEAR, scene="moor", sizes=(5,))
    some = [row for row in series_rows if row["probe"] == "linear"]
    files = write_curves(some + once, tmp_path / "new")
    assert {file.name for file in files} == {
        "real-field-blocks.png", "real-field-random.png", "8-bit-real-field-8bit-blocks.png",
        "stand-in-field-stand-in-blocks.png",
    }  # fmt: skip
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files)
