"""The speed table's program, on two windows."""

import csv
import importlib
from pathlib import Path

import pytest
import torch

from sslhsi.backbones.registry import create_backbone

pytestmark = pytest.mark.slow

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def program(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("backbones")


def test_quick_run_writes_table_and_page(program, tmp_path, capsys):
    program.main(["--quick", "--device", "cpu", "--out", str(tmp_path)])
    with open(tmp_path / "cpu.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["network"] for row in rows} == {"hresnet", "ssrn"}
    for row in rows:
        batch, seconds = float(row["batch"]), float(row["seconds"])
        reached = 2e-3 * float(row["MMAC"]) * batch / seconds
        assert float(row["samples/s"]) == pytest.approx(batch / seconds)
        assert float(row["GFLOP/s"]) == pytest.approx(reached)
        assert float(row["% of the product"]) == pytest.approx(100 * reached / float(row["product's GFLOP/s"]))
        assert row["rounds"] == "2"
        if row["setting"] == "float32, plain":
            assert float(row["times faster"]) == 1.0
    for network in ("hresnet", "ssrn"):
        modes = [row["mode"] for row in rows if row["network"] == network and row["default"]]
        assert sorted(modes) == ["forward", "train"]
    page = (tmp_path / "cpu.md").read_text()
    assert torch.__version__ in page
    assert "ssrn" in page
    assert not list(tmp_path.glob(".*"))


def test_where_nothing_can_be_compiled_the_page_says_why(program, tmp_path, capsys, monkeypatch):
    def uncompilable(network):
        def run(x):
            raise RuntimeError("no compiler\nand a long story")

        return run

    monkeypatch.setattr(torch, "compile", uncompilable)
    program.main(["--quick", "--compile", "all", "--device", "cpu", "--out", str(tmp_path)])
    table, page = (tmp_path / "cpu.csv").read_text(), (tmp_path / "cpu.md").read_text()
    assert "float32, plain" in table
    assert "compiled" not in table
    for network in ("hresnet", "ssrn"):
        assert f"- {network}, float32, compiled: not compiled here: no compiler\n" in page


def test_multiply_adds_by_hand(program):
    network = create_backbone("hresnet", 103, 9)
    by_hand = 49 * (2 * 32 * 103 * 9 + 2 * 64 * 64 * 9)
    assert program.multiply_adds(network, torch.randn(1, 103, 9, 9)) == by_hand
    # Backward, each layer's weights and all inputs but the windows have as many again.
    again = 49 * 2 * 64 * 64 * 9
    assert program.multiply_adds(network, torch.randn(2, 103, 9, 9), train=True) == 2 * by_hand + again
