"""What a user can get wrong, in the main job and on the command line: one sentence, exit code 2, nothing left."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file
from scipy.io import savemat

from sslhsi.cli import main as cli
from sslhsi.pretrain import main as pretrain

SHAPE = (40, 40, 12)


def cube(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.random((8, 8, 12)).repeat(5, 0).repeat(5, 1) + 0.05 * rng.random(SHAPE)


@pytest.fixture
def job(tmp_path, monkeypatch):
    """A small recipe that works, to be broken: ``job(change)`` runs it and returns exit code and files left."""
    monkeypatch.chdir(tmp_path)
    for n in range(2):
        np.save(tmp_path / f"scene{n}.npy", cube(n))
    recipe = {
        "name": "job",
        "corpus": {
            "scenes": [{"path": f"scene{n}.npy", "background": "none"} for n in range(2)],
            "bands": {"grid": 12, "components": 4, "align": "index"},
            "patches": {"window": 8, "stride": 4, "holdout": 0.4},
        },
        "backbone": {"name": "pixelnet", "options": {"width": 4, "depth": 1, "mixed": 4, "radii": [0]}},
        "training": {"steps": 2, "batch_size": 4},
    }

    def run(change) -> int:
        change(recipe, tmp_path)
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
        return pretrain(["recipe.yaml"])

    return run


def scene(recipe: dict, **values) -> None:
    recipe["corpus"]["scenes"][0].update(values)


def broken(array: np.ndarray):
    return lambda r, f: np.save(f / "scene0.npy", array)


def with_value(value: float, where: tuple):
    array = cube()
    array[where] = value
    return broken(array)


def truncated(recipe: dict, folder: Path) -> None:
    savemat(folder / "a.mat", {"cube": cube()})
    (folder / "a.mat").write_bytes((folder / "a.mat").read_bytes()[:5000])
    scene(recipe, path="a.mat")


def header_alone(recipe: dict, folder: Path) -> None:
    (folder / "a.hdr").write_text("ENVI\nsamples = 4\nlines = 4\nbands = 4\ndata type = 4\ninterleave = bsq\n")
    scene(recipe, path="a.hdr")


def far_apart(recipe: dict, folder: Path) -> None:
    recipe["corpus"]["bands"]["align"] = "wavelength"
    for n, start in enumerate((400.0, 2000.0)):
        recipe["corpus"]["scenes"][n]["wavelengths"] = (start + np.arange(12.0)).tolist()


def other_weights(recipe: dict, folder: Path) -> None:
    save_file({"conv.weight": torch.zeros(3, 3)}, folder / "w.safetensors")
    recipe["backbone"]["weights"] = "w.safetensors"


def half_a_site(recipe: dict, folder: Path) -> None:
    for n, held in enumerate((True, False)):
        recipe["corpus"]["scenes"][n].update(site="here", holdout=held)


def single_band(recipe: dict, folder: Path) -> None:
    np.savez(folder / "a.npz", cube=cube()[..., :1])
    scene(recipe, path="a.npz", cube="cube")


def set_(*path_and_value):
    *path, last, value = path_and_value

    def change(recipe: dict, folder: Path) -> None:
        for key in path:
            recipe = recipe[key]
        recipe[last] = value

    return change


CASES = {
    "truncated .mat": (truncated, r"a\.mat"),
    "header without data": (header_alone, r"a\.hdr"),
    "missing file": (lambda r, f: scene(r, path="gone.npy"), r"gone\.npy: there is no such file"),
    "pattern without match": (lambda r, f: scene(r, path="*.hdr"), "no file matches"),
    "folder without cubes": (lambda r, f: ((f / "d").mkdir(), scene(r, path="d")), "holds no file ending in"),
    "unknown suffix": (lambda r, f: ((f / "a.xyz").write_text("?"), scene(r, path="a.xyz")), "unknown suffix"),
    "flat array": (broken(np.ones(12)), r"scene0\.npy"),
    "four dimensions": (broken(np.ones((4, 4, 4, 4))), r"scene0\.npy"),
    "complex values": (broken(cube().astype(complex)), r"scene0\.npy"),
    "empty cube": (broken(np.ones((0, 4, 12))), r"scene0\.npy"),
    "one constant band": (with_value(3.0, np.s_[..., 5]), "bands 5 are constant; add drop_bands"),
    "a band of NaN": (with_value(np.nan, np.s_[..., 5]), "drop_bands"),
    "all NaN": (broken(np.full(SHAPE, np.nan)), r"scene0\.npy"),
    "a constant cube": (broken(np.ones(SHAPE)), "constant"),
    "scene smaller than a window": (broken(cube()[:6, :6]), "offers no 8x8 window"),
    "no foreground": (lambda r, f: (np.save(f / "scene0.npy", cube() * 0), scene(r, background="nodata", nodata=0.0)),
                      "no pixel is left"),
    "given mask that isn't": (lambda r, f: scene(r, background="given"), "has no mask"),
    "no wavelengths": (set_("corpus", "bands", "align", "wavelength"), "has no wavelengths"),
    "ranges that don't overlap": (far_apart, "don't overlap"),
    "wrong number of wavelengths": (lambda r, f: scene(r, wavelengths=[1.0, 2.0]), "2 .*12|12.* 2"),
    "labels of another shape": (lambda r, f: (np.save(f / "gt.npy", np.ones((3, 3), int)), scene(r, labels="gt.npy")),
                                r"gt\.npy|labels"),
    "missing labels": (lambda r, f: scene(r, labels="gone.mat"), r"gone\.mat"),
    "labels key that isn't": (lambda r, f: (savemat(f / "gt.mat", {"gt": np.ones(SHAPE[:2], int)}),
                                            scene(r, labels="gt.mat", labels_key="map")), "map"),
    "band number out of range": (lambda r, f: scene(r, drop_bands=[99]), "99"),
    "two scenes of one name": (lambda r, f: [s.update(name="same") for s in r["corpus"]["scenes"]], "named 'same'"),
    "unknown simulated domain": (lambda r, f: r["corpus"]["scenes"].append({"simulated": "tea"}), "'tea' is none of"),
    "scene left out that isn't": (set_("corpus", "leave_out", ["scene9"]), "no scene is named 'scene9'"),
    "everything left out": (set_("corpus", "leave_out", ["scene0", "scene1"]), "leave no scene"),
    "more components than grid": (set_("corpus", "bands", "components", 50), "components=50"),
    "batch larger than the corpus": (set_("training", "batch_size", 4000), "needs as many different patches"),
    "unknown backbone": (set_("backbone", "name", "pixelnot"), "unknown backbone 'pixelnot'; did you mean"),
    "unknown backbone option": (set_("backbone", "options", {"depht": 2}), "depht"),
    "window too small for the backbone": (lambda r, f: (r["corpus"]["patches"].update(window=1, stride=1),
                                                        r["training"].update(batch_size=4)), "needs at least"),
    "wrong type": (set_("training", "steps", "many"), "training.steps"),
    "unknown key": (set_("training", "stepps", 2), "did you mean 'steps'"),
    "weights that aren't there": (set_("backbone", "weights", "gone.safetensors"), "there is no such file; give a"),
    "weights that are none": (lambda r, f: ((f / "w.safetensors").write_text("?"),
                                            r["backbone"].update(weights="w.safetensors")), "can't be read"),
    "weights of another network": (other_weights, r"w\.safetensors: none of the weights fits"),
    "weights in a folder without them": (lambda r, f: ((f / "d").mkdir(), r["backbone"].update(weights="d")),
                                         "backbone.weights d: not a backbone"),
    "half of a site held out": (half_a_site, "'scene0' and 'scene1' show the same place .site 'here'."),
    "one band, by index": (single_band, "single band can't be aligned by index"),
    "output that is a file": (set_("output", "scene1.npy"), r"scene1\.npy: can't be written"),
    "cache that is a file": (set_("corpus", "cache", "scene1.npy"), "can't be written"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_one_sentence_and_nothing_half_written(job, case, capfd, tmp_path):
    change, message = CASES[case]
    assert job(change) == 2
    out, err = capfd.readouterr()
    said = [line for line in err.splitlines() if not line.startswith(("preparing", "corpus ", "note: "))]
    assert len(said) == 1
    assert said[0].startswith("error: ")
    assert out == ""
    assert re.search(message, said[0])
    assert not list(tmp_path.rglob("*.part*"))
    assert not list(tmp_path.rglob("backbone"))
    if "weights" in case:
        assert not (tmp_path / "corpora").exists()


@pytest.mark.slow
def test_the_job_itself_works(job):
    assert job(lambda recipe, folder: None) == 0


def test_full_disk_while_preparing(job, capfd, monkeypatch, tmp_path):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np, "save", full)
    assert job(lambda recipe, folder: None) == 2
    assert "the disk is full" in capfd.readouterr().err
    assert not list((tmp_path / "corpora").iterdir())


@pytest.mark.slow
def test_full_disk_while_writing_a_checkpoint(job, capfd, monkeypatch, tmp_path):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(torch, "save", full)
    assert job(lambda recipe, folder: None) == 2
    assert "the disk is full" in capfd.readouterr().err
    assert not [p for p in (tmp_path / "runs" / "job").iterdir() if "step_" in p.name]


@pytest.mark.slow
def test_full_disk_while_logging(job, capfd, monkeypatch, tmp_path):
    monkeypatch.setattr(os, "write", lambda file, data: 0)
    assert job(lambda recipe, folder: None) == 2
    assert re.search(r"^error: .*metrics\.csv: can't be written \(the disk is full\)", capfd.readouterr().err, re.M)


@pytest.mark.slow
def test_full_disk_while_writing_the_tensorboard_log(job, capfd, monkeypatch, tmp_path):
    """Another thread writes it, so that a full disk is met when the log is closed."""

    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("tensorboard.compat.tensorflow_stub.io.gfile.LocalFileSystem.append", full)
    monkeypatch.setattr("tensorboard.compat.tensorflow_stub.io.gfile.LocalFileSystem.write", full)
    assert job(lambda recipe, folder: None) == 2
    err = capfd.readouterr().err
    assert re.search(r"^error: .*tensorboard: can't be written \(the disk is full", err, re.M)
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["data", "inspect", "gone.mat"], "gone.mat"),
        (["data", "get", "indian-pine"], "indian"),
        (["prepare", "gone.yaml"], "gone.yaml"),
        (["pretrain", "gone.yaml"], "gone.yaml"),
    ],
)
def test_the_command_line(words, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli(words) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert message in err
    assert list(tmp_path.iterdir()) == []
