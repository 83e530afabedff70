"""A series measures each row once, the same whether or not it was interrupted, and says what it knows."""

from __future__ import annotations

import copy
import csv
import itertools

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, cohen_kappa_score
from sklearn.neighbors import KNeighborsClassifier

from sslhsi.backbones.registry import create_backbone
from sslhsi.bands.projector import SpectralProjector
from sslhsi.encoder.encoder import Encoder
from sslhsi.errors import InputError
from sslhsi.evaluation import series as module
from sslhsi.evaluation.judge import judge_pixels
from sslhsi.evaluation.series import COLUMNS, KEY, series
from sslhsi.evaluation.targets import Network, beside, crown_target, pixel_target, spectra_target, untrained
from sslhsi.finetune.finetune import FineTuning
from sslhsi.scenes.crowns import Crop
from sslhsi.scenes.scene import Scene
from sslhsi.splits.split import split

pytestmark = pytest.mark.slow

CHEAP = {"k-NN": 2, "linear": 2}


@pytest.fixture(scope="module")
def scene() -> Scene:
    rng = np.random.default_rng(0)
    labels = np.kron(np.array([[1, 2, 3], [3, 1, 2], [2, 3, 1], [1, 2, 3]]), np.ones((7, 7), int))
    cube = rng.random((4, 10))[labels].cumsum(axis=2) + 0.4 * rng.standard_normal((28, 21, 10))
    return Scene("field", cube.astype(np.float32), labels=np.where(rng.random(labels.shape) < 0.2, 0, labels))


@pytest.fixture(scope="module")
def encoder(scene) -> Encoder:
    projector = SpectralProjector(grid=10, components=4, align="index").fit([scene])
    torch.manual_seed(1)
    options = {"width": 6, "mixed": 4, "radii": [0, 1]}
    network = create_backbone("pixelnet", 4, 3, **options)
    config = {"architecture": "pixelnet", "window": 3, "options": options, "corpus": "c0ffee"}
    return Encoder(network, projector, config)


@pytest.fixture
def target(scene, encoder):
    return pixel_target(scene, beside(encoder, pretraining="other fields", saw="no", fitted="yes"), per_class=(3, 6))


def without_seconds(rows):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


def on_disk(path):
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_rows_are_what_scikit_learn_finds(scene, encoder, target):
    rows = series([target], probes={"k-NN": 2}, k=3, weighted=False, show=False)
    assert len(rows) == 2 * 2 * 2 * 3  # schemes, sizes, seeds, methods
    pixels = np.argwhere(scene.labels > 0)
    features = {
        "raw spectra": scene.cube[tuple(pixels.T)],
        "pretrained": encoder.encode_pixels(scene.cube, pixels),
    }
    for seed in (0, 1):  # each of the first seeds has random weights of its own
        features["random weights", seed] = untrained(encoder, seed).encode_pixels(scene.cube, pixels)
    place = {tuple(p): n for n, p in enumerate(pixels.tolist())}
    for row in rows:
        drawn = split(scene.labels, row["split"], window=3, per_class=int(row["per_class"]), seed=int(row["seed"]))
        train, test = ([place[tuple(p)] for p in side.tolist()] for side in (drawn.train, drawn.test))
        y = scene.labels[tuple(pixels.T)]
        x = features[(row["method"], int(row["seed"])) if row["method"] == "random weights" else row["method"]]
        model = KNeighborsClassifier(3, metric="cosine").fit(x[train], y[train])
        found = model.predict(x[test])
        assert float(row["oa"]) == pytest.approx(100 * accuracy_score(y[test], found), abs=1e-3)
        assert float(row["kappa"]) == pytest.approx(100 * cohen_kappa_score(y[test], found), abs=1e-3)
        assert (int(row["train"]), int(row["test"])) == (len(train), len(test))


