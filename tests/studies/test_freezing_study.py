"""The freezing study: its counts and costs, what is carried and held, that it resumes, and its charts."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
from hybridsn_counts import PUBLISHED
from safetensors.torch import load_file
from small_scenes import untimed, write_scene
from torch import nn

from sslhsi.backbones.registry import create_backbone
from sslhsi.encoder.save import save_backbone
from sslhsi.errors import InputError
from sslhsi.finetune.classifier import Classifier
from sslhsi.finetune.cost import step_macs
from sslhsi.finetune.freezing import freeze, make_head
from sslhsi.recipe import Network
from sslhsi.studies.adaptation.image_views import ImageNetwork
from sslhsi.studies.experiment import load_experiment, run_experiment
from sslhsi.studies.freezing.charts import charts
from sslhsi.studies.rows import Epoch, StudyRow
from sslhsi.studies.study import open_scenes
from sslhsi.studies.training_scene import training_scenes

pytestmark = pytest.mark.slow

RECIPE = Path(__file__).parents[2] / "recipes" / "freezing.yaml"
SMALL = ["seeds=1", "window=9", "bands.components=13", "pretraining.epochs=2", "training.epochs=2"]


@pytest.fixture
def reduced(tmp_path, monkeypatch):
    """Overrides that put small scenes into the recipe: six classes to pretrain on, four on the target."""
    monkeypatch.setenv("SSLHSI_DATA", str(tmp_path))
    source = write_scene(tmp_path, "fields", classes=6, side=14, seed=0)
    target = write_scene(tmp_path, "roofs", classes=4, side=10, seed=1)
    counts = ["source_protocol=per_class_3", "protocols=[per_class_3]"]
    return [f"source={source}", f"targets=[{target}]", *counts, f"output={tmp_path / 'out'}"]


def run(overrides):
    settings = load_experiment(RECIPE, overrides)
    return (*run_experiment(settings, show=False), settings)


def test_the_recipe_holds_the_papers_numbers(monkeypatch):
    monkeypatch.setenv("SSLHSI_DATA", "/data")
    settings = load_experiment(RECIPE)
    assert (settings.window, settings.bands.components, settings.bands.whiten) == (25, 15, 1.0)
    assert settings.policies == ["from scratch", *PUBLISHED]
    tuning = settings.training.tuning()
    assert (tuning.epochs, tuning.lr_head, tuning.lr_backbone, tuning.batch_size) == (100, 0.01, 0.01, 256)
    assert (tuning.schedule, tuning.smoothing, tuning.weight_decay, tuning.slow_epochs) == ("constant", 0.0, 0.0, 0)
    assert (settings.source_protocol, settings.protocols) == ("hybridsn_30_percent", ["hybridsn_30_percent"])


def test_rows_bear_the_published_counts(reduced, trainings, tmp_path):
    """At the paper's window and components, on a target of four classes."""
    rows, history, _ = run([*reduced, "seeds=1", "pretraining.epochs=1", "training.epochs=1"])
    rows = {row.method: row for row in rows}
    for policy, count in PUBLISHED.items():
        assert int(rows[policy].trainable) == count
        assert int(rows[policy].parameters) == 4_844_148 + (128 * 129 if policy == "Network_1" else 0)
        assert (rows[policy].source, rows[policy].target) == ("fields", "roofs")
    assert (rows["from scratch"].source, rows["pretraining"].target) == ("", "fields")
    assert {row.kind for row in rows.values()} == {"real"}
    assert all(row.oa and float(row.seconds_per_step) > 0 for row in rows.values())
    macs = {policy: int(rows[policy].macs) for policy in PUBLISHED}
    # Each of these trains what the one before does, and more.
    order = [macs[f"Network_{n}"] for n in (2, 3, 4, 5, 7)] + [macs["original"]]
    assert order == sorted(order)
    assert len(set(order)) == 6
    assert macs["original"] == int(rows["from scratch"].macs)
    assert len(history) == len(rows)
    assert {epoch.phase for _, epoch in history} == {"source 1", "target"}
    # All but the classifier comes from the source, and only what a policy trains moves.
    (file,) = (tmp_path / "out" / "pretrained").iterdir()
    weights = load_file(file)
    named = {name: trainings[n].named(weights) for n, name in enumerate(["pretraining", "from scratch", *PUBLISHED])}
    assert named["from scratch"].keys() <= {"conv2d_1.bias"}
    assert named["original"].keys() == weights.keys()
    moved = {
        policy: {name.split(".")[0] for name, (before, after) in pairs.items() if not torch.equal(before, after)}
        for policy, pairs in named.items()
    }
    assert moved["Network_1"] == moved["Network_2"] == set()
    assert moved["Network_3"] == {"dense_2"}
    assert moved["Network_6"] == {"conv2d_1"}
    assert moved["Network_7"] == {"conv3d_3", "conv2d_1", "dense_1", "dense_2"}


