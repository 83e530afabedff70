"""Adaptation through its recipes, reduced: what is trained on what, what is kept, what is refused."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, f1_score
from small_scenes import untimed, write_scene
from torch.nn.modules.module import register_module_forward_pre_hook

from sslhsi.backbones.registry import create_backbone
from sslhsi.bands.projector import SpectralProjector
from sslhsi.encoder.save import save_backbone
from sslhsi.errors import InputError
from sslhsi.finetune.loop import rate_factor
from sslhsi.probes.metrics import multilabel_scores
from sslhsi.scenes.read import read_scene
from sslhsi.studies.adaptation.bench import linear_probe_scores
from sslhsi.studies.adaptation.charts import charts
from sslhsi.studies.adaptation.image_sets import ImageSet, open_images
from sslhsi.studies.adaptation.image_split import split_images
from sslhsi.studies.adaptation.image_views import ImageNetwork, ImageReader
from sslhsi.studies.adaptation.scenes import adapt
from sslhsi.studies.adaptation.settings import SceneRound, Tuning
from sslhsi.studies.experiment import load_experiment, run_experiment

pytestmark = pytest.mark.slow

RECIPES = Path(__file__).parents[2] / "recipes"
STARTS = {"from scratch", "pretrained", "in-domain contrast alone", "adapted by contrast"}
IMAGES = [
    "seeds=1", "images.network.name=hresnet", "images.resize=16", "images.crop=12",
    "images.contrast.views.neighbours.radius=2",
    "images.contrast.epochs=2", "images.contrast.batch_size=12", "images.contrast.method.options.hidden=8",
    *[f"images.{key}.{it}" for key in ("first_training", "labels") for it in ("epochs=2", "warmup=1", "drops=[]")],
    *[f"images.{key}.{it}" for key in ("first", "domain", "targets.0") for it in ("images=3", "side=16")],
    "images.targets.1.images=3", "images.targets.1.side=16", "images.per_class=[1]", "images.shares=[0.4]",
    "tuning.epochs=2", "tuning.warmup=1", "tuning.drops=[]",
]  # fmt: skip


def run(recipe, overrides):
    settings = load_experiment(RECIPES / recipe, overrides)
    return (*run_experiment(settings, show=False), settings)


def start_of(row):
    return row.method.rpartition(", ")[0]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    return (*run("adaptation_images.yaml", [*IMAGES, f"output={folder}"]), folder)


def test_all_starts_side_by_side_on_the_same_images(images):
    rows, history, _, _ = images
    starts = STARTS | {"adapted by labels", "in-domain labels alone"}
    single = [row for row in rows if row.oa and row.per_class]
    assert {start_of(row) for row in single if row.method.endswith("fine-tuned")} == starts
    assert {start_of(row) for row in single if row.method.endswith("probe")} == (
        starts - {"from scratch"} | {"random weights"}
    )
    several = [row for row in rows if row.f1_micro]
    assert {start_of(row) for row in several} == starts | {"random weights"}
    assert all(row.map and row.f1_macro and not row.oa and not row.per_class for row in several)
    assert len(rows) == 12 * 2  # per_class of single labels, a share of several
    assert {row.kind for row in rows} == {"simulated"}
    assert {row.pretraining_saw_pixels for row in rows} == {"no"}
    for size in (None, 1):
        assert len({(row.train, row.test) for row in rows if row.per_class == size}) == 1
    sources = {start_of(row): row.source for row in rows}
    assert sources["adapted by labels"] == "simulated survey -> simulated satellite"
    assert sources["in-domain contrast alone"] == "simulated satellite"
    assert sources["from scratch"] == ""
    phases = {(start_of(row), epoch.phase) for row, epoch in history if row.method.endswith("fine-tuned")}
    assert phases == (
        {(start, "target") for start in starts}
        | {(start, "second round") for start in starts - {"from scratch", "pretrained"}}
        | {("pretrained", "first round")}
    )
    tuned = [row for row in rows if row.method.endswith("fine-tuned")]
    assert len({row.macs for row in tuned if row.per_class}) == 1
    assert all(int(row.trainable) == int(row.parameters) for row in tuned)


def test_rounds_are_trained_once_and_from_what_they_say(images):
    """Five sets of weights for 24 rows; and a killed run goes on without training them again."""
    rows, _, _, folder = images
    files = sorted((folder / "pretrained").glob("*.safetensors"))
    assert [file.name.partition("-")[0] for file in files] == ["first"] + 4 * ["second"]
    kept = (folder / "rows.csv").read_text()
    lines = kept.splitlines(keepends=True)
    (folder / "rows.csv").write_text("".join(lines[:22]) + lines[22][:7])

    written = {file: file.stat().st_mtime_ns for file in files}
    again, _, _ = run("adaptation_images.yaml", [*IMAGES, f"output={folder}"])
    assert {file: file.stat().st_mtime_ns for file in (folder / "pretrained").iterdir()} == written
    assert untimed(again) == untimed(rows)


def test_charts_show_each_readout_and_the_second_round(images):
    rows, history, _, _ = images
    drawn = charts(rows, history)
    text = " ".join(chart.alt for chart in drawn)
    assert "Linear probe" in text
    assert "Fine-tuned" in text
    assert "micro F1" in text
    assert "NT-Xent" in text
    assert all(chart.uri.startswith("data:image/svg") for chart in drawn)


@pytest.fixture
def folders(tmp_path):
    """Eight bright and eight dark images, two of them copies of each other."""
    rng = np.random.default_rng(0)
    for place, level in (("bright", 160), ("dark", 60)):
        (tmp_path / "set" / place).mkdir(parents=True)
        for n in range(8):
            values = (level + rng.normal(0, 20, (18, 18, 3))).clip(0, 255).astype(np.uint8)
            Image.fromarray(values).save(tmp_path / "set" / place / f"{n}.png")
    (tmp_path / "set" / "dark" / "copy.png").write_bytes((tmp_path / "set" / "dark" / "3.png").read_bytes())
    return tmp_path / "set"


def test_no_training_sees_what_is_tested(folders, tmp_path):
    """The target's folder as in-domain images: what a split tests trains nothing, nor do copies of it."""
    images = open_images(ImageSet(folder=str(folders)))
    reader = ImageReader(images, 16)
    contents = [image.numpy().tobytes() for image in reader(reader.windows(np.arange(len(images))))]
    trained: dict[ImageNetwork, set[bytes]] = {}

    def noted(module, args):
        if isinstance(module, ImageNetwork) and module.training and args[0].device.type != "meta":
            trained.setdefault(module, set()).update(image.numpy().tobytes() for image in args[0])

    hook = register_module_forward_pre_hook(noted)
    given = f"{{folder: {folders}}}"
    rows, _, _ = run("adaptation_images.yaml", [
        *[word for word in IMAGES if ".targets." not in word and ".domain." not in word and "shares" not in word],
        f"images.domain={given}", f"images.targets=[{given}]", "images.shares=[]", "images.rounds=[labels]",
        "images.per_class=[4]", "seeds=2", f"output={tmp_path / 'out'}",
    ])  # fmt: skip
    hook.remove()
    tested = [{contents[n] for n in split_images(images, per_class=4, seed=seed).test} for seed in (0, 1)]
    ours = [used for used in trained.values() if used & set(contents)]
    assert all(any(not used & test for test in tested) for used in ours)
    # Two rounds for either split, from given weights and from random ones, on all that is left.
    left = [set(contents) - test for test in tested]
    assert sum(used in left for used in ours) >= 4
    assert all("tested on the target and left out" in row.note for row in rows if "adapted" in row.method)


