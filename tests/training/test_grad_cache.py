"""Gradient caching against the direct backward pass, on one process and on several."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
import torch.multiprocessing as mp
from torch import nn

from sslhsi.backbones.registry import create_backbone
from sslhsi.errors import InputError
from sslhsi.methods.base import Batch
from sslhsi.methods.registry import create_method, method_class
from sslhsi.methods.simclr import SimCLR
from sslhsi.training.grad_cache import cached_backward, check_micro_batch
from sslhsi.training.sync_batchnorm import synchronise_batchnorm

pytestmark = pytest.mark.slow


def model(name: str = "pixelnet", chunk: int = 4096) -> SimCLR:
    torch.manual_seed(3)
    options = {"width": 8, "depth": 1, "mixed": 8, "radii": [0, 2]} if name == "pixelnet" else {}
    # The head normalises over the batch: it must see the whole one.
    settings = {"hidden": 16, "output": 8, "temperature": 0.2, "chunk": chunk}
    return create_method("simclr", create_backbone(name, 4, 7, **options), settings).double().train()


def views() -> torch.Tensor:
    return torch.randn(2, 16, 4, 7, 7, generator=torch.Generator().manual_seed(5)).double()


def direct(network: SimCLR) -> torch.Tensor:
    loss, _ = network(Batch(list(views()), 0, 1, 0, 16, 0))
    loss.backward()
    return loss.detach()


def assert_same_gradients(ours: nn.Module, whole: nn.Module) -> None:
    for (name, a), b in zip(ours.named_parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-9, atol=1e-12, msg=name)
    for (name, a), b in zip(ours.named_buffers(), whole.buffers(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12, msg=name)


@pytest.mark.parametrize("micro_batch", [1, 5, 8, 32, 100])
def test_loss_and_gradients_are_those_of_the_whole_batch(micro_batch):
    whole, ours = model(), model(chunk=7)
    loss = direct(whole)
    cached = cached_backward(ours, list(views()), micro_batch, 0, nullcontext)
    torch.testing.assert_close(cached, loss, rtol=1e-12, atol=0)
    assert_same_gradients(ours, whole)


def test_dropout_drops_the_same_in_both_passes():
    class Dropping(nn.Module):
        num_features = 6

        def __init__(self) -> None:
            super().__init__()
            self.dropout, self.outputs = nn.Dropout(0.5), []

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.outputs.append(self.dropout(x.flatten(1)[:, :6]))
            return self.outputs[-1]

    network = create_method("simclr", Dropping(), {"hidden": 4, "output": 4}).double()
    cached_backward(network, list(views().requires_grad_()), 8, 7, nullcontext)
    first, second = network.backbone.outputs[:4], network.backbone.outputs[4:]
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    # Other parts drop other values.
    assert not torch.equal(first[0] == 0, first[1] == 0)


def _worker(rank: int, world: int, folder: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=world)
    network = model()
    synchronise_batchnorm(network, torch.device("cpu"))
    share = 16 // world
    mine = list(views()[:, rank * share : (rank + 1) * share])
    cached_backward(network, mine, 3, 0, nullcontext)
    state = {name: p.grad for name, p in network.named_parameters()}
    torch.save((state, dict(network.named_buffers())), f"{folder}/rank{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("world", [2, 4])
def test_on_several_processes(tmp_path, world):
    whole = model()
    direct(whole)
    mp.start_processes(_worker, (world, str(tmp_path)), nprocs=world, start_method="fork")
    for rank in range(world):
        grads, buffers = torch.load(tmp_path / f"rank{rank}.pt", weights_only=True)
        ours = model()
        ours.load_state_dict(buffers, strict=False)
        for name, parameter in ours.named_parameters():
            parameter.grad = grads[name]
        assert_same_gradients(ours, whole)


def test_a_backbone_that_normalises_over_the_batch_is_refused():
    simclr = method_class("simclr")
    check_micro_batch(simclr, "simclr", model().backbone, "pixelnet")
    with torch.device("meta"):
        network = create_backbone("hresnet", 4, 9)
    with pytest.raises(InputError, match=r"hresnet normalises over the batch \(layer norm\)"):
        check_micro_batch(simclr, "simclr", network, "hresnet")
