"""The main job: end to end, interrupted, resumed, and on two processes."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from forked_job import assert_same_weights, weights, words

from sslhsi.backbones.fast import fastest_safe_setting
from sslhsi.backbones.registry import create_backbone, list_backbones
from sslhsi.corpus.corpus import Corpus
from sslhsi.corpus.reader import PatchReader
from sslhsi.encoder.features import features
from sslhsi.encoder.load import load_backbone
from sslhsi.errors import InputError
from sslhsi.files import read_rows
from sslhsi.pretrain import main
from sslhsi.recipe import Patches

pytestmark = pytest.mark.slow

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
method: {options: {hidden: 16, output: 8}}
training: {steps: 12, batch_size: 8, checkpoint_every: 4, log_every: 1}
evaluation: {tasks: []}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory, one_thread) -> Path:
    """A recipe, its prepared corpus, and a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("job")
    (folder / "recipe.yaml").write_text(RECIPE)
    evaluated = ["evaluation.tasks=[domain,pixels]", "evaluation.per_class=[2]", "evaluation.seeds=2"]
    assert run(folder, "whole", *evaluated) == 0
    return folder


def corpus_of(folder: Path, run: str, cache: str = "corpora") -> Corpus:
    key = json.loads((folder / run / "provenance.json").read_text())["corpus"]["key"]
    (prepared,) = (folder / cache).glob(f"{key}*")
    return Corpus(prepared)


def run(folder: Path, name: str, *more: str) -> int:
    return main(words(folder, name, *more))


