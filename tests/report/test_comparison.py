"""The comparison page: its numbers, its verdicts, what it keeps apart, and what it shows of a split."""

import re

import numpy as np
import pytest
from html_page import Page
from scipy import stats
from sklearn.metrics import accuracy_score, cohen_kappa_score

from sslhsi.errors import InputError
from sslhsi.evaluation.rows import ResultRow
from sslhsi.report import example_charts
from sslhsi.report.comparison import write_comparison
from sslhsi.report.embedding import principal, tsne
from sslhsi.report.examples import Example, make_examples
from sslhsi.report.pictures import label_colours
from sslhsi.report.scene_pictures import ERRORS, SIDES, class_picture, error_picture, split_picture
from sslhsi.splits.split import split


def write(folder, rows, **more):
    path = write_comparison(folder / "new" / "page.html", rows, title="A <title>", **more)
    page = Page(path.read_text(encoding="utf-8"))
    assert page.open == []
    return page, path.read_text(encoding="utf-8")


def cells(page, heading, caption):
    """(probe, method) -> texts of the cells of one table, by column title."""
    head, *body = page.tables[heading, caption]
    lines, probe = {}, ""
    for line in body:
        if len(line) == 1:
            probe = line[0]
        else:
            method = re.sub(r" pretraining saw pixels: .*", "", line[0])
            lines[probe, method] = dict(zip([text.split(" leak")[0] for text in head[1:]], line[1:], strict=True))
    return lines


def test_numbers_are_numpys(tmp_path, series_rows, no_curves):
    page, _ = write(tmp_path, series_rows)
    for metric, name in (("oa", "overall accuracy"), ("aa", "average accuracy"), ("f1_macro", "macro F1")):
        table = cells(page, "Real scenes", f"field, random, {name}")
        assert len(table) == 7
        for (probe, method), texts in table.items():
            plain, title = method.removesuffix(" (other scenes)"), {"linear probe": "linear"}.get(probe, probe)
            for size in (5, 10):
                values = [
                    getattr(row, metric) for row in series_rows
                    if (row.scene, row.split, row.method) == ("field", "random", plain)
                    and (row.probe, row.per_class) == (title, size)
                ]  # fmt: skip
                assert len(values) == 5
                text = texts[f"{size} per class"]
                assert text.startswith(f"{np.mean(values):.1f} ± {np.std(values, ddof=1):.1f}")
                low, high = map(float, re.search(r"(-?[\d.]+) to (-?[\d.]+)$", text).groups())
                wanted = stats.bootstrap((values,), np.mean, method="percentile", rng=1).confidence_interval
                assert (low, high) == pytest.approx(wanted, abs=0.25 * np.std(values))
    # The best of a column is marked once, and every column says what it leaks.
    best = [key for key, texts in table.items() if "(best)" in texts["5 per class"]]
    assert best == [("linear probe", "pretrained (other scenes)")]
    assert (
        "leak 65 % touch 90 % train 20 test 300"
        in page.tables["Real scenes", "field, random, overall accuracy"][0][3]
    )


def test_kinds_share_no_table_and_no_verdict(tmp_path, series_rows, no_curves):
    page, source = write(tmp_path, series_rows)
    of_kind = {
        "Real scenes": "field", "Real scenes, 8-bit versions": "field_8bit", "Stand-ins": "field <stand-in>",
    }  # fmt: skip
    captions = [place for place in page.tables if place[1]]
    assert {heading for heading, _ in captions} == set(of_kind)
    for heading, caption in captions:
        assert caption.startswith(f"{of_kind[heading]}, ")
    means = {}
    for row in series_rows:
        means.setdefault(row.scene, []).append(row.oa)
    for sentence, scene, family in (
        ("Real scenes: of 2 pairs", "field", "first is pretrained in 2 (2 beyond doubt)"),
        ("Real scenes, 8-bit versions: of 1 pair ", "field_8bit", "first is raw spectra in 1 (1 beyond doubt)"),
        ("Stand-ins: of 1 pair ", "field <stand-in>", " in 1 (0 beyond doubt)"),
    ):
        assert re.search(re.escape(sentence) + r"[^.]*" + re.escape(family), page.text), (sentence, scene)
    # Their caveats stand by them.
    assert source.index("rounded to 8 bits") > source.index("<h2>Real scenes, 8-bit versions")
    assert source.index("never to be set beside real") > source.index("<h2>Stand-ins")


@pytest.mark.slow
def test_page_needs_nothing_but_itself(tmp_path, series_rows, labelled_scene, monkeypatch):
    monkeypatch.setattr(example_charts, "MOST_PIXELS", 60)  # t-SNE of more takes seconds
    rows = [row for row in series_rows if row.split == "blocks" and row.kind != "8-bit real"]
    examples = {"field": make_examples(labelled_scene, [], per_class=4)[:1]}
    page, source = write(tmp_path, rows, scenes={"field": labelled_scene}, examples=examples)
    assert all(address.startswith(("data:image/", "#")) for address in page.addresses)
    assert {f'id="{a[1:]}"' in source for a in page.addresses if a.startswith("#")} == {True}
    assert not re.search(r"url\(|@import|<script|<link|https?://", source)
    assert all(image.get("alt") for image in page.images)
    assert len(source) < 3e6
    for words in ("A <title>", "field <stand-in>", "oats <late>", "abc123"):
        assert words in page.text
    # One curve per probe, scene and split.
    curves = [image["alt"] for image in page.images if "over training samples per class" in image["alt"]]
    assert len(curves) == 3 + 2


