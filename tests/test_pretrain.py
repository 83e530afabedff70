"""The main job: end to end, interrupted, resumed, and on two processes."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from sslhsi.hub import load_backbone
from sslhsi.patches.corpus import Corpus
from sslhsi.patches.reader import PatchReader
from sslhsi.pretrain import main
from sslhsi.probes.features import features

ROOT = Path(__file__).parents[1]
RECIPE = """
name: small
corpus:
  scenes:
    - {simulated: paper, index: 0, size: [72, 72]}
    - {simulated: paper, index: 1, size: [72, 72], holdout: true}
    - {simulated: grapes, index: 0, size: [72, 72]}
    - {simulated: grapes, index: 1, size: [72, 72], holdout: true}
  bands: {grid: 64, components: 8, scope: train}
  patches: {window: 16, stride: 4, min_foreground: 0.2}
backbone: {name: pixelnet, options: {width: 8, depth: 1, mixed: 8, radii: [0, 3]}}
objective: {hidden: 16, output: 8}
training: {steps: 12, batch_size: 8, checkpoint_every: 4, log_every: 1}
evaluation: {tasks: []}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Iterator[Path]:
    """A recipe, its prepared corpus, and a run that nothing disturbed."""
    # The number of threads decides the order of sums; launched processes get one, too.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("job")
    (folder / "recipe.yaml").write_text(RECIPE)
    assert (
        run(folder, "whole", "evaluation.tasks=[domain,pixels]", "evaluation.per_class=[2]", "evaluation.seeds=2")
        == 0
    )
    yield folder
    torch.set_num_threads(threads)


def corpus_of(folder: Path, run: str, cache: str = "corpora") -> Corpus:
    return Corpus(folder / cache / json.loads((folder / run / "provenance.json").read_text())["corpus"]["key"])


def words(folder: Path, name: str, *more: str) -> list[str]:
    return [str(folder / "recipe.yaml"), f"output={folder / name}", f"corpus.cache={folder / 'corpora'}", *more]


def run(folder: Path, name: str, *more: str) -> int:
    return main(words(folder, name, *more))