def launch(folder: Path, name: str, *more: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_machines", "1"]
    command += ["--num_processes", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
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


def metrics(folder: Path, name: str) -> list[dict[str, str]]:
    return read_rows(folder / name / "metrics.csv")


def test_the_run_directory(folder):
    written = {p.name for p in (folder / "whole").iterdir()}
    wanted = {"recipe.yaml", "provenance.json", "metrics.csv", "results.csv", "tensorboard", "backbone"}
    assert wanted | {"report.html", "step_000008", "step_000012"} <= written
    assert "step_000004" not in written
    record = json.loads((folder / "whole" / "provenance.json").read_text())
    assert record["corpus"]["scenes"].keys() == {"paper-0", "paper-1", "grapes-0", "grapes-1"}
    assert [int(row["step"]) for row in metrics(folder, "whole")] == list(range(13))
    rows = read_rows(folder / "whole" / "results.csv")
    assert {row["method"] for row in rows} >= {"pretrained", "random weights"}
    assert {row["task"] for row in rows} == {"domain", "pixels"}
    assert all(0 <= float(row["oa"]) <= 100 for row in rows if row["oa"])


def test_the_backbone_encodes_as_the_corpus_was_seen(folder):
    """encode() on a raw cube equals the features of the same windows of the prepared corpus."""
    from sslhsi.scenes.simulated.scenes import simulate_domain

    encoder = load_backbone(folder / "whole" / "backbone")
    corpus = corpus_of(folder, "whole")
    windows = corpus.windows(Patches(window=16, stride=4, min_foreground=0.2))
    windows = windows[windows[:, 0] == 0][::7]
    expected = features(encoder.backbone, PatchReader(corpus.arrays, 16), windows)
    scene = simulate_domain("paper", index=0, seed=0, size=(72, 72))
    encoded = encoder.encode(scene.cube, scene.wavelengths)
    assert encoded.shape == (57, 57, encoder.num_features)
    np.testing.assert_allclose(encoded[windows[:, 1], windows[:, 2]], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.usefixtures("without_pictures")
def test_killed_in_mid_epoch_and_resumed_bit_for_bit(folder):
    process = launch(folder, "killed")
    deadline = time.monotonic() + 120
    table = folder / "killed" / "metrics.csv"
    # Past the checkpoint of step 4, before that of step 8.
    while not (table.exists() and table.read_text().count("\n") > 6) and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (folder / "killed" / "step_000012").exists()
    assert run(folder, "killed") == 0
    assert [row["loss"] for row in metrics(folder, "killed")] == [row["loss"] for row in metrics(folder, "whole")]
    assert_same_weights(folder, "killed")


@pytest.mark.usefixtures("without_pictures")
def test_a_damaged_checkpoint_is_passed_over(folder):
    assert run(folder, "damaged", "training.steps=12") == 0
    newest = folder / "damaged" / "step_000012" / "model.safetensors"
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    (folder / "damaged" / "backbone" / "model.safetensors").unlink()
    assert run(folder, "damaged") == 0
    assert [int(row["step"]) for row in metrics(folder, "damaged")] == list(range(13))
    assert_same_weights(folder, "damaged")


NETWORKS = """
name: networks
corpus:
  scenes:
    - {simulated: paper, index: 0, size: [36, 36]}
    - {simulated: paper, index: 1, size: [36, 36], holdout: true}
    - {simulated: grapes, index: 0, size: [36, 36]}
    - {simulated: grapes, index: 1, size: [36, 36], holdout: true}
  bands: {grid: 96, components: 15, scope: train}
  patches: {window: 9, stride: 27, min_foreground: 0.0}
backbone: {name: hybridsn}
method: {options: {hidden: 16, output: 8}}
training: {steps: 1, batch_size: 2, monitor_every: 0}
evaluation: {tasks: [], k: 1, per_class: [1], seeds: 1}
"""
# What to feed a network, the cheapest that it takes: components, or all bands (None), and the window.
INPUTS = [(15, 9), (15, 27), (None, 9), (None, 27)]


@pytest.fixture
def network(folder, without_pictures) -> Callable[..., int]:
    """``network(run, key=value, ...)``: a run on scenes so small that any network is quick."""
    (folder / "networks.yaml").write_text(NETWORKS)
    return lambda name, *more: main([str(folder / "networks.yaml"), *words(folder, name, *more)[1:]])


def input_of(name: str) -> tuple[int | None, int]:
    for components, window in INPUTS:
        with suppress(InputError), torch.device("meta"):
            create_backbone(name, components or 96, window)
            return components, window
    raise AssertionError(f"{name} takes none of the inputs that this test has; give it one more")


@pytest.mark.parametrize("name", [*list_backbones(), "timm/resnet10t"])
def test_every_network_trains_a_step_and_is_judged(folder, network, name, capsys):
    components, window = input_of(name)
    run, bands = folder / name, "null" if components is None else str(components)
    # timm's zeros at the end of each residual branch would keep the branch still for a step.
    options = {} if name in list_backbones() else {"zero_init_last": False}
    more = [f"backbone.name={name}", f"backbone.options={options}"]
    more += [f"corpus.bands.components={bands}", f"corpus.patches.window={window}"]
    assert network(name, *more, "evaluation.tasks=[domain]") == 0
    assert math.isfinite(float(metrics(folder, name)[-1]["loss"]))
    rows = read_rows(run / "results.csv")
    assert {row["method"] for row in rows if row["oa"]} >= {"pretrained", "random weights"}

    trained = load_backbone(run / "backbone").backbone
    assert trained(torch.zeros(1, components or 96, window, window)).shape == (1, trained.num_features)
    torch.manual_seed(0)
    before = create_backbone(name, components or 96, window, **options).state_dict()
    for key, value in trained.named_parameters():
        assert value.isfinite().all()
        assert not torch.equal(value, before[key]), f"{key} has not moved"

    # What became of a stem made for RGB images is printed and kept.
    stem = json.loads((run / "provenance.json").read_text()).get("stem")
    assert (stem is None) == (name in list_backbones())
    if stem:
        assert stem["model"] == "resnet10t"
        assert f"small window {stem['small_window']}" in capsys.readouterr().err


def test_bfloat16_with_lars(folder, network):
    """The forward pass is rounded, the loss is not far off, and what is saved is float32."""
    for precision in ("fp32", "bf16"):
        assert network(precision, f"training.precision={precision}", "training.optimizer=lars") == 0
        record = json.loads((folder / precision / "provenance.json").read_text())
        assert record["setting"]["precision"] == precision
    full, half = (float(metrics(folder, name)[-1]["loss"]) for name in ("fp32", "bf16"))
    assert half != full
    assert half == pytest.approx(full, rel=0.05)
    assert all(value.dtype == np.float32 for value in weights(folder, "bf16").values())


def test_precision_and_layout_are_chosen_before_training_and_kept(folder, network, capsys):
    assert network("auto") == 0
    chosen = fastest_safe_setting(create_backbone("hybridsn", 15, 9), "cpu")
    setting = json.loads((folder / "auto" / "provenance.json").read_text())["setting"]
    assert setting["precision"] == ("bf16" if chosen["autocast_dtype"] else "fp32")
    assert setting["memory_format"] == chosen["memory_format"]
    assert "trains in {precision}, {memory_format}: {why}".format(**setting) in capsys.readouterr().err
    # As on other hardware, where the same recipe would go on in another precision.
    other = "fp32" if chosen["autocast_dtype"] else "bf16"
    assert network("auto", f"training.precision={other}") == 2
    assert "written with another precision" in capsys.readouterr().err


def test_a_network_in_another_layout_resumes_bit_for_bit(folder, network):
    steps = ["training.steps=2", "training.checkpoint_every=1"]
    assert network("unbroken", *steps) == 0
    assert network("broken", *steps) == 0
    shutil.rmtree(folder / "broken" / "step_000002")
    (folder / "broken" / "backbone" / "model.safetensors").unlink()
    assert network("broken", *steps) == 0
    assert_same_weights(folder, "broken", "unbroken")


def test_from_window_32_to_25_with_what_fits(folder, network, capsys):
    assert network("at-32", "corpus.patches.window=32") == 0
    # A rate that moves nothing, so that what the run ends with is what it began with.
    still = ["corpus.patches.window=25", "training.lr=1e-30", f"backbone.weights={folder / 'at-32' / 'backbone'}"]
    capsys.readouterr()
    assert network("at-25", *still) == 0
    first, second = weights(folder, "at-32"), weights(folder, "at-25")
    record = json.loads((folder / "at-25" / "provenance.json").read_text())["weights"]
    assert set(record["not_carried"]) == {"dense_1.weight", "dense_1.bias"}
    assert set(record["carried"]) == first.keys() - record["not_carried"].keys()
    for name in record["carried"]:
        np.testing.assert_allclose(second[name], first[name], rtol=0, atol=1e-20)
    assert first["dense_1.weight"].shape != second["dense_1.weight"].shape
    assert f"{record['source']}: {record['summary']}" in capsys.readouterr().err

    # The same values from another place go on from the checkpoint; other values don't.
    file = folder / "at-32" / "backbone" / "model.safetensors"
    assert network("at-25", *still[:2], f"backbone.weights={file}") == 0
    assert network("at-25", *still[:2]) == 2
    assert "written with another initialisation" in capsys.readouterr().err


def test_a_loss_that_is_not_finite_stops_the_run_before_it_is_saved(folder, capsys):
    assert run(folder, "nan", "training.lr=1e30", "training.warmup=0.0", "training.log_every=100") == 2
    assert "lower training.lr" in capsys.readouterr().err
    assert not (folder / "nan" / "step_000012").exists()


def test_another_recipe_does_not_resume(folder, capsys):
    before = {name: (folder / "whole" / name).read_text() for name in ("recipe.yaml", "provenance.json")}
    assert run(folder, "whole", "training.lr=0.5") == 2
    assert "written with another recipe" in capsys.readouterr().err
    assert before == {name: (folder / "whole" / name).read_text() for name in before}


def test_never_resuming_does_not_mix_with_older_checkpoints(folder, capsys):
    assert run(folder, "whole", "training.resume=never") == 2
    assert "holds checkpoints" in capsys.readouterr().err


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
