"""The loop of supervised training: optimisers, schedules, losses, the epoch that is kept."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook
from toy_windows import Windows, network, toy

from sslhsi.finetune.finetune import FineTuning, fine_tune
from sslhsi.finetune.loop import loss_of
from sslhsi.finetune.samples import Targets, hold_out

pytestmark = pytest.mark.slow

SHORT = FineTuning(epochs=3, batch_size=8)


def test_validation_chooses_the_epoch_and_never_trains():
    reader, windows, y = toy(noise=2.5, n=45)
    settings = FineTuning(epochs=30, batch_size=8, validation=0.25, patience=4, lr_backbone=1e-2, head="zero")
    tuned = fine_tune(network(), reader, windows, y, settings, seed=1)
    ranks = [(entry["validation_accuracy"], -entry["validation_loss"]) for entry in tuned.history]
    best = tuned.record["best_epoch"]
    assert ranks.index(max(ranks)) == best
    assert tuned.record["epochs"] == min(30, best + 4) < 30
    held = hold_out(Targets.of(y, len(y)), 0.25, seed=1)
    assert (tuned.predict(reader, windows[held]) == y[held]).mean() == pytest.approx(max(ranks)[0])
    # what the held-out windows show has no influence on the steps
    changed = Windows(reader.x.clone())
    changed.x[torch.from_numpy(held)] += 1.0
    other = fine_tune(network(), changed, windows, y, settings, seed=1)
    losses = [entry["loss"] for entry in other.history]
    shared = min(len(losses), len(tuned.history))
    assert losses[:shared] == [entry["loss"] for entry in tuned.history][:shared]


@pytest.mark.parametrize(("name", "rate"), [("adamw", 1e-2), ("sgd", 1e-2), ("adadelta", 1.0)])
def test_optimisers_and_bfloat16(name, rate):
    reader, windows, y = toy(n=24)
    settings = FineTuning(epochs=8, batch_size=8, optimizer=name, lr_head=rate, lr_backbone=rate, precision="bf16")
    losses = [entry["loss"] for entry in fine_tune(network(), reader, windows, y, settings).history[1:]]
    assert losses[-1] < 0.7 * losses[0]


def test_a_constant_schedule_and_its_slow_end():
    reader, windows, y = toy(n=24)
    rates = []
    hook = register_optimizer_step_pre_hook(lambda solver, *_: rates.append([g["lr"] for g in solver.param_groups]))
    settings = FineTuning(
        epochs=5, batch_size=8, optimizer="sgd", schedule="constant", slow_epochs=2, lr_head=0.2, lr_backbone=0.1
    )
    fine_tune(network(), reader, windows, y, settings)
    hook.remove()
    backbone, head = np.array(rates)[:, 0], np.array(rates)[:, -1]
    np.testing.assert_allclose(head, [0.2] * 9 + [0.02] * 6)
    np.testing.assert_allclose(backbone, head / 2)


def test_a_wholly_frozen_backbone_may_run_in_every_step():
    reader, windows, y = toy(channels=13, side=9, n=12)
    body = network("hybridsn", 13, 9)  # with dropout
    settings = FineTuning(policy="all", epochs=4, batch_size=12, lr_head=1e-12, head="gaussian")
    once = fine_tune(body, reader, windows, y, settings)
    every = fine_tune(body, reader, windows, y, settings.model_copy(update={"run_frozen": True}))
    # Without dropout every epoch has the loss of the one before; with it, none.
    assert len({round(entry["loss"], 6) for entry in once.history[1:]}) == 1
    assert len({round(entry["loss"], 6) for entry in every.history[1:]}) == 4
    assert all(torch.equal(v, every.network.backbone.state_dict()[k]) for k, v in body.state_dict().items())


def test_training_accuracy_is_recorded():
    reader, windows, y = toy()
    tuned = fine_tune(network(), reader, windows, y, FineTuning(epochs=20, batch_size=16, lr_head=1e-2))
    accuracy = [entry["accuracy"] for entry in tuned.history]
    assert accuracy[0] is None
    assert 0 <= accuracy[1] < accuracy[-1] == 1
    assert tuned.record["seconds_per_step"] > 0


def test_smoothed_targets():
    logits = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    y = torch.tensor([0, 1, 2, 0, 1])
    spread = 0.7 * torch.eye(3)[y] + 0.1
    torch.testing.assert_close(loss_of(logits, y, 0.3), -(spread * logits.log_softmax(1)).sum(1).mean())
    marks = torch.eye(3)[y]
    p = logits.sigmoid()
    soft = torch.where(marks > 0, 0.85, 0.15)
    expected = -(soft * p.log() + (1 - soft) * (1 - p).log()).mean()
    torch.testing.assert_close(loss_of(logits, marks, 0.3), expected)


def test_votes_are_the_mean_of_checkpoints_two_epochs_apart():
    reader, windows, y = toy(noise=2.0)
    epochs = []
    settings = SHORT.model_copy(update={"epochs": 6, "votes": 3, "lr_backbone": 1e-2})
    tuned = fine_tune(network(), reader, windows, y, settings, progress=lambda entry: epochs.append(entry["epoch"]))
    assert epochs == list(range(7))
    assert len(tuned.networks) == 3
    with torch.no_grad():
        each = [net(reader(windows)).softmax(1) for net in tuned.networks]
    np.testing.assert_allclose(tuned.probabilities(reader, windows), torch.stack(each).mean(0).numpy(), atol=1e-6)
    alone = fine_tune(network(), reader, windows, y, settings.model_copy(update={"votes": 1}))
    assert torch.equal(alone.network(reader(windows)), tuned.network(reader(windows)))
    assert len(fine_tune(network(), reader, windows, y, settings.model_copy(update={"votes": 9})).networks) == 3
