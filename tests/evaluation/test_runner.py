"""The runner measures each row once, the same whether or not it was interrupted, and rows say what they are."""

from __future__ import annotations

import copy
import csv
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, cohen_kappa_score
from sklearn.neighbors import KNeighborsClassifier

from sslhsi.backbones.registry import create_backbone
from sslhsi.bands.projector import SpectralProjector
from sslhsi.encoder.encoder import Encoder, untrained
from sslhsi.errors import InputError
from sslhsi.evaluation.labelled_scene import (
    LabelledScene,
    Protocol,
    labelled_crowns,
    labelled_pixels,
    labelled_spectra,
)
from sslhsi.evaluation.network import Network, beside
from sslhsi.evaluation.rows import ResultRow, read_result_rows
from sslhsi.evaluation.runner import ProbeSettings, evaluate
from sslhsi.finetune.settings import FineTuning
from sslhsi.scenes.crowns import Crop
from sslhsi.scenes.scene import Scene
from sslhsi.splits.split import split

pytestmark = pytest.mark.slow

KNOWN = {"pretraining": "other fields", "pretraining_saw_pixels": "no", "projection_saw_pixels": "yes"}
SHORT = ProbeSettings(FineTuning(epochs=1))
MEANS = {"window means", "window means, whitened", "window means, standardised"}
METHODS = {"raw spectra", "pretrained", "random weights"} | MEANS


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
def labelled(scene, encoder) -> LabelledScene:
    return labelled_pixels(scene, beside(encoder, **KNOWN), per_class=(3, 6))


def counting(labelled: LabelledScene, stop_at: int | None = None) -> tuple[LabelledScene, list[int]]:
    """The same, which counts the splits that are drawn, and is interrupted at one of them."""
    drawn: list[int] = []

    def counted(protocol: Protocol):
        def draw(seed: int):
            drawn.append(seed)
            if len(drawn) == stop_at:
                raise KeyboardInterrupt
            return protocol.draw(seed)

        return replace(protocol, draw=draw)

    return replace(labelled, protocols=[counted(protocol) for protocol in labelled.protocols]), drawn


def without_seconds(rows: list[ResultRow]) -> list[ResultRow]:
    return [replace(row, seconds=None) for row in rows]


def test_rows_are_what_scikit_learn_finds(scene, encoder, labelled):
    rows = evaluate([labelled], probes={"k-NN": 2}, settings=ProbeSettings(k=3, weighted=False), show=False)
    assert len(rows) == 2 * 2 * 2 * 6  # schemes, sizes, seeds, methods
    rows = [row for row in rows if row.method not in MEANS]
    pixels = np.argwhere(scene.labels > 0)
    features = {
        "raw spectra": scene.cube[tuple(pixels.T)],
        "pretrained": encoder.encode_pixels(scene.cube, pixels),
    }
    for seed in (0, 1):  # each of the first seeds draws other random weights
        features["random weights", seed] = untrained(encoder, seed).encode_pixels(scene.cube, pixels)
    place = {tuple(p): n for n, p in enumerate(pixels.tolist())}
    for row in rows:
        drawn = split(scene.labels, row.split, window=3, per_class=row.per_class, seed=row.seed)
        train, test = ([place[tuple(p)] for p in side.tolist()] for side in (drawn.train, drawn.test))
        y = scene.labels[tuple(pixels.T)]
        x = features[(row.method, row.seed) if row.method == "random weights" else row.method]
        model = KNeighborsClassifier(3, metric="cosine").fit(x[train], y[train])
        predicted = model.predict(x[test])
        assert row.oa == pytest.approx(100 * accuracy_score(y[test], predicted), abs=1e-3)
        assert row.kappa == pytest.approx(100 * cohen_kappa_score(y[test], predicted), abs=1e-3)
        assert (row.train, row.test) == (len(train), len(test))


