"""The main job on many processes, and what may befall it: nothing is lost, and it says what happened."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from forked_job import assert_same_weights, exit_codes, fork_ranks, free_port, wait_for_rows, weights, words
from torch.nn.modules.module import register_module_forward_hook

from sslhsi.files import read_rows
from sslhsi.methods.ntxent import NTXentLoss
from sslhsi.pretrain import main
from sslhsi.training.checkpoint import checkpoints

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
RECIPE = """
name: small
corpus:
  scenes:
    - {path: a.npy, background: none, domain: a}
    - {path: b.npy, background: none, domain: b}
  bands: {grid: 16, components: 4, align: index}
  patches: {window: 8, stride: 4}
backbone: {name: pixelnet, options: {width: 8, depth: 1, mixed: 8, radii: [0, 3]}}
method: {options: {hidden: 16, output: 8}}
training: {steps: 40, batch_size: 8, optimizer: sgd, lr: 0.05, checkpoint_every: 4, log_every: 1,
           monitor_every: 0, precision: fp32}
evaluation: {tasks: []}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory, one_thread, without_pictures) -> Path:
    """A recipe and a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("faults")
    for n, name in enumerate("ab"):
        rng = np.random.default_rng(n)
        cube = rng.random((10, 10, 16)).repeat(4, 0).repeat(4, 1) + 0.1 * rng.random((40, 40, 16))
        np.save(folder / f"{name}.npy", cube.astype(np.float32))
    (folder / "recipe.yaml").write_text(RECIPE.replace("path: ", f"path: {folder}/"))
    assert main(words(folder, "whole")) == 0
    assert main(words(folder, "short", "training.steps=5")) == 0
    return folder


def losses(run: Path) -> list[float]:
    return [float(row["loss"]) for row in read_rows(run / "metrics.csv")]


def assert_same_run(folder: Path, name: str) -> None:
    assert losses(folder / name) == losses(folder / "whole")
    assert_same_weights(folder, name)


@pytest.mark.parametrize(("world", "micro_batch"), [(1, 3), (2, 3), (4, 0), (8, 0)])
def test_any_number_of_processes_trains_as_one(folder, world, micro_batch):
    """Same schedule, stream, loss and weights to rounding; the head's batch normalisation is synchronised."""
    name = f"world{world}"
    more = ["training.steps=5", f"training.micro_batch={micro_batch}", f"corpus.cache={folder / name / 'corpora'}"]
    assert exit_codes(fork_ranks(words(folder, name, *more), world, folder / "log" / name), 100) == [0] * world
    assert json.loads((folder / name / "provenance.json").read_text())["processes"] == world
    np.testing.assert_allclose(losses(folder / name), losses(folder / "short"), rtol=1e-5)
    for key, value in weights(folder, "short").items():
        np.testing.assert_allclose(weights(folder, name)[key], value, rtol=1e-4, atol=1e-5)
    # Each process streamed and wrote its own scenes; the corpus is the one that a single process makes.
    (ours,), (whole,) = (list((folder / cache / "corpora").iterdir()) for cache in (name, "."))
    assert ours.name == whole.name
    for file in whole.glob("*.npy"):
        np.testing.assert_array_equal(np.load(ours / file.name), np.load(file))
    rates = [np.genfromtxt(folder / run / "metrics.csv", delimiter=",", names=True)["lr"] for run in (name, "short")]
    np.testing.assert_array_equal(*rates)


@pytest.mark.parametrize(("number", "world"), [(signal.SIGTERM, 1), (signal.SIGUSR1, 1), (signal.SIGUSR1, 2)])
def test_a_signal_ends_the_run_after_a_checkpoint_and_it_goes_on(folder, number, world):
    name = f"{number.name}-{world}"
    children = fork_ranks(words(folder, name), world, folder / "log" / name)
    wait_for_rows(folder / name / "metrics.csv", 5)
    os.kill(children[-1], number)
    assert exit_codes(children) == [128 + number] * world
    assert f"stopped by {number.name}; the same command goes on" in (folder / "log" / name / "rank0").read_text()
    done = len(losses(folder / name))
    assert done < 40
    # Written at that very step, not at the last one that was due.
    assert checkpoints(folder / name)[-1].name == f"step_{done:06d}"
    if world == 1:
        assert main(words(folder, name)) == 0
        assert_same_run(folder, name)


