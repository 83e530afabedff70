"""The processes of one run: what goes wrong on one of them is raised on all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sslhsi.errors import InputError

# Collects one object from every process, in the order of their ranks; called equally often on all of them.
Gather = Callable[[Any], list[Any]]


@contextmanager
def all_ranks(gather: Gather | None) -> Iterator[None]:
    """Raise on every process what goes wrong in the block on any, so that none waits for one that has stopped.

    Args:
        gather: Collects one object from every process; None for one process. The block itself may not call it
            on some processes alone.

    Raises:
        InputError: The block raised it here or elsewhere; the same sentence on all processes.

    Examples:
        >>> from sslhsi.errors import InputError
        >>> elsewhere = lambda mine: [mine, "b.mat: no such file; check the path"]
        >>> with all_ranks(elsewhere):
        ...     pass
        Traceback (most recent call last):
        sslhsi.errors.InputError: b.mat: no such file; check the path
    """
    problem: InputError | None = None
    try:
        yield
    except InputError as error:
        problem = error
    if gather is None:
        if problem:
            raise problem
        return
    if sentences := [said for said in gather(str(problem) if problem else None) if said]:
        raise InputError(sentences[0]) from None