def test_rows_say_what_they_are(labelled):
    rows = evaluate([labelled], probes={"linear": 1}, show=False)
    by_method = {row.method: row for row in rows if row.setting == "blocks, 3 per class"}
    assert set(by_method) == METHODS
    about = {
        "pretrained": ("other fields", "no", "yes", "foreground", "c0ffee"),
        "random weights": ("none", "no", "yes", "foreground", "c0ffee"),
        "raw spectra": ("none", "no", "no", "none", ""),
        **dict.fromkeys(MEANS, ("none", "no", "yes", "foreground", "c0ffee")),
    }
    keys = ("pretraining", "pretraining_saw_pixels", "projection_saw_pixels", "projection_scope", "corpus")
    for method, known in about.items():
        assert tuple(getattr(by_method[method], key) for key in keys) == known
    # Boxes of 13 pixels reach beyond the windows of 3 that the blocks are apart for, and that is leak.
    assert all(r.leak_overlap > 0 for r in rows if r.method in MEANS)
    narrow = [row for row in rows if row.method not in MEANS]
    blocks, random = ([r.leak_overlap for r in narrow if r.split == s] for s in ("blocks", "random"))
    assert max(blocks) == 0 < min(random)
    assert {row.kind for row in rows} == {"real"}


def test_interrupted_and_resumed_is_the_same_as_at_one_go(labelled, tmp_path):
    probes = {"k-NN": 1, "linear": 1}
    whole = evaluate([labelled], tmp_path / "whole.csv", probes=probes, show=False)
    path = tmp_path / "parts.csv"
    with pytest.raises(KeyboardInterrupt):
        evaluate([counting(labelled, stop_at=3)[0]], path, probes=probes, show=False)
    assert len(read_result_rows(path)) == 2 * len(METHODS) * 2
    # A power cut on top: the last line is torn.
    path.write_bytes(path.read_bytes()[:-20])
    counted, drawn = counting(labelled)
    resumed = evaluate([counted], path, probes=probes, show=False)
    # The first split was whole.
    assert len(drawn) == 3
    assert without_seconds(resumed) == without_seconds(whole)
    assert without_seconds(read_result_rows(path)) == without_seconds(whole)
    assert len({row.key for row in resumed}) == len(resumed)


def test_nothing_is_measured_twice_and_what_is_new_is_added(labelled, tmp_path):
    path = tmp_path / "rows.csv"
    first = evaluate([labelled], path, probes={"k-NN": 2}, show=False)
    counted, drawn = counting(labelled)
    assert evaluate([counted], path, probes={"k-NN": 2}, show=False) == first
    assert not drawn
    more = evaluate([labelled], path, probes={"k-NN": 3}, show=False)
    assert len(more) == len(read_result_rows(path)) == len(first) * 3 // 2
    # Another k is another result.
    other = evaluate([labelled], path, probes={"k-NN": 1}, settings=ProbeSettings(k=1), show=False)
    assert {row.settings for row in other} == {"k 1, weighted vote"}
    assert len(read_result_rows(path)) == len(more) + len(other)


def test_a_table_that_the_first_version_began_is_gone_on_with(labelled, tmp_path):
    path = tmp_path / "rows.csv"
    rows = evaluate([labelled], path, probes={"linear": 1}, show=False)
    old = {"pretraining_saw_pixels": "saw_test_pixels", "projection_saw_pixels": "projector_saw_test_pixels",
           "projection_scope": "projector_scope", "leak_overlap": "leak_touch"}  # fmt: skip
    columns = [old.get(name, name) for name in rows[0].to_csv() if name not in ("recipe", "run")]
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, columns)
        writer.writeheader()
        for row in rows:
            texts = {old.get(name, name): text for name, text in row.to_csv().items()}
            writer.writerow({name: texts[name] for name in columns} | {"protocol": row.setting})
    counted, drawn = counting(labelled)
    assert evaluate([counted], path, probes={"linear": 2}, show=False)[0] == rows[0]
    assert set(drawn) == {1}
    assert path.read_text().splitlines()[0] == ",".join(columns)
    assert len(read_result_rows(path)) == 2 * len(rows)


