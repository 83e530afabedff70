"""Whether pretraining saw a scene is read off the contents of the files, and never guessed."""

from __future__ import annotations

import json

import numpy as np
import pytest
import yaml

from sslhsi.evaluation.pretraining_scenes import pretraining_of


@pytest.fixture
def run(tmp_path):
    """``run(**scene)``: a run directory whose corpus is one cube."""
    rng = np.random.default_rng(0)
    np.save(tmp_path / "corpus.npy", rng.random((9, 9, 8)))
    np.save(tmp_path / "other.npy", rng.random((9, 9, 8)))

    def make(scope: str = "foreground", **scene):
        folder = tmp_path / "run"
        (folder / "backbone").mkdir(parents=True, exist_ok=True)
        recipe = {
            "name": "mine",
            "corpus": {
                "scenes": [{"path": str(tmp_path / "corpus.npy"), **scene}],
                "bands": {"scope": scope, "align": "index", "grid": 8, "components": 3},
                "patches": {"window": 3},
            },
            "backbone": {"name": "pixelnet"},
            "training": {"steps": 1},
            "evaluation": {"tasks": ["pixels"]},
        }
        (folder / "recipe.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(recipe))))
        return folder

    return make


def test_a_copy_under_another_name_was_seen(run, tmp_path):
    folder = run()
    (tmp_path / "copy.npy").write_bytes((tmp_path / "corpus.npy").read_bytes())
    assert pretraining_of(folder, tmp_path / "copy.npy") == ("mine: 1 scene", "yes", "yes")
    assert pretraining_of(folder / "backbone", tmp_path / "copy.npy")[1] == "yes"
    assert pretraining_of(folder, tmp_path / "other.npy") == ("mine: 1 scene", "no", "no")


def test_a_scene_held_out_was_not_seen_but_the_projection_may_know_it(run, tmp_path):
    assert pretraining_of(run(holdout=True), tmp_path / "corpus.npy")[1:] == ("no", "yes")
    assert pretraining_of(run(scope="train", holdout=True), tmp_path / "corpus.npy")[1:] == ("no", "no")


def test_what_cannot_be_known_is_unknown(run, tmp_path):
    folder = run()
    assert pretraining_of(folder, None) == ("mine: 1 scene", "unknown", "unknown")
    assert pretraining_of("user/name", tmp_path / "other.npy") == ("unknown",) * 3
    (tmp_path / "corpus.npy").unlink()
    assert pretraining_of(folder, tmp_path / "other.npy") == ("unknown",) * 3
    (folder / "recipe.yaml").unlink()
    assert pretraining_of(folder, tmp_path / "other.npy") == ("unknown",) * 3
