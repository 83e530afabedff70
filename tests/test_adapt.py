"""Adaptation starts from given weights, keeps their projection, resumes, and says what it was given."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from sslhsi.adapt import adapt, adaptation
from sslhsi.corpus.prepare import prepare
from sslhsi.errors import InputError
from sslhsi.evaluation.pretraining_scenes import pretraining_of
from sslhsi.evaluation.rows import read_result_rows
from sslhsi.pretrain import main
from sslhsi.recipe import load_recipe

RECIPE = """
name: small
corpus:
  scenes: [{{path: {0}/a.npy}}, {{path: {0}/b.npy}}]
  cache: {0}/corpora
  bands: {{grid: 12, components: 6, align: index, standardize: scene}}
  patches: {{window: 5, stride: 2, border: reflect}}
backbone: {{name: pixelnet, options: {{width: 8, depth: 1, mixed: 8, radii: [0, 1]}}}}
method: {{options: {{hidden: 16, output: 8}}}}
training: {{steps: 6, batch_size: 8, checkpoint_every: 2, monitor_every: 0, weight_decay: 0.0}}
evaluation: {{tasks: []}}
"""
FILES = ("projector.json", "projector.safetensors")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Scenes, and a run on two of them."""
    folder = tmp_path_factory.mktemp("adapt")
    rng = np.random.default_rng(0)
    labels = np.kron(rng.integers(1, 3, (4, 4)), np.ones((6, 6), int))
    for name in "abcd":
        cube = rng.random((3, 14))[labels].cumsum(axis=2) + 0.3 * rng.random((24, 24, 14))
        np.save(folder / f"{name}.npy", cube.astype(np.float32))
    np.save(folder / "gt.npy", labels)
    (folder / "recipe.yaml").write_text(RECIPE.format(folder))
    return folder


@pytest.fixture(scope="module")
def base(folder) -> Path:
    assert main([str(folder / "recipe.yaml"), f"output={folder / 'base'}"]) == 0
    return folder / "base"


def adapted(folder: Path, base: Path, name: str, *more: str) -> Path:
    scene = {"path": str(folder / "c.npy"), "labels": str(folder / "gt.npy")}
    wanted = ["evaluation.tasks=[pixels]", "evaluation.per_class=[3]", "evaluation.seeds=1"]
    return adapt(folder / "recipe.yaml", base, [scene], [f"output={folder / name}", *wanted, *more])


@pytest.mark.slow
def test_it_starts_from_the_given_weights_behind_their_projection(folder, base):
    run = adapted(folder, base, "still", "training.steps=1", "training.lr=1e-30")
    given, weights = (load_file(one / "backbone" / "model.safetensors") for one in (base, run))
    assert given.keys() == weights.keys()
    for name, value in weights.items():
        if not name.rpartition(".")[2].startswith(("running", "num_batches")):
            np.testing.assert_array_equal(value, given[name])
    record = json.loads((run / "provenance.json").read_text())
    assert record["weights"]["not_carried"] == {}
    for file in FILES:
        assert (run / "backbone" / file).read_bytes() == (base / "backbone" / file).read_bytes()
    moved = adapted(folder, base, "whole")
    assert any((load_file(moved / "backbone" / "model.safetensors")[n] != value).any() for n, value in given.items())


@pytest.mark.slow
def test_cut_off_it_goes_on_and_ends_alike(folder, base):
    whole, cut = adapted(folder, base, "whole"), folder / "cut"
    shutil.copytree(whole, cut)
    # As a kill after the fourth of six steps leaves it.
    shutil.rmtree(cut / "step_000006")
    shutil.rmtree(cut / "backbone")
    assert adapted(folder, base, "cut") == cut
    first, second = (load_file(run / "backbone" / "model.safetensors") for run in (whole, cut))
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name])


@pytest.mark.slow
def test_rows_say_that_the_test_pixels_were_pretrained_on(folder, base):
    run = adapted(folder, base, "whole")
    rows = {row.method: row for row in read_result_rows(run / "results.csv")}
    assert (rows["pretrained"].pretraining, rows["pretrained"].pretraining_saw_pixels) == (
        "small: 1 scene, from base",
        "yes",
    )
    assert rows["random weights"].pretraining_saw_pixels == "no"
    # Not fitted on the scene, but every scene is standardised by its own pixels.
    assert {row.projection_saw_pixels for name, row in rows.items() if name != "raw spectra"} == {"statistics"}
    known = {name: pretraining_of(run, folder / f"{name}.npy")[1:] for name in "abcd"}
    assert known == {"a": ("yes", "yes"), "b": ("yes", "yes"), "c": ("yes", "no"), "d": ("no", "no")}
    # Once the run that it began from is gone, nobody knows what that was given.
    shutil.move(base, folder / "elsewhere")
    try:
        assert pretraining_of(run, folder / "d.npy")[1:] == ("unknown", "unknown")
    finally:
        shutil.move(folder / "elsewhere", base)


@pytest.mark.slow
def test_bad_input_is_one_sentence(folder, base, tmp_path):
    with pytest.raises(InputError, match="no scene"):
        adaptation(folder / "recipe.yaml", base, [])
    with pytest.raises(InputError, match="nowhere"):
        adaptation(folder / "recipe.yaml", tmp_path / "nowhere", ["c.npy"])
    kept = f"corpus.projection={base / 'backbone'}"
    with pytest.raises(InputError, match=r"corpus\.bands\.components is 5"):
        prepare(load_recipe(folder / "recipe.yaml", [kept, "corpus.bands.components=5"]))
    # Another projection is another corpus.
    keys = {prepare(load_recipe(folder / "recipe.yaml", more)).key for more in ([], [kept], [kept])}
    assert len(keys) == 2
