"""Data-fusion transfer: phases, rates, what is carried, the papers' splits, resuming, charts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from small_scenes import untimed, write_scene

from sslhsi.backbones.registry import create_backbone
from sslhsi.errors import InputError
from sslhsi.splits.protocols import INDIAN_PINES_1765, protocol
from sslhsi.studies.experiment import load_experiment, run_experiment
from sslhsi.studies.fusion.charts import charts
from sslhsi.studies.fusion.study import phases
from sslhsi.studies.rows import StudyRow
from sslhsi.studies.study import open_scenes
from sslhsi.studies.training_scene import training_scenes

pytestmark = pytest.mark.slow

RECIPES = Path(__file__).parents[2] / "recipes"
FUSION = RECIPES / "fusion.yaml"
SMALL = ["seeds=1", "window=3", "pretraining.epochs=2", "training.epochs=3", "training.slow_epochs=1"]
# A network that is quick: each takes the same number of bands.
QUICK = [*SMALL, "network.name=hresnet", "bands.grid=12"]


@pytest.fixture
def reduced(tmp_path, monkeypatch):
    """Overrides that put small scenes of different cameras into the recipe."""
    monkeypatch.setenv("SSLHSI_DATA", str(tmp_path))
    entries = [
        f"{{scene: {write_scene(tmp_path, name, classes=n, bands=bands, side=12, seed=n)}, "
        "test_per_class: 3, train_per_class: 6}"
        for name, n, bands in (("town", 4, 9), ("valley", 2, 11))
    ]
    sources = ", ".join(entries)
    target = write_scene(tmp_path, "field", classes=3, bands=10, side=12, seed=9)
    return [f"sources=[{sources}]", f"targets=[{target}]", "protocols=[per_class_5]", f"output={tmp_path / 'out'}"]


def run(overrides, recipe=FUSION):
    settings = load_experiment(recipe, overrides)
    return (*run_experiment(settings, show=False), settings)


def parts(groups):
    """Parameters of the extractor, and of the classifier: its weight and bias are the last two groups."""
    return [p for group in groups[:-2] for p in group], [p for group in groups[-2:] for p in group]


def rates(training):
    """Those of classifier and extractor, step by step."""
    return [(step[-1], step[0]) for step in training.rates]


def same(first, second):
    return len(first) == len(second) and all(torch.equal(*pair) for pair in zip(first, second, strict=True))


def test_the_recipe_holds_the_papers_numbers(monkeypatch):
    monkeypatch.setenv("SSLHSI_DATA", "/data")
    settings = load_experiment(FUSION)
    assert (settings.network.name, settings.window, str(settings.bands)) == ("ainet", 27, "own bands")
    assert settings.protocols == ["per_class_15", "per_class_30"]
    assert [source.test_per_class for source in settings.sources] == [200, 100]
    assert [source.train_per_class for source in settings.sources] == [None, None]
    first, second, target = phases(settings)
    assert (first.epochs, second.epochs, target.epochs, target.slow_epochs) == (10, 5, 60, 12)
    assert (first.lr_head, first.lr_backbone) == (0.01, 0.01)
    assert (second.lr_head, second.lr_backbone) == (0.01, pytest.approx(0.001))
    assert (target.lr_head, target.lr_backbone) == (0.01, 0.01)
    for phase in (first, second, target):
        assert (phase.optimizer, phase.batch_size, phase.weight_decay) == ("sgd", 20, 1e-5)
        assert (phase.schedule, phase.head, phase.smoothing, phase.policy) == ("constant", "gaussian", 0.0, "none")


def test_phases_in_order_with_everything_but_the_classifier_carried(reduced, trainings):
    rows, history, settings = run([*reduced, *QUICK])
    # T3 and T4 go on from what T1 and T2 trained: four pretrainings, not six.
    assert [row.method for row in rows] == ["pretraining"] * 4 + ["from scratch", "T1", "T2", "T3", "T4"]
    assert [row.source for row in rows] == ["", "", "town", "valley", "", "town", "valley", "town -> valley",
                                               "valley -> town"]  # fmt: skip
    town, valley, town_valley, valley_town, scratch, t1, t2, t3, t4 = trainings
    for before, after in ((town, town_valley), (valley, valley_town), (town, t1), (valley, t2), (town_valley, t3),
                          (valley_town, t4)):  # fmt: skip
        assert same(parts(before.ended)[0], parts(after.begun)[0])
        assert not torch.equal(parts(before.ended)[1][0][:2], parts(after.begun)[1][0][:2])
    assert not same(parts(scratch.begun)[0], parts(t1.begun)[0])
    # The batch norms' statistics move, too: every step counts, and the pass that gives a fresh network its first.
    kept = [load_file(file) for file in (settings.folder / "pretrained").iterdir()]
    counts = [next(int(v) for name, v in one.items() if name.endswith("num_batches_tracked")) for one in kept]
    steps = [len(t.rates) for t in (town, valley, town_valley, valley_town)]
    assert sorted(counts) == sorted([steps[0] + 1, steps[1] + 1, steps[0] + steps[2] + 1, steps[1] + steps[3] + 1])
    for training in trainings:  # a classifier drawn from a Gaussian
        weight, bias = parts(training.begun)[1]
        assert float(weight.std()) == pytest.approx((2 / 64) ** 0.5, rel=0.25)
        assert not bias.any()
        assert training.solver.param_groups[0]["momentum"] == 0.9
    # N epochs at one rate; N/2 with the extractor at a tenth; on the target one rate, the last epochs at a tenth.
    assert rates(town) == [(0.01, 0.01)] * (2 * 2)
    assert np.allclose(rates(valley_town), [(0.01, 0.001)] * 2)
    assert np.allclose(rates(town_valley), [(0.01, 0.001)])
    assert np.allclose(rates(t3), [(0.01, 0.01)] * 2 + [(0.001, 0.001)])
    assert np.allclose(rates(scratch), rates(t3))
    # Sources' test pixels never train: 6 of each class do, and 3 tell.
    assert [(row.train, row.test) for row in rows[:2]] == [(24, 12), (12, 6)]
    assert {(row.train, row.per_class) for row in rows[4:]} == {(15, 5)}
    assert {(row.method, epoch.phase) for row, epoch in history} == {
        ("pretraining", "source 1"), ("pretraining", "source 2"),
        *((method, "target") for method in ("from scratch", "T1", "T2", "T3", "T4")),
    }  # fmt: skip


def test_ainet_moves_between_cameras_of_different_bands(reduced, trainings):
    rows, _, settings = run([*reduced, *SMALL, "methods=[T2]"])
    assert [row.network for row in rows] == ["ainet", "ainet"]
    valley, target = trainings
    assert same(parts(valley.ended)[0], parts(target.begun)[0])
    (file,) = (settings.folder / "pretrained").iterdir()
    assert sum(name.endswith("running_var") for name in load_file(file)) == 44  # the norms of 44 convolutions
    assert int(rows[1].trainable) == int(rows[1].parameters) == 381_952 + 4_704 + 257 * 3


def test_the_same_command_goes_on_after_a_kill(reduced, trainings):
    overrides = [*reduced, *QUICK, 'methods=["from scratch", T3]', "target_extractor=0.1"]
    rows, _, settings = run(overrides)
    assert np.allclose(rates(trainings[-1])[0], (0.01, 0.001))
    assert len(trainings) == 4
    path = settings.folder / "rows.csv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-1]))
    again, _, _ = run(overrides)
    assert len(trainings) == 5
    assert untimed(rows) == untimed(again)


def test_scaling_a_cube_to_one_changes_nothing_for_ainet():
    """Loss and gradients are the same function of the weights, but for the epsilon of batch normalisation."""
    torch.manual_seed(0)
    network = create_backbone("ainet", 10, 5, num_classes=3).double().train()
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm3d):
            layer.eps = 1e-14
    x, y = torch.rand(12, 10, 5, 5, dtype=torch.float64), torch.arange(12) % 3
    results = []
    for factor, offset in ((1.0, 0.0), (8000.0, 300.0)):
        network.zero_grad()
        loss = torch.nn.functional.cross_entropy(network(factor * x + offset), y)
        loss.backward()
        results.append([loss.detach(), *(p.grad.clone() for p in network.parameters())])
    for plain, scaled in zip(*results, strict=True):
        torch.testing.assert_close(plain, scaled, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(("recipe", "network", "shape", "trained"), [
    ("ainet_indian_pines", "ainet", (27, 200), 1765),
    ("hybridsn_indian_pines", "hybridsn", (25, 30), 3075),
])  # fmt: skip
def test_the_papers_tables_of_indian_pines(data, recipe, network, shape, trained):
    settings = load_experiment(RECIPES / f"{recipe}.yaml")
    scenes = open_scenes(settings.targets)
    (target,) = training_scenes(scenes, settings.network, settings.bands, settings.window)
    assert (settings.network.name, settings.window, target.channels) == (network, *shape)
    drawn = target.draw("random", 0, **protocol(settings.protocols[0]))
    counts = np.bincount(target.labels[tuple(drawn.train.T)], minlength=17)[1:]
    assert len(drawn.train) == counts.sum() == trained
    assert len(drawn.train) + len(drawn.test) == 10249
    if recipe.startswith("ainet"):
        assert tuple(counts) == INDIAN_PINES_1765
    else:
        assert np.allclose(counts / np.bincount(target.labels.ravel())[1:], 0.3, atol=0.02)


def test_given_counts_are_named(reduced, tmp_path, monkeypatch):
    monkeypatch.setitem(
        __import__("sslhsi.splits.protocols", fromlist=["x"]).PROTOCOLS, "listed", {"counts": (4, 0, 6)}
    )
    target = write_scene(tmp_path, "plain", classes=3)
    overrides = [
        "seeds=1",
        f"targets=[{target}]",
        "protocols=[listed]",
        "network.name=hresnet",
        "window=3",
        f"output={tmp_path / 'o'}",
    ]
    rows, _, _ = run([*overrides, "training.epochs=2", "training.slow_epochs=0"], RECIPES / "ainet_indian_pines.yaml")
    (row,) = rows
    assert (row.method, row.split, row.per_class, row.train) == ("from scratch", "given counts", None, 10)
    assert row.source == ""


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["sources=[]"], "methods: T1 needs 1 source, and sources has 0; add one, or leave T1 out"),
        (["methods=[T5]"], "methods.0"),
        (["methods=[T1, T1]"], "methods: 'T1' is there twice"),
        (["protocols=[per_class_16]"], "did you mean 'per_class_1"),
        (["pretraining.epochs=1"], "the second source takes half of them"),
        (["pretraining.slow_epochs=2"], "slow_epochs 2 must be fewer than the 2 epochs"),
        (["second_extractor=0"], "second_extractor"),
        (["sources.0.test_per_class=0"], "test_per_class"),
        (["network.name=hresnet"], "tied to its number of bands, and town gives 9, valley 11; set bands.grid"),
        (["bands.grid=4"], "at least 8 bands"),
        (["schemes=[diagonal]"], "schemes"),
        (["training.lr=-1"], "training.lr"),
    ],
)  # fmt: skip
def test_bad_recipes(reduced, overrides, message):
    with pytest.raises(InputError, match=message) as raised:
        run([*reduced, *SMALL, *overrides])
    assert "\n" not in str(raised.value)


def test_charts():
    rows = []
    for kind in ("real", "stand-in"):
        place = {"target": "field", "kind": kind, "split": "random"}
        rows += [
            StudyRow(method=method, per_class=size, oa=oa + seed, aa=oa, kappa=-1.0, seed=seed, **place)
            for size in (15, 30)
            for method, oa in (("from scratch", 70.0), ("T1", 75.0), ("T3", 80.0))
            for seed in (0, 1)
        ]
        rows.append(StudyRow(method="pretraining", target="town", kind=kind, split="random", oa=99.0))
    drawn = charts(rows, [])
    assert len(drawn) == 4
    assert "15 per class. overall accuracy: from scratch 70.5; T1 75.5; T3 80.5" in drawn[0].alt
    assert [("stand-in" in chart.alt) for chart in drawn] == [False, False, True, True]
    assert "2 seeds" in drawn[0].caption
    alone = [row for row in rows if row.method == "T1"]
    assert charts(alone, []) == []
