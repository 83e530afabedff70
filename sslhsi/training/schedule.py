"""Learning rate as a function of the optimiser step."""

from __future__ import annotations

import math


def warmup_cosine(step: int, steps: int, warmup: float) -> float:
    """Factor on the base learning rate: linear warm-up, then half a cosine to zero.

    A pure function of the step, so that it is the same whatever the number of processes and exact after
    a resume (Goyal et al. 2017, arXiv:1706.02677; Loshchilov and Hutter 2017, arXiv:1608.03983).

    Args:
        step: 0 for the first optimiser step.
        steps: Length of the run.
        warmup: Share of the steps that warm up.
    """
    rising = round(warmup * steps)
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))
