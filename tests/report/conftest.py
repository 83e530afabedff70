"""A small prepared corpus and result rows for the report's tests."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_rows import METHODS, result_rows
from torch import nn

from sslhsi.corpus.corpus import Corpus
from sslhsi.corpus.prepare import prepare
from sslhsi.evaluation.rows import ResultRow
from sslhsi.recipe import Recipe
from sslhsi.report import curves, example_charts
from sslhsi.scenes.scene import Scene

MakeRecipe = Callable[..., Recipe]


@pytest.fixture
def make_backbone() -> Callable[[int], nn.Module]:
    """``make_backbone(channels)``: a network of six features."""

    def make(channels: int) -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(channels, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    return make


@pytest.fixture(scope="session")
def make_recipe(tmp_path_factory: pytest.TempPathFactory) -> MakeRecipe:
    """``make_recipe(domains=2, components=4, holdout=0.4, side=48, **views)``: scenes of smooth random spectra."""
    folder = tmp_path_factory.mktemp("cubes")

    def make(
        domains: int = 2, components: int | None = 4, holdout: float = 0.4, side: int = 48, **views: Any
    ) -> Recipe:
        scenes = []
        for n in range(domains):
            file = folder / f"field{n}-{side}.npy"
            rng = np.random.default_rng(n)
            base = rng.random((6, 6, 12)).cumsum(axis=2) + n
            np.save(file, np.kron(base, np.ones((side // 6, side // 6, 1))) + 0.05 * rng.random((side, side, 12)))
            scenes.append(
                {"path": str(file), "name": f"field {n} <b>", "domain": f"crop <{n}>", "background": "none"}
            )
        return Recipe.model_validate_json(
            json.dumps(
                {
                    "name": "small-run",
                    "corpus": {
                        "scenes": scenes,
                        "cache": str(folder / "cache"),
                        "bands": {"grid": 12, "components": components, "align": "index"},
                        "patches": {"window": 8, "stride": 4, "holdout": holdout},
                    },
                    "backbone": {"name": "anything"},
                    "training": {"steps": 20, "batch_size": 8},
                    "views": views,
                    "evaluation": {"tasks": ["domain"] if holdout else []},
                }
            )
        )

    return make


@pytest.fixture(scope="session")
def corpus(make_recipe: MakeRecipe) -> Corpus:
    return prepare(make_recipe())


@pytest.fixture
def rows() -> list[ResultRow]:
    """Two tasks; on pixels of scene b the raw spectra are far ahead, elsewhere far behind."""
    rng = np.random.default_rng(3)
    rows: list[ResultRow] = []

    def add(scene: str, more: dict[str, Any], seeds: int, means: dict[str, float]) -> None:
        for seed in range(seeds):
            for method, mean in means.items():
                for probe in ("k-NN", "linear"):
                    oa = mean + (2.5 if probe == "linear" else 0) + rng.normal()
                    scores = {"oa": oa, "aa": oa - 4, "kappa": oa - 8}
                    about = {"method": method, "probe": probe, "train": 10, "test": 90, "seconds": 0.1, "window": 8}
                    rows.append(ResultRow(scene=scene, seed=seed, **scores, **about, **more))

    domain = {"task": "domain", "split": "held-out ground", "pretraining_saw_pixels": "no", "leak": 0.0}
    add("all scenes", {**domain, "per_class": 5}, 5, {"pretrained": 80, "random weights": 60, "mean spectrum": 50})
    add(
        "all scenes", {**domain, "per_class": "all"}, 1, {"pretrained": 90, "random weights": 70, "mean spectrum": 60}
    )
    pixels = {"task": "pixels", "split": "blocks", "protocol": "blocks", "per_class": 10}
    pixels |= {"pretraining_saw_pixels": "yes"}
    add("a", {**pixels, "leak": 0.25}, 4, {"pretrained": 75, "random weights": 70, "raw spectra": 60})
    add("b", {**pixels, "leak": 0.75}, 4, {"pretrained": 55, "random weights": 50, "raw spectra": 85})
    note = "scene 'c': too small for blocks"
    return rows + [ResultRow(scene="c", split="blocks", per_class=5, seed=seed, note=note) for seed in (0, 1)]


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A run directory with the metrics and provenance that a finished run leaves."""
    lines = [
        "step,epoch,loss,lr,grad_norm,patches_per_second,knn",
        "10,0.5,4.5,0.001,1.0,900,",
        "20,1,3.2,0.0,1.0,950,61.5",
    ]
    (tmp_path / "metrics.csv").write_text("\n".join(lines) + "\n")
    provenance = {"git": "abc123+changes", "packages": {"torch": "9.9.9"}, "machine": {"cpu": "a <cpu>", "gpus": []}}
    (tmp_path / "provenance.json").write_text(json.dumps(provenance))
    return tmp_path


@pytest.fixture
def no_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the curves and t-SNE of a comparison out, for tests of what is written: nothing is enough for them."""
    monkeypatch.setattr(curves, "LEAST_SIZES", 99)
    monkeypatch.setattr(example_charts, "MOST_PIXELS", 12)


@pytest.fixture
def series_rows() -> list[ResultRow]:
    """Scenes of all kinds; on the real one pretraining wins, on the 8-bit one raw spectra, on the stand-in nobody."""
    worse = {key: 90.0 if key == ("raw spectra", "SVM") else mean for key, mean in METHODS.items()}
    level = {("pretrained", "linear"): 70.0, ("raw spectra", "SVM"): 70.0}
    rows = result_rows(METHODS) + result_rows(METHODS, split="random", leak=0.65, leak_overlap=0.9)
    rows += result_rows(worse, scene="field_8bit", kind="8-bit real")
    rows += result_rows(level, scene="field <stand-in>", kind="stand-in", sizes=(5, 10, 15), seeds=4)
    return rows


@pytest.fixture
def labelled_scene() -> Scene:
    """A scene of four fields with a path between them, some pixels unlabelled."""
    rng = np.random.default_rng(0)
    labels = np.kron([[1, 2], [3, 4]], np.ones((30, 24), dtype=np.int64))
    labels[28:32], labels[:, 22:26] = 0, 0
    spectra = np.array([[0.2], [0.3], [0.4], [0.6], [0.5]]) * (
        1 + np.linspace(0, 1, 12)[None] * np.arange(5)[:, None]
    )
    cube = spectra[labels] + 0.12 * rng.normal(size=(*labels.shape, 12))
    return Scene("field", cube, labels=labels, classes=("oats <late>", "rye", "maize", "beet"))
