"""The run report: one page that says what the rows say, and that no odd run can break."""

import re
from itertools import pairwise

import numpy as np
import pytest
import torch
from html_page import Page
from matplotlib.image import imread
from sklearn.neighbors import KNeighborsClassifier

from sslhsi.corpus.prepare import prepare
from sslhsi.corpus.reader import PatchReader
from sslhsi.evaluation.rows import ResultRow
from sslhsi.report import plots, sections, view_sheet
from sslhsi.report.run_report import write_report

pytestmark = pytest.mark.slow

PLOTS = {
    "loss", "lr", "knn", "patches_per_second", "explained_variance", "components", "embedding_pca", "embedding_tsne",
    "confusion", "scenes", "views",
}  # fmt: skip


def spread(rows, **wanted):
    oa = np.array([row.oa for row in rows if all(getattr(row, k) == v for k, v in wanted.items())])
    return f"{oa.mean():.1f} ± {oa.std(ddof=1):.1f}" if len(oa) > 1 else f"{oa.mean():.1f}"


def write(run_dir, recipe, corpus, backbone, rows):
    """The report and its parsed page."""
    report = write_report(run_dir, recipe, corpus, backbone, rows)
    page = Page(report.path.read_text(encoding="utf-8"))
    assert page.open == []
    return report, page


@pytest.fixture
def little_drawing(monkeypatch):
    """Draw as little as can be, for tests of what is written."""
    monkeypatch.setattr(sections, "MOST_WINDOWS", 8)  # too few for t-SNE
    monkeypatch.setattr(view_sheet, "DRAWS", 1)


def test_page_holds_the_rows_numbers_and_every_part(run_dir, make_recipe, corpus, make_backbone, rows):
    report, page = write(run_dir, make_recipe(noise=0.123), corpus, make_backbone(4), rows)
    assert report.path == run_dir / "report.html"
    for scene, method in (("all scenes", "mean spectrum"), ("a", "pretrained"), ("b", "raw spectra")):
        for probe in ("k-NN", "linear"):
            wanted = {"scene": scene, "method": method, "probe": probe}
            assert spread(rows, **wanted, **({"per_class": 5} if scene == "all scenes" else {})) in page.text
    assert spread(rows, scene="all scenes", method="pretrained", probe="linear", per_class="all") in page.text
    for words in (
        "held-out ground", "blocks", "25 %", "75 %", "scene 'c': too small for blocks (2 seeds)", "abc123+changes",
        "torch 9.9.9", "a <cpu>", corpus.key, "crop <1>", "sd up to 0.123", "temperature 0.1", report.summary[-1],
    ):  # fmt: skip
        assert words in page.text
    for scene in corpus.manifest.scenes:
        assert scene.hash in page.text
        assert scene.name in page.text
    assert "could not be drawn" not in page.text

    # Self-contained, described, small; every plot beside it.
    source = report.path.read_text(encoding="utf-8")
    assert page.addresses
    assert all(address.startswith("data:image/") for address in page.addresses)
    assert not re.search(r"url\(|@import|<script|<link|https?://", source)
    alts = [image.get("alt", "") for image in page.images]
    assert all(alts)
    assert "Confusion matrix" in " ".join(alts)
    assert "crop <0>: noise sd up to 0.123" in alts
    assert len(source) < 3e6
    assert {file.name for file in (run_dir / "plots").iterdir()} == {f"{name}.png" for name in PLOTS}
    for file in (run_dir / "plots").iterdir():
        assert imread(file)[..., :3].std() > 0.01

    assert 3 <= len(report.summary) <= 8
    assert not any("\n" in line for line in report.summary)
    oa = [r.oa for r in rows if (r.per_class, r.method, r.probe) == (5, "pretrained", "k-NN")]
    line = next(line for line in report.summary if re.search(r"held-out ground +5 ", line))
    assert f"{np.mean(oa):.1f}±{np.std(oa, ddof=1):.1f}" in line


def test_confusion_is_that_of_scikit_learns_neighbours(run_dir, make_recipe, make_backbone):
    recipe = make_recipe(domains=4)
    corpus, patches, backbone = prepare(recipe), recipe.corpus.patches, make_backbone(4)
    reader = PatchReader(corpus.arrays, patches.window)
    bank, asked = corpus.windows(patches), corpus.windows(patches, held=True, stride=patches.window)
    with torch.no_grad():
        x, y = backbone(reader(bank)).numpy(), backbone(reader(asked)).numpy()
    neighbours = KNeighborsClassifier(20, metric="cosine", weights=lambda distance: np.exp((1 - distance) / 0.07))
    right = neighbours.fit(x, corpus.domain_numbers(bank)).predict(y) == corpus.domain_numbers(asked)
    charts = sections.embedding(sections.Page(run_dir), recipe, corpus, backbone)
    words = f"k-NN (k = 20) recognises the domain of {len(asked)} held-out windows by {len(bank)} training windows"
    assert charts[-1].caption == f"{words}: {100 * right.mean():.1f} % right."


