"""Multitask learning: the published schedule step by step, the vote, and the experiment through its recipe."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import mode
from small_scenes import untimed, write_scene
from torch import nn

from sslhsi.backbones.registry import create_backbone
from sslhsi.bands.projector import SpectralProjector
from sslhsi.encoder.save import save_backbone
from sslhsi.errors import InputError
from sslhsi.scenes.scene import Scene
from sslhsi.splits.split import split
from sslhsi.studies.experiment import load_experiment, run_experiment
from sslhsi.studies.multitask.charts import charts
from sslhsi.studies.multitask.network import MultitaskNetwork
from sslhsi.studies.multitask.training import Schedule, classify, cut, make_task, shares, train_jointly

pytestmark = pytest.mark.slow

RECIPE = Path(__file__).parents[2] / "recipes" / "multitask_indian_pines.yaml"
CPU = torch.device("cpu")
SMALL = [
    "seeds=1", "per_class=[3]", "schedule.epochs=1", "schedule.settling_epochs=1", "schedule.votes=1",
    "schedule.vote_every=1",
]  # fmt: skip
SINGLE, SHARED = "single task", "multitask, shared first layer"


def scene(classes=3, bands=7, seed=0, height=19, width=13):
    rng = np.random.default_rng(seed)
    fields = rng.permuted(np.arange(20) % (classes + 1)).reshape(5, 4) * 2  # ids with gaps
    labels = np.kron(fields, np.ones((-(-height // 5), -(-width // 4)), int))[:height, :width]
    cube = rng.random((classes * 2 + 1, bands))[labels] + 0.05 * rng.random((height, width, bands))
    return Scene(f"s{seed}", cube.astype(np.float32), labels=labels)


def tasks_of(*scenes, window=9, per_class=3):
    return [
        make_task(s, np.eye(s.bands), split(s.labels, "random", window, per_class=per_class), window, CPU)
        for s in scenes
    ]


def test_the_published_schedule():
    schedule = Schedule()
    assert (schedule.epochs, schedule.lr, schedule.settling_epochs, schedule.settling_lr) == (100, 1.0, 30, 0.1)
    assert (schedule.votes, schedule.vote_every, schedule.batch_size, schedule.total) == (5, 2, 20, 140)


def test_every_step_of_the_schedule(trainings):
    """Rates, fresh averages, and sizes of the batches."""
    tasks = tasks_of(scene(3), scene(2, seed=1), window=5)
    schedule = Schedule(epochs=3, settling_epochs=2, votes=3, vote_every=2, batch_size=20)
    joint = train_jointly("ccnn", tasks, schedule, targets=[0, 1])
    per_epoch = -(-len(tasks[0].y) // 20)
    assert joint.steps == 11 * per_epoch
    fast, slow = trainings
    assert fast.rates == [(1.0,)] * 3 * per_epoch
    assert slow.rates == [(0.1,)] * 8 * per_epoch
    for training in trainings:
        assert (training.solver.defaults["rho"], training.solver.defaults["eps"]) == (0.95, 1e-7)
        steps = {int(state["step"]) for state in training.solver.state.values()}
        assert steps == {len(training.rates)}  # fresh averages


def test_the_vote_is_the_mode_of_the_epochs_that_are_due():
    tasks = tasks_of(scene(3), scene(2, seed=1))

    def predicted(settling, votes):
        schedule = Schedule(epochs=4, settling_epochs=settling, settling_lr=1.0, votes=votes, vote_every=2)
        return train_jointly("hresnet", tasks, schedule, targets=[0]).predicted[0]

    ballots = np.stack([predicted(settling, 1) for settling in (2, 4, 6)])
    assert (ballots[0] != ballots[-1]).any()
    np.testing.assert_array_equal(predicted(2, 3), mode(ballots).mode)


@pytest.mark.parametrize("counts", [[64], [640, 240], [36, 64, 7], [400, 3]])
def test_an_epoch_shows_every_sample_once(counts):
    steps = shares(counts, 20, torch.Generator().manual_seed(0))
    assert len(steps) == -(-max(counts) // 20)
    for k, count in enumerate(counts):
        sizes = [len(step[k]) for step in steps]
        assert max(sizes) - min(sizes) <= 1
        assert torch.cat([step[k] for step in steps]).sort().values.tolist() == list(range(count))
    assert max(len(step[counts.index(max(counts))]) for step in steps) <= 20
    assert torch.equal(shares(counts, 20, torch.Generator().manual_seed(0))[0][0], steps[0][0])


def test_windows_repeat_the_edge_and_are_mirrored():
    made = scene()
    pixels = np.argwhere(made.labels > 0)
    padded = np.pad(made.cube, ((4, 4), (4, 4), (0, 0)), mode="edge")
    expected = np.stack([padded[r : r + 9, c : c + 9].transpose(2, 0, 1) for r, c in pixels])
    np.testing.assert_allclose(cut(made.cube, pixels, 9, np.eye(7, dtype=np.float32)).numpy(), expected)
    (task,) = tasks_of(made)
    at = [np.flatnonzero((pixels == p).all(axis=1))[0] for p in task.split.train]
    x = expected[at]
    np.testing.assert_allclose(task.x.numpy(), np.concatenate([x, x[..., ::-1], x[:, :, ::-1], x[:, :, ::-1, ::-1]]))
    some = torch.tensor([5, 0, 5, 17])
    assert torch.equal(task.windows(some), task.x[some])
    labels = made.labels[tuple(task.split.train.T)]
    assert task.classes[task.y.numpy()].tolist() == np.tile(labels, 4).tolist()


@pytest.mark.parametrize(("name", "window"), [("hresnet", 9), ("ccnn", 5)])
def test_pixels_are_classified_as_window_by_window(name, window):
    tasks = tasks_of(scene(3, height=40), scene(4, seed=1), window=window)
    torch.manual_seed(0)
    network = MultitaskNetwork(name, 7, [3, 4], separate_first=True)
    for p in network.parameters():
        nn.init.normal_(p, std=0.2)
    network.eval()
    for k, task in enumerate(tasks):
        x = cut(task.scene.cube, task.split.test, window, task.matrix)
        with torch.no_grad():
            logits = network.heads[k](network.features(k, network.entry(k, x)))
            network.heads[k].bias -= logits.mean(0)  # so that no class wins everywhere
        expected = (logits - logits.mean(0)).argmax(1).numpy()
        assert len(set(expected)) > 1
        np.testing.assert_array_equal(classify(network, k, task, CPU), expected)


def test_a_training_is_a_function_of_its_seed_and_learns():
    tasks = tasks_of(scene(3), scene(2, seed=1))
    schedule = Schedule(epochs=20, settling_epochs=2, votes=2, vote_every=1)
    state = torch.random.get_rng_state()
    a, b = (train_jointly("hresnet", tasks, schedule, targets=[0, 1], seed=3) for _ in range(2))
    assert torch.equal(state, torch.random.get_rng_state())
    assert a.history == b.history
    brief = Schedule(epochs=1, settling_epochs=1, votes=1, vote_every=1)
    other = train_jointly("hresnet", tasks, brief, targets=[], seed=4)
    assert other.history[0][0].loss != a.history[0][0].loss
    assert [entry.epoch for entry in a.history[0]] == [1, 10, 20, 24]
    for k, task in enumerate(tasks):
        np.testing.assert_array_equal(a.predicted[k], b.predicted[k])
        assert a.history[k][-1].accuracy > 80
        truth = task.scene.labels[tuple(task.split.test.T)]
        assert (a.predicted[k] == truth).mean() > 0.6


def test_a_loss_that_is_not_finite_is_named():
    (task,) = tasks_of(scene(3))
    task.x[0] = torch.inf
    with pytest.raises(InputError, match=r"multitask, epoch 1: the loss is (nan|inf); lower schedule\.lr"):
        train_jointly("hresnet", [task], Schedule(), targets=[0])


@pytest.fixture
def reduced(tmp_path, monkeypatch):
    """Overrides that put two small AVIRIS scenes into the recipe."""
    monkeypatch.setenv("SSLHSI_DATA", str(tmp_path))
    scenes = [avirislike(tmp_path, "corn", classes=4, bands=166), avirislike(tmp_path, "soil", classes=3, bands=163)]
    return [f"scenes=[{','.join(scenes)}]", "catalogue={}", f"output={tmp_path / 'out'}", *SMALL]


def avirislike(folder, name, *, classes, bands, sensor="AVIRIS", low=400, high=2400):
    entry = write_scene(folder, name, classes=classes, bands=bands, side=14, seed=bands)
    np.savetxt(folder / f"{name}.txt", np.linspace(low, high, bands))
    return f"{entry.removesuffix('}')}, sensor: {sensor}, wavelengths: {folder}/{name}.txt}}"


def run(overrides):
    settings = load_experiment(RECIPE, overrides)
    return run_experiment(settings, show=False)


def test_the_experiment(reduced, tmp_path, trainings):
    rows, history = run(reduced)
    methods = list(dict.fromkeys(row.method for row in rows))
    assert methods == list(multitask_methods().values())
    assert [(row.method, row.target) for row in rows] == [(m, t) for m in methods for t in ("corn", "soil")]
    assert all(row.note == "" and row.kind == "real" and row.epochs == 3 for row in rows)
    assert {row.train for row in rows if row.target == "corn"} == {12}
    assert {row.source for row in rows if row.target == "corn"} == {"", "soil"}
    of = {(row.method, row.target): row for row in rows}
    # A joint training fills both rows: one network, one time; heads of 4 and 3 classes.
    assert of[SHARED, "corn"].seconds == of[SHARED, "soil"].seconds
    single, shared = int(of[SINGLE, "corn"].parameters), int(of[SHARED, "corn"].parameters)
    assert shared - single == 3 * 65
    assert int(of["multitask, separate first layers", "corn"].parameters) - shared == 64 * (9 * 160 + 1)
    assert "resampled to 166 common wavelengths" in of[f"{SHARED}, by wavelength", "corn"].settings
    assert "those of soil in reverse order" in of[f"{SHARED}, inverted bands", "corn"].settings
    assert {(e.epoch, row.target) for row, e in history} == {(e, t) for e in (1, 3) for t in ("corn", "soil")}
    # Cut short behind the seventh row: the training of its row and the next is done again, for the missing row.
    path = tmp_path / "out" / "rows.csv"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:8]))
    before = len(trainings)
    again, _ = run(reduced)
    assert len(trainings) - before == 2 * 2  # an optimiser for each of the two rates
    assert untimed(again) == untimed(rows)
    with path.open(newline="") as stream:
        assert len(list(csv.DictReader(stream))) == 10
    run(reduced)
    assert len(trainings) - before == 2 * 2
    drawn = charts(again)
    assert [chart.alt.split(",")[0] for chart in drawn] == ["Overall accuracy", "Overall accuracy", "Training time"]
    total = sum(float(of[SINGLE, t].seconds) for t in ("corn", "soil"))
    assert f"3 per class: separate trainings {total:.1f}" in charts(rows)[2].alt


def multitask_methods():
    from sslhsi.studies.multitask.settings import METHODS

    return METHODS


def test_targets_of_two_cameras_have_trainings_of_their_own(reduced, tmp_path):
    scenes = [
        avirislike(tmp_path, "corn", classes=4, bands=166),
        avirislike(tmp_path, "roofs", classes=3, bands=102, sensor="ROSIS-03", low=430, high=860),
        avirislike(tmp_path, "soil", classes=3, bands=163),
    ]
    more = ["methods=[shared,shared_wavelength]", "networks=[ccnn]", "per_class=[2]"]
    rows, _ = run([*reduced, f"scenes=[{','.join(scenes)}]", *more])
    shared = {row.target: row for row in rows if row.method == SHARED}
    assert "160 bands as published for AVIRIS" in shared["corn"].settings
    assert "103 bands as published for ROSIS" in shared["roofs"].settings
    assert shared["corn"].seconds == shared["soil"].seconds != shared["roofs"].seconds
    assert int(shared["corn"].parameters) - int(shared["roofs"].parameters) == 57 * 35 * 128
    assert shared["roofs"].source == "corn + soil"
    assert "resampled to 102 common wavelengths" in rows[-1].settings


def test_only_the_targets_get_rows_and_groups_without_one_do_not_train(reduced):
    rows, _ = run([*reduced, "targets=[soil]", "together=[[soil,corn]]", "methods=[shared]"])
    assert [(row.target, row.source) for row in rows] == [("soil", "corn")]


def test_what_stops_one_training_leaves_a_note(reduced):
    rows, history = run([*reduced, "methods=[single,shared]", "schedule.lr=1e30", "schedule.epochs=9"])
    assert all(row.oa is None and "the loss is nan; lower schedule.lr" in row.note for row in rows)
    assert len(rows) == 4
    assert history == []


def test_a_self_supervised_backbone_on_the_same_splits(reduced, tmp_path):
    made = Scene("corn", np.load(tmp_path / "corn.npy"))
    projector = SpectralProjector(grid=20, components=5, align="index").fit([made])
    options = {"width": 8, "mixed": 8, "radii": [0, 1]}
    config = {"architecture": "pixelnet", "options": options, "window": 5, "recipe": "tiny"}
    save_backbone(tmp_path / "tiny", create_backbone("pixelnet", 5, 5, **options), projector, config)
    more = [f"self_supervised={tmp_path / 'tiny'}", "methods=[single]", "targets=[corn]"]
    rows, _ = run([*reduced, *more])
    assert [row.method for row in rows] == [SINGLE, "self-supervised, fine-tuned", "its network, from scratch"]
    assert len({(row.train, row.test) for row in rows}) == 1
    assert rows[1].network == "pixelnet"
    assert int(rows[1].macs) > 0
    assert float(rows[0].leak) > float(rows[1].leak)  # a window of 9 sees more than one of 5
    again, _ = run([*reduced, *more])
    assert again == rows
    assert "self-supervised" in charts(rows)[0].alt


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["methods=[multi]"], "methods.0: .*'single'"),
        (["methods=[]"], "methods is empty; name some of single, shared"),
        (["methods=[separate,separate]"], "methods: 'separate' is there twice"),
        (["per_class=[5,5]"], "per_class: 5 is there twice"),
        (["together=[[corn]]"], "together: .*is no joint training; name two or more"),
        (["together=[[corn,wheat]]"], "together: no scene is named 'wheat'; the scenes are corn, soil"),
        (["targets=[wheat]"], "targets: no scene is named 'wheat'"),
        (["catalogue={wheat: salinas}"], "catalogue: no scene is named 'wheat'"),
        (["catalogue={corn: salinas}"], "catalogue: corn has 166 bands, and salinas 204"),
        (["scenes.0.labels=null"], "corn: no labels to train on"),
        (["scenes.0.sensor=HYDICE"], "corn: the published rule .* its sensor is 'HYDICE'"),
        (["scenes.0.wavelengths=null"], "corn has no wavelengths, which shared_wavelength needs"),
        (["scenes.0.site=farm", "scenes.1.site=farm"], "corn and soil show the same site"),
        (["networks=[ssrn]"], "networks.0"),
        (["schedule.batch_size=1"], "schedule.batch_size"),
        (["self_supervised=no/such/folder", "methods=[]"], "no/such/folder"),
    ],
)
def test_bad_recipes(reduced, overrides, message):
    with pytest.raises(InputError, match=message) as raised:
        run([*reduced, *overrides])
    assert "\n" not in str(raised.value)


def test_cameras_that_do_not_overlap(reduced, tmp_path):
    far = avirislike(tmp_path, "far", classes=3, bands=165, low=3000, high=5000)
    near = avirislike(tmp_path, "corn", classes=4, bands=166)
    with pytest.raises(InputError, match=r"400-2400, 3000-5000 nm don't overlap"):
        run([*reduced, f"scenes=[{near},{far}]"])
