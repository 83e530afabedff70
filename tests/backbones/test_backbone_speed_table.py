"""The speed table's program, on two windows."""

import csv
import importlib.util
from pathlib import Path

import pytest
import torch

from sslhsi.backbones.registry import create_backbone

pytestmark = pytest.mark.slow

FILE = Path(__file__).parents[2] / "benchmarks" / "backbones.py"


def program():
    spec = importlib.util.spec_from_file_location("benchmark_backbones", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_quick_run_writes_table_and_page(tmp_path, capsys):
    program().main(["--quick", "--device", "cpu", "--out", str(tmp_path)])
    with open(tmp_path / "cpu.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["network"] for row in rows} == {"hresnet", "ssrn"}
    for row in rows:
        assert float(row["samples_per_second"]) > 0
        if row["setting"] == "float32, plain":
            assert float(row["ratio"]) == 1.0
    for network in ("hresnet", "ssrn"):
        modes = [row["mode"] for row in rows if row["network"] == network and row["default"]]
        assert sorted(modes) == ["forward", "train"]
    page = (tmp_path / "cpu.md").read_text()
    assert torch.__version__ in page
    assert "ssrn" in page
    assert not list(tmp_path.glob(".*"))


def test_where_nothing_can_be_compiled_the_page_says_why(tmp_path, capsys, monkeypatch):
    def uncompilable(network):
        def run(x):
            raise RuntimeError("no compiler\nand a long story")

        return run

    monkeypatch.setattr(torch, "compile", uncompilable)
    program().main(["--quick", "--compile", "all", "--device", "cpu", "--out", str(tmp_path)])
    table, page = (tmp_path / "cpu.csv").read_text(), (tmp_path / "cpu.md").read_text()
    assert "float32, plain" in table
    assert "compiled" not in table
    for network in ("hresnet", "ssrn"):
        assert f"- {network}, float32, compiled: not compiled here: no compiler\n" in page


def test_multiply_adds_by_hand():
    network = create_backbone("hresnet", 103, 9)
    by_hand = 49 * (2 * 32 * 103 * 9 + 2 * 64 * 64 * 9)
    assert program().multiply_adds(network, torch.randn(1, 103, 9, 9)) == by_hand
