"""What readers assumed, masked and skipped reaches the user from every command, and is kept with the run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from spectral.io import envi

from sslhsi.cli import main

RECIPE = """
name: tiny
output: {home}/runs/tiny
corpus:
  cache: {home}/corpora
  scenes: [{{path: "{folder}/*.hdr", labels: "{{stem}}_gt.npy"}}]
  bands: {{grid: 8, components: 3}}
  patches: {{window: 5, stride: 2, holdout: 0.2}}
backbone: {{name: pixelnet, options: {{width: 8, mixed: 8, radii: [0, 1]}}}}
views: {{crop: [1.0, 1.0]}}
training: {{steps: 2, batch_size: 8, monitor_every: 0}}
evaluation: {{tasks: [pixels], per_class: [3], schemes: [random], seeds: 1}}
"""


@pytest.fixture
def folder(tmp_path) -> Path:
    """A labelled capture with a white reference and what a desktop leaves beside it."""
    rng = np.random.default_rng(0)
    cube = rng.random((24, 20, 8)).astype(np.float32)
    labels = np.repeat([1, 2, 0], 8)[:, None] * np.ones(20, int)
    cube[labels == 1] += 1
    home = tmp_path / "captures"
    home.mkdir()
    wavelengths = {"wavelength": list(np.linspace(420, 980, 8)), "wavelength units": "nm"}
    for name in ("leaf", "WHITEREF_leaf"):
        envi.save_image(str(home / f"{name}.hdr"), cube, ext=".raw", metadata=wavelengths)
    (home / "._leaf.hdr").write_bytes(b"\0\5\26\7")
    np.save(home / "leaf_gt.npy", labels)
    return home


@pytest.mark.slow
def test_prepare_and_pretrain(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(RECIPE.format(home="~", folder=folder))
    expected = ["._leaf.hdr: skipped (hidden)", "WHITEREF_leaf.hdr: skipped (a white reference)",
                "labels: 2 classes, pixels by label 1: 160, 2: 160; 160 of 480 pixels unlabelled"]  # fmt: skip
    for _ in range(2):  # also where the corpus lies there prepared
        assert main(["prepare", str(recipe)]) == 0
        told = capsys.readouterr().err
        assert all(text in told for text in expected)
    assert main(["pretrain", str(recipe)]) == 0
    told = capsys.readouterr().err
    run = tmp_path / "home" / "runs" / "tiny"
    kept = " ".join(json.loads((run / "provenance.json").read_text())["corpus"]["notes"])
    page = (run / "report.html").read_text()
    for text in expected:
        assert text in told
        assert text in kept
        assert text in page
    assert not (Path.cwd() / "~").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("eval", "linear", "none", "SCENE", "--per-class", "3", "--seeds", "1", "--scheme", "random"),
        ("data", "inspect", "SCENE", "--no-png"),
    ],
)
def test_commands_that_open_a_scene(folder, capsys, words):
    line = [str(folder / "leaf.hdr") if word == "SCENE" else word for word in words]
    assert main([*line, "--labels", str(folder / "leaf_gt.npy")]) == 0
    out = capsys.readouterr()
    assert (out.err + out.out).count("2 classes, pixels by label 1: 160, 2: 160") == 1


def test_a_folder_is_inspected_scene_by_scene(folder, capsys):
    for path in (folder, f"{folder}/*.hdr"):
        assert main(["data", "inspect", str(path), "--no-png", "--json", "--labels", "{stem}_gt.npy"]) == 0
        out = capsys.readouterr()
        (scene,) = json.loads(out.out)
        assert (scene["name"], scene["labelled"]) == ("leaf", 320)
        assert "WHITEREF_leaf.hdr: skipped (a white reference)" in out.err
    both = [str(folder / "leaf.hdr"), str(folder / "WHITEREF_leaf.hdr")]
    assert main(["data", "inspect", *both, "--no-png", "--labels", str(folder / "leaf_gt.npy")]) == 2
    assert 'write labels: "{stem}_gt.npy"' in capsys.readouterr().err


def test_captures_of_one_name_have_pictures_of_their_own(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for day in ("monday", "tuesday"):
        shutil.copytree(folder, tmp_path / day)
    assert main(["data", "inspect", "monday/leaf.hdr", "tuesday/leaf.hdr"]) == 0
    assert {p.name for p in (tmp_path / "looks").iterdir()} == {"monday-leaf.png", "tuesday-leaf.png"}


@pytest.mark.parametrize("written", ["false", "none", "null"])
def test_recipes_read_without_labels(folder, tmp_path, written):
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(RECIPE.format(home=tmp_path, folder=folder).replace('"{stem}_gt.npy"', written))
    assert main(["prepare", str(recipe)]) == 0


def test_a_run_leaves_the_files_of_its_folder_alone(folder, tmp_path, capsys):
    recipe = tmp_path / "runs" / "tiny" / "recipe.yaml"
    recipe.parent.mkdir(parents=True)
    recipe.write_text(RECIPE.format(home=tmp_path, folder=folder) + "# mine\n")
    assert main(["pretrain", str(recipe)]) == 2
    assert "recipe.yaml: is there already, in no run's folder" in capsys.readouterr().err
    assert recipe.read_text().endswith("# mine\n")


def test_pages_networks_and_stand_ins_replace_none_of_others(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    scene = ["none", str(folder / "leaf.hdr"), "--labels", str(folder / "leaf_gt.npy")]
    assert main(["eval", "linear", *scene, "--per-class", "3", "--seeds", "1", "--out", "rows.csv"]) == 0
    lines = {
        "page.html": ["compare", "rows.csv", "--out", "page.html"],
        "stand-in.npz": ["data", "simulate", str(folder / "leaf_gt.npy"), "--bands", "4", "--out", "stand-in.npz"],
    }
    for name, line in lines.items():
        assert main(line) == main(line) == 0  # one's own may be made anew
        Path(name).write_bytes(b"somebody else's")
        capsys.readouterr()
        assert main(line) == 2
        assert f"{name}: is there already and was not made by sslhsi" in capsys.readouterr().err
        assert Path(name).read_bytes() == b"somebody else's"
    assert main(["compare", "rows.csv", "--out", "rows.csv"]) == 2
    Path("net.onnx").write_bytes(b"somebody else's")
    assert main(["export", "no-backbone", "net.onnx"]) == 2
    assert "net.onnx: is there already and was not made by sslhsi" in capsys.readouterr().err


def test_the_cameras_own_picture_is_not_overwritten(folder, tmp_path, monkeypatch, capsys):
    picture = folder / "leaf.png"
    picture.write_bytes(b"the camera's own picture")
    monkeypatch.chdir(folder)
    assert main(["data", "inspect", "leaf.hdr"]) == 0
    assert main(["data", "inspect", "leaf.hdr"]) == 0  # one's own picture may be drawn anew
    assert (folder / "looks" / "leaf.png").is_file()
    assert main(["data", "inspect", "leaf.hdr", "--out", "."]) == 2
    assert "was not made by sslhsi" in capsys.readouterr().err
    assert picture.read_bytes() == b"the camera's own picture"
