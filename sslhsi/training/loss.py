"""A loss that is no number, noticed at the end of an epoch."""

from __future__ import annotations

import math

from sslhsi.errors import InputError


def check_loss(loss: float, where: str, way_out: str) -> None:
    """Refuse to go on with a loss that is not a finite number.

    Args:
        loss: The mean over an epoch.
        where: What was trained, and when: ``fine-tuning, epoch 3``.
        way_out: What to change.

    Raises:
        InputError: It is not finite.

    Examples:
        >>> check_loss(float("nan"), "fine-tuning, epoch 3", "lower lr")
        Traceback (most recent call last):
        sslhsi.errors.InputError: fine-tuning, epoch 3: the loss is nan; lower lr
    """
    if not math.isfinite(loss):
        raise InputError(f"{where}: the loss is {loss}; {way_out}")
