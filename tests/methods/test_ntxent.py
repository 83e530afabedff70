"""NT-Xent against lightly's, and two processes against one with the global batch."""

from __future__ import annotations

import pytest
import torch
import torch.multiprocessing as mp
from lightly.loss import NTXentLoss as LightlyNTXent
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from sslhsi.methods.ntxent import NTXentLoss
from sslhsi.training.sync_batchnorm import synchronise_batchnorm


@pytest.mark.parametrize("temperature", [0.05, 0.1, 0.5])
@pytest.mark.parametrize("n", [2, 7, 64])
@pytest.mark.parametrize("chunk", [1, 5, 4096])
def test_equals_lightly_in_value_and_gradient(temperature, n, chunk):
    torch.manual_seed(n)
    ours = [torch.randn(n, 16, requires_grad=True) for _ in range(2)]
    theirs = [z.detach().clone().requires_grad_() for z in ours]
    a = NTXentLoss(temperature, chunk)(*ours)
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


@pytest.mark.parametrize("chunk", [3, 4096])
def test_gradients_by_finite_differences(chunk):
    z = [torch.randn(5, 4, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    assert torch.autograd.gradcheck(NTXentLoss(0.3, chunk), z)


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="z1 and z2"):
        NTXentLoss()(torch.zeros(3, 2), torch.zeros(4, 2))
    with pytest.raises(ValueError, match="temperature"):
        NTXentLoss(0.0)
    with pytest.raises(ValueError, match="chunk"):
        NTXentLoss(chunk=0)


def network(norm: bool) -> nn.Module:
    torch.manual_seed(1)
    layers = [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8) if norm else nn.Identity(), nn.Tanh(), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(8 * 9, 16)).double()


def views() -> torch.Tensor:
    return torch.randn(2, 8, 3, 5, 5, generator=torch.Generator().manual_seed(2)).double()


def gradients(model: nn.Module) -> list[torch.Tensor]:
    return [p.grad.clone() for p in model.parameters()]


def _worker(rank: int, world: int, folder: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=world)
    share = 8 // world
    mine = views()[:, rank * share : (rank + 1) * share]
    results = []
    for norm in (False, True):
        plain = network(norm)
        synchronise_batchnorm(plain, torch.device("cpu"))
        model = DistributedDataParallel(plain, broadcast_buffers=False)
        loss = NTXentLoss(0.1, chunk=5)(*model(mine.flatten(0, 1)).chunk(2))
        loss.backward()
        total = loss.detach().clone()
        torch.distributed.all_reduce(total)
        buffers = {k: v for k, v in plain.state_dict().items() if "running" in k}
        results.append((total / world, gradients(plain), buffers))
    torch.save(results, f"{folder}/rank{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize("world", [2, 4, 8])
def test_any_number_of_ranks_equals_one_process_with_the_global_batch(tmp_path, world):
    """Loss, gradients and the running statistics of a batch normalisation."""
    # Forked, because importing torch anew takes longer than the test; the workers use one thread.
    mp.start_processes(_worker, (world, str(tmp_path)), nprocs=world, start_method="fork")
    ranks = [torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in range(world)]
    close = {"rtol": 1e-9, "atol": 1e-12}
    for case, norm in enumerate((False, True)):
        model = network(norm)
        loss = NTXentLoss(0.1)(*model(views().flatten(0, 1)).chunk(2))
        loss.backward()
        for value, grads, buffers in (of_rank[case] for of_rank in ranks):
            torch.testing.assert_close(value, loss.detach(), **close)
            for ours, whole in zip(grads, gradients(model), strict=True):
                torch.testing.assert_close(ours, whole, **close)
            assert bool(buffers) == norm
            for name, value in buffers.items():
                torch.testing.assert_close(value, model.state_dict()[name], **close)
