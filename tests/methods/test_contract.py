"""What every method keeps: members are found by their names, so that a new one is tested as it is written."""

from __future__ import annotations

import copy
import json
import math
import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from safetensors.numpy import load_file
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import sslhsi
from sslhsi.errors import InputError
from sslhsi.files import read_rows
from sslhsi.methods.base import Batch, JointEmbedding, Method
from sslhsi.methods.registry import create_method, method_class
from sslhsi.pretrain import main
from sslhsi.recipe import Views
from sslhsi.training.grad_cache import cached_backward
from sslhsi.training.optimiser import optimiser, parameter_groups
from sslhsi.training.sync_batchnorm import synchronise_batchnorm

METHODS = sslhsi.list_methods()
# Convolutions, batch normalisation, attention, and pixels without neighbours: name, channels, window, options.
BACKBONES = {
    "hybridsn": (15, 9, {}),
    "timm/resnet10t": (4, 16, {"zero_init_last": False, "small_window": False}),
    "timm/vit_tiny_patch16_224": (4, 16, {"patch_size": 4, "depth": 1, "embed_dim": 12, "num_heads": 3}),
    "pixelnet": (4, 9, {"width": 8, "depth": 1, "mixed": 8, "radii": [0, 3]}),
}
# Small heads, for all methods that have them.
SMALL = {"hidden": 16, "output": 8}
# Networks of methods that don't take all.
ONLY = {"mae": ["timm/vit_tiny_patch16_224"]}
RECIPE = """
name: small
corpus:
  scenes:
    - {path: FOLDER/a.npy, background: none, domain: a, labels: FOLDER/a_gt.npy}
    - {path: FOLDER/b.npy, background: none, domain: b}
  bands: {grid: 16, components: 4, align: index}
  patches: {window: 8, stride: 4}
backbone: {name: NETWORK, options: OPTIONS}
training: {steps: 4, batch_size: 8, checkpoint_every: 2, log_every: 1, monitor_every: 0, precision: fp32}
evaluation: {tasks: []}
"""


def network_for(name: str, network: str = "pixelnet") -> str:
    """The network, or one that the method takes."""
    return network if network in ONLY.get(name, BACKBONES) else ONLY[name][0]


def small(name: str, backbone: nn.Module) -> Method:
    """A method with narrow heads."""
    known = method_class(name).Options.model_fields
    return create_method(name, backbone, {key: value for key, value in SMALL.items() if key in known})


def method_on(name: str, network: str) -> Method:
    channels, window, options = BACKBONES[network]
    torch.manual_seed(3)
    return small(name, sslhsi.create_backbone(network, channels, window, **options)).train()


def batch_for(method: Method, channels: int, window: int, n: int = 8, step: int = 0) -> Batch:
    """Views of random samples, as many as the method asks for, in double precision; some are labelled."""
    rng = torch.Generator().manual_seed(step)
    samples = torch.randn(n, channels, window, window, generator=rng).double()
    noise = [torch.randn(samples.shape, generator=rng).double() for _ in method.view_settings(Views())]
    labels = torch.randint(-1, 2, (n,), generator=rng)
    return Batch([samples + 0.3 * x for x in noise], step, 4, 0, n, 0, labels, torch.arange(n) % 2)


def part_of(batch: Batch, first: int, n: int) -> Batch:
    """What one process gets of a global batch."""
    rows = slice(first, first + n)
    views, labels, scenes = [view[rows] for view in batch.views], batch.labels[rows], batch.scenes[rows]
    return batch._replace(views=views, labels=labels, scenes=scenes, first=first)


def step_of(method: Method, model: nn.Module, solver: torch.optim.Optimizer, batch: Batch) -> torch.Tensor:
    """One step as the main job takes it; returns the loss."""
    solver.zero_grad()
    loss, columns = model(batch)
    assert set(columns) == set(method.columns)
    assert all(value.ndim == 0 and value.isfinite() and not value.requires_grad for value in columns.values())
    loss.backward()
    solver.step()
    method.after_step(batch.step, batch.steps)
    return loss.detach()


