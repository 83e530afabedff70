"""A small prepared corpus and result rows for the report's tests."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sslhsi.patches.corpus import Corpus
from sslhsi.patches.prepare import prepare
from sslhsi.recipe import Recipe

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
def rows() -> list[dict[str, Any]]:
    """Two tasks; on pixels of scene b the raw spectra are far ahead, elsewhere far behind."""
    rng = np.random.default_rng(3)
    found: list[dict[str, Any]] = []

    def add(scene: str, more: dict[str, Any], seeds: int, means: dict[str, float]) -> None:
        for seed in range(seeds):
            for method, mean in means.items():
                for probe in ("k-NN", "linear"):
                    oa = mean + (2.5 if probe == "linear" else 0) + rng.normal()
                    found.append(
                        {"scene": scene, "seed": seed, "method": method, "probe": probe, "oa": oa, "aa": oa - 4,
                         "kappa": oa - 8, "k": 20, "train": 10, "test": 90, "seconds": 0.1, "window": 8, **more}
                    )  # fmt: skip

    domain = {"task": "domain", "split": "held-out ground", "saw_test_pixels": "no", "leak": 0.0}
    add("all scenes", {**domain, "per_class": 5}, 5, {"pretrained": 80, "random weights": 60, "mean spectrum": 50})
    add(
        "all scenes", {**domain, "per_class": "all"}, 1, {"pretrained": 90, "random weights": 70, "mean spectrum": 60}
    )
    pixels = {"task": "pixels", "split": "blocks", "protocol": "blocks, 10 per class", "saw_test_pixels": "yes"}
    add("a", {**pixels, "leak": 0.25}, 4, {"pretrained": 75, "random weights": 70, "raw spectra": 60})
    add("b", {**pixels, "leak": 0.75}, 4, {"pretrained": 55, "random weights": 50, "raw spectra": 85})
    note = "scene 'c': too small for blocks"
    found += [
        {"task": "pixels", "scene": "c", "split": "blocks, 5 per class", "seed": s, "note": note} for s in (0, 1)
    ]
    return found


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A run directory with the metrics and provenance that a finished run leaves."""
    lines = [
        "step,epoch,loss,lr,grad_norm,patches_per_second,knn",
        "10,0.5,4.5,0.001,1.0,900,",
        "20,1,3.2,0.0,1.0,950,61.5",
    ]
    (tmp_path / "metrics.csv").write_text("\n".join(lines) + "\n")
    facts = {"git": "abc123+changes", "packages": {"torch": "9.9.9"}, "machine": {"cpu": "a <cpu>", "gpus": []}}
    (tmp_path / "provenance.json").write_text(json.dumps(facts))
    return tmp_path