def test_a_probe_is_logistic_regression_and_scores_are_scikit_learns():
    rng = np.random.default_rng(3)
    x, test = rng.normal(size=(60, 5)), rng.normal(size=(40, 5))
    labels = (x @ rng.normal(size=(5, 3)) + 0.3 * rng.normal(size=(60, 3)) > 0).astype(np.uint8)
    labels = np.column_stack([labels, np.zeros(60, np.uint8)])
    probabilities = linear_probe_scores(x, labels, test, seed=0)
    assert (probabilities[:, 3] == 0).all()
    mean, scale = x.mean(0), x.std(0)
    for label in range(3):
        grid = [LogisticRegression(C=c, max_iter=1000, tol=1e-8) for c in (1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0)]
        theirs = [
            g.fit((x - mean) / scale, labels[:, label]).predict_proba((test - mean) / scale)[:, 1] for g in grid
        ]
        assert min(np.abs(probabilities[:, label] - p).max() for p in theirs) < 1e-3
    truth = labels[:40]
    scores = multilabel_scores(truth[:, :3], probabilities[:, :3])
    assert scores["micro_f1"] == pytest.approx(
        100 * f1_score(truth[:, :3], probabilities[:, :3] >= 0.5, average="micro")
    )
    assert scores["map"] == pytest.approx(100 * average_precision_score(truth[:, :3], probabilities[:, :3]))


