"""The command line, as a person or a script would use it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sslhsi.cli import main
from sslhsi.scenes.read import read_scene


def test_inspect_prints_and_draws(tmp_path, capsys):
    labels = np.arange(30).reshape(5, 6) % 3
    cube = np.random.default_rng(0).random((5, 6, 11)) + labels[..., None]
    np.savez(tmp_path / "field.npz", cube=cube, labels=labels)
    assert main(["data", "inspect", str(tmp_path / "field.npz"), "--out", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "11" in text
    assert "1 class 1 (10), 2 class 2 (10)" in text
    assert (tmp_path / "field.png").read_bytes().startswith(b"\x89PNG")
    assert main(["data", "inspect", str(tmp_path / "field.npz"), "--no-png", "--json"]) == 0
    described = json.loads(capsys.readouterr().out)
    assert described[0]["bands"] == 11


def test_one_bad_file_does_not_hide_the_others(tmp_path, capsys):
    np.save(tmp_path / "good.npy", np.random.default_rng(0).random((4, 4, 12)))
    (tmp_path / "bad.mat").write_bytes(b"nothing")
    words = ["data", "inspect", str(tmp_path / "bad.mat"), str(tmp_path / "good.npy"), "--no-png"]
    assert main(words) == 2
    streams = capsys.readouterr()
    assert "good" in streams.out
    assert streams.err.startswith("error: ")


def test_the_catalogue_is_listed(capsys):
    assert main(["data", "list"]) == 0
    text = capsys.readouterr().out
    assert "pavia_university" in text
    assert "610x340x103" in text
    assert main(["data", "list", "--json"]) == 0
    assert {e["name"] for e in json.loads(capsys.readouterr().out)} >= {"indian_pines", "ksc", "botswana"}


def test_a_stand_in_is_named_as_such(tmp_path, capsys):
    labels = np.kron(np.array([[1, 2], [0, 3]]), np.ones((9, 9), int))
    np.save(tmp_path / "gt.npy", labels)
    out = tmp_path / "pavia.npz"
    assert main(["data", "simulate", str(tmp_path / "gt.npy"), "--bands", "20", "--out", str(out)]) == 0
    assert "stand-in" in capsys.readouterr().out
    assert not out.exists()
    scene = read_scene(tmp_path / "stand-in-pavia.npz")
    assert scene.name.startswith("stand-in")
    assert scene.cube.shape == (18, 18, 20)
    np.testing.assert_array_equal(scene.labels, labels)


@pytest.mark.parametrize(
    "words", [["--help"], ["data", "--help"], ["data", "inspect", "--help"], ["pretrain", "--help"]]
)
def test_help_teaches(words, capsys):
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 0
    assert "usage: sslhsi" in capsys.readouterr().out
