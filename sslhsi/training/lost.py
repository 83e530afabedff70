"""Telling the loss of another process of the run from other errors."""

from __future__ import annotations

import torch.distributed as dist

LOST = (
    "error: another process of the run stopped or can't be reached; its own message says why. Start the same command "
    "again: the run goes on from its last checkpoint"
)
# What gloo and NCCL say; gloo's errors have no type of their own.
WORDS = ("gloo", "NCCL", "Connection closed by peer", "Connection reset by peer", "Timed out waiting", "Broken pipe")


def lost_process(error: RuntimeError) -> bool:
    """Whether an error is that of a collective operation which another process has left."""
    return isinstance(error, dist.DistError) or any(word in str(error) for word in WORDS)
