"""The evaluation programs, as a person would run them."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from sslhsi.backbones.registry import create_backbone
from sslhsi.bands.projector import SpectralProjector
from sslhsi.cli import main
from sslhsi.encoder.load import load_backbone
from sslhsi.encoder.save import save_backbone
from sslhsi.files import write_rows
from sslhsi.scenes.scene import Scene

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
MEANS = {"window means", "window means, whitened", "window means, standardised"}
METHODS = {"pretrained", "random weights", "raw spectra"} | MEANS


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with a small scene, its labels, and an untrained backbone."""
    folder = tmp_path_factory.mktemp("eval")
    rng = np.random.default_rng(0)
    labels = np.kron(np.array([[1, 2, 3], [3, 1, 2], [2, 3, 1]]), np.ones((7, 7), int))
    cube = rng.random((4, 10))[labels].cumsum(axis=2) + 0.3 * rng.standard_normal((21, 21, 10))
    np.save(folder / "field.npy", cube.astype(np.float32))
    np.save(folder / "gt.npy", labels)
    projector = SpectralProjector(grid=10, components=4, align="index").fit([Scene("field", cube)])
    torch.manual_seed(1)
    options = {"width": 6, "mixed": 4, "radii": [0, 1]}
    network = create_backbone("pixelnet", 4, 3, **options)
    config = {"architecture": "pixelnet", "window": 3, "border": "reflect", "options": options}
    save_backbone(folder / "backbone", network, projector, config)
    return folder


def words(place: Path, name: str, *more: str) -> list[str]:
    given = ["eval", name, str(place / "backbone"), str(place / "field.npy"), "--labels", str(place / "gt.npy")]
    return [*given, "--per-class", "3", "--seeds", "2", *more]


def test_a_table_of_all_methods(place, capsys):
    assert main(words(place, "knn", "--k", "3", "--scheme", "random")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(METHODS)
    for method in METHODS:
        line = next(line for line in lines if f"  {method}  " in line)
        # The backbone is not in a run, so nobody knows what it saw; raw spectra know nothing.
        assert ("no / no" if method == "raw spectra" else "unknown") in line
        assert line.split()[-1] == "2"


def test_pretrainings_from_other_seeds_take_turns(place, tmp_path, capsys):
    def another(folder: str, seed: int, **changes) -> str:
        encoder = load_backbone(place / "backbone")
        torch.manual_seed(seed)
        config = encoder.config.model_copy(update=changes)
        network = create_backbone("pixelnet", 4, 3, **config.options)
        save_backbone(tmp_path / folder, network, encoder.projector, config)
        return str(tmp_path / folder)

    two = another("two", 2)
    given = words(place, "linear", "--scheme", "random", "--json")
    assert main([*given, "--also", two]) == 0
    rows = json.loads(capsys.readouterr().out)
    names = {row["seed"]: row["backbone"] for row in rows if row["method"] == "pretrained"}
    assert main([given[0], given[1], two, *given[3:]]) == 0
    alone = {row["seed"]: row for row in json.loads(capsys.readouterr().out) if row["method"] == "pretrained"}
    assert names["1"] == alone["1"]["backbone"] != names["0"]
    oa = {row["seed"]: row["oa"] for row in rows if row["method"] == "pretrained"}
    assert oa["1"] == alone["1"]["oa"]
    assert main([*given, "--also", another("wide", 3, options={"width": 8, "mixed": 4, "radii": [0, 1]})]) == 2
    assert "one network" in capsys.readouterr().err
    assert main([*given[:2], "none", *given[3:], "--also", two]) == 2
    assert "--also" in capsys.readouterr().err


def test_json_and_table_hold_the_same_rows_and_are_not_measured_twice(place, tmp_path, capsys):
    out = tmp_path / "rows.csv"
    assert main(words(place, "linear", "--out", str(out), "--json")) == 0
    rows = json.loads(capsys.readouterr().out)
    with out.open(newline="") as stream:
        assert list(csv.DictReader(stream)) == rows
    assert len(rows) == 2 * 2 * len(METHODS)
    before = out.read_bytes()
    assert main(words(place, "linear", "--out", str(out))) == 0
    assert out.read_bytes() == before


def test_fine_tuning_takes_settings(place, capsys):
    given = words(place, "finetune", "--scheme", "random", "--tune-seeds", "1", "--set", "epochs=1", "--json")
    assert main([*given, "--set", "lr_backbone=1e-4"]) == 0
    rows = [row for row in json.loads(capsys.readouterr().out) if row["probe"] == "fine-tune"]
    assert {row["method"] for row in rows} == {"pretrained", "from scratch"}
    assert all("epochs 1;" in row["settings"] and "lr_backbone 0.0001" in row["settings"] for row in rows)


def test_a_series_leaves_a_table_and_curves(place, tmp_path, capsys):
    out = tmp_path / "results" / "series.csv"
    given = words(place, "label-efficiency", "--probes", "knn", "svm", "--scheme", "random", "--out", str(out))
    given[given.index("3")] = "2"
    given.insert(given.index("2") + 1, "4")
    assert main(given) == 0
    with out.open(newline="") as stream:
        assert len(list(csv.DictReader(stream))) == 2 * 2 * 2 * len(METHODS)
    pictures = sorted(out.parent.glob("*.png"))
    assert len(pictures) == 1
    assert pictures[0].read_bytes().startswith(b"\x89PNG")
    assert str(pictures[0]) in capsys.readouterr().err


def test_raw_spectra_and_window_means_need_no_backbone(place, capsys):
    given = words(place, "knn", "--json")
    given[2] = "none"
    assert main(given) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["method"] for row in rows} == METHODS - {"pretrained", "random weights"}
    # Their projection is fitted on the scene itself, without labels.
    assert {row["projection_saw_pixels"] for row in rows if row["method"] in MEANS} == {"yes"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({2: "nobody/nothing/here"}, "neither a folder nor a repository"),
        ({3: "gone.npy"}, "no such file"),
        ({4: "--mask", 5: "gone.npy"}, "gone.npy"),
        ({7: "5000"}, "too many"),
        ({7: "0"}, "at least 1"),
        ({9: "0"}, "at least 1"),
    ],
)
def test_bad_input_ends_with_one_line(place, capsys, change, message):
    given = words(place, "linear")
    for at, word in change.items():
        given[at] = word
    assert main(given) == 2
    # The readers' notes on what they found in the files come before.
    (error,) = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("note: ")]
    assert error.startswith("error: ")
    assert message in error