def test_rows_without_most_columns(tmp_path, no_curves):
    rows = [ResultRow(method=m, probe="linear", oa=oa) for m, oa in (("raw spectra", 50.0), ("pretrained", 60.5))]
    rows += [ResultRow(note="scene c: too small"), ResultRow(method="pretrained", probe="SVM")]
    page, _ = write(tmp_path, rows)
    table = cells(
        page, "Scenes of a kind that the rows don't state", "scene not stated, split not stated, overall accuracy"
    )
    assert table["linear probe", "pretrained"]["as listed"] == "60.5 (best)"
    assert table["linear probe", "pretrained"]["pretraining saw pixels"] == "not stated"
    assert "scene c: too small" in page.text
    assert "on too few seeds for an interval" in page.text


def test_nothing_to_compare_is_said(tmp_path, series_rows, labelled_scene, no_curves):
    with pytest.raises(InputError, match="nothing to compare"):
        write(tmp_path, [ResultRow(note="x")])
    drawn = Example(split(labelled_scene.labels, "random", 9, per_class=4))
    with pytest.raises(InputError, match="'moor': the rows hold no such scene, only field"):
        write(tmp_path, series_rows, scenes={"moor": labelled_scene}, examples={"moor": [drawn]})
    with pytest.raises(InputError, match="give the labelled scene"):
        write(tmp_path, series_rows, examples={"field": [drawn]})
    wrong = Example(drawn.split, {"x": labelled_scene.labels + 1})
    with pytest.raises(InputError, match="predictions of 'x' must be"):
        write(tmp_path, series_rows, scenes={"field": labelled_scene}, examples={"field": [wrong]})
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_an_example_shows_scores_and_leaks_of_its_split(tmp_path, series_rows, labelled_scene, no_curves):
    labels = labelled_scene.labels
    blocks, random = make_examples(labelled_scene, [], per_class=4)
    assert (blocks.split.scheme, random.split.scheme) == ("blocks", "random")
    # Without networks the window is 1; splits for windows of 9 show what leaks.
    drawn = split(labels, "random", 9, per_class=4, seed=1)
    ((name, predicted),) = random.predictions.items()
    shown = Example(drawn, {name: predicted}, {"raw spectra": np.zeros((len(drawn.train) + len(drawn.test), 2))})
    page, _ = write(tmp_path, series_rows, scenes={"field": labelled_scene}, examples={"field": [shown]})
    at = tuple(drawn.test.T)
    oa, kappa = accuracy_score(labels[at], predicted[at]), cohen_kappa_score(labels[at], predicted[at])
    assert f"{name}: OA {100 * oa:.1f}" in page.text
    assert f"κ × 100 {100 * kappa:.1f}" in page.text
    train = np.zeros(labels.shape, bool)
    train[tuple(drawn.train.T)] = True
    padded = np.pad(train, 4)
    leaks = np.mean([padded[r : r + 9, c : c + 9].any() for r, c in drawn.test])
    assert f"{leaks:.1%} of the test windows contain a training pixel" in page.text


def test_collapsed_features_break_nothing():
    x = np.repeat([[3.0, 4.0, 0.0]], 50, axis=0)
    assert tsne(x) is None
    assert np.ptp(principal(x)) == pytest.approx(0, abs=1e-9)
    assert np.isfinite(tsne(x + np.random.default_rng(0).normal(size=x.shape))).all()


def test_pictures_mark_every_pixel(labelled_scene):
    labels = labelled_scene.labels
    drawn = split(labels, "blocks", 5, per_class=4, seed=2)
    rng = np.random.default_rng(1)
    predicted = np.where(rng.random(labels.shape) < 0.2, 1, labels)
    errors = error_picture(labels, predicted, drawn.test, drawn.train)
    at = tuple(drawn.test.T)
    marked = {name: (np.abs(errors - np.array(colour)) < 1e-9).all(axis=2) for name, colour in ERRORS.items()}
    np.testing.assert_array_equal(marked["wrong"][at], labels[at] != predicted[at])
    assert marked["wrong"].sum() == (labels[at] != predicted[at]).sum() > 0
    assert marked["right"].sum() == (labels[at] == predicted[at]).sum()
    assert marked["training"].sum() == len(drawn.train)
    # The split: training pixels in their colour alone, and every side changes the grey beneath it.
    image = split_picture(labelled_scene, drawn)
    train = (np.abs(image - np.array(SIDES["training"])) < 1e-9).all(axis=2)
    np.testing.assert_array_equal(np.argwhere(train), drawn.train)
    grey = np.ptp(image, axis=2) < 1e-9
    np.testing.assert_array_equal(grey, labels == 0)
    # A class has one colour wherever it is shown, and no two have the same.
    shown = class_picture(labels, label_colours(labels))
    assert [len(np.unique(shown[labels == c], axis=0)) for c in range(5)] == [1] * 5
    assert len(np.unique(shown.reshape(-1, 3), axis=0)) == 5
