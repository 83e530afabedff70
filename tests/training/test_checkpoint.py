"""Checkpoints: whole or absent, the newest intact one wins, none of another run is taken up."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from sslhsi.errors import InputError
from sslhsi.files import read_rows
from sslhsi.training.checkpoint import checkpoints, load_checkpoint, save_checkpoint
from sslhsi.training.run_dir import Metrics

FINGERPRINT = {"recipe": "a", "corpus": "b"}


def save(run, step, keep=3, value=None):
    model = {"w": torch.full((4, 3), float(step if value is None else value))}
    optimiser = {"state": {0: {"step": torch.tensor(step)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
    return save_checkpoint(run, step, model, optimiser, FINGERPRINT, keep)


def test_saved_and_loaded(tmp_path):
    save(tmp_path, 5)
    _, step, model, optimiser, record = load_checkpoint(tmp_path)
    assert step == 5
    assert torch.equal(model["w"], torch.full((4, 3), 5.0))
    assert optimiser["state"][0]["step"] == 5
    assert FINGERPRINT.items() <= record.items()


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
    checkpoint = load_checkpoint(tmp_path)
    # A flipped bit in the list of hashes changes a hash that then doesn't fit.
    assert checkpoint is not None
    assert checkpoint.step == 5


def files_between_calls(run: Path) -> Iterator[dict[str, bytes | None]]:
    """The files (None: a folder) of a run while another process writes a second checkpoint and drops the first.

    That process is traced and stands still as it enters or leaves a system call: what lies there then is what a kill
    at that moment would leave. Moments at which nothing has changed are passed over.
    """
    child = os.fork()
    if child == 0:
        try:
            ptrace(PTRACE_TRACEME, 0)
            os.kill(os.getpid(), signal.SIGSTOP)
            save(run, 10, keep=1)
        finally:
            os._exit(0)
    last: dict[str, bytes | None] = {}
    _, status = os.waitpid(child, 0)
    if not os.WIFSTOPPED(status):
        pytest.skip("tracing is not allowed here")
    while os.WIFSTOPPED(status):
        files = {str(p.relative_to(run)): p.read_bytes() if p.is_file() else None for p in sorted(run.rglob("*"))}
        if files != last:
            yield files
        last = files
        ptrace(PTRACE_SYSCALL, child)
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


PTRACE_TRACEME, PTRACE_SYSCALL = 0, 24


def ptrace(request: int, process: int) -> None:
    if ctypes.CDLL(None, use_errno=True).ptrace(request, process, None, None) < 0:
        raise OSError(ctypes.get_errno(), "ptrace")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="traces system calls as Linux does")
def test_killed_between_any_two_system_calls_of_a_write(tmp_path):
    """Whatever a kill leaves, an intact checkpoint is found, and the run can go on writing there."""
    save(tmp_path / "run", 5)
    steps = []
    for number, files in enumerate(files_between_calls(tmp_path / "run")):
        left = tmp_path / f"left-{number}"
        left.mkdir()
        for name, content in files.items():
            (left / name).mkdir() if content is None else (left / name).write_bytes(content)
        _, step, model, _, _ = load_checkpoint(left)
        assert torch.equal(model["w"], torch.full((4, 3), float(step)))
        steps.append(step)
        save(left, 10)
        assert load_checkpoint(left).step == 10
    assert len(steps) > 10
    # The old one up to some call, the new one from there on.
    assert steps == sorted(steps)
    assert set(steps) == {5, 10}


def test_a_full_disk_leaves_the_older_checkpoint(tmp_path):
    """On a real file system without room."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(tmp_path)], capture_output=True)
    if mounted.returncode:
        pytest.skip("no right to mount a small file system")
    try:
        save(tmp_path, 5)
        for weights, momenta in ((30_000, 60_000), (30_000, 200_000), (100_000, 1)):
            model, optimiser = {"w": torch.zeros(weights)}, {"state": {0: {"momentum": torch.zeros(momenta)}}}
            with pytest.raises(
                InputError, match=r"step_000010: can't be written \(the disk is full\); free some space"
            ):
                save_checkpoint(tmp_path, 10, model, optimiser, FINGERPRINT, 2)
            assert [p.name for p in tmp_path.iterdir()] == ["step_000005"]
            assert load_checkpoint(tmp_path).step == 5
        save(tmp_path, 10)
        assert load_checkpoint(tmp_path).step == 10
    finally:
        subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


def test_a_damaged_later_checkpoint_does_not_crowd_out_whole_ones(tmp_path):
    save(tmp_path, 5)
    (save(tmp_path, 10) / "optimiser.pt").write_bytes(b"")
    said: list[str] = []
    assert load_checkpoint(tmp_path, said.append).step == 5
    assert said == [f"{tmp_path}/step_000010: damaged (optimiser.pt is not what was written); going back to the "
                    "checkpoint before"]  # fmt: skip
    save(tmp_path, 7, keep=1)
    assert [p.name for p in checkpoints(tmp_path)] == ["step_000007"]


def test_metrics_are_cut_back_to_the_checkpoint(tmp_path):
    path = tmp_path / "metrics.csv"
    metrics = Metrics(tmp_path, 0)
    for step in range(1, 8):
        metrics.add({"step": step, "loss": step / 10})
    metrics.close()
    Metrics(tmp_path, 4).close()
    assert [int(r["step"]) for r in read_rows(path)] == [1, 2, 3, 4]
