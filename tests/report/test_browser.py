"""Both pages as a real browser shows them, on a phone and on a desk; `make look` keeps the pictures."""

import os
from contextlib import ExitStack
from pathlib import Path

import pytest
from browser import MISSING, chromium, find_chromium

from sslhsi.bands.projector import SpectralProjector
from sslhsi.encoder.encoder import Encoder
from sslhsi.evaluation.network import Network
from sslhsi.report import example_charts
from sslhsi.report.comparison import write_comparison
from sslhsi.report.examples import make_examples
from sslhsi.report.run_report import write_report

pytestmark = [pytest.mark.slow, pytest.mark.skipif(find_chromium() is None, reason=MISSING)]
WIDTHS = (390, 1280)
KEPT = os.environ.get("SSLHSI_LOOK")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """A browser that shows local pages; a packed one that may not read them is no reason to fail `make test`."""
    folder = tmp_path_factory.mktemp("browser")
    (folder / "try.html").write_text("<!doctype html><title>try</title><p>here")
    with ExitStack() as stack:
        try:
            started = stack.enter_context(chromium())
            look = started.look(folder / "try.html", 1280, folder / "try.png")
            works = look.measures["title"] == "try"
        except (RuntimeError, TimeoutError, OSError):
            works = False
        if not works:
            (pytest.fail if KEPT else pytest.skip)(f"{find_chromium()} shows no page of {folder}")
        yield started


@pytest.fixture
def pages(run_dir, make_recipe, corpus, make_backbone, rows, series_rows, labelled_scene, monkeypatch):
    """A small page of each kind."""
    monkeypatch.setattr(example_charts, "MOST_PIXELS", 120)  # t-SNE of more takes seconds
    projector = SpectralProjector(grid=12, components=4, align="index").fit([labelled_scene])
    network = make_backbone(4)
    network.num_features = 6
    encoder = Encoder(network, projector, {"window": 7})
    examples = make_examples(labelled_scene, [Network("random weights", encoder)], per_class=4)
    rows_shown = [row for row in series_rows if row.split == "blocks"]
    comparison = write_comparison(
        run_dir / "comparison.html", rows_shown, title="Three methods on three scenes",
        scenes={"field": labelled_scene}, examples={"field": examples},
    )  # fmt: skip
    return {
        "report": write_report(run_dir, make_recipe(), corpus, make_backbone(4), rows).path,
        "comparison": comparison,
    }


@pytest.mark.timeout(600)  # four pages, drawn and photographed, on a machine that may be busy
def test_pages_fit_every_screen_and_ask_for_nothing(pages, browser, tmp_path):
    folder = Path(KEPT or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    for name, page in pages.items():
        for width in WIDTHS:
            look = browser.look(page, width, folder / f"{name}-{width}.png")
            where = f"{name} at {width} pixels"
            assert look.measures["inner"] == width, f"{where}: the page is wider than the screen"
            assert look.measures["scroll"] <= width, where
            assert look.measures["outside"] == [], where
            assert look.measures["images"] > 10, where
            assert (look.measures["broken"], look.measures["tiny"]) == ([], []), where
            assert look.console == [], where
            asked = [address for address in look.requests if not address.startswith("data:")]
            assert asked == [page.resolve().as_uri()], where


def test_a_page_that_does_not_fit_is_found(browser, tmp_path):
    page = tmp_path / "bad.html"
    page.write_text(
        "<!doctype html><meta name=viewport content='width=device-width'>"
        "<body style='margin:0'><div style='width:700px'>wide</div>"
        "<img alt=gone src='gone.png'><script>console.error('oh')</script>"
    )
    look = browser.look(page, 390, tmp_path / "bad.png")
    assert look.measures["scroll"] == 700
    assert look.measures["outside"] == ["DIV."]
    assert look.measures["broken"] == ["gone"]
    assert any("oh" in text for text in look.console)
    assert any(address.endswith("gone.png") for address in look.requests)