def test_other_data_and_other_weights_are_measured_anew(scene, encoder, tmp_path):
    path = tmp_path / "rows.csv"
    one = [Network("pretrained", encoder)]
    evaluate([labelled_pixels(scene, one, per_class=(3,))], path, probes={"linear": 1}, show=False)
    before = len(read_result_rows(path))
    retrained = [Network("pretrained", untrained(encoder, seed=9))]
    evaluate([labelled_pixels(scene, retrained, per_class=(3,))], path, probes={"linear": 1}, show=False)
    # Raw spectra are the same as before: only the network's two rows are new.
    assert len(read_result_rows(path)) == before + 2
    changed = scene.with_(cube=scene.cube + 1)
    evaluate([labelled_pixels(changed, one, per_class=(3,))], path, probes={"linear": 1}, show=False)
    assert len(read_result_rows(path)) == 2 * before + 2


def test_fine_tuning_stands_beside_training_from_scratch(scene, encoder):
    networks = beside(encoder, **KNOWN)
    labelled = labelled_pixels(scene, networks, schemes=("random",), per_class=(3,))
    before = {k: v.clone() for k, v in encoder.backbone.state_dict().items()}
    rows = evaluate([labelled], probes={"fine-tune": 2, "linear": 1}, settings=SHORT, show=False)
    tuned = [row for row in rows if row.probe == "fine-tune"]
    assert {row.method for row in tuned} == {"pretrained", "from scratch"}
    assert len(tuned) == 2 * 2
    assert all("epochs 1" in row.settings and row.oa for row in tuned)
    assert {row.method for row in rows if row.probe == "linear"} == METHODS
    for key, value in encoder.backbone.state_dict().items():
        torch.testing.assert_close(value, before[key])


def test_pretrainings_of_several_seeds_take_turns_as_untrained_networks_do(scene, encoder):
    trained = [encoder, untrained(encoder, seed=7), untrained(encoder, seed=8)]
    # A run that held other pixels out may have another projection: its untrained twin stands behind the same one.
    trained[2].projector = copy.deepcopy(encoder.projector)
    networks = beside(encoder, **KNOWN, others=trained[1:])
    assert networks[1].of(2).encoder.projector is trained[2].projector
    side = np.zeros(scene.labels.shape, dtype=bool)
    side[:14] = True
    labelled = labelled_pixels(scene, networks, schemes=("random",), masks={"north": (side, None)}, per_class=(3,))
    rows = evaluate([labelled], probes={"linear": 4}, show=False)
    random = {seed: Network("random weights", untrained(encoder, seed)).digest for seed in range(5)}
    pretrained = [Network("pretrained", one).digest for one in trained]

    def backbones(protocol: str, method: str) -> dict[int, str]:
        mine = [row for row in rows if row.setting == protocol and row.method == method]
        return {row.seed: row.backbone for row in mine}

    for protocol in ("random, 3 per class", "north, 3 per class"):
        assert backbones(protocol, "pretrained") == {seed: pretrained[seed % 3] for seed in range(4)}
        assert backbones(protocol, "random weights") == {seed: random[seed % 3] for seed in range(4)}
    # Nothing is left to chance but the network: once for each of them, as far as seeds are asked for.
    assert backbones("north, all", "pretrained") == dict(enumerate(pretrained))
    assert backbones("north, all", "random weights") == {seed: random[seed] for seed in range(3)}
    assert backbones("north, all", "raw spectra") == {0: ""}


def test_given_masks_are_run_once_where_nothing_is_drawn(scene):
    side = np.zeros(scene.labels.shape, dtype=bool)
    side[:14] = True
    labelled = labelled_pixels(scene, schemes=(), masks={"north": (side, None)}, per_class=(4,))
    rows = evaluate([labelled], probes={"linear": 3}, show=False)
    assert [(row.setting, row.seed) for row in rows] == [
        *(("north, 4 per class", n) for n in range(3)), ("north, all", 0),
    ]  # fmt: skip
    assert {row.split for row in rows} == {"given"}
    assert rows[-1].train == int((scene.labels[:14] > 0).sum())


def test_a_split_that_cannot_be_had_is_noted_and_not_tried_again(scene, tmp_path):
    labelled = labelled_pixels(scene, schemes=("blocks",), per_class=(3,), window=41)
    rows = evaluate([labelled], tmp_path / "rows.csv", probes={"linear": 2}, show=False)
    assert len(rows) == 2
    assert all(row.oa is None and "window 41" in row.note for row in rows)
    counted, drawn = counting(labelled)
    assert evaluate([counted], tmp_path / "rows.csv", probes={"linear": 2}, show=False) == rows
    assert not drawn


