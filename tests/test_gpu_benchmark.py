"""The program that measures a GPU, rehearsed on the CPU; and on a GPU, results that equal the CPU's."""

import csv
import importlib
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
PARTS = {"peak", "equality", "throughput", "overhead", "NT-Xent", "corpus", "training", "compile"}


@pytest.fixture
def module(monkeypatch):
    """Import a benchmark by its name."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


def table(folder):
    with open(folder / "gpu.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Dynamo detected a call to:UserWarning")
def test_a_rehearsal_passes_through_every_part_and_goes_on_from_what_is_there(module, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    words = ["--device", "cpu", "--minutes", "3", "--quick", "--networks", "pixelnet", "--out", str(tmp_path)]
    assert module("gpu").main(words) == 0
    rows, page = table(tmp_path), (tmp_path / "gpu.md").read_text()
    assert {row["part"] for row in rows} == PARTS
    for row in rows:
        figures = [row[key] for key in ("seconds", "patches_per_second", "forward_error", "step_error") if row[key]]
        assert figures
        assert all(float(figure) >= 0 for figure in figures)
    assert {row["note"] for row in rows if row["part"] == "equality"} == {"equal within rounding"}
    stretch, whole = (row for row in rows if row["part"] == "training")
    assert stretch["note"].startswith("EXTRAPOLATED")
    assert "EXTRAPOLATED" not in whole["note"]
    assert "A rehearsal" in page
    assert all(f"### {part}" in page for part in PARTS)

    # Of a table that lost its last row, as a kill before it would have left it, that row alone is measured again.
    lines = (tmp_path / "gpu.csv").read_text().splitlines(keepends=True)
    (tmp_path / "gpu.csv").write_text("".join(lines[:-1]))
    capsys.readouterr()
    assert module("gpu").main(words) == 0
    assert (tmp_path / "gpu.csv").read_text().splitlines(keepends=True)[:-1] == lines[:-1]
    assert len(table(tmp_path)) == len(rows)
    assert capsys.readouterr().out.count(" s  ") == 1


def test_what_does_not_fit_the_budget_is_named_and_not_measured(module, tmp_path):
    assert module("gpu").main(["--device", "cpu", "--minutes", "0", "--quick", "--out", str(tmp_path)]) == 0
    assert table(tmp_path) == []
    assert "- equality pixelnet float32: no time\n" in (tmp_path / "gpu.md").read_text()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_page_says_that_nothing_was_measured(module, tmp_path):
    assert module("gpu").main(["--out", str(tmp_path)]) == 0
    assert "No GPU figure has been measured yet" in (tmp_path / "gpu.md").read_text()
    assert table(tmp_path) == []


@pytest.mark.parametrize("words", [["--quick"], ["--device", "cpu"], ["--quick", "--out", "results/backbones"]])
def test_a_rehearsal_does_not_write_to_results(module, capsys, monkeypatch, words):
    monkeypatch.chdir(BENCHMARKS.parent)
    with pytest.raises(SystemExit):
        module("gpu").main(words)
    assert "give --out" in capsys.readouterr().err


def test_results_that_differ_are_not_taken_for_equal(module):
    same = module("same_on_gpu")
    errors = same.network_errors("hresnet", torch.device("cpu"))
    assert set(errors) == set(same.LIMITS)
    assert all(0 < error < same.LIMITS[key] for key, error in errors.items())
    x = torch.randn(100, generator=torch.Generator().manual_seed(0))
    assert same.relative_error([x, x], [x.double(), x.double()]) == 0
    assert same.relative_error([1.001 * x], [x]) == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.gpu
@pytest.mark.parametrize("what", ["views", "NT-Xent", "AdamW"])
def test_on_a_gpu_views_loss_and_optimiser_equal_the_cpus(module, what):
    same = module("same_on_gpu")
    check = {"views": same.views_error, "NT-Xent": same.loss_errors, "AdamW": same.optimiser_error}[what]
    for key, error in check(torch.device("cuda")).items():
        assert error < same.LIMITS[key]


@pytest.mark.gpu
def test_on_a_gpu_networks_gradients_and_steps_equal_the_cpus(module):
    same = module("same_on_gpu")
    errors = {name: same.network_errors(name, torch.device("cuda")) for name in same.INPUTS}
    assert {
        name: of for name, of in errors.items() if any(of[key] > limit for key, limit in same.LIMITS.items())
    } == {}