@pytest.mark.slow
@pytest.mark.parametrize("network", BACKBONES)
@pytest.mark.parametrize("name", METHODS)
def test_trains(name, network):
    """What is trained lowers the loss of a batch, and every weight of the exported network moves."""
    if network != network_for(name, network):
        with pytest.raises(InputError, match=rf"^method\.name: {name} .*{ONLY[name][0]}.*, not {network}; "):
            method_on(name, network)
        return
    method = method_on(name, network).double()
    for module in method.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0  # or chance would decide whether it falls
    untrained = copy.deepcopy(method)
    solver = optimiser("adamw", parameter_groups(method, 1e-3, 0.0))
    batch = batch_for(method, *BACKBONES[network][:2])
    losses = [float(step_of(method, method, solver, batch._replace(step=step))) for step in range(4)]
    assert all(map(math.isfinite, losses))
    before = untrained.exported().state_dict()
    for key, value in method.exported().named_parameters():
        assert not torch.equal(value, before[key]), f"{key} has not moved"
    # The targets of a moving average or a centre move, too: both are asked for those of the end.
    reset = copy.deepcopy(method)
    for value, first in zip(reset.parameters(), untrained.parameters(), strict=True):
        value.data.copy_(first.data if value.requires_grad else value.data)
    with torch.no_grad():
        assert float(method(batch)[0]) < float(reset(batch)[0])
    assert method.exported()(batch.views[0]).shape == (8, method.exported().num_features)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, one_thread) -> Path:
    """A recipe on two scenes."""
    folder = tmp_path_factory.mktemp("methods")
    for n, name in enumerate("ab"):
        rng = np.random.default_rng(n)
        cube = rng.random((6, 6, 16)).repeat(4, 0).repeat(4, 1) + 0.1 * rng.random((24, 24, 16))
        np.save(folder / f"{name}.npy", cube.astype(np.float32))
    np.save(folder / "a_gt.npy", np.random.default_rng(2).integers(0, 3, (24, 24)).astype(np.uint8))
    for network in ("pixelnet", "timm/vit_tiny_patch16_224"):
        text = RECIPE.replace("FOLDER", str(folder)).replace("NETWORK", network)
        text = text.replace("OPTIONS", json.dumps(BACKBONES[network][2]))
        (folder / f"{network.split('/')[-1]}.yaml").write_text(text)
    return folder


def recipe_for(folder: Path, name: str) -> str:
    return str(folder / f"{network_for(name).split('/')[-1]}.yaml")


def pretrain(folder: Path, run: str, name: str, *more: str) -> int:
    options = {key: value for key, value in SMALL.items() if key in method_class(name).Options.model_fields}
    words = [f"output={folder / run}", f"corpus.cache={folder / 'corpora'}", f"method.name={name}"]
    return main([recipe_for(folder, name), *words, f"method.options={options}", *more])


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_a_run_that_was_killed_ends_bit_for_bit_like_one_that_was_not(folder, name):
    killed = folder / f"{name}-killed"
    assert pretrain(folder, killed.name, name) == 0
    whole = shutil.copytree(killed, folder / f"{name}-whole")
    # As if it had been killed after step 2.
    shutil.rmtree(killed / "step_000004")
    shutil.rmtree(killed / "backbone")
    assert pretrain(folder, killed.name, name) == 0
    assert (killed / "backbone").is_dir()
    for file in ("backbone/model.safetensors", "step_000004/model.safetensors"):
        ours, wanted = load_file(killed / file), load_file(whole / file)
        assert ours.keys() == wanted.keys()
        for key, value in wanted.items():
            np.testing.assert_array_equal(ours[key], value, err_msg=key)
    tables = [
        [{**row, "patches_per_second": ""} for row in read_rows(run / "metrics.csv")] for run in (whole, killed)
    ]
    assert tables[0] == tables[1]
    assert set(method_class(name).columns) < tables[0][0].keys()


class Outcome(NamedTuple):
    """What a step leaves: its loss, the gradients, and all that lasts."""

    loss: torch.Tensor
    gradients: dict[str, torch.Tensor]
    state: dict[str, torch.Tensor]


def outcome(name: str, network: str, rank: int = 0, world: int = 1) -> Outcome:
    """Two steps of a method, the second on other samples; the gradients are those of the second."""
    method = method_on(name, network).double()
    channels, window, _ = BACKBONES[network]
    if world > 1:
        synchronise_batchnorm(method, torch.device("cpu"))
    model = DistributedDataParallel(method, broadcast_buffers=False) if world > 1 else method
    solver = optimiser("sgd", parameter_groups(method, 0.05, 0.0))
    for step in range(2):
        whole = batch_for(method, channels, window, step=step)
        share = whole.total // world
        loss = step_of(method, model, solver, part_of(whole, rank * share, share))
    if world > 1:
        torch.distributed.all_reduce(loss)
    gradients = {key: p.grad for key, p in method.named_parameters() if p.grad is not None}
    return Outcome(loss / world, gradients, method.state_dict())


