"""The program that measures whole-scene inference, on a small scene."""

import csv
import importlib.util
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

FILE = Path(__file__).parents[2] / "benchmarks" / "maps.py"


def test_quick_run_writes_table_and_page(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    spec = importlib.util.spec_from_file_location("benchmark_maps", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main(["--quick", "--device", "cpu", "--out", str(tmp_path)])
    with open(tmp_path / "cpu.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["network"] == "ccnn"
    assert float(row["windows_seconds"]) > 0
    # What is timed on both sides are the same features.
    assert float(row["difference"]) < 1e-5
    assert "ccnn" in (tmp_path / "cpu.md").read_text()
    assert not list(tmp_path.glob(".*"))