def test_spectra_without_positions(scene):
    known = scene.labels > 0
    labelled = labelled_spectra("list", scene.cube[known], scene.labels[known] - 1, per_class=(3,))
    rows = evaluate([labelled], probes={"k-NN": 2, "SVM": 1}, show=False)
    assert {(row.method, row.split, row.leak) for row in rows} == {("raw spectra", "random", None)}
    assert {row.train for row in rows} == {9}  # label 0 is a class as any other
    assert {row.task for row in rows} == {"spectra"}


def test_crowns_are_averages_and_never_leak(encoder):
    rng = np.random.default_rng(0)
    base = rng.random((3, 10)).cumsum(axis=1)
    crops = [
        Crop((base[t] + 0.01 * rng.random((3 + t, 4, 10))).astype(np.float32), f"tree {t}", f"kind {t}", year)
        for t in range(3)
        for year in (2017, 2018, 2019)
    ]
    labelled = labelled_crowns(crops, beside(encoder, **KNOWN), years=(1, 2))
    np.testing.assert_allclose(
        labelled.features(None), [c.cube.reshape(-1, 10).mean(axis=0) for c in crops], rtol=1e-5
    )
    # A crop by itself, reflected at its border, has the same features as in the mosaic.
    alone = [encoder.encode_pixels(c.cube, np.argwhere(np.ones(c.cube.shape[:2]))).mean(axis=0) for c in crops]
    np.testing.assert_allclose(labelled.features(labelled.networks[0]), alone, atol=1e-4)
    rows = evaluate([labelled], probes={"k-NN": 3, "fine-tune": 1}, settings=SHORT, show=False)
    assert {row.split for row in rows} == {"earlier years train, later years test"}
    assert {(row.train, row.test) for row in rows} == {(3, 6), (6, 3)}
    assert {row.leak_overlap for row in rows} == {0.0}
    assert all("later flights" in row.note for row in rows)
    # Nothing is left to chance but random weights.
    knn = [row for row in rows if row.probe == "k-NN"]
    assert {row.seed for row in knn if row.method != "random weights"} == {0}
    assert {row.seed for row in knn if row.method == "random weights"} == {0, 1, 2}
    raw = [row.oa for row in rows if row.method == "raw spectra"]
    assert raw == [100, 100]


def test_kinds_are_told_apart(scene):
    assert labelled_pixels(scene, per_class=(3,)).kind == "real"
    assert labelled_pixels(scene.with_(cube=(10 * scene.cube).astype(np.uint8)), per_class=(3,)).kind == "8-bit real"
    assert labelled_pixels(scene.with_(stand_in=True), per_class=(3,)).kind == "stand-in"
    assert labelled_pixels(scene.with_(name="stand-in-pavia"), per_class=(3,)).kind == "stand-in"


def test_bad_input_is_one_sentence(scene, encoder, tmp_path):
    with pytest.raises(InputError, match="no labels"):
        labelled_pixels(scene.with_(labels=None))
    with pytest.raises(InputError, match="500 training pixels per class are too many"):
        labelled_pixels(scene, per_class=(5, 500))
    with pytest.raises(InputError, match="looks at 3x3"):
        labelled_pixels(scene, [Network("pretrained", encoder)], window=1, per_class=(3,))
    with pytest.raises(InputError, match="'forest' is not known"):
        evaluate([labelled_pixels(scene, per_class=(3,))], probes={"forest": 1}, show=False)
    with pytest.raises(InputError, match="don't fit"):
        labelled_spectra("list", np.ones((4, 3)), np.ones(5, int))
    with pytest.raises(InputError, match="no architecture"):
        untrained(Encoder(encoder.backbone, encoder.projector, {"window": 3}))
    (tmp_path / "other.csv").write_text("a,b\r\n")
    with pytest.raises(InputError, match="another table"):
        evaluate([labelled_pixels(scene, per_class=(3,))], tmp_path / "other.csv", probes={"linear": 1}, show=False)
