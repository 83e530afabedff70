"""The main job in forked processes: several ranks without several imports of PyTorch."""

from __future__ import annotations

import os
import socket
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from accelerate.state import AcceleratorState, GradientState, PartialState
from safetensors.numpy import load_file

from sslhsi.pretrain import main


def words(folder: Path, run: str, *more: str) -> list[str]:
    """Arguments of a job: the recipe of a folder, a run of its own there, and one cache for all runs."""
    return [str(folder / "recipe.yaml"), f"output={folder / run}", f"corpus.cache={folder / 'corpora'}", *more]


def weights(folder: Path, run: str) -> dict[str, np.ndarray]:
    """What a run trained."""
    return load_file(folder / run / "backbone" / "model.safetensors")


def assert_same_weights(folder: Path, run: str, other: str = "whole") -> None:
    """Two runs trained the same, bit for bit."""
    for key, value in weights(folder, other).items():
        np.testing.assert_array_equal(weights(folder, run)[key], value)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def fork_ranks(words: list[str], world: int, log: Path, prelude: Callable[[], None] | None = None) -> list[int]:
    """Start ``world`` processes of the main job as a launcher would; returns their process numbers.

    Args:
        words: Arguments of the job.
        world: Processes.
        log: Folder for what each writes to stderr, rank0 and so on.
        prelude: Called in each first.
    """
    log.mkdir(parents=True, exist_ok=True)
    port = free_port()
    children = []
    for rank in range(world):
        child = os.fork()
        if child:
            children.append(child)
            continue
        code = 99
        try:
            handle = os.open(log / f"rank{rank}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(handle, 1)
            os.dup2(handle, 2)
            # Not the test runner's own, which keeps what is written.
            sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
            torch.set_num_threads(1)
            for state in (AcceleratorState, PartialState, GradientState):
                state._shared_state.clear()
            os.environ["ACCELERATE_USE_CPU"] = "true"
            os.environ["OMP_NUM_THREADS"] = "1"
            if world > 1:
                variables = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world}
                variables |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
                os.environ.update({key: str(value) for key, value in variables.items()})
            if prelude:
                prelude()
            code = main(words)
        except BaseException:
            os.write(2, traceback.format_exc().encode())
        finally:
            os._exit(code)
    return children


def exit_codes(children: list[int], seconds: float = 60) -> list[int]:
    """Exit code of each process, negative where a signal ended it; fails where one takes too long."""
    end = time.monotonic() + seconds
    codes: dict[int, int] = {}
    while len(codes) < len(children):
        for child in children:
            if child not in codes:
                done, status = os.waitpid(child, os.WNOHANG)
                if done:
                    codes[child] = os.waitstatus_to_exitcode(status)
        if time.monotonic() > end:
            for child in set(children) - set(codes):
                os.kill(child, 9)
                os.waitpid(child, 0)
            raise AssertionError(f"still running after {seconds} s")
        time.sleep(0.01)
    return [codes[child] for child in children]


def wait_for_rows(table: Path, rows: int, seconds: float = 60) -> None:
    """Until a table holds so many rows beside its heading."""
    end = time.monotonic() + seconds
    while not (table.exists() and table.read_text().count("\n") > rows):
        assert time.monotonic() < end, f"{table} never got {rows} rows"
        time.sleep(0.005)