@pytest.fixture
def cubes(tmp_path, monkeypatch):
    """Two small scenes, and a backbone made on other spectra."""
    monkeypatch.setenv("SSLHSI_DATA", str(tmp_path))
    entries = [write_scene(tmp_path, name, classes=3, side=24, seed=n) for n, name in enumerate(("fields", "roofs"))]
    projector = SpectralProjector(grid=16, components=4, align="index").fit([read_scene(tmp_path / "fields.npy")])
    torch.manual_seed(3)
    options = {"width": 6, "mixed": 4, "radii": [0, 1]}
    network = create_backbone("pixelnet", 4, 3, **options)
    config = {"architecture": "pixelnet", "options": options, "window": 3, "border": "reflect"}
    save_backbone(tmp_path / "backbone", network, projector, config)
    targets = ", ".join(f"{{scene: {entry}, weights: {tmp_path / 'backbone'}}}" for entry in entries)
    return [
        f"cubes.targets=[{targets}]", f"output={tmp_path / 'out'}", "seeds=2", "draws=1", "cubes.contrast.steps=3",
        "cubes.contrast.batch_size=16", "cubes.contrast.views.neighbours={radius: 2, candidates: 3}",
        "cubes.per_class=[3]", "cubes.schemes=[random]", "tuning.epochs=2", "tuning.warmup=1",
    ]  # fmt: skip


def test_cubes_scratch_pretrained_adapted(cubes, tmp_path):
    rows, history, _ = run("adaptation_cubes.yaml", cubes)
    assert len(rows) == 2 * 2 * 4 * 2
    assert {start_of(row) for row in rows} == STARTS | {"random weights"}
    assert all(row.oa for row in rows), [row.note for row in rows]
    pixels_seen = {start_of(row): row.pretraining_saw_pixels for row in rows}
    assert pixels_seen == {
        "from scratch": "no", "random weights": "no", "pretrained": "unknown", "adapted by contrast": "yes",
        "in-domain contrast alone": "yes",
    }  # fmt: skip
    assert {row.source for row in rows if row.target == "roofs" and "adapted" in row.method} == {
        "unknown -> roofs, unlabelled"
    }
    for seed in (0, 1):
        for target in ("fields", "roofs"):
            mine = [row for row in rows if (row.seed, row.target) == (seed, target)]
            assert len({(row.train, row.test) for row in mine}) == 1
    assert len(list((tmp_path / "out" / "pretrained").iterdir())) == 4
    assert {epoch.phase for _, epoch in history} == {"second round", "target"}
    assert any("NT-Xent" in chart.alt for chart in charts(rows, history))
    # A kill after the fifth row: the others are measured, those before are not.
    path = tmp_path / "out" / "rows.csv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:6]))
    again, _, _ = run("adaptation_cubes.yaml", cubes)
    assert [row.oa for row in again] == [row.oa for row in rows]
    with path.open(newline="", encoding="utf-8") as stream:
        assert [float(line["seconds"]) for line in csv.DictReader(stream)][:5] == [row.seconds for row in rows][:5]


def test_adapting_needs_no_labels_and_moves_only_the_network(cubes, tmp_path):
    from sslhsi.encoder.load import load_backbone

    how = SceneRound(steps=3, batch_size=16)
    labelled = read_scene(tmp_path / "roofs.npy", labels=tmp_path / "roofs_gt.npy")
    states = []
    for scene in (labelled, labelled.with_(labels=None)):
        encoder = load_backbone(tmp_path / "backbone")
        projector = encoder.projector.state()
        adapt(encoder, scene, how, seed=1)
        assert encoder.projector.state() == projector
        states.append(encoder.backbone.state_dict())
    before = load_file(tmp_path / "backbone" / "model.safetensors")
    for name, value in states[0].items():
        torch.testing.assert_close(value, states[1][name], rtol=0, atol=0)
    assert any(not torch.equal(value, before[name]) for name, value in states[0].items())


