"""What a step of training costs, counted rather than timed."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from sslhsi.finetune.classifier import Classifier
from sslhsi.finetune.freezing import training_mode
from sslhsi.finetune.loop import loss_of

# Counting takes a second for a deep network, and an experiment trains the same one many times.
_COUNTED: dict[tuple[Any, ...], int] = {}
# What a layer's settings are made of.
_PLAIN = (bool, int, float, str, tuple, list, type(None))


def count_macs(model: nn.Module, loss: Callable[[Any], Tensor]) -> int:
    """Multiply-adds of one training step, forward and backward, whatever is frozen left out.

    Counted on shapes alone (convolutions and matrix products; half of PyTorch's count of operations): no matter
    on which machine, and nothing is computed. The backward pass ends at the first layer that trains, and a
    frozen layer behind it hands gradients on without taking any of its own.

    Args:
        model: As trained: ``requires_grad`` says what trains.
        loss: A copy of the model on the device ``meta`` -> the loss of a batch there.

    Examples:
        >>> count_macs(nn.Linear(3, 2), lambda layer: layer(torch.empty((5, 3), device="meta")).sum())
        60
    """
    image = copy.deepcopy(model).to("meta")
    with FlopCounterMode(display=False) as counter:
        loss(image).backward()
    return counter.get_total_flops() // 2


def step_macs(model: Classifier, record: dict[str, Any], shape: Sequence[int], batch_size: int) -> int:
    """Multiply-adds of a step of fine-tuning, see :func:`count_macs`.

    Args:
        model: As trained.
        record: Of the training, with ``frozen_norms``.
        shape: (K, S, S) of a window.
        batch_size: Windows in the batch.
    """

    def loss(image: Classifier) -> Tensor:
        training_mode(image.backbone, record)
        x = torch.empty((batch_size, *shape), device="meta")
        return loss_of(image(x), torch.zeros(batch_size, dtype=torch.int64, device="meta"))

    key = (_structure(model), tuple(shape), batch_size)
    if key not in _COUNTED:
        _COUNTED[key] = count_macs(model, loss)
    return _COUNTED[key]


def _structure(model: nn.Module) -> tuple[Any, ...]:
    """All in which two models must agree to cost the same: kinds, settings and parameters of their layers."""
    layers = tuple(
        (name, type(layer), repr({key: value for key, value in vars(layer).items() if isinstance(value, _PLAIN)}))
        for name, layer in model.named_modules()
    )
    return layers, tuple((name, tuple(p.shape), p.requires_grad) for name, p in model.named_parameters())
