"""How far a device's float32 results are from the CPU's: networks, views, NT-Xent, AdamW; for benchmarks/gpu.py."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence

import torch
from backbones import CASES
from torch import Tensor, nn

from sslhsi.backbones.registry import create_backbone
from sslhsi.methods.base import Batch, Method
from sslhsi.methods.ntxent import NTXentLoss
from sslhsi.methods.registry import create_method
from sslhsi.recipe import Training, Views
from sslhsi.training.optimiser import create_optimiser
from sslhsi.views import make_views

# Relative errors that rounding explains. Gradients pass by kinks (ReLU, max pooling), on whose other side a value
# that is off in its last digit may lie: 3D-CNN's are 2.5e-3 off on a CPU, too.
LIMITS = {"forward_error": 1e-5, "gradient_error": 1e-2, "step_error": 1e-2}
# Of 2 views each. What is compared is arithmetic, so that few bands will do where a network takes any number.
SAMPLES = 4
INPUTS = {name: (bands, window) for name, (bands, window, *_) in CASES.items()} | {
    "ainet": (64, 27),
    "cnn3d": (103, 27),
    "timm/vit_small_patch8_224": (30, 32),
}


def network_errors(name: str, device: torch.device) -> dict[str, float]:
    """Errors of a network's features, of a SimCLR step's gradients and of what the step changes.

    The device computes in float32 (not in TF32), the reference on the CPU in float64, without dropout, whose random
    numbers are each device's alone. The step is SGD's: AdamW's first divides every gradient by itself, so that one
    that is nothing but rounding weighs as much as any other.
    """
    bands, window = INPUTS[name]
    torch.manual_seed(0)
    reference = create_method("simclr", create_backbone(name, bands, window), {})
    for layer in reference.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    views = [torch.randn(SAMPLES, bands, window, window) for _ in range(2)]
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        got = results(copy.deepcopy(reference).to(device), [view.to(device) for view in views])
    wanted = results(reference.double(), [view.double() for view in views])
    return dict(zip(LIMITS, (relative_error(*both) for both in zip(got, wanted, strict=True)), strict=True))


def results(method: Method, views: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Features, gradients, and changes of the parameters in a step."""
    with torch.no_grad():
        features = method.eval().backbone(views[0])
    before = [p.detach().clone() for p in method.parameters()]
    optimiser = create_optimiser(method, Training(steps=1, optimizer="sgd", lr=0.1))
    loss, _ = method.train()(Batch(views, 0, 1, 0, len(views[0]), 0))
    loss.backward()
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in method.parameters()]
    torch.nn.utils.clip_grad_norm_(method.parameters(), 1.0)
    optimiser.step()
    return [features], gradients, [p.detach() - old for p, old in zip(method.parameters(), before, strict=True)]


def views_error(device: torch.device) -> dict[str, float]:
    """Error of augmented views. Pixel noise is left out: each kind of device draws its own numbers."""
    settings = [Views(noise=0.0, gain=0.1, offset=0.1, blur=0.5)] * 2
    torch.manual_seed(0)
    patches, spread, zero = torch.randn(32, 30, 32, 32), torch.rand(30) + 0.5, torch.randn(32, 30)
    got, wanted = (
        make_views(
            patches.to(where),
            settings,
            component_spread=spread.to(where),
            zero_spectrum=zero.to(where),
            seed=0,
            step=3,
        )
        for where in (device, torch.device("cpu"))
    )
    return {"forward_error": relative_error(got, wanted)}


def loss_errors(device: torch.device) -> dict[str, float]:
    """Errors of NT-Xent and its gradient, the similarities in more than one chunk."""
    torch.manual_seed(0)
    z = torch.randn(2, 512, 128)
    values, gradients = [], []
    for like in (z.to(device), z.double()):
        like.requires_grad_()
        loss = NTXentLoss(chunk=300)(*like)
        loss.backward()
        values.append([loss.detach()])
        gradients.append([like.grad])
    return {"forward_error": relative_error(*values), "gradient_error": relative_error(*gradients)}


def optimiser_error(device: torch.device) -> dict[str, float]:
    """Error of what three steps of AdamW change, gradients given."""
    torch.manual_seed(0)
    gradients = torch.randn(3, 100, 50)
    changes = []
    for like in (gradients.to(device), gradients.double()):
        module = nn.Linear(50, 100, bias=False, device=like.device, dtype=like.dtype)
        nn.init.ones_(module.weight)
        optimiser = create_optimiser(module, Training(steps=1))
        for gradient in like:
            module.weight.grad = gradient.clone()
            optimiser.step()
        changes.append([module.weight.detach() - 1])
    return {"step_error": relative_error(*changes)}


def relative_error(got: Iterable[Tensor], wanted: Iterable[Tensor]) -> float:
    """Norm of the difference over the norm of what is wanted, all tensors together."""
    a, b = (torch.cat([t.detach().double().cpu().flatten() for t in tensors]) for tensors in (got, wanted))
    return float((a - b).norm() / b.norm())