def test_rows_say_what_they_are(target):
    rows = series([target], probes={"linear": 1}, show=False)
    by_method = {row["method"]: row for row in rows if row["protocol"] == "blocks, 3 per class"}
    assert set(by_method) == {"raw spectra", "pretrained", "random weights"}
    about = {
        "pretrained": ("other fields", "no", "yes", "foreground", "c0ffee"),
        "random weights": ("none", "no", "yes", "foreground", "c0ffee"),
        "raw spectra": ("none", "no", "no", "none", ""),
    }
    keys = ("pretraining", "pretraining_saw_pixels", "projection_saw_pixels", "projection_scope", "corpus")
    for method, known in about.items():
        assert tuple(by_method[method][key] for key in keys) == known
    blocks, random = ([float(r["leak_overlap"]) for r in rows if r["split"] == s] for s in ("blocks", "random"))
    assert max(blocks) == 0 < min(random)
    assert {row["kind"] for row in rows} == {"real"}


def test_a_run_judges_pixels_as_a_series_does(scene, encoder, target):
    keys = ("protocol", "split", "seed", "window", "method", "probe", "oa", "oa_low", "oa_high", "aa", "kappa",
            "f1_macro", "leak", "leak_overlap", "train", "test", "left_out", "short", "pretraining_saw_pixels",
            "projection_saw_pixels")  # fmt: skip
    splits = {p.name: p.draw for p in target.protocols if p.per_class == 3}
    encoders = {"pretrained": encoder, "random weights": untrained(encoder)}
    ours = judge_pixels(encoders, scene, splits, seeds=1, k=20, saw=False, fitted=True)
    once = dict.fromkeys(CHEAP, 1)
    theirs = [row for row in series([target], probes=once, show=False) if row["per_class"] == "3"]
    assert sorted(tuple(str(row[k]) for k in keys) for row in ours) == sorted(
        tuple(row[k] for k in keys) for row in theirs
    )


def test_interrupted_and_resumed_is_the_same_as_at_one_go(target, tmp_path, monkeypatch):
    probes = {"k-NN": 1, "linear": 1}
    whole = series([target], tmp_path / "whole.csv", probes=probes, show=False)
    predict, calls = module.predict, itertools.count()

    def killed(*words, **settings):
        if next(calls) == 7:
            raise KeyboardInterrupt
        return predict(*words, **settings)

    monkeypatch.setattr(module, "predict", killed)
    path = tmp_path / "parts.csv"
    with pytest.raises(KeyboardInterrupt):
        series([target], path, probes=probes, show=False)
    assert len(on_disk(path)) == 7
    # A power cut on top: the last line is torn.
    path.write_bytes(path.read_bytes()[:-20])
    resumed = series([target], path, probes=probes, show=False)
    # What was on the disk was not measured again: 6 rows were whole.
    assert next(calls) == 8 + len(whole) - 6
    assert without_seconds(resumed) == without_seconds(whole)
    assert without_seconds(on_disk(path)) == without_seconds(on_disk(tmp_path / "whole.csv"))
    keys = [tuple(row[c] for c in KEY) for row in on_disk(path)]
    assert len(keys) == len(set(keys))


def test_nothing_is_measured_twice_and_what_is_new_is_added(target, tmp_path, monkeypatch):
    path = tmp_path / "rows.csv"
    first = series([target], path, probes={"k-NN": 2}, show=False)
    monkeypatch.setattr(module, "predict", lambda *words, **settings: pytest.fail("measured again"))
    assert series([target], path, probes={"k-NN": 2}, show=False) == first
    monkeypatch.undo()
    more = series([target], path, probes={"k-NN": 3}, show=False)
    assert len(more) == len(on_disk(path)) == len(first) * 3 // 2
    # Another k is another result.
    other = series([target], path, probes={"k-NN": 1}, k=1, show=False)
    assert {row["settings"] for row in other} == {"k 1, weighted vote"}
    assert len(on_disk(path)) == len(more) + len(other)


def test_other_data_and_other_weights_are_measured_anew(scene, encoder, tmp_path):
    path = tmp_path / "rows.csv"
    one = [Network("pretrained", encoder)]
    series([pixel_target(scene, one, per_class=(3,))], path, probes={"linear": 1}, show=False)
    before = len(on_disk(path))
    retrained = [Network("pretrained", untrained(encoder, seed=9))]
    series([pixel_target(scene, retrained, per_class=(3,))], path, probes={"linear": 1}, show=False)
    # Raw spectra are the same as before: only the network's two rows are new.
    assert len(on_disk(path)) == before + 2
    changed = scene.with_(cube=scene.cube + 1)
    series([pixel_target(changed, one, per_class=(3,))], path, probes={"linear": 1}, show=False)
    assert len(on_disk(path)) == 2 * before + 2


