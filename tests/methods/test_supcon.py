"""Supervised contrast against its equation, and what labels it is given."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import sslhsi
from sslhsi.corpus.prepare import prepare
from sslhsi.errors import InputError
from sslhsi.evaluation.rows import read_result_rows
from sslhsi.files import read_rows
from sslhsi.methods.base import Batch
from sslhsi.methods.ntxent import NTXentLoss
from sslhsi.methods.registry import create_method
from sslhsi.methods.supcon import SupConLoss
from sslhsi.pretrain import pretrain
from sslhsi.recipe import load_recipe
from sslhsi.training.batches import Batches, TrainingData


def by_hand(z1: torch.Tensor, z2: torch.Tensor, groups: list[int], temperature: float) -> torch.Tensor:
    """Equation 2, anchor by anchor."""
    z, n = F.normalize(torch.cat([z1, z2]), dim=1), len(z1)
    total = torch.zeros((), dtype=z.dtype)
    for i in range(2 * n):
        others = [a for a in range(2 * n) if a != i]
        group = groups[i % n]
        positives = [a for a in others if a % n == i % n or (group >= 0 and groups[a % n] == group)]
        denominator = torch.log(sum(torch.exp(z[i] @ z[a] / temperature) for a in others))
        total = total - sum(z[i] @ z[p] / temperature - denominator for p in positives) / len(positives)
    return total / (2 * n)


@pytest.mark.parametrize("groups", [[0, 0, 5, -1, 5, -1, 0], [3] * 7, [0, 1, 2, 3, 4, 5, 6]])
@pytest.mark.parametrize("chunk", [3, 4096])
def test_is_the_papers_in_value_and_gradient(groups, chunk):
    torch.manual_seed(0)
    ours = [torch.randn(7, 5, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    theirs = [z.detach().clone().requires_grad_() for z in ours]
    loss, expected = SupConLoss(0.3, chunk)(*ours, torch.tensor(groups)), by_hand(*theirs, groups, 0.3)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    expected.backward()
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_without_labels_it_is_ntxent():
    z = torch.randn(2, 6, 4, dtype=torch.float64)
    nobody = torch.full((6,), -1)
    torch.testing.assert_close(SupConLoss(0.1)(*z, nobody), NTXentLoss(0.1)(*z))


@pytest.mark.parametrize("weight", [0.0, 0.25, 1.0])
def test_positives_share_class_and_scene_and_the_weights_add_up(weight):
    torch.manual_seed(0)
    backbone = sslhsi.create_backbone("pixelnet", 4, 9, width=8, radii=[0, 3])
    method = create_method("supcon", backbone, {"hidden": 8, "output": 4, "self_supervised": weight}).double().eval()
    views = list(torch.randn(2, 6, 4, 9, 9).double())
    labels, scenes = torch.tensor([0, 0, 0, 1, -1, -1]), torch.tensor([2, 2, 5, 2, 2, 2])
    loss, columns = method(Batch(views, 0, 5, 0, 6, 0, labels, scenes))
    embeddings = [method.head(method.backbone(view)) for view in views]
    supervised, alone = (by_hand(*embeddings, g, 0.1) for g in ([0, 0, 1, 2, -1, -1], [-1] * 6))
    torch.testing.assert_close(loss, (1 - weight) * supervised + weight * alone)
    assert float(columns["labelled"]) == pytest.approx(4 / 6)


RECIPE = """
name: labels
corpus:
  cache: FOLDER/corpora
  scenes:
    - {path: FOLDER/a.npy, layout: hwb, background: none, labels: FOLDER/gt.npy}
    - {path: FOLDER/b.npy, layout: hwb, background: none, labels: FOLDER/gt.npy, holdout: true}
    - {path: FOLDER/c.npy, layout: hwb, background: none}
    - {path: FOLDER/d.npy, layout: hwb, background: none, labels: FOLDER/gt.npy}
  bands: {grid: 8, components: 3, align: index}
  patches: {window: 4, stride: 1, holdout: 0.25, border: reflect}
backbone: {name: pixelnet, options: {width: 8, depth: 1, mixed: 8, radii: [0]}}
method: {name: supcon, options: {hidden: 8, output: 4}}
training: {steps: 40, batch_size: 24, precision: fp32}
evaluation: {tasks: [pixels], per_class: [2], schemes: [random], seeds: 1}
"""


@pytest.fixture
def recipe(tmp_path):
    rng = np.random.default_rng(0)
    for name in "abcd":
        np.save(tmp_path / f"{name}.npy", rng.random((20, 16, 8)).astype(np.float32))
    np.save(tmp_path / "gt.npy", rng.integers(0, 4, (20, 16)).astype(np.uint8))
    (tmp_path / "recipe.yaml").write_text(RECIPE.replace("FOLDER", str(tmp_path)))

    def load(*words):
        return load_recipe(tmp_path / "recipe.yaml", [f"output={tmp_path / 'run'}", *words])

    load.labels = np.load(tmp_path / "gt.npy").astype(int)
    return load


def batches(recipe) -> Batches:
    data = TrainingData.of(recipe, prepare(recipe), 1)
    backbone = sslhsi.create_backbone("pixelnet", 3, 4, width=8, radii=[0])
    method = create_method(recipe.method.name, backbone, recipe.method.options)
    return Batches(recipe, data, method, torch.device("cpu"))


def test_labels_are_those_of_the_centre_pixels_of_scenes_that_train(recipe):
    ours = batches(recipe("corpus.leave_out=[d]"))
    scenes, seen = {s.name: n for n, s in enumerate(ours.data.corpus.scenes)}, set()
    assert set(scenes) == {"a", "b", "c"}
    for step in range(40):
        batch, windows = ours(step), ours.windows_of(step)
        assert torch.equal(batch.scenes, torch.from_numpy(windows[:, 0]).long())
        for label, (scene, row, column) in zip(batch.labels.tolist(), windows.tolist(), strict=True):
            assert label == (recipe.labels[row + 2, column + 2] - 1 if scene == scenes["a"] else -1)
            assert scene != scenes["b"]
            seen.add((scene, label))
    assert {label for scene, label in seen if scene == scenes["a"]} == {-1, 0, 1, 2}


def test_labels_of_held_out_pixels_are_never_given(recipe):
    corpus = prepare(recipe())
    everywhere = corpus.windows(recipe().corpus.patches, held=True, stride=1)
    assert len(everywhere)
    assert (corpus.centre_labels(everywhere, 4) == -1).all()
    assert (corpus.centre_labels(everywhere, 4, held=True) >= 0).any()


def test_other_methods_get_no_labels(recipe):
    batch = batches(recipe("method.name=simclr"))(0)
    assert batch.labels is None
    assert batch.scenes is None


def test_where_nothing_is_labelled_it_is_refused(recipe):
    with pytest.raises(InputError, match=r"method\.name: supcon learns from labels, and no window"):
        batches(recipe("corpus.leave_out=[a, d]"))


@pytest.mark.slow
def test_scenes_whose_labels_were_read_are_not_evaluated_on(recipe):
    run = pretrain(recipe("training.steps=2"))
    rows = read_result_rows(run / "results.csv")
    assert {row.scene for row in rows if row.oa is not None} == {"b"}
    refused = {row.scene: row.note for row in rows if row.oa is None}
    assert refused.keys() == {"a", "d"}
    assert all("read its labels" in note for note in refused.values())
    assert {row.pretraining for row in rows if row.method == "pretrained"} == {"labels: 4 scenes, with their labels"}
    assert all(0 < float(row["labelled"]) < 1 for row in read_rows(run / "metrics.csv") if row["loss"])
