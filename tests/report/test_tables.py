"""Tables say what NumPy says about the rows."""

import re
from dataclasses import replace

import numpy as np
import pytest
from made_rows import result_rows

from sslhsi.evaluation.rows import ResultRow
from sslhsi.report.tables import markdown, notes, results_table, score_lines, text_table
from sslhsi.report.verdict import verdict


def values(rows, **wanted):
    return np.array([row.oa for row in rows if all(getattr(row, k) == v for k, v in wanted.items())])


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
    assert line.pretraining_saw_pixels == "yes"
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


def test_lines_are_ordered_by_samples_per_class():
    rows = [ResultRow(per_class=n, method="m", probe="p", oa=1.0) for n in ("all", 30, 5, 10)]
    assert [line.keys["per_class"] for line in results_table(rows).lines] == [5, 10, 30, "all"]


def test_rows_read_back_from_a_file_give_the_same_table(rows):
    back = [ResultRow.from_csv(row.to_csv()) for row in rows]
    assert results_table(back) == results_table(rows)


def test_pooling_averages_scenes_seed_by_seed(rows):
    line = next(line for line in results_table(rows, pooled=True).lines if line.keys["task"] == "pixels")
    a, b = (values(rows, scene=s, method="pretrained", probe="k-NN") for s in "ab")
    cell = line.cells["k-NN", "pretrained"]
    assert cell.mean == pytest.approx(((a + b) / 2).mean())
    assert cell.std == pytest.approx(((a + b) / 2).std(ddof=1))
    assert (line.keys["scene"], line.scenes, line.leak, line.pretraining_saw_pixels) == (
        "mean of 2 scenes",
        2,
        0.5,
        "yes",
    )
    assert ("k-NN", "raw baseline") in line.cells


def test_pooling_leaves_out_a_scene_that_some_method_lacks(rows):
    kept = [r for r in rows if (r.scene, r.method) != ("b", "random weights")]
    lines = [line for line in results_table(kept, pooled=True).lines if line.keys["task"] == "pixels"]
    assert [(line.keys["scene"], line.scenes) for line in lines] == [("a", 1)]


def test_markdown_breaks_no_cell():
    assert markdown(["a", "b|c"], [["1", "x|y"]]) == ["| a | b\\|c |", "|---|---|", "| 1 | x\\|y |"]


def test_score_lines_say_every_mean_on_a_line_of_its_own():
    rows = result_rows({("pretrained", "linear"): 70.0, ("raw spectra", "SVM"): 60.0}, seeds=4)
    head, *lines = score_lines(rows)
    assert len(lines) == 4
    assert len({len(line) for line in (head, *lines)}) == 1
    for line in lines:
        cells = dict(zip(re.split(r"\s{2,}", head), re.split(r"\s{2,}", line), strict=True))
        method, probe = cells["method"], {"linear probe": "linear"}.get(cells["probe"], cells["probe"])
        mine = values(rows, method=method, probe=probe, per_class=int(cells["per class"]))
        assert (cells["OA"], cells["+-"]) == (f"{mine.mean():.1f}", f"{mine.std(ddof=1):.1f}")
        low, high = map(float, cells["95 %"].split("-"))
        assert mine.min() - 0.1 <= low <= mine.mean() <= high <= mine.max() + 0.1
        assert (cells["scene"], cells["split"], cells["seeds"]) == ("field (real)", "blocks", "4")
    single = score_lines([row for row in rows if row.seed == 0 and row.per_class == 5 and row.probe == "SVM"])
    assert re.split(r"\s{2,}", single[1])[6] == f"{rows[1].oa_low:.1f}-{rows[1].oa_high:.1f}"


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


def test_notes_are_said_once(rows):
    assert notes(rows) == ["pixels, c, blocks: scene 'c': too small for blocks (2 seeds)"]


def test_verdict_says_gain_and_loss_with_numpys_numbers(rows):
    text = verdict(rows)
    pixels = [
        np.mean(
            values(rows, scene=s, method="pretrained", probe="k-NN")
            - values(rows, scene=s, method="random weights", probe="k-NN")
        )
        for s in "ab"
    ]
    # The best that needs no training is random weights on a, raw spectra on b; on domains it is random weights.
    linear = [
        values(rows, scene=s, method="pretrained", probe="linear") - values(rows, scene=s, method=m, probe="linear")
        for s, m in (("a", "random weights"), ("b", "raw spectra"))
    ]
    losses = {
        probe: np.mean(
            values(rows, scene="b", method="raw spectra", probe=probe)
            - values(rows, scene="b", method="pretrained", probe=probe)
        )
        for probe in ("k-NN", "linear")
    }
    assert f"beat random weights by {np.mean(pixels):.1f} points OA (k-NN)" in text
    assert f"and {np.mean(linear):+.1f} (linear probe) points OA over the best that needs no training" in text
    probe, title = max(("k-NN", "k-NN"), ("linear", "linear probe"), key=lambda names: losses[names[0]])
    assert (
        "which wins in 1 of 2 (k-NN) and 1 of 2 (linear probe), by most on b, blocks, 10 per class: "
        f"raw spectra by {losses[probe]:.1f} points ({title})" in text
    )
    assert "over the best that needs no training, which wins nowhere" in text


def test_window_means_count_once_and_their_reach_is_no_leak_of_the_split():
    methods = {"pretrained": 70, "raw spectra": 60, "window means": 75, "window means, standardised": 90}
    rows = result_rows({(method, "linear"): float(mean) for method, mean in methods.items()})
    rows = [replace(row, leak=0.4) if row.method.startswith("window means") else row for row in rows]
    assert {line.leak for line in results_table(rows).lines} == {0.0}
    assert len(results_table(rows).columns) == 4
    assert all("standardised" not in line for line in text_table(rows))
    # The better of the two on test pixels is no rival: its choice was not made on training pixels.
    gap = np.mean(values(rows, method="window means") - values(rows, method="pretrained"))
    assert "which wins in 2 of 2 (linear probe)" in verdict(rows)
    assert f"{-gap:+.1f} (linear probe) points OA over the best that needs no training" in verdict(rows)


def swapped(rows):
    names = {"pretrained": "random weights", "random weights": "pretrained"}
    return [replace(row, method=names.get(row.method, row.method)) for row in rows]


def test_verdict_admits_a_loss_and_a_draw(rows):
    lost = verdict([r for r in swapped(rows) if r.task == "domain"])
    assert "fall behind random weights by" in lost
    assert "beat" not in lost
    rng = np.random.default_rng(0)
    even = [
        ResultRow(task="t", scene="s", seed=s, method=m, probe="k-NN", oa=70 + rng.normal())
        for s in range(8)
        for m in ("pretrained", "random weights")
    ]
    gap = np.mean(values(even, method="pretrained") - values(even, method="random weights"))
    assert f"can't be distinguished from random weights: {gap:+.1f} points OA (k-NN)" in verdict(even)


def test_verdict_of_few_seeds_or_none():
    two = [
        ResultRow(task="t", seed=0, method=m, probe="k-NN", oa=oa)
        for m, oa in (("pretrained", 80.0), ("random weights", 60.0))
    ]
    assert "too few seeds for an interval, off random weights by +20.0 points" in verdict(two)
    assert verdict([]).startswith("Nothing was compared")
    assert verdict([ResultRow(note="too small")]).startswith("Nothing was compared")