def test_fine_tuning_stands_beside_training_from_scratch(scene, encoder):
    networks = beside(encoder, pretraining="other fields", saw="no", fitted="yes")
    target = pixel_target(scene, networks, schemes=("random",), per_class=(3,))
    before = {k: v.clone() for k, v in encoder.backbone.state_dict().items()}
    rows = series([target], probes={"fine-tune": 2, "linear": 1}, tuning=FineTuning(epochs=1), show=False)
    tuned = [row for row in rows if row["probe"] == "fine-tune"]
    assert {row["method"] for row in tuned} == {"pretrained", "from scratch"}
    assert len(tuned) == 2 * 2
    assert all("epochs 1" in row["settings"] and row["oa"] for row in tuned)
    assert {row["method"] for row in rows if row["probe"] == "linear"} == {
        "raw spectra", "pretrained", "random weights",
    }  # fmt: skip
    for key, value in encoder.backbone.state_dict().items():
        torch.testing.assert_close(value, before[key])


def test_pretrainings_of_several_seeds_take_turns_as_untrained_networks_do(scene, encoder):
    trained = [encoder, untrained(encoder, seed=7), untrained(encoder, seed=8)]
    # A run that held other ground out may have a projection of its own: its start stands behind the same one.
    trained[2].projector = copy.deepcopy(encoder.projector)
    networks = beside(encoder, pretraining="other fields", saw="no", fitted="yes", others=trained[1:])
    assert networks[1].of(2).encoder.projector is trained[2].projector
    side = np.zeros(scene.labels.shape, dtype=bool)
    side[:14] = True
    target = pixel_target(scene, networks, schemes=("random",), masks={"north": (side, None)}, per_class=(3,))
    rows = series([target], probes={"linear": 4}, show=False)
    random = {seed: Network("random weights", untrained(encoder, seed)).digest for seed in range(5)}
    pretrained = [Network("pretrained", one).digest for one in trained]

    def found(protocol: str, method: str) -> dict[int, str]:
        mine = [row for row in rows if row["protocol"] == protocol and row["method"] == method]
        return {int(row["seed"]): row["backbone"] for row in mine}

    for protocol in ("random, 3 per class", "north, 3 per class"):
        assert found(protocol, "pretrained") == {seed: pretrained[seed % 3] for seed in range(4)}
        assert found(protocol, "random weights") == {seed: random[seed % 3] for seed in range(4)}
    # Nothing is left to chance but the network: once for each of them, as far as seeds are asked for.
    assert found("north, all", "pretrained") == dict(enumerate(pretrained))
    assert found("north, all", "random weights") == {seed: random[seed] for seed in range(3)}
    assert found("north, all", "raw spectra") == {0: ""}


def test_given_masks_are_run_once_where_nothing_is_drawn(scene):
    side = np.zeros(scene.labels.shape, dtype=bool)
    side[:14] = True
    target = pixel_target(scene, schemes=(), masks={"north": (side, None)}, per_class=(4,))
    rows = series([target], probes={"linear": 3}, show=False)
    assert [(row["protocol"], row["seed"]) for row in rows] == [
        *(("north, 4 per class", str(n)) for n in range(3)), ("north, all", "0"),
    ]  # fmt: skip
    assert {row["split"] for row in rows} == {"given"}
    assert int(rows[-1]["train"]) == int((scene.labels[:14] > 0).sum())


def test_a_split_that_cannot_be_had_is_noted_and_not_tried_again(scene, tmp_path, monkeypatch):
    target = pixel_target(scene, schemes=("blocks",), per_class=(3,), window=41)
    rows = series([target], tmp_path / "rows.csv", probes={"linear": 2}, show=False)
    assert len(rows) == 2
    assert all(row["oa"] == "" and "window 41" in row["note"] for row in rows)
    monkeypatch.setattr(module._Bench, "rows", lambda *words: pytest.fail("tried again"))
    assert series([target], tmp_path / "rows.csv", probes={"linear": 2}, show=False) == rows


