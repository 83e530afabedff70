"""``sslhsi compare``: from runs and tables to a page."""

from dataclasses import replace

import numpy as np
import pytest
from html_page import Page
from made_rows import result_rows

from sslhsi.cli import main
from sslhsi.files import write_rows

pytestmark = pytest.mark.slow

LINEAR = {("pretrained", "linear"): 70.0, ("raw spectra", "linear"): 60.0}


@pytest.fixture
def two_runs(tmp_path):
    """Runs that differ in what pretraining reached, not in the raw spectra."""
    rows = result_rows(LINEAR, kind="", pretraining="")
    for name, gain in (("first", 0.0), ("second", 5.0)):
        (tmp_path / name).mkdir()
        measured = [replace(r, oa=r.oa + (gain if r.method == "pretrained" else 0)) for r in rows]
        write_rows(tmp_path / name / "results.csv", [row.to_csv() for row in measured])
    return [str(tmp_path / "first"), str(tmp_path / "second")]


def test_runs_and_tables_on_one_page(tmp_path, two_runs, labelled_scene, no_curves, capsys):
    np.savez(tmp_path / "cube.npz", cube=labelled_scene.cube)
    np.save(tmp_path / "gt.npy", labelled_scene.labels)
    write_rows(tmp_path / "series.csv", [row.to_csv() for row in result_rows(LINEAR, scene="moor")])
    out = tmp_path / "page.html"
    pictures = ["--scene", f"field={tmp_path / 'cube.npz'}", "--labels", str(tmp_path / "gt.npy")]
    assert main(["compare", *two_runs, str(tmp_path / "series.csv"), "--out", str(out), *pictures]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    page = Page(out.read_text())
    for words in (
        "pretrained (second) under linear probe",
        "pretrained (first)",
        "moor",
        "One split: blocks, 10 per",
    ):
        assert words in page.text
    assert "raw spectra (" not in page.text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["{}/nothing"], "no such file"),
        (["{}"], "holds no results.csv"),
        (["{}/gt.csv"], "no result rows"),
        (["{}/first", "--labels", "x"], "name it with --scene"),
        (["{}/first", "--scene", "{}/cube.npy"], "NAME being one of field"),
        (["{}/first", "--scene", "field={}/cube.npy"], "no ground truth; give it with --labels"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, two_runs, arguments, words, capsys):
    (tmp_path / "gt.csv").write_text("a,b\n1,2\n")
    np.save(tmp_path / "cube.npy", np.random.default_rng(0).random((12, 12, 8)))
    out = ["--out", str(tmp_path / "page.html")]
    assert main(["compare", *(a.replace("{}", str(tmp_path)) for a in arguments), *out]) == 2
    lines = capsys.readouterr().err.splitlines()
    (error,) = (line for line in lines if "error" in line)
    assert words in error
    # Beside it stands at most how the cube was read.
    assert all("read as" in line for line in lines if line != error)
    assert not (tmp_path / "page.html").exists()
