"""Fine-tuning: what trains, what doesn't, and that it learns."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score
from torch import Tensor
from toy_windows import Windows, network, numbered, toy

from sslhsi.bands.projector import SpectralProjector
from sslhsi.encoder.encoder import Encoder
from sslhsi.encoder.features import features
from sslhsi.errors import InputError
from sslhsi.finetune.finetune import FineTuning, fine_tune, fine_tune_pixels
from sslhsi.finetune.samples import Remembered
from sslhsi.finetune.settings import described
from sslhsi.probes.linear import linear_probe
from sslhsi.probes.metrics import multilabel_scores
from sslhsi.recipe_file import settings_of
from sslhsi.scenes.scene import Scene
from sslhsi.splits.split import split

pytestmark = pytest.mark.slow

SHORT = FineTuning(epochs=3, batch_size=8)


def states(module: torch.nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


@pytest.mark.parametrize("name", ["pixelnet", "hresnet"])
@pytest.mark.parametrize("head", ["probe", "zero"])
def test_learns_a_separable_task(name, head):
    channels, side = (4, 5) if name == "pixelnet" else (8, 7)
    reader, windows, y = toy(channels, side)
    labels = np.array([2, 5, 9])[y]  # gaps between class ids
    settings = FineTuning(epochs=30, batch_size=16, head=head, lr_head=1e-2, lr_backbone=1e-3)
    body = network(name, channels, side)
    before = states(body)
    tuned = fine_tune(body, reader, windows[:30], labels[:30], settings)
    assert (tuned.predict(reader, windows[30:], batch_size=7) == labels[30:]).all()
    assert tuned.probabilities(reader, windows[30:]).sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert tuned.predict(reader, windows[:0]).shape == (0,)
    losses = [entry["loss"] for entry in tuned.history]
    assert len(losses) == 31
    assert losses[-1] < losses[1] < 1.2
    # the backbone that was given is as it was
    assert all(torch.equal(value, before[key]) for key, value in body.state_dict().items())
    json.dumps([tuned.record, tuned.history])


def test_several_labels():
    rng = np.random.default_rng(1)
    marks = (rng.random((80, 3)) < 0.4).astype(int)
    x = 2.0 * marks @ np.eye(4)[:3] + 0.2 * rng.normal(size=(80, 4))
    reader = Windows(torch.tensor(np.tile(x[:, :, None, None], (1, 1, 5, 5)), dtype=torch.float32))
    settings = FineTuning(epochs=20, batch_size=16, validation=0.2, lr_head=1e-2)
    tuned = fine_tune(network(), reader, numbered(80)[:50], marks[:50], settings)
    assert tuned.multilabel
    assert tuned.record["validation_samples"] == 10
    score = tuned.predict(reader, numbered(80)[50:])
    scores = multilabel_scores(marks[50:], score)
    assert scores["map"] == pytest.approx(100 * average_precision_score(marks[50:], score, average="macro"))
    assert scores["map"] > 99
    assert scores["micro_f1"] > 97


def test_a_label_that_all_or_none_bear_is_no_error():
    reader, windows, y = toy(n=20)
    marks = np.column_stack([y == 0, np.ones(20), np.zeros(20)]).astype(int)
    settings = SHORT.model_copy(update={"head": "probe"})
    probabilities = fine_tune(network(), reader, windows, marks, settings).predict(reader, windows)
    assert (probabilities[:, 1] > 0.8).all()
    assert (probabilities[:, 2] < 0.2).all()


def test_the_same_seed_gives_the_same_network_and_touches_no_other_chance():
    reader, windows, y = toy(channels=13, side=9, n=24)
    settings = SHORT.model_copy(update={"mirror": True, "validation": 0.2, "votes": 2, "head": "zero"})
    body = network("hybridsn", 13, 9)  # with dropout

    def once(seed):
        state = torch.get_rng_state()
        tuned = fine_tune(body, reader, windows, y, settings, seed=seed)
        assert torch.equal(torch.get_rng_state(), state)
        torch.rand(3)
        return tuned.probabilities(reader, windows), tuned.history

    (first, history), (again, same), (other, _) = once(0), once(0), once(1)
    np.testing.assert_array_equal(first, again)
    assert history == same
    assert (first != other).any()


def test_frozen_layers_stay_and_others_move():
    reader, windows, y = toy(channels=16, side=5, n=18)
    body = network("ainet", 16, 5)
    tuned = fine_tune(body, reader, windows, y, SHORT.model_copy(update={"policy": ["stem", "stages.0"]}))
    before, after = states(body), states(tuned.network.backbone)
    for name in set(before):
        same = torch.equal(before[name], after[name])
        assert same == name.startswith(("stem.", "stages.0.")), name
    assert tuned.record["frozen_norms"][0] == "stem.1"


def test_a_wholly_frozen_backbone_is_a_linear_probe_and_is_run_once():
    reader, windows, y = toy(n=24, noise=1.5)
    body = network()
    settings = FineTuning(policy="all", epochs=200, batch_size=64, lr_head=0.05, weight_decay=0, smoothing=0)
    tuned = fine_tune(body, reader, windows, y, settings)
    assert all(torch.equal(v, tuned.network.backbone.state_dict()[k]) for k, v in body.state_dict().items())
    # no penalty and many steps: every training sample is right, as with a very weak probe
    probe = linear_probe(features(body, reader, windows), y, c_grid=[1e6])
    assert (tuned.predict(reader, windows) == probe.predict(features(body, reader, windows))).all()
    assert reader.read < 24 * 10


def test_the_start_is_the_linear_probe_of_the_features():
    reader, windows, y = toy(noise=2.0)
    body = network()
    settings = FineTuning(head="probe", epochs=1, lr_head=1e-12, lr_backbone=1e-12)
    tuned = fine_tune(body, reader, windows, y, settings, seed=3)
    x = features(body, reader, windows)
    np.testing.assert_allclose(
        tuned.probabilities(reader, windows), linear_probe(x, y, seed=3).predict_proba(x), atol=2e-3
    )


@pytest.mark.parametrize(("policy", "expected"), [("Network_1", 17_028), ("Network_2", 516), ("Network_6", 55_876)])
def test_published_counts_with_the_classifier_of_fine_tuning(policy, expected):
    reader, windows, _ = toy(channels=15, side=25, n=8)
    settings = FineTuning(policy=policy, epochs=1, batch_size=8)
    tuned = fine_tune(network("hybridsn", 15, 25), reader, windows, np.arange(8) % 4, settings)
    assert tuned.record["trainable_parameters"] == expected


def test_weights_of_another_window():
    source = network("hybridsn", 13, 12, seed=1)
    reader, windows, y = toy(channels=13, side=9, n=12)
    target = network("hybridsn", 13, 9, seed=2)
    settings = SHORT.model_copy(update={"policy": "Network_4"})
    tuned = fine_tune(target, reader, windows, y, settings, weights=source.state_dict())
    assert set(tuned.record["weights"]["not_carried"]) == {"dense_1.weight", "dense_1.bias"}
    assert torch.equal(tuned.network.backbone.conv3d_1.weight, source.conv3d_1.weight)
    with pytest.raises(InputError, match=r"'Network_3' freezes dense_1\.weight, which the weights don't fill"):
        fine_tune(
            target, reader, windows, y, SHORT.model_copy(update={"policy": "Network_3"}), weights=source.state_dict()
        )


def test_a_gaussian_classifier_on_plain_features():
    reader, windows, y = toy(n=24)
    settings = FineTuning(head="gaussian", epochs=1, batch_size=24, lr_head=1e-12, lr_backbone=1e-12)
    tuned = fine_tune(network(), reader, windows, y, settings)
    x = torch.from_numpy(features(tuned.network.backbone, reader, windows))
    torch.testing.assert_close(tuned.network(reader(windows)), tuned.network.head(x))
    weight = tuned.network.head.weight
    assert float(weight.detach().std()) == pytest.approx((2 / weight.shape[1]) ** 0.5, rel=0.25)
    other = fine_tune(network(), reader, windows, y, settings, seed=1)
    assert not torch.allclose(weight, other.network.head.weight)


def test_rows_measured_before_keep_the_text_of_their_settings():
    assert described(FineTuning()) == (
        "policy none; head zero; epochs 40; batch_size 64; lr_head 0.001; lr_backbone 0.001; warmup 0.1; "
        "weight_decay 0.01; optimizer adamw; smoothing 0.1; mirror False; validation 0.0; patience 0; votes 1; "
        "precision fp32"
    )
    changed = described(FineTuning(policy=["a", "b"], schedule="constant", slow_epochs=3))
    assert changed.startswith("policy a b; ")
    assert changed.endswith("; precision fp32; schedule constant; slow_epochs 3")


def labelled_scene() -> Scene:
    rng = np.random.default_rng(0)
    labels = np.zeros((18, 16), np.int64)
    labels[:, :5], labels[:, 5:11], labels[:9, 11:] = 1, 4, 6
    spectra = np.vstack([np.ones(20), rng.random((6, 20)) * 3])
    return Scene("fields", spectra[labels] + 0.2 * rng.normal(size=(18, 16, 20)), labels=labels)


def test_pixels_of_a_scene():
    scene = labelled_scene()
    projector = SpectralProjector(grid=20, components=4, align="index").fit([scene])
    encoder = Encoder(network(), projector, {"window": 5})
    drawn = split(scene.labels, "random", window=5, per_class=5, seed=0)
    truth = scene.labels[tuple(drawn.test.T)]
    predicted, tuned = fine_tune_pixels(encoder, scene, drawn, FineTuning(epochs=10), seed=2)
    assert (predicted == truth).mean() > 0.95
    assert tuned.record["samples"] == 15
    # its own reader, and one that remembers the part without parameters, say the same
    reader = encoder.reader(scene.cube)
    everywhere = encoder.windows(np.argwhere(scene.labels > 0))
    remembered = Remembered(encoder.backbone, reader, everywhere)
    assert remembered(everywhere[:2]).shape == (2, 2, 4)
    for mirror in (False, True):
        settings = FineTuning(epochs=2, mirror=mirror)
        plain, _ = fine_tune_pixels(encoder, scene, drawn, settings, reader=reader)
        quick, _ = fine_tune_pixels(encoder, scene, drawn, settings, reader=remembered)
        np.testing.assert_array_equal(plain, quick)
    with pytest.raises(InputError, match="no labels"):
        fine_tune_pixels(encoder, dataclasses.replace(scene, labels=None), drawn)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ("optimizer=adam", "--set: optimizer: Input should be 'adamw', 'sgd' or 'adadelta', not 'adam'"),
        ("policy=Network_8", "did you mean 'Network_"),
        ("batch_size=1", "batch_size: .*greater than or equal to 2, not 1"),
        ("lr_head=0", "lr_head: .*greater than 0"),
        ("lr_backbone=.nan", "lr_backbone: .*finite number"),
        ("weight_decay=-1", "weight_decay"),
        ("smoothing=1.0", "smoothing: .*less than or equal to 0.5"),
        ("validation=0.9", "validation: .*less than or equal to 0.5"),
        ("patience=3", "patience needs validation"),
        ("schedule=linear", "schedule: Input should be 'cosine', 'constant' or 'steps'"),
        ("schedule=steps", "drops and schedule 'steps' belong together"),
        ("drops=[3]", "drops and schedule 'steps' belong together"),
        ("schedule=steps drops=[5,3]", "must rise"),
        ("schedule=steps drops=[40]", "between 1 and the 40 epochs"),
        ("schedule=steps drops=[3] drop=0", "drop: .*greater than 0"),
        ("slow_epochs=3", "slow_epochs belongs to schedule 'constant'"),
        ("schedule=constant slow_epochs=40", "must be fewer than the 40 epochs"),
        ("lr=0.1", "unknown key 'lr'; known here are policy"),
    ],
)
def test_senseless_settings(overrides, message):
    with pytest.raises(InputError, match=message) as raised:
        settings_of(FineTuning, overrides.split(), "--set")
    assert "\n" not in str(raised.value)


def test_what_can_not_be_learned():
    reader, windows, y = toy(n=12)
    body = network()
    with pytest.raises(InputError, match="only class 1"):
        fine_tune(body, reader, windows, np.ones(12, int))
    with pytest.raises(InputError, match="at least two training windows, not 0"):
        fine_tune(body, reader, windows[:0], y[:0])
    with pytest.raises(InputError, match=r"12 windows and targets of shape \(5,\)"):
        fine_tune(body, reader, windows, y[:5])
    with pytest.raises(InputError, match="must be integers"):
        fine_tune(body, reader, windows, y + 0.5)
    with pytest.raises(InputError, match="zeros and ones"):
        fine_tune(body, reader, windows, np.full((12, 2), 2))
    with pytest.raises(InputError, match="any label"):
        fine_tune(body, reader, windows, np.zeros((12, 2), int))
    with pytest.raises(InputError, match=r"fine-tuning, epoch \d+: the loss is .*; lower lr_backbone"):
        fine_tune(
            network("hresnet", 4, 5), reader, windows, y, FineTuning(optimizer="sgd", lr_backbone=1e30, epochs=9)
        )
    reader.x[3, 0, 0, 0] = float("nan")
    with pytest.raises(InputError, match="NaN"):
        fine_tune(body, reader, windows, y)