def test_spectra_without_positions(scene):
    known = scene.labels > 0
    target = spectra_target("list", scene.cube[known], scene.labels[known] - 1, per_class=(3,))
    rows = series([target], probes={"k-NN": 2, "SVM": 1}, show=False)
    assert {(row["method"], row["split"], row["leak"]) for row in rows} == {("raw spectra", "random", "")}
    assert {int(row["train"]) for row in rows} == {9}  # label 0 is a class as any other
    assert {row["task"] for row in rows} == {"spectra"}


def test_crowns_are_averages_and_never_leak(encoder):
    rng = np.random.default_rng(0)
    base = rng.random((3, 10)).cumsum(axis=1)
    crops = [
        Crop((base[t] + 0.01 * rng.random((3 + t, 4, 10))).astype(np.float32), f"tree {t}", f"kind {t}", year)
        for t in range(3)
        for year in (2017, 2018, 2019)
    ]
    target = crown_target(crops, beside(encoder, pretraining="x", saw="no", fitted="no"), years=(1, 2))
    bench = module._Bench(target)
    np.testing.assert_allclose(bench.encoded(None), [c.cube.reshape(-1, 10).mean(axis=0) for c in crops], rtol=1e-5)
    # A crop by itself, reflected at its border, has the same features as in the mosaic.
    alone = [encoder.encode_pixels(c.cube, np.argwhere(np.ones(c.cube.shape[:2]))).mean(axis=0) for c in crops]
    np.testing.assert_allclose(bench.encoded(target.networks[0]), alone, atol=1e-4)
    rows = series([target], probes={"k-NN": 3, "fine-tune": 1}, tuning=FineTuning(epochs=1), show=False)
    assert {row["split"] for row in rows} == {"earlier years train, later years test"}
    assert {(row["train"], row["test"]) for row in rows} == {("3", "6"), ("6", "3")}
    assert {row["leak_overlap"] for row in rows} == {"0.0"}
    assert all("later flights" in row["note"] for row in rows)
    # Nothing is left to chance but random weights.
    knn = [row for row in rows if row["probe"] == "k-NN"]
    assert {row["seed"] for row in knn if row["method"] != "random weights"} == {"0"}
    assert {row["seed"] for row in knn if row["method"] == "random weights"} == {"0", "1", "2"}
    raw = [float(row["oa"]) for row in rows if row["method"] == "raw spectra"]
    assert raw == [100, 100]


def test_kinds_are_told_apart(scene):
    assert pixel_target(scene, per_class=(3,)).kind == "real"
    assert pixel_target(scene.with_(cube=(10 * scene.cube).astype(np.uint8)), per_class=(3,)).kind == "8-bit real"
    assert pixel_target(scene.with_(stand_in=True), per_class=(3,)).kind == "stand-in"
    assert pixel_target(scene.with_(name="stand-in-pavia"), per_class=(3,)).kind == "stand-in"


def test_bad_input_is_one_sentence(scene, encoder, tmp_path):
    with pytest.raises(InputError, match="no labels"):
        pixel_target(scene.with_(labels=None))
    with pytest.raises(InputError, match="500 training pixels per class are too many"):
        pixel_target(scene, per_class=(5, 500))
    with pytest.raises(InputError, match="looks at 3x3"):
        pixel_target(scene, [Network("pretrained", encoder)], window=1, per_class=(3,))
    with pytest.raises(InputError, match="'forest' is not known"):
        series([pixel_target(scene, per_class=(3,))], probes={"forest": 1}, show=False)
    with pytest.raises(InputError, match="don't fit"):
        spectra_target("list", np.ones((4, 3)), np.ones(5, int))
    with pytest.raises(InputError, match="no architecture"):
        untrained(Encoder(encoder.backbone, encoder.projector, {"window": 3}))
    (tmp_path / "other.csv").write_text("a,b\r\n")
    with pytest.raises(InputError, match="another table"):
        series([pixel_target(scene, per_class=(3,))], tmp_path / "other.csv", probes={"linear": 1}, show=False)
    assert set(KEY) <= set(COLUMNS)