def _worker(rank: int, world: int, folder: str, network: str) -> None:
    torch.set_num_threads(1)
    store = f"file://{folder}/store"
    torch.distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=world)
    outcomes = [tuple(outcome(name, network_for(name, network), rank, world)) for name in METHODS]
    torch.save(outcomes, f"{folder}/rank{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize("network", ["timm/resnet10t", "pixelnet"])
def test_two_processes_equal_one_with_the_global_batch(tmp_path, network):
    """Loss, gradients, and the state after the step: batch statistics and moving averages, too."""
    mp.start_processes(_worker, (2, str(tmp_path), network), nprocs=2, start_method="fork")
    for rank in range(2):
        for name, of_rank in zip(METHODS, torch.load(tmp_path / f"rank{rank}.pt", weights_only=True), strict=True):
            ours, whole = Outcome(*of_rank), outcome(name, network_for(name, network))
            torch.testing.assert_close(ours.loss, whole.loss, rtol=1e-9, atol=1e-12)
            for one, other in ((ours.gradients, whole.gradients), (ours.state, whole.state)):
                assert one.keys() == other.keys()
                for key, value in other.items():
                    torch.testing.assert_close(one[key], value, rtol=1e-7, atol=1e-10, msg=f"{name} {key}")


@pytest.mark.parametrize("name", METHODS)
def test_the_optimiser_gets_what_is_trained_and_a_checkpoint_all_that_lasts(name):
    network = network_for(name)
    method = method_on(name, network).double()
    given = {id(p) for group in parameter_groups(method, 0.1, 0.0) for p in group["params"]}
    assert given == {id(p) for p in method.parameters() if p.requires_grad}
    solver = optimiser("sgd", parameter_groups(method, 0.1, 0.0))
    batch = batch_for(method, *BACKBONES[network][:2])
    step_of(method, method, solver, batch)
    # Another method of the same name that is given the state goes on as this one does.
    torch.manual_seed(99)
    other = small(name, copy.deepcopy(method.backbone)).double().train()
    other.load_state_dict(method.state_dict())
    torch.manual_seed(0)
    wanted, _ = method(batch)
    torch.manual_seed(0)
    torch.testing.assert_close(other(batch)[0], wanted, rtol=0, atol=0)


@pytest.mark.parametrize("name", METHODS)
def test_a_wrong_option_names_the_nearest_right_one(name):
    channels, window, options = BACKBONES[network_for(name)]
    backbone = sslhsi.create_backbone(network_for(name), channels, window, **options)
    for right in method_class(name).Options.model_fields:
        wrong = right[:-1] if len(right) > 3 else right + "x"
        with pytest.raises(InputError, match=rf"unknown key 'method\.options\.{wrong}'; did you mean '{right}'\?"):
            create_method(name, backbone, {wrong: 1})
        with pytest.raises(InputError, match=rf"^method\.options\.{right}: .* not 'much'"):
            create_method(name, backbone, {right: "much"})


def test_wrong_methods_are_refused_before_any_work(folder, capsys):
    recipe = recipe_for(folder, "simclr")
    for word, message in (
        ("method.name=simcrl", "method.name: unknown method 'simcrl'; did you mean 'simclr'?"),
        ("method.name=supervised", f"unknown method 'supervised'; it may be {', '.join(METHODS)}"),
        ("method.options.temperatur=1", "unknown key 'method.options.temperatur'; did you mean 'temperature'?"),
        ("method.options.temperature=0", "method.options.temperature: Input should be greater than 0, not 0"),
    ):
        assert main([recipe, word, f"output={folder / 'wrong'}", f"corpus.cache={folder / 'none'}"]) == 2
        assert message in capsys.readouterr().err
    assert not (folder / "none").exists()


@pytest.mark.parametrize("name", METHODS)
def test_gradient_caching_gives_the_direct_gradients_or_is_refused(folder, capsys, name):
    if not issubclass(method_class(name), JointEmbedding):
        assert pretrain(folder, "cached", name, "training.micro_batch=2") == 2
        said = capsys.readouterr().err
        assert f"error: training.micro_batch: {name} " in said
        assert "set training.micro_batch=0" in said
        return
    whole, ours = method_on(name, "pixelnet").double(), method_on(name, "pixelnet").double()
    batch = batch_for(whole, 4, 9)
    loss, _ = whole(batch)
    loss.backward()
    cached = cached_backward(ours, batch.views, 3, 0, nullcontext)
    torch.testing.assert_close(cached, loss.detach(), rtol=1e-12, atol=0)
    for (key, one), other in zip(ours.named_parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-9, atol=1e-12, msg=key)
