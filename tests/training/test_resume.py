"""Which checkpoints a run goes on from: those of the same run, also where version 0.1 wrote them."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch

from sslhsi.errors import InputError
from sslhsi.recipe import Recipe
from sslhsi.recipe_file import validated
from sslhsi.training.checkpoint import Checkpoint, save_checkpoint
from sslhsi.training.resume import fingerprint, recipe_hash_0_1, resume_from

TEXT = {
    "name": "t",
    "seed": 3,
    "corpus": {"scenes": [{"simulated": "paper"}], "patches": {"holdout": 0.2, "window": 9}},
    "views": {"crop": [0.5, 1.0], "neighbours": {"radius": 4, "candidates": 24, "share": 0.5}, "offset": 1e-05},
    "backbone": {"name": "resnet10t", "options": {"small_window": False, "drop_rate": 1e-05}},
    "method": {"options": {"temperature": 0.05, "hidden": 256}},
    "training": {"steps": 9, "lr": 1e-05, "optimizer": "sgd"},
}
# What version 0.1 wrote for this recipe, with shift, alike, alike_share and objective for the keys of today.
HASH_0_1 = "8f1d1754fcb088de"
RECORD = {"setting": {"precision": "fp32"}}


def recipe_in(folder, **changes) -> Recipe:
    return validated({**TEXT, "output": str(folder), **changes}, "", Recipe)


def corpus_of(key: str = "k", shape: tuple[int, ...] = (8, 9, 12), file: str = "a"):
    """As much of a prepared corpus as resuming looks at."""
    simulated = SimpleNamespace(name="paper-0", shape=shape, source="simulated:paper:0", hash="of today")
    read = SimpleNamespace(name="b", shape=(4, 4, 12), source="b.mat", hash=file)
    return SimpleNamespace(key=key, manifest=SimpleNamespace(scenes=[simulated, read]))


def resumed(recipe: Recipe, corpus=None, world: int = 1, lines: list[str] | None = None, gather=None) -> Checkpoint:
    corpus, lines = corpus or corpus_of(), [] if lines is None else lines
    mark = fingerprint(recipe, corpus.key, 9, RECORD, world)
    return resume_from(recipe, mark, corpus, 9, lines.append, gather)


@pytest.fixture
def run(tmp_path):
    """A run with a checkpoint of today."""
    mark = fingerprint(recipe_in(tmp_path), "k", 9, RECORD, 1)
    save_checkpoint(tmp_path, 8, {"w": torch.zeros(2)}, {}, mark, 2)
    return tmp_path


@pytest.fixture
def old_run(tmp_path):
    """A run with a checkpoint of version 0.1."""
    mark = {"recipe": HASH_0_1, "corpus": "its own name", "precision": "fp32", "initialisation": None}
    save_checkpoint(tmp_path, 8, {"w": torch.zeros(2)}, {}, mark, 2)
    scenes = {
        "paper-0": {"source": "simulated:paper:0", "hash": "of then", "shape": [8, 9, 12]},
        "b": {"source": "b.mat", "hash": "a", "shape": [4, 4, 12]},
    }
    (tmp_path / "provenance.json").write_text(json.dumps({"corpus": {"scenes": scenes}}))
    return tmp_path


def test_processes_that_find_different_checkpoints_are_refused(run):
    """Machines without a common file system would train on from different weights, or wait for one another."""
    assert resumed(recipe_in(run), gather=lambda step: [step, step]).step == 8
    with pytest.raises(
        InputError, match=r"checkpoint of step 8, others that of step 0; put output= on a file system"
    ):
        resumed(recipe_in(run), gather=lambda step: [step, 0])


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"seed": 4}, "recipe"),
        ({"views": {**TEXT["views"], "neighbours": {"radius": 4, "candidates": 24}}}, "recipe"),
        ({"method": {"options": {"temperature": 0.06, "hidden": 256}}}, "recipe"),
        ({"method": {"name": "byol"}}, "recipe"),
        ({"training": {**TEXT["training"], "lr": 1e-4}}, "recipe"),
    ],
)
def test_another_recipe_is_refused(run, changes, what):
    with pytest.raises(InputError, match=rf"step_000008: written with another {what}; give another output="):
        resumed(recipe_in(run, **changes))


def test_what_does_not_shape_the_weights_may_change(run):
    training = {**TEXT["training"], "log_every": 3, "micro_batch": 4}
    defaults = {"temperature": 0.05, "hidden": 256, "output": 128}
    assert resumed(recipe_in(run, name="u", training=training, method={"options": defaults})).step == 8


def test_another_corpus_or_way_of_batch_normalisation_is_refused(run):
    with pytest.raises(InputError, match="written with another corpus"):
        resumed(recipe_in(run), corpus_of("other"))
    training = {**TEXT["training"], "sync_batchnorm": False}
    assert resumed(recipe_in(run, training=training)).step == 8
    assert resumed(recipe_in(run), world=4).step == 8
    with pytest.raises(InputError, match="written with another sync_batchnorm"):
        resumed(recipe_in(run, training=training), world=4)


def test_a_checkpoint_of_version_0_1_is_taken_up(old_run):
    lines: list[str] = []
    assert recipe_hash_0_1(recipe_in(old_run), 9) == HASH_0_1
    assert resumed(recipe_in(old_run), lines=lines).step == 8
    assert len(lines) == 1
    assert "names and shapes of all 2 scenes are the same, what the 1 simulated ones hold was not" in lines[0]
    # Where the corpus bears the name of then, there is nothing to say.
    assert resumed(recipe_in(old_run), corpus_of("its own name"), lines=lines).step == 8
    assert len(lines) == 1


def test_a_checkpoint_of_version_0_1_of_another_run_is_refused(old_run):
    for other in (corpus_of(shape=(8, 9, 13)), corpus_of(file="b")):
        with pytest.raises(InputError, match="written with another corpus"):
            resumed(recipe_in(old_run), other)
    with pytest.raises(InputError, match="written with another recipe"):
        resumed(recipe_in(old_run, method={"options": {"temperature": 0.1, "hidden": 256}}))
    with pytest.raises(InputError, match="written with another recipe"):
        resumed(recipe_in(old_run, method={"name": "byol"}))
    (old_run / "provenance.json").write_text("{")
    with pytest.raises(InputError, match=r"provenance\.json, which says .* can't be read; restore it"):
        resumed(recipe_in(old_run))


def test_never_resuming(run):
    never = {**TEXT["training"], "resume": "never"}
    with pytest.raises(InputError, match=r"holds checkpoints, and training\.resume is never"):
        resumed(recipe_in(run, training=never))
    assert resumed(recipe_in(run / "empty", training=never)) is None
