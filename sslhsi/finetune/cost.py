"""What a step of training costs, counted rather than timed."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from sslhsi.finetune.classifier import Classifier
from sslhsi.finetune.freezing import training_mode
from sslhsi.finetune.loop import loss_of

# Counting takes a second for a deep network, and an experiment trains the same one many times.
_COUNTED: dict[tuple[Any, ...], int] = {}


def step_macs(model: Classifier, record: dict[str, Any], shape: Sequence[int], batch_size: int) -> int:
    """Multiply-adds of one training step: forward and backward through a batch, whatever is frozen left out.

    Counted on shapes alone (convolutions and matrix products; half of PyTorch's count of operations): no matter
    on which machine, and nothing is computed. The backward pass ends at the first layer that trains, and a
    frozen layer behind it hands gradients on without taking any of its own.

    Args:
        model: As trained: ``requires_grad`` says what trains.
        record: Of the training, with ``frozen_norms``.
        shape: (K, S, S) of a window.
        batch_size: Windows in the batch.
    """
    layers = tuple((name, tuple(p.shape), p.requires_grad) for name, p in model.named_parameters())
    key = (type(model.backbone), layers, tuple(shape), batch_size)
    if key not in _COUNTED:
        image = copy.deepcopy(model).to("meta")
        training_mode(image.backbone, record)
        x = torch.empty((batch_size, *shape), device="meta")
        y = torch.zeros(batch_size, dtype=torch.int64, device="meta")
        with FlopCounterMode(display=False) as counter:
            loss_of(image(x), y).backward()
        _COUNTED[key] = counter.get_total_flops() // 2
    return _COUNTED[key]
