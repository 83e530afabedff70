"""Checkpoints: whole or absent, the newest intact one wins, none of another run is taken up."""

from __future__ import annotations

import os
import signal

import pytest
import torch

from sslhsi.errors import InputError
from sslhsi.training.checkpoint import checkpoints, load_checkpoint, save_checkpoint
from sslhsi.training.run_dir import Metrics, read_rows

FACTS = {"recipe": "a", "corpus": "b"}


def save(run, step, keep=3, value=None):
    model = {"w": torch.full((4, 3), float(step if value is None else value))}
    optimiser = {"state": {0: {"step": torch.tensor(step)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
    return save_checkpoint(run, step, model, optimiser, FACTS, keep)


def test_saved_and_loaded(tmp_path):
    save(tmp_path, 5)
    step, model, optimiser = load_checkpoint(tmp_path, FACTS)
    assert step == 5
    assert torch.equal(model["w"], torch.full((4, 3), 5.0))
    assert optimiser["state"][0]["step"] == 5


def test_only_the_newest_are_kept(tmp_path):
    for step in (5, 10, 999_999, 1_000_000):
        save(tmp_path, step, keep=2)
    assert [p.name for p in checkpoints(tmp_path)] == ["step_999999", "step_1000000"]


@pytest.mark.parametrize("file", ["model.safetensors", "optimiser.pt", "checkpoint.json"])
@pytest.mark.parametrize("harm", ["truncate", "flip", "remove"])
def test_a_harmed_checkpoint_gives_way_to_the_one_before(tmp_path, file, harm):
    save(tmp_path, 5)
    path = save(tmp_path, 10) / file
    content = path.read_bytes()
    if harm == "remove":
        path.unlink()
    else:
        middle = len(content) // 2
        flipped = content[:middle] + bytes([content[middle] ^ 4]) + content[middle + 1 :]
        path.write_bytes(content[:middle] if harm == "truncate" else flipped)
    found = load_checkpoint(tmp_path, FACTS)
    # A flipped bit in the list of hashes may only change a hash that then doesn't fit, or a fact.
    assert found is not None
    assert found[0] == 5


def test_killed_at_any_moment_of_a_write(tmp_path, monkeypatch):
    """At every file operation of a second checkpoint the process dies; the first is still found."""
    operations = ["mkdir", "open", "fsync", "replace"]
    for name in operations:
        for count in range(1, 4):
            run = tmp_path / f"{name}{count}"
            run.mkdir()
            save(run, 5)
            child = os.fork()
            if child == 0:
                original, calls = getattr(os, name), [0]

                def deadly(*args, original=original, calls=calls, count=count, **kwargs):
                    calls[0] += 1
                    if calls[0] == count:
                        os.kill(os.getpid(), signal.SIGKILL)
                    return original(*args, **kwargs)

                setattr(os, name, deadly)
                save(run, 10)
                os._exit(0)
            os.waitpid(child, 0)
            found = load_checkpoint(run, FACTS)
            assert found is not None
            step, model, _ = found
            assert step in (5, 10)
            assert torch.equal(model["w"], torch.full((4, 3), float(step)))
            # And the run can go on writing where it died.
            save(run, 10)
            assert load_checkpoint(run, FACTS)[0] == 10


def test_another_recipe_or_corpus_is_refused(tmp_path):
    save(tmp_path, 5)
    with pytest.raises(InputError, match="written with another corpus"):
        load_checkpoint(tmp_path, {"recipe": "a", "corpus": "other"})


def test_metrics_are_cut_back_to_the_checkpoint(tmp_path):
    path = tmp_path / "metrics.csv"
    metrics = Metrics(path, 0)
    for step in range(1, 8):
        metrics.add({"step": step, "loss": step / 10})
    metrics.close()
    Metrics(path, 4).close()
    assert [int(r["step"]) for r in read_rows(path)] == [1, 2, 3, 4]
