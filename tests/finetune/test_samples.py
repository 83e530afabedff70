"""Samples of supervised training: held out, mirrored, in batches that fit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from toy_windows import network, toy

from sslhsi.finetune.finetune import FineTuning, fine_tune
from sslhsi.finetune.samples import Samples, Targets, at_once, hold_out

SHORT = FineTuning(epochs=3, batch_size=8)


def test_held_out_samples():
    y = np.repeat([3, 7, 8, 9], [3, 4, 10, 100])
    held = hold_out(Targets.of(y, y.size), 0.2, seed=0)
    assert [int(held[y == c].sum()) for c in (3, 7, 8, 9)] == [0, 1, 2, 20]
    assert not hold_out(Targets.of(y, y.size), 0.0, seed=0).any()
    few = np.repeat([0, 1], 3)
    assert not hold_out(Targets.of(few, 6), 0.5, seed=0).any()


def test_large_windows_run_few_at_a_time():
    assert at_once(torch.zeros(1, 30, 15, 15)) == 512
    assert at_once(torch.zeros(1, 256, 27, 27)) == 89
    assert at_once(torch.zeros(1, 1).expand(1, 1 << 30)) == 2


def test_mirrored_copies():
    reader, windows, _ = toy(n=3)
    samples = Samples(network("hresnet", 4, 5), reader, windows, torch.device("cpu"), mirror=True)
    assert len(samples) == 12
    x = reader(windows).numpy()
    copies = samples(torch.arange(12)).numpy().reshape(4, 3, 4, 5, 5)
    for copy, expected in zip(copies, (x, np.flip(x, 3), np.flip(x, 2), np.flip(x, (2, 3))), strict=True):
        np.testing.assert_array_equal(copy, expected)


@pytest.mark.parametrize(("n", "size"), [(9, 8), (3, 2), (2, 2), (65, 64), (64, 64)])
def test_no_batch_of_one(n, size):
    reader, windows, y = toy(channels=16, n=n)
    samples = Samples(network("ainet", 16, 5), reader, windows, torch.device("cpu"), mirror=False)
    parts = list(samples.batches(size, torch.Generator().manual_seed(0)))
    assert sorted(torch.cat(parts).tolist()) == list(range(n))
    assert min(map(len, parts)) >= 2
    if n == 9:
        fine_tune(network("ainet", 16, 5), reader, windows, y, SHORT.model_copy(update={"batch_size": size}))


def test_windows_that_do_not_fit_are_read_in_batches(monkeypatch):
    reader, windows, y = toy(n=20)
    held = fine_tune(network("hresnet", 4, 5), reader, windows, y, SHORT).probabilities(reader, windows)
    monkeypatch.setattr("sslhsi.finetune.samples.HELD_BYTES", 0)
    again = fine_tune(network("hresnet", 4, 5), reader, windows, y, SHORT).probabilities(reader, windows)
    np.testing.assert_allclose(again, held, atol=1e-5)