@pytest.mark.parametrize(
    ("recipe", "overrides", "words"),
    [
        ("adaptation_images.yaml", ["images=null"], "either images or cubes"),
        ("adaptation_images.yaml", ["images.first=null"], "either weights"),
        ("adaptation_images.yaml", ["images.crop=300"], "crop: 300 pixels can't be cut from 292"),
        ("adaptation_images.yaml", ["images.contrast.views.neighbours.radius=30"], "radius: 30 .* lower it"),
        ("adaptation_images.yaml", ["images.rounds=[labels, labels]"], "rounds: 'labels' is there twice"),
        ("adaptation_images.yaml", ["images.rounds=[colour]"], "contrast"),
        ("adaptation_images.yaml", ["tuning.warmup=100"], "warmup: 100 of 100 epochs"),
        ("adaptation_images.yaml", ["tuning.drops=[70, 50]"], "must rise"),
        ("adaptation_images.yaml", ["images.targets=[{folder: a, simulated: survey}]"], "either folder or simulated"),
        ("adaptation_cubes.yaml", ["cubes.targets=[]"], "cubes.targets"),
        ("adaptation_cubes.yaml", ["cubes.contrast.stepps=3"], "did you mean 'steps'"),
    ],
)
def test_recipes_that_make_no_sense_are_refused(monkeypatch, recipe, overrides, words):
    monkeypatch.setenv("SSLHSI_DATA", "x")
    with pytest.raises(InputError, match=words):
        load_experiment(RECIPES / recipe, overrides)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["images.shares=[]", "images.per_class=[]"], "say how many images train"),
        (["images.targets=[{folder: FLAT}]"], "no labels to test on"),
        (["images.domain={folder: FLAT}"], "pretraining by labels needs"),
        (["images.targets.1.name=satellite"], "two are named 'simulated satellite'"),
        (["images.targets=[{folder: CUT}]"], "cut off"),
    ],
)
def test_images_that_cannot_serve_stop_it_before_training(folders, tmp_path, trainings, overrides, words):
    cut = folders / "dark" / "1.png"
    cut.write_bytes(cut.read_bytes()[:200])
    places = {"FLAT": str(folders / "bright"), "CUT": str(folders)}
    words_ = [*IMAGES]
    if any("targets=[" in word for word in overrides):
        words_ = [word for word in words_ if ".targets." not in word]
    if any("domain={" in word for word in overrides):
        words_ = [word for word in words_ if ".domain." not in word]
    for name, place in places.items():
        overrides = [word.replace(name, place) for word in overrides]
    with pytest.raises(InputError, match=words):
        run("adaptation_images.yaml", [*words_, *overrides, f"output={tmp_path / 'out'}"])
    assert trainings == []


def test_a_backbone_that_is_none_stops_it(cubes, tmp_path):
    wrong = [word.replace(str(tmp_path / "backbone"), str(tmp_path / "nowhere")) for word in cubes]
    (tmp_path / "nowhere").mkdir()
    with pytest.raises(InputError, match="nowhere: not a backbone"):
        run("adaptation_cubes.yaml", wrong)


def test_the_papers_schedule():
    """Against PyTorch's: linear over 5 epochs, then x 0.2 after 50, 70 and 90 of 100."""
    tuning, per_epoch = Tuning(drops=[50, 70, 90]).tuning(), 7
    solver = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    rising = torch.optim.lr_scheduler.LinearLR(solver, 1 / 35, 1, total_iters=34)
    falling = torch.optim.lr_scheduler.MultiStepLR(solver, [50 * 7, 70 * 7, 90 * 7], gamma=0.2)
    for step in range(100 * per_epoch):
        rate = solver.param_groups[0]["lr"]
        assert rate_factor(tuning, step // per_epoch + 1, step, per_epoch) == pytest.approx(rate)
        solver.step()
        rising.step()
        falling.step()
    words = str(Tuning(drops=[50, 70, 90]))
    assert words == "100 epochs of Adam, batch 100, lr 0.001, warm-up 5 epochs, x 0.2 after 50/70/90"
