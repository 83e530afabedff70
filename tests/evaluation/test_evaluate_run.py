"""A run is evaluated on its prepared corpus alone, with the figures that its raw scenes give."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from sslhsi.backbones.registry import create_backbone
from sslhsi.corpus.corpus import Corpus
from sslhsi.corpus.prepare import prepare
from sslhsi.encoder.encoder import Encoder
from sslhsi.errors import InputError
from sslhsi.evaluation.evaluate_run import evaluate_run
from sslhsi.evaluation.labelled_scene import labelled_pixels
from sslhsi.evaluation.labelled_windows import labelled_windows
from sslhsi.evaluation.network import Network, beside
from sslhsi.evaluation.runner import ProbeSettings, evaluate
from sslhsi.evaluation.window_means import window_means
from sslhsi.recipe import Recipe, load_recipe
from sslhsi.scenes.read import read_scene

OPTIONS = {"width": 6, "mixed": 4, "radii": [0, 1]}
MEANS = ("window means", "window means, whitened", "window means, standardised")
SAME = ("scene", "kind", "data", "method", "probe", "seed", "setting", "oa", "aa", "kappa", "f1_macro", "oa_low",
        "oa_high", "leak", "leak_overlap", "train", "test")  # fmt: skip


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> Recipe:
    folder = tmp_path_factory.mktemp("run")
    rng = np.random.default_rng(0)
    labels = np.kron(rng.integers(1, 4, (4, 4)), np.ones((6, 6), int)) * (rng.random((24, 24)) < 0.8)
    np.save(folder / "gt.npy", labels)
    scenes = []
    for name, bands in (("field", 10), ("town", 14)):
        cube = rng.random((4, bands))[labels].cumsum(axis=2) + 0.4 * rng.random((24, 24, bands))
        np.save(folder / f"{name}.npy", cube.astype(np.float32))
        given = {"labels": str(folder / "gt.npy")} if name == "field" else {}
        scenes.append({"path": str(folder / f"{name}.npy"), "name": name, **given})
    settings = {
        "name": "small",
        "output": str(folder / "run"),
        "corpus": {
            "cache": str(folder / "corpus"),
            "scenes": scenes,
            "bands": {"grid": 10, "components": 4, "align": "index", "standardize": "scene"},
            "patches": {"window": 3, "border": "reflect", "holdout": 0.4},
        },
        "backbone": {"name": "pixelnet", "options": OPTIONS},
        "training": {"epochs": 1},
        "evaluation": {"tasks": ["domain", "pixels"], "per_class": [3], "seeds": 2, "k": 5},
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(settings))
    return load_recipe(folder / "recipe.yaml")


@pytest.fixture(scope="module")
def corpus(recipe) -> Corpus:
    return prepare(recipe)


def network(seed: int) -> torch.nn.Module:
    torch.manual_seed(seed)
    return create_backbone("pixelnet", 4, 3, **OPTIONS).eval()


@pytest.mark.slow
def test_a_prepared_corpus_gives_the_figures_of_its_raw_scenes(recipe, corpus, tmp_path):
    backbones = {"pretrained": network(1), "random weights": network(2)}
    source = Path(str(recipe.corpus.scenes[0].path))
    scene = read_scene(source, labels=str(source.with_name("gt.npy")))
    rows = evaluate_run(backbones, corpus, recipe)
    # The raw files may be gone by then.
    source.rename(tmp_path / "elsewhere.npy")
    assert [replace(row, seconds=None) for row in evaluate_run(backbones, corpus, recipe)] == [
        replace(row, seconds=None) for row in rows
    ]
    (tmp_path / "elsewhere.npy").rename(source)
    networks = [Network(m, Encoder(b, corpus.projector, {"window": 3}), "x") for m, b in backbones.items()]
    networks += window_means(corpus.projector)
    probes = {"k-NN": 2, "linear": 2}
    raw = evaluate([labelled_pixels(scene, networks, per_class=(3,))], probes=probes,
                   settings=ProbeSettings(k=5), show=False)  # fmt: skip
    pixels = [row for row in rows if row.task == "pixels"]
    assert len(pixels) == len(raw) == 2 * 2 * 6 * 2
    for one, other in zip(pixels, raw, strict=True):
        assert [getattr(one, key) for key in SAME] == [getattr(other, key) for key in SAME]
    assert {row.corpus for row in rows} == {corpus.key}
    saw = {row.method: (row.pretraining, row.pretraining_saw_pixels) for row in pixels}
    assert saw == {"pretrained": ("small: 2 scenes", "yes"), "random weights": ("none", "no"),
                   **dict.fromkeys(("raw spectra", *MEANS), ("none", "no"))}  # fmt: skip


def test_windows_of_both_sides_share_no_pixel_and_are_told_apart_by_domain(recipe, corpus):
    encoder = Encoder(network(1), corpus.projector, {"window": 3, "architecture": "pixelnet", "options": OPTIONS})
    known = {"pretraining": "small", "pretraining_saw_pixels": "no", "projection_saw_pixels": "yes"}
    windows = labelled_windows(corpus, recipe.corpus.patches, beside(encoder, **known), per_class=[3])
    sides = windows.sides(windows.protocols[0].draw(0))
    held = [scene.held for scene in corpus.scenes]
    for number, row, column in windows.windows[sides.train]:
        assert not held[number][row : row + 3, column : column + 3].any()
    for number, row, column in windows.windows[sides.test]:
        assert held[number][row : row + 3, column : column + 3].all()
    assert np.bincount(windows.labels[sides.train]).tolist() == [0, 3, 3]
    rows = evaluate([windows], probes={"k-NN": 7}, show=False)
    # Untrained networks take turns; where all windows train, nothing but them is left to chance.
    assert Counter((row.per_class, row.method) for row in rows) == {
        (3, "mean spectrum"): 7, (3, "pretrained"): 7, (3, "random weights"): 7,
        ("all", "mean spectrum"): 1, ("all", "pretrained"): 1, ("all", "random weights"): 5,
        **{(3, name): 7 for name in MEANS}, **{("all", name): 1 for name in MEANS},
    }  # fmt: skip
    only = labelled_windows(corpus, recipe.corpus.patches, (), per_class=[], tested="town", name="town")
    assert {corpus.scenes[number].name for number in only.windows[only.trained :, 0]} == {"town"}


def test_a_corpus_of_one_domain_says_that_there_is_nothing_to_tell_apart(recipe, corpus):
    alone = recipe.model_copy(update={"evaluation": recipe.evaluation.model_copy(update={"tasks": ["domain"]})})
    patches = recipe.corpus.patches.model_copy(update={"window": 25})
    alone = alone.model_copy(update={"corpus": recipe.corpus.model_copy(update={"patches": patches})})
    (row,) = evaluate_run({"pretrained": network(1)}, corpus, alone)
    assert row.oa is None
    assert "fewer than two domains have a 25x25 window" in row.note


def test_features_that_are_not_finite_are_an_error_and_no_note(recipe, corpus):
    broken = network(1)
    with torch.no_grad():
        next(broken.parameters()).fill_(float("nan"))
    with pytest.raises(InputError, match=r"pretrained: .*finite"):
        evaluate_run({"pretrained": broken, "random weights": network(2)}, corpus, recipe)