def launch(folder: Path, name: str, *more: str, processes: int = 1) -> subprocess.Popen:
    command = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_machines", "1"]
    command += ["--num_processes", str(processes), "--mixed_precision", "no", "--dynamo_backend", "no"]
    command += ["--num_cpu_threads_per_process", "1", "--main_process_port", "0"]
    return subprocess.Popen(
        [*command, "sslhsi/pretrain.py", *words(folder, name, *more)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def weights(folder: Path, name: str) -> dict[str, np.ndarray]:
    return load_file(folder / name / "backbone" / "model.safetensors")


def metrics(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / name / "metrics.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_run_directory(folder):
    found = {p.name for p in (folder / "whole").iterdir()}
    wanted = {
        "recipe.yaml",
        "provenance.json",
        "metrics.csv",
        "results.csv",
        "tensorboard",
        "backbone",
        "report.html",
    }
    assert wanted | {"step_000008", "step_000012"} <= found
    assert "step_000004" not in found
    facts = json.loads((folder / "whole" / "provenance.json").read_text())
    assert facts["corpus"]["scenes"].keys() == {"paper-0", "paper-1", "grapes-0", "grapes-1"}
    assert [int(row["step"]) for row in metrics(folder, "whole")] == list(range(1, 13))
    with (folder / "whole" / "results.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["method"] for row in rows} >= {"pretrained", "random weights"}
    assert {row["task"] for row in rows} == {"domain", "pixels"}
    assert all(0 <= float(row["oa"]) <= 100 for row in rows if row["oa"])


def test_the_backbone_encodes_as_the_corpus_was_seen(folder):
    """encode() on a raw cube equals the features of the same windows of the prepared corpus."""
    from sslhsi.scenes.simulated import simulate_domain

    encoder = load_backbone(folder / "whole" / "backbone")
    corpus = corpus_of(folder, "whole")
    windows = corpus.windows(recipe_patches())
    windows = windows[windows[:, 0] == 0][::7]
    expected = features(encoder.backbone, PatchReader(corpus.arrays, 16), windows)
    scene = simulate_domain("paper", index=0, seed=0, size=(72, 72))
    encoded = encoder.encode(scene.cube, scene.wavelengths)
    assert encoded.shape == (57, 57, encoder.num_features)
    np.testing.assert_allclose(encoded[windows[:, 1], windows[:, 2]], expected, rtol=1e-3, atol=1e-4)


def recipe_patches():
    from sslhsi.recipe import Patches

    return Patches(window=16, stride=4, min_foreground=0.2)


def test_killed_in_mid_epoch_and_resumed_bit_for_bit(folder):
    process = launch(folder, "killed")
    deadline = time.monotonic() + 120
    table = folder / "killed" / "metrics.csv"
    # Past the checkpoint of step 4, before that of step 8.
    while not (table.exists() and table.read_text().count("\n") > 5) and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (folder / "killed" / "step_000012").exists()
    assert run(folder, "killed") == 0
    assert [row["loss"] for row in metrics(folder, "killed")] == [row["loss"] for row in metrics(folder, "whole")]
    for name, value in weights(folder, "whole").items():
        np.testing.assert_array_equal(weights(folder, "killed")[name], value)


def test_a_damaged_checkpoint_is_passed_over(folder):
    assert run(folder, "damaged", "training.steps=12") == 0
    newest = folder / "damaged" / "step_000012" / "model.safetensors"
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    (folder / "damaged" / "backbone" / "model.safetensors").unlink()
    assert run(folder, "damaged") == 0
    assert [int(row["step"]) for row in metrics(folder, "damaged")] == list(range(1, 13))
    for name, value in weights(folder, "whole").items():
        np.testing.assert_array_equal(weights(folder, "damaged")[name], value)


@pytest.mark.parametrize(
    "backbone",
    [
        ["backbone.name=hybridsn", "backbone.options={pool: avg}", "corpus.bands.components=15"],
        ["backbone.name=ainet", "backbone.options={}", "corpus.bands.components=null"],
        ["backbone.name=resnet10t", "backbone.options={}"],
    ],
    ids=["hybridsn", "ainet", "timm"],
)
def test_published_networks_go_through_the_main_job(folder, backbone):
    """In bfloat16, too, and with the other optimisers."""
    more = ["training.steps=1", "training.precision=bf16", "training.optimizer=lars", "evaluation.tasks=[]"]
    name = backbone[0].split("=")[1]
    in_bf16 = "from sslhsi.pretrain import main; import sys; sys.exit(main(sys.argv[1:]))"
    # A process of its own, because Accelerate keeps one precision for the life of a process.
    command = [sys.executable, "-c", in_bf16, *words(folder, name, *backbone, *more)]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    encoder = load_backbone(folder / name / "backbone")
    cube = np.random.default_rng(0).random((16, 18, 40))
    assert encoder.encode(cube, np.linspace(380, 1020, 40)).shape == (1, 3, encoder.num_features)


def test_a_loss_that_is_not_finite_stops_the_run_before_it_is_saved(folder, capsys):
    assert run(folder, "nan", "training.lr=1e30", "training.warmup=0.0", "training.log_every=100") == 2
    assert "lower training.lr" in capsys.readouterr().err
    assert not (folder / "nan" / "step_000012").exists()


def test_another_recipe_does_not_resume(folder, capsys):
    assert run(folder, "whole", "training.lr=0.5") == 2
    assert "written with another recipe" in capsys.readouterr().err


def test_never_resuming_does_not_mix_with_older_checkpoints(folder, capsys):
    assert run(folder, "whole", "training.resume=never") == 2
    assert "holds checkpoints" in capsys.readouterr().err


def test_two_processes_train_as_one(folder):
    process = launch(folder, "two", f"corpus.cache={folder / 'corpora2'}", processes=2)
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors
    # Each process streamed and wrote its own scenes; the corpus is the one that a single process makes.
    first, second = corpus_of(folder, "whole"), corpus_of(folder, "two", "corpora2")
    assert first.key == second.key
    for a, b in zip(first.arrays, second.arrays, strict=True):
        np.testing.assert_array_equal(a, b)
    one = np.array([float(row["loss"]) for row in metrics(folder, "whole")])
    two = np.array([float(row["loss"]) for row in metrics(folder, "two")])
    # AdamW divides by the root of tiny second moments, so that rounding grows over the steps.
    np.testing.assert_allclose(two[:3], one[:3], rtol=1e-3)
    np.testing.assert_allclose(two, one, rtol=0.1)


def test_two_runs_in_one_directory_are_refused(folder, capsys):
    from sslhsi.training.run_dir import claim

    with claim(folder / "busy"):
        assert run(folder, "busy") == 2
    assert "another run is at work here" in capsys.readouterr().err


def test_the_launch_line_reports_bad_input_without_a_traceback(folder):
    process = launch(folder, "bad", "training.stepps=3")
    _, errors = process.communicate(timeout=120)
    assert process.returncode != 0
    assert "unknown key 'training.stepps'; did you mean 'steps'" in errors