def test_a_scene_without_labels_is_told(place, capsys):
    given = words(place, "linear")
    del given[4:6]
    assert main(given) == 2
    assert "field: no labels" in capsys.readouterr().err


def test_unknown_settings_are_told(place, capsys):
    for word, message in (
        ("epoch=3", "--set: unknown key 'epoch'; did you mean 'epochs'?"),
        ("epochs=few", "--set: epochs: Input should be a valid integer, not 'few'"),
        ("epochs", "'epochs' is not an override; write key=value"),
        ("policy=Network_8", "did you mean 'Network_"),
        ("patience=3", "patience needs validation samples"),
    ):
        assert main(words(place, "finetune", "--set", word)) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize("name", ["knn", "linear_probe", "finetune", "label_efficiency"])
def test_the_programs_run_from_a_checkout(name, tmp_path):
    done = subprocess.run(
        [sys.executable, ROOT / "eval" / f"{name}.py", "--help"], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0
    assert "example: sslhsi eval" in done.stdout
    assert "leak" in done.stdout


@pytest.mark.parametrize("stem", [{"stem": "tiled"}, {"stem": "wavelengths", "wavelengths": [460, 550, 640, 800]}])
def test_a_network_that_began_with_rgb_weights_stands_beside_its_untrained_twin(place, tmp_path, capsys, stem):
    save_file(timm.create_model("test_resnet").state_dict(), tmp_path / "rgb.safetensors")
    overlay = {"file": str(tmp_path / "rgb.safetensors")}
    options = {"pretrained": True, "pretrained_cfg_overlay": overlay, **stem}
    network = create_backbone("test_resnet", 4, 8, **options)
    config = {"architecture": "test_resnet", "window": 8, "border": "reflect", "options": options}
    backbone = str(tmp_path / "backbone")
    save_backbone(backbone, network, load_backbone(place / "backbone").projector, config)
    scene = [str(place / "field.npy"), "--labels", str(place / "gt.npy")]
    few = ["--per-class", "3", "--seeds", "1", "--scheme", "random", "--json"]
    assert main(["eval", "knn", backbone, *scene, *few]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["method"] for row in rows} >= {"pretrained", "random weights"}
    table, page = tmp_path / "rows.csv", tmp_path / "page.html"
    write_rows(table, rows)
    assert main(["compare", str(table), "--scene", *scene, "--backbone", backbone, "--out", str(page)]) == 0
    assert "random weights" in page.read_text()
