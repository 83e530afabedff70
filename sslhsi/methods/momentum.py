"""What methods with a momentum encoder share."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from lightly.models.utils import deactivate_requires_grad
from torch import Tensor, nn


def momentum_copy(module: nn.Module) -> nn.Module:
    """A copy that no optimiser touches, for moving averages (``lightly.models.utils.update_momentum``)."""
    twin = copy.deepcopy(module)
    deactivate_requires_grad(twin)
    return twin


def full_precision(tensors: Sequence[Tensor]) -> list[Tensor]:
    """At least float32, whatever autocast made of them."""
    return [x.to(torch.promote_types(x.dtype, torch.float32)) for x in tensors]