def test_a_process_that_dies_ends_all(folder):
    children = fork_ranks(words(folder, "death"), 2, folder / "log" / "death")
    wait_for_rows(folder / "death" / "metrics.csv", 5)
    os.kill(children[1], signal.SIGKILL)
    assert exit_codes(children, 30) == [1, -signal.SIGKILL]
    said = (folder / "log" / "death" / "rank0").read_text()
    assert said.count("error: another process of the run stopped or can't be reached") == 1
    assert "Traceback" not in said
    assert main(words(folder, "death")) == 0
    np.testing.assert_allclose(losses(folder / "death"), losses(folder / "whole"), rtol=5e-3)


def test_a_process_that_hangs_ends_the_others_in_time(folder):
    children = fork_ranks(words(folder, "hang", "training.timeout=2"), 2, folder / "log" / "hang")
    wait_for_rows(folder / "hang" / "metrics.csv", 5)
    os.kill(children[1], signal.SIGSTOP)
    try:
        assert exit_codes(children[:1], 20) == [1]
    finally:
        os.kill(children[1], signal.SIGKILL)
        os.waitpid(children[1], 0)
    assert "another process of the run" in (folder / "log" / "hang" / "rank0").read_text()


def test_a_loss_that_is_not_finite_names_its_batch(folder, capsys):
    """Here the loss of the seventh step."""
    factors = iter([1.0] * 6 + [float("nan")] + [1.0] * 33)

    def poison(module, _, loss):
        return loss * next(factors) if isinstance(module, NTXentLoss) else None

    hook = register_module_forward_hook(poison)
    try:
        # Logged on every fifth step only: the step is named all the same.
        assert main(words(folder, "poisoned", "training.log_every=5")) == 2
    finally:
        hook.remove()
    said = capsys.readouterr().err.splitlines()[-1]
    assert "the loss is not finite from step 7 on; all values of its batch are finite: " in said
    assert checkpoints(folder / "poisoned")[-1].name == "step_000004"
    rows = read_rows(folder / "poisoned" / "not_finite_step_000007.csv")
    assert len(rows) == 8
    assert f"{rows[0]['scene']} at row {rows[0]['row']}, column {rows[0]['column']}" in said
    assert main(words(folder, "poisoned", "training.log_every=5")) == 0
    assert_same_weights(folder, "poisoned")


def test_a_corpus_that_changed_under_a_run_is_refused(folder, capsys):
    assert main(words(folder, "changed", "training.steps=4")) == 0
    cube = np.load(folder / "a.npy")
    try:
        np.save(folder / "a.npy", cube + (np.arange(16) == 3))
        assert main(words(folder, "changed", "training.steps=4")) == 2
    finally:
        np.save(folder / "a.npy", cube)
    assert "written with another corpus" in capsys.readouterr().err


def test_a_damaged_checkpoint_is_named(folder, capsys):
    assert main(words(folder, "damaged")) == 0
    with (folder / "damaged" / "step_000040" / "optimiser.pt").open("r+b") as stream:
        stream.truncate(100)
    assert main(words(folder, "damaged")) == 0
    assert "step_000040: damaged (optimiser.pt is not what was written)" in capsys.readouterr().err
    assert_same_run(folder, "damaged")


def test_two_machines_by_the_launch_line(folder):
    """`accelerate launch` once per machine, as on two computers; here they are one, over the loopback."""
    command = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_machines", "2"]
    command += ["--num_processes", "2", "--mixed_precision", "no", "--dynamo_backend", "no"]
    command += ["--num_cpu_threads_per_process", "1", "--main_process_ip", "127.0.0.1"]
    command += ["--main_process_port", str(free_port()), "--rdzv_backend", "static"]
    job = ["sslhsi/pretrain.py", *words(folder, "machines", "training.steps=5")]
    # --multi_gpu stands for torchrun, which the variable tells to use the CPU.
    env = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    machines = [
        subprocess.Popen(
            [*command, "--machine_rank", rank, *job], cwd=ROOT, env=env, stderr=subprocess.PIPE, text=True
        )
        for rank in "01"
    ]
    said = [machine.communicate(timeout=200)[1] for machine in machines]
    assert [machine.returncode for machine in machines] == [0, 0], said
    np.testing.assert_allclose(losses(folder / "machines"), losses(folder / "short"), rtol=1e-5)
    assert json.loads((folder / "machines" / "provenance.json").read_text())["processes"] == 2
    assert (folder / "machines" / "report.html").is_file()