def test_the_same_command_goes_on_after_a_kill(reduced, trainings, tmp_path):
    overrides = [*reduced, *SMALL, 'policies=["from scratch", original, Network_2]']
    rows, history, settings = run(overrides)
    assert [row.method for row in rows] == ["pretraining", "from scratch", "original", "Network_2"]
    assert len(trainings) == 4
    path = settings.folder / "rows.csv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([lines[0], *lines[2:4]]) + lines[4][:25])  # the pretraining's row, and half the last one
    again, history_again, _ = run(overrides)
    assert len(trainings) == 5  # the weights of the pretraining are still there
    assert sorted(untimed(rows), key=str) == sorted(untimed(again), key=str)
    assert {(row.key, epoch) for row, epoch in history} == {(row.key, epoch) for row, epoch in history_again}
    run([*overrides, "seeds=2"])
    assert len(trainings) == 8  # of another seed, the rows alone: one pretraining serves all
    with path.open(newline="") as stream:
        assert len(list(csv.DictReader(stream))) == 7
    kept = next((tmp_path / "out" / "pretrained").iterdir())
    kept.write_bytes(b"damaged")
    path.unlink()
    with pytest.raises(InputError, match="delete it, and it is trained again"):
        run(overrides)


def test_layers_of_other_networks_by_name(reduced):
    policies = '[none, all, {method: "norms and first held", hold: [conv_a, norm]}]'
    rows, _, _ = run([*reduced, *SMALL, "network.name=hresnet", f"policies={policies}", "schemes=[random, blocks]"])
    assert [row.method for row in rows[1:4]] == ["none", "all", "norms and first held"]
    assert "holds conv_a norm" in rows[3].settings
    assert int(rows[2].trainable) == 65 * 4
    blocks = [row for row in rows if row.split == "blocks"]
    assert len(blocks) == 3
    assert all(row.note or float(row.leak_overlap) == 0 for row in blocks)


def test_held_layers_keep_the_weights_that_they_were_given(reduced):
    settings = load_experiment(RECIPE, [*reduced, *SMALL])
    (target,) = training_scenes(open_scenes(settings.targets), Network(name="hresnet"), settings.bands, 9)
    weights = target.fresh(7).state_dict()
    drawn = target.draw("random", 0, per_class=3)
    tuned = target.train(drawn, settings.training.tuning(["conv_a", "norm"]), 0, weights)
    state = tuned.network.backbone.state_dict()
    same = {name for name, value in weights.items() if name in state and torch.equal(value, state[name])}
    assert same == {name for name in weights if name.startswith(("conv_a.", "norm."))}


@pytest.mark.parametrize("policy", ["original", "Network_1", "Network_2", "Network_6", "Network_7"])
def test_macs_of_a_step(policy):
    """Against the sums by hand: a layer's products once forward, once for its weights, once for its input."""
    body = create_backbone("hybridsn", 13, 9)
    record = freeze(body, policy)
    model = Classifier(body, make_head(128, 4, policy))
    forward: dict[str, int] = {}
    for name, layer in model.named_modules():
        if isinstance(layer, (nn.Conv2d, nn.Conv3d, nn.Linear)):
            layer.register_forward_hook(
                lambda layer, _, out, name=name: forward.__setitem__(
                    name, out[0].numel() // layer.weight.shape[0] * layer.weight.numel()
                )
            )
    model.eval()
    with torch.no_grad():
        model(torch.zeros(1, 13, 9, 9))
    model = Classifier(body, make_head(128, 4, policy))
    order = list(forward)  # as they ran
    trains = [all(p.requires_grad for p in model.get_submodule(name).parameters()) for name in order]
    first = trains.index(True)
    expected = sum(
        macs * (1 + trained + (place > first))
        for place, (macs, trained) in enumerate(zip(forward.values(), trains, strict=True))
    )
    assert step_macs(model, record, (13, 9, 9), 5) == 5 * expected