@pytest.mark.parametrize(
    "odd",
    [
        {"domains": 1, "components": 1, "holdout": 0.0},
        {"components": 2, "holdout": 0.0},
        {"components": None},
        {"side": 12, "holdout": 0.0},  # a single window in each scene
    ],
    ids=str,
)
def test_odd_corpora_have_a_report(tmp_path, make_recipe, make_backbone, odd):
    recipe = make_recipe(**odd)
    corpus = prepare(recipe)
    _, page = write(tmp_path, recipe, corpus, make_backbone(corpus.channels), [])
    assert "Nothing was compared" in page.text
    assert "could not be drawn" not in page.text
    assert {"scenes.png", "views.png"} <= {file.name for file in (tmp_path / "plots").iterdir()}


@pytest.mark.parametrize(
    ("metrics", "drawn"),
    [
        (None, []),
        ("", []),
        ("step,loss,lr,patches_per_second,knn\n", []),
        ("step,loss,lr,patches_per_second,knn\n10,4.0,0.1,,\n", ["Loss", "Learning rate"]),
        ("step,loss,lr,patches_per_second,knn\n10,nan,,inf,\n20,3.0", ["Loss"]),
        ("step,loss\nten,4.0\n", []),
    ],
)
def test_curves_of_short_or_torn_metrics(tmp_path, metrics, drawn):
    if metrics is not None:
        (tmp_path / "metrics.csv").write_text(metrics)
    page = sections.Page(tmp_path)
    assert [chart.alt.split(" over ")[0] for chart in sections.curves(page)] == drawn


def test_a_run_without_metrics_has_a_report(tmp_path, make_recipe, corpus, make_backbone, little_drawing):
    _, page = write(tmp_path, make_recipe(), corpus, make_backbone(4), [])
    assert "No metrics were logged." in page.text
    assert "could not be drawn" not in page.text


def test_rows_with_missing_values_have_a_report(tmp_path, make_recipe, corpus, make_backbone, little_drawing):
    rows = [
        ResultRow(note="too small"),
        ResultRow(scene="s", method="pretrained", probe="k-NN"),
        ResultRow(scene="s", method="pretrained", probe="k-NN", oa=71.25, seed=0),
        ResultRow(task="", method="pretrained", probe="SVM", oa=81.5),
        ResultRow(oa=50.0),
        ResultRow(),
    ]
    _, page = write(tmp_path, make_recipe(), corpus, make_backbone(4), rows)
    assert "71.2" in page.text
    assert "81.5" in page.text
    assert "could not be drawn" not in page.text


def test_a_part_that_fails_is_named_and_the_rest_is_there(tmp_path, make_recipe, corpus, make_backbone, rows):
    (tmp_path / "provenance.json").write_text("{torn")
    # A backbone of 7 channels can't take the corpus's 4.
    _, page = write(tmp_path, make_recipe(), corpus, make_backbone(7), rows)
    for part in ("provenance: JSONDecodeError", "embedding: RuntimeError"):
        assert part in page.text
    assert spread(rows, scene="b", method="raw spectra", probe="linear") in page.text


def test_markup_in_names_stays_text(tmp_path, make_recipe, corpus, make_backbone, little_drawing):
    row = ResultRow(task="<script>x</script>", scene="<i>", method="pretrained", probe="k-NN", oa=1.0)
    report, page = write(tmp_path, make_recipe(), corpus, make_backbone(4), [row])
    source = report.path.read_text(encoding="utf-8")
    assert "<script>" not in source
    assert "<i>" not in source
    assert "field 0 <b>" in page.text


def test_domains_keep_their_look_and_neighbours_differ_twice():
    looks = [plots.domain_style(n) for n in range(20)]
    assert len(set(looks)) == 20
    assert all(a[0] != b[0] and a[1] != b[1] for a, b in pairwise(looks))


def test_charts_follow_the_theme_of_the_page():
    figure = plots.curve([1, 2, 3], [3.0, np.nan, 1.0], "Loss", "loss", stairs=False, zero=False)
    text = plots.svg(figure).decode()
    assert "prefers-color-scheme:dark" in text
    assert "currentColor" in text
    assert "http" not in text.replace("http://www.w3.org/", "")


def test_confusion_of_many_domains_is_drawn_without_names(tmp_path):
    counts = np.random.default_rng(0).integers(0, 9, (30, 30))
    counts[3] = 0  # a domain that no window tests
    figure = plots.confusion(counts, [f"domain {n}" for n in range(30)], "many")
    plots.save_png(figure, tmp_path / "many.png")
    assert "domain 7" not in {label.get_text() for label in figure.axes[0].get_yticklabels()}
    assert imread(tmp_path / "many.png")[..., :3].std() > 0.01
