"""NT-Xent against lightly's, and two processes against one with the global batch."""

from __future__ import annotations

import pytest
import torch
import torch.multiprocessing as mp
from lightly.loss import NTXentLoss as LightlyNTXent
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from sslhsi.objectives.ntxent import NTXentLoss
from sslhsi.training.sync_batchnorm import synchronise_batchnorm


@pytest.mark.parametrize("temperature", [0.05, 0.1, 0.5])
@pytest.mark.parametrize("n", [2, 7, 64])
def test_equals_lightly_in_value_and_gradient(temperature, n):
    torch.manual_seed(n)
    ours = [torch.randn(n, 16, requires_grad=True) for _ in range(2)]
    theirs = [z.detach().clone().requires_grad_() for z in ours]
    a = NTXentLoss(temperature)(*ours)
    b = LightlyNTXent(temperature)(*theirs)
    torch.testing.assert_close(a, b)
    a.backward()
    b.backward()
    for x, y in zip(ours, theirs, strict=True):
        torch.testing.assert_close(x.grad, y.grad, rtol=1e-4, atol=1e-7)


def test_identical_views_of_orthogonal_samples():
    """With orthogonal samples and equal views the loss has a closed form."""
    z = torch.eye(4)
    expected = torch.log(1 + 6 * torch.exp(torch.tensor(-10.0)))
    torch.testing.assert_close(NTXentLoss(0.1)(z, z), expected)


def test_autocast_does_not_coarsen_it():
    z1, z2 = torch.randn(32, 64), torch.randn(32, 64)
    plain = NTXentLoss(0.1)(z1, z2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(NTXentLoss(0.1)(z1, z2), plain)


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="z1 and z2"):
        NTXentLoss()(torch.zeros(3, 2), torch.zeros(4, 2))
    with pytest.raises(ValueError, match="temperature"):
        NTXentLoss(0.0)


def network(norm: bool) -> nn.Module:
    torch.manual_seed(1)
    layers = [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8) if norm else nn.Identity(), nn.Tanh(), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(8 * 9, 16)).double()


def views() -> torch.Tensor:
    return torch.randn(2, 8, 3, 5, 5, generator=torch.Generator().manual_seed(2)).double()


def gradients(model: nn.Module) -> list[torch.Tensor]:
    return [p.grad.clone() for p in model.parameters()]


def _worker(rank: int, world: int, folder: str, norm: bool) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=world)
    plain = network(norm)
    synchronise_batchnorm(plain, torch.device("cpu"))
    model = DistributedDataParallel(plain, broadcast_buffers=False)
    share = 8 // world
    own = views()[:, rank * share : (rank + 1) * share]
    loss = NTXentLoss(0.1)(*model(own.flatten(0, 1)).chunk(2))
    loss.backward()
    total = loss.detach().clone()
    torch.distributed.all_reduce(total)
    buffers = {k: v for k, v in plain.state_dict().items() if "running" in k}
    torch.save((total / world, gradients(plain), buffers), f"{folder}/rank{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("norm", [False, True], ids=["plain", "batchnorm"])
def test_two_ranks_equal_one_process_with_the_global_batch(tmp_path, norm):
    model = network(norm)
    loss = NTXentLoss(0.1)(*model(views().flatten(0, 1)).chunk(2))
    loss.backward()
    # Forked, because importing torch anew takes longer than the test; the workers use one thread.
    mp.start_processes(_worker, (2, str(tmp_path), norm), nprocs=2, start_method="fork")
    close = {"rtol": 1e-9, "atol": 1e-12}
    for rank in range(2):
        value, grads, buffers = torch.load(tmp_path / f"rank{rank}.pt", weights_only=True)
        torch.testing.assert_close(value, loss.detach(), **close)
        for ours, whole in zip(grads, gradients(model), strict=True):
            torch.testing.assert_close(ours, whole, **close)
        for name, value in buffers.items():
            torch.testing.assert_close(value, model.state_dict()[name], **close)