def test_a_self_supervised_backbone_on_the_same_splits(reduced, tmp_path):
    settings = load_experiment(RECIPE, [*reduced, *SMALL])
    (target,) = training_scenes(open_scenes([settings.source]), Network(name="pixelnet"), settings.bands, 5)
    options = {"width": 8, "mixed": 8, "radii": [0, 1]}
    config = {"architecture": "pixelnet", "options": options, "window": 5, "recipe": "tiny"}
    backbone = create_backbone("pixelnet", target.channels, 5, **options)
    save_backbone(tmp_path / "tiny", backbone, target.encoder.projector, config)
    more = [f"self_supervised={tmp_path / 'tiny'}", "policies=[from scratch]"]
    rows, _, _ = run([*reduced, *SMALL, *more])
    assert [row.method for row in rows] == [
        "from scratch",
        "self-supervised, fine-tuned",
        "its network, from scratch",
    ]
    assert len({(row.train, row.test, row.leak, row.leak_overlap) for row in rows}) == 1
    assert rows[1].network == rows[2].network == "pixelnet"
    assert float(rows[1].oa) > 60
    assert 0 < int(rows[1].macs) == int(rows[2].macs)
    # Blocks are apart for the recipe's window: a backbone that looks further would see across.
    config["window"] = 11
    save_backbone(tmp_path / "wide", create_backbone("pixelnet", target.channels, 11, **options),
                  target.encoder.projector, config)  # fmt: skip
    more = [f"self_supervised={tmp_path / 'wide'}", "policies=[from scratch]", f"output={tmp_path / 'other'}"]
    rows, _, _ = run([*reduced, *SMALL, *more, "schemes=[blocks]", "protocols=[per_class_1]"])
    assert all("the blocks are apart for windows of 9" in row.note for row in rows[1:])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["policies=[Network_9]"], "did you mean 'Network_"),
        (["policies=[original, original]"], "policies: 'original' is there twice"),
        (["network.name=hresnet"], "names layers of hybridsn, and the network is 'hresnet'"),
        (["policies=[{method: mine, hold: [conv4]}]"], "no layer is called 'conv4'"),
        (["protocols=[per_class_4]"], "protocol 'per_class_4' is not known: did you mean 'per_class_"),
        (["bands.components=99"], "components=99"),
        (["window=7"], "at least 9 pixels of window"),
        (["network.name=hybrid", "policies=[none]"], "unknown backbone 'hybrid'"),
        (["training.slow_epochs=2"], "slow_epochs 2 must be fewer than the 2 epochs"),
        (["self_supervised=no/such/folder"], "no/such/folder"),
        (["network.name=hresnet", "bands.components=null", "policies=[all]"], "tied to its number of bands"),
    ],
)
def test_bad_recipes(reduced, tmp_path, overrides, message):
    other = write_scene(tmp_path, "wide", classes=3, bands=18)
    with pytest.raises(InputError, match=message) as raised:
        run([*reduced, *SMALL, f"targets=[{other}]", *overrides])
    assert "\n" not in str(raised.value)


def test_a_target_that_is_the_source(reduced, tmp_path):
    same = f"{{path: {tmp_path}/fields.npy, labels: {tmp_path}/fields_gt.npy, name: again}}"
    with pytest.raises(InputError, match="again is the source fields again"):
        run([*reduced, *SMALL, f"targets=[{same}]"])
    with pytest.raises(InputError, match="roofs: no labels to train on"):
        run([*reduced, *SMALL, f"targets=[{{path: {tmp_path}/roofs.npy}}]", f"output={tmp_path}/other"])


def test_charts():
    rows, history = [], []
    for kind, data in (("real", "a"), ("stand-in", "b")):
        for method, oa, part in (("from scratch", 70.0, 100), ("Network_2", 50.0, 1)):
            for seed in (0, 1):
                row = StudyRow(
                    method=method, target="field", kind=kind, split="random", per_class=5, data=data, seed=seed,
                    oa=oa + seed, trainable=part, parameters=100, macs=part * 10**9, seconds_per_step=0.01,
                )  # fmt: skip
                rows.append(row)
                history.append((row, Epoch(1, "target", 0.5, 50.0)))
        rows.append(StudyRow(method="pretraining", target="source", kind=kind, split="random", oa=99.0))
    rows.append(StudyRow(method="original", target="field", kind="real", split="random", note="why"))
    drawn = charts(rows, history)
    # Of each kind by itself: accuracy, loss, training accuracy; share, multiply-adds, seconds.
    assert len(drawn) == 12
    alt = "Overall accuracy by what trains, field, random split, 5 per class: from scratch 70.5; Network_2 50.5"
    assert drawn[0].alt == alt
    assert sum("stand-ins" in chart.alt for chart in drawn) == 6
    assert not any("source" in chart.alt for chart in drawn)
    assert any("Multiply-adds of a training step, field" in c.alt and "Network_2 1" in c.alt for c in drawn)
    assert all(chart.uri.startswith("data:image/svg+xml;base64,") for chart in drawn)
    assert len(charts([row for row in rows if row.kind == "stand-in"], [])) == 4  # without losses, the rest


def test_macs_tell_networks_of_the_same_parameters_apart():
    """A larger crop costs more, and weights say nothing of it: hresnet is convolutional."""
    counts = []
    for crop in (9, 12):
        body = ImageNetwork(create_backbone("hresnet", 3, 9), crop)
        counts.append(step_macs(Classifier(body, make_head(64, 4, "none")), freeze(body, "none"), (3, 16, 16), 2))
    assert counts[0] < counts[1]
