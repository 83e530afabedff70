"""Which parts of a sample are hidden."""

from __future__ import annotations

from torch import Tensor


def hidden_parts(numbers: Tensor, share: float) -> Tensor:
    """(n, parts) booleans, True for those that are hidden: as many in every sample.

    Args:
        numbers: (n, parts) random numbers.
        share: Of the parts, rounded; 0 hides none, else at least one is hidden and one is left.

    Examples:
        >>> import torch
        >>> hidden_parts(torch.tensor([[0.3, 0.1, 0.9, 0.5]]), 0.5)
        tensor([[ True,  True, False, False]])
    """
    parts = numbers.shape[1]
    count = min(max(round(share * parts), 1), parts - 1) if share else 0
    return numbers.argsort(1).argsort(1) < count
