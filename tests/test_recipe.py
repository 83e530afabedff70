"""Recipes: what they take, and what they say when they don't."""

from __future__ import annotations

from pathlib import Path

import pytest

from sslhsi.errors import InputError
from sslhsi.recipe import load_recipe, load_run_recipe
from sslhsi.studies.experiment import load_experiment

TEXT = """
name: small
corpus: {scenes: [{simulated: paper}], patches: {holdout: 0.2}}
backbone: {name: resnet18, options: {stem: fresh}}
training: {steps: 10, lr: 3e-4}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(TEXT)
    return path


def test_values_and_overrides(recipe):
    plain = load_recipe(recipe)
    assert plain.training.lr == 3e-4
    assert plain.run_dir == Path("runs/small")
    changed = load_recipe(
        recipe,
        ["training.lr=1e-2", "views.crop=[0.5,0.9]", "corpus.scenes.0.index=2", "output=elsewhere", "seed=4"],
    )
    assert changed.training.lr == 1e-2
    assert changed.views.crop == (0.5, 0.9)
    assert changed.corpus.scenes[0].index == 2
    assert changed.run_dir == Path("elsewhere")


def test_the_dump_is_a_recipe_again(recipe, tmp_path):
    first = load_recipe(recipe, ["views.noise=0.3"])
    again = tmp_path / "dump.yaml"
    again.write_text(first.dump())
    assert load_recipe(again) == first


def test_an_objective_of_version_0_1_is_simclr(recipe):
    old = load_recipe(recipe, ["objective={name: ntxent, temperature: 0.05}", "objective.hidden=256"])
    assert old == load_recipe(recipe, ["method={name: simclr, options: {temperature: 0.05, hidden: 256}}"])
    with pytest.raises(InputError, match=r"objective\.hidden is now method\.options\.hidden"):
        load_recipe(recipe, ["method.name=simclr", "objective.hidden=256"])


def test_the_recipe_of_an_old_run_is_read_with_its_old_names(recipe):
    """Where a run directory is looked at, nothing can be asked of whoever wrote the recipe."""
    old = (
        recipe.read_text()
        + "views: {shift: 8, alike: 72, alike_share: 0.5, crop: [1.0, 1.0]}\nobjective: {hidden: 256}\n"
    )
    new = [
        "views={neighbours: {radius: 8, candidates: 72, share: 0.5}, crop: [1.0, 1.0]}",
        "method.options.hidden=256",
    ]
    wanted = load_recipe(recipe, new)
    recipe.write_text(old)
    assert load_run_recipe(recipe.parent) == wanted


def test_an_override_may_replace_a_variable_that_is_not_set(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(TEXT.replace("simulated: paper", 'path: "${oc.env:SSLHSI_UNSET}/a.mat"'))
    assert load_recipe(path, ["corpus.scenes.0.path=b.mat"]).corpus.scenes[0].path == "b.mat"


def test_environment_variables(recipe, monkeypatch):
    monkeypatch.setenv("SCENES", "/there")
    assert load_recipe(recipe, ["corpus.cache=${oc.env:SCENES}/cache"]).corpus.cache == "/there/cache"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trainig.steps=5", "unknown key 'trainig'; did you mean 'training'"),
        ("training.stepps=5", "unknown key 'training.stepps'; did you mean 'steps'"),
        ("corpus.scenes.0.indx=5", "unknown key 'corpus.scenes.0.indx'; did you mean 'index'"),
        ("corpus.bands.gird=5", "did you mean 'grid'"),
        ("training.steps=many", "training.steps: .*integer, not 'many'"),
        ("training.steps=2.5", "training.steps: .*integer"),
        ("training.steps=-1", "training.steps: .*greater than 0"),
        ("training.lr=.nan", "training.lr"),
        ("training.lr='0.1'", "training.lr: .*number"),
        ("training.epochs=3", "either steps or epochs"),
        ("training.steps=null", "either steps or epochs"),
        ("training.batch_size=1", "batch_size: .*greater than or equal to 2"),
        ("training.optimizer=adam", "training.optimizer: .*'adamw', 'sgd' or 'lars'"),
        ("training.precision=fp16", "training.precision: .*'auto', 'fp32' or 'bf16'"),
        ("views.crop=[0.9,0.2]", "two rising numbers"),
        ("views.flip=2", "views.flip"),
        ("corpus.scenes=[]", "corpus.scenes: .*at least 1"),
        ("corpus.scenes=[{}]", "either path or simulated"),
        ("corpus.scenes=[{stand_in: salinas}]", "stand_in needs labels"),
        ("corpus.patches.holdout=1.5", "corpus.patches.holdout"),
        ("corpus.patches.holdout=0", "tasks names domain, but nothing is held out"),
        ("corpus.bands.align=colour", "corpus.bands.align"),
        ("method.options=3", "method.options: .*object"),
        ("method.nam=simclr", "unknown key 'method.nam'; did you mean 'name'"),
        ("views.alike=3", r"recipe\.yaml: views\.alike is now views\.neighbours\.candidates$"),
        ("views.shift=3", r"views\.shift is now views\.neighbours\.radius$"),
        ("views.neighbours.candidats=3", r"unknown key 'views\.neighbours\.candidats'; did you mean 'candidates'"),
        ("objective.name=ntxnet", "objective.name: there is no 'ntxnet'; give method.name"),
        ("objective=3", "objective: give method"),
        ("name=a/b", "name"),
        ("corpus.scenes.5.index=1", r"there is no entry 5, corpus\.scenes has entries 0 to 0"),
        ("corpus.scenes[1].index=1", r"there is no entry 1, corpus\.scenes has entries 0 to 0"),
        ("corpus.scenes.first.index=1", r"corpus\.scenes is a list, and 'first' is not the number"),
        ("backbone={name: resnet18, weights: a, options: {pretrained: true}}", "give one of them"),
        ("backbone.weights=3", "backbone.weights: .*string"),
        ("seed=true", "seed: .*integer"),
        ("name=${oc.env:SSLHSI_UNSET}", "environment variable SSLHSI_UNSET, which is not set"),
        ("views", "write key=value"),
        ("views={", "recipe.yaml"),
    ],
)
def test_what_is_wrong_is_named(recipe, override, message):
    with pytest.raises(InputError, match=message):
        load_recipe(recipe, [override])


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "a: [1, 2", "\t", "!!python/object:os.system x", "just words"])
def test_files_that_are_no_recipe(tmp_path, text):
    path = tmp_path / "odd.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"odd\.yaml"):
        load_recipe(path)


def test_a_missing_or_binary_file(tmp_path):
    with pytest.raises(InputError, match=r"no\.yaml: can't read"):
        load_recipe(tmp_path / "no.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(InputError, match="not a UTF-8 text"):
        load_recipe(tmp_path / "binary.yaml")


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[1] / "recipes").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_recipe_in_the_repository_is_valid(path, monkeypatch, tmp_path):
    monkeypatch.setenv("SSLHSI_DATA", str(tmp_path))
    pretraining = path.stem.startswith("simclr") or path.stem == "adapt"
    recipe = load_recipe(path) if pretraining else load_experiment(path)
    assert recipe.name == path.stem
