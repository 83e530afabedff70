"""Tables say what NumPy says about the rows."""

import csv
import io
import re

import numpy as np
import pytest

from sslhsi.report.tables import markdown_table, notes, per_class, pool_scenes, results_table, text_table
from sslhsi.report.verdict import gaps, mean_gap, verdict


def values(rows, **wanted):
    return np.array([row["oa"] for row in rows if all(row.get(k) == v for k, v in wanted.items())])


def test_cells_are_means_deviations_and_intervals_over_seeds(rows):
    table = results_table(rows)
    line = next(x for x in table.lines if x.keys["scene"] == "a")
    mine = values(rows, scene="a", method="pretrained", probe="linear")
    cell = line.cells["linear", "pretrained"]
    assert cell.mean == pytest.approx(mine.mean())
    assert cell.std == pytest.approx(mine.std(ddof=1))
    assert cell.seeds == line.seeds == 4
    assert mine.min() <= cell.low < cell.mean < cell.high <= mine.max()
    assert line.leak == pytest.approx(0.25)
    assert line.saw == "yes"
    assert str(cell) == f"{mine.mean():.1f} ± {mine.std(ddof=1):.1f}"


def test_one_seed_has_neither_deviation_nor_interval(rows):
    line = next(x for x in results_table(rows).lines if x.keys["per_class"] == "all")
    cell = line.cells["k-NN", "pretrained"]
    assert (cell.std, cell.low, cell.high) == (None, None, None)
    assert str(cell) == f"{values(rows, per_class='all', method='pretrained', probe='k-NN')[0]:.1f}"


def test_the_best_of_each_line_is_marked(rows):
    for line in results_table(rows).lines:
        top = max(cell.mean for cell in line.cells.values())
        assert {cell.best for cell in line.cells.values() if cell.mean == top} == {True}
        assert not any(cell.best for cell in line.cells.values() if cell.mean < top - 0.1)
    best = {
        line.keys["scene"]: [c for c, cell in line.cells.items() if cell.best] for line in results_table(rows).lines
    }
    assert best["b"] == [("linear", "raw spectra")]
    assert best["a"] == [("linear", "pretrained")]


def test_samples_per_class_come_from_either_column_and_are_ordered_by_size():
    assert per_class({"per_class": "5"}) == 5
    assert per_class({"protocol": "blocks, 30 per class"}) == 30
    assert per_class({"per_class": "all"}) == "all"
    assert per_class({}) == ""
    order = [{"per_class": n, "method": "m", "probe": "p", "oa": 1.0} for n in ("all", 30, 5, 10)]
    assert [line.keys["per_class"] for line in results_table(order).lines] == [5, 10, 30, "all"]


def test_rows_read_back_from_a_file_give_the_same_table(rows):
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(dict.fromkeys(key for row in rows for key in row)))
    writer.writeheader()
    writer.writerows(rows)
    stream.seek(0)
    assert markdown_table(list(csv.DictReader(stream))) == markdown_table(rows)


def test_markdown_has_a_column_per_method_and_the_best_in_bold(rows):
    lines = markdown_table(rows, keys=("task", "scene", "split", "per_class")).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert len({len(line) for line in cells}) == 1
    raw = values(rows, scene="b", method="raw spectra", probe="linear")
    line = dict(zip(cells[0], next(c for c in cells if c[1] == "b"), strict=True))
    assert line["linear probe: raw spectra"] == f"**{raw.mean():.1f} ± {raw.std(ddof=1):.1f}**"
    assert line["leak"] == "75 %"
    assert line["saw test pixels"] == "yes"
    assert line["linear probe: mean spectrum"] == ""
    assert markdown_table([]) == ""


def test_pooling_averages_scenes_seed_by_seed(rows):
    pooled = [
        r for r in pool_scenes(rows) if r["task"] == "pixels" and r["probe"] == "k-NN" and r["method"] == "pretrained"
    ]
    a, b = (values(rows, scene=s, method="pretrained", probe="k-NN") for s in "ab")
    assert [r["oa"] for r in sorted(pooled, key=lambda r: r["seed"])] == pytest.approx(((a + b) / 2).tolist())
    assert {r["scene"] for r in pooled} == {"mean of 2 scenes"}
    assert {r["leak"] for r in pooled} == {0.5}


def test_pooling_leaves_out_a_scene_that_some_method_lacks(rows):
    kept = [r for r in rows if (r.get("scene"), r.get("method")) != ("b", "random weights")]
    pooled = [r for r in pool_scenes(kept) if r["task"] == "pixels"]
    assert {r["scene"] for r in pooled} == {"a"}


def test_text_table_is_aligned_and_limited(rows):
    lines = text_table(rows)
    mean = (
        values(rows, scene="a", method="pretrained", probe="k-NN")
        + values(rows, scene="b", method="pretrained", probe="k-NN")
    ) / 2
    pixels = next(line for line in lines if line.startswith("pixels, 2 scenes"))
    assert re.split(r"\s{2,}", pixels)[3] == f"{mean.mean():.1f}±{mean.std(ddof=1):.1f}"
    assert len({len(line) for line in lines[1:]}) == 1, "columns of numbers end in line"
    assert len(text_table(rows, limit=2)) == 4
    assert text_table(rows, limit=2)[-1] == "... and 2 more settings"
    assert text_table([]) == []


def test_notes_are_told_once(rows):
    assert notes(rows) == ["pixels, c, blocks, 5 per class: scene 'c': too small for blocks (2 seeds)"]


def test_verdict_tells_gain_and_loss_with_numpys_numbers(rows):
    text = verdict(rows)
    pixels = [
        np.mean(
            values(rows, scene=s, method="pretrained", probe="k-NN")
            - values(rows, scene=s, method="random weights", probe="k-NN")
        )
        for s in "ab"
    ]
    loss = np.mean(
        values(rows, scene="b", method="raw spectra", probe="linear")
        - values(rows, scene="b", method="pretrained", probe="linear")
    )
    assert f"beat random weights by {np.mean(pixels):.1f} points OA (k-NN)" in text
    assert "raw spectra win in 1 of 2 (k-NN) and 1 of 2 (linear probe), by most on b, blocks, 10 per class" in text
    assert f"{loss:.1f} points" in text or "(k-NN)." in text
    assert "not below the plain mean spectrum" in text


def swapped(rows):
    names = {"pretrained": "random weights", "random weights": "pretrained"}
    return [{**row, "method": names.get(row.get("method"), row.get("method"))} for row in rows]


def test_verdict_admits_a_loss_and_a_draw(rows):
    lost = verdict([r for r in swapped(rows) if r["task"] == "domain"])
    assert "fall behind random weights by" in lost
    assert "beat" not in lost
    rng = np.random.default_rng(0)
    even = [
        {"task": "t", "scene": "s", "seed": s, "method": m, "probe": "k-NN", "oa": 70 + rng.normal()}
        for s in range(8)
        for m in ("pretrained", "random weights")
    ]
    mean, sure = mean_gap(gaps(even, "random weights")["k-NN"])
    assert not sure
    assert f"can't be told from random weights: {mean:+.1f} points OA (k-NN)" in verdict(even)


def test_verdict_of_few_seeds_or_none():
    two = [
        {"task": "t", "seed": 0, "method": m, "probe": "k-NN", "oa": oa}
        for m, oa in (("pretrained", 80.0), ("random weights", 60.0))
    ]
    assert "too few seeds for an interval, off random weights by +20.0 points" in verdict(two)
    assert verdict([]).startswith("Nothing was compared")
    assert verdict([{"task": "pixels", "note": "too small"}]).startswith("Nothing was compared")
