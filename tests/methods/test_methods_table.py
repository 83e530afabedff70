"""The table of methods and networks: every pair is a recipe that builds, and the page holds the rows' means."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

import sslhsi
from sslhsi.evaluation.rows import COLUMNS, ResultRow
from sslhsi.training.initialisation import check_networks

sys.path.insert(0, str(Path(__file__).parents[2] / "results"))
table = importlib.import_module("methods_table")
PAIRS = table.pairs(sslhsi.list_methods(), list(table.NETWORKS))


def test_every_method_meets_every_network_that_it_takes():
    assert set(PAIRS) == {
        (method, network)
        for method in sslhsi.list_methods()
        for network in table.NETWORKS
        if method != "mae" or network == "vit"
    }


@pytest.mark.parametrize(("method", "network"), PAIRS)
def test_every_pair_builds(method, network, tmp_path, monkeypatch):
    monkeypatch.setenv("SSLHSI_DATA", str(tmp_path))
    recipe = table.recipe_of(method, network, tmp_path, 300, 64)
    check_networks(recipe, None)
    assert set(recipe.corpus.leave_out) == set(table.TARGETS)


def test_the_page_holds_the_means_of_the_rows():
    def row(method: str, network: str, seed: int, oa: float, of: str = "pretrained") -> dict[str, str]:
        result = ResultRow(scene="muufl", split="random", per_class=5, seed=seed, method=of, probe="k-NN", oa=oa)
        heads = dict.fromkeys(table.HEADS, "") | {"ssl_method": method, "network": network}
        heads |= {"steps": "300", "batch_size": "64"}
        if of == "pretrained":
            heads |= {"rank": "12.34", "spread": "0.5", "collapse": "the features had collapsed by step 9"}
        return {**heads, **{key: str(value) for key, value in result.to_csv().items() if key in COLUMNS}}

    raw = row("none: raw spectra", "", 0, 50.0, "raw spectra")
    text = table.page([row("simclr", "vit", 0, 60.0), row("simclr", "vit", 1, 62.0), raw])
    assert "| simclr |  |  | 61.0 |  |" in text
    assert "| none: raw spectra | 50.0 | 50.0 | 50.0 | 50.0 |" in text
    assert "| simclr |  |  | 12.3, 0.50 |  |" in text
    assert "- simclr with vit: the features had collapsed by step 9" in text
    assert "300 steps of 64" in text
