"""Checkpoints that are whole or absent: written beside, verified by hash, renamed into place."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from sslhsi.files import atomic_folder, sha256
from sslhsi.training.run_dir import AGAIN

STEP = re.compile(r"step_(\d{6,})")


class Checkpoint(NamedTuple):
    """What a run goes on from."""

    folder: Path
    step: int  # optimiser steps done
    model: dict[str, Tensor]  # state dict of the method
    optimiser: dict[str, Any]  # state dict of the optimiser
    record: dict[str, Any]  # checkpoint.json: what the run that wrote it was


def save_checkpoint(
    run: Path,
    step: int,
    model: dict[str, Tensor],
    optimiser: dict[str, Any],
    fingerprint: Mapping[str, Any],
    keep: int,
) -> Path:
    """Write ``run/step_NNNNNN`` and drop all but the newest ``keep``.

    The schedule, the sampler, the views and every random number are functions of the step, so that the
    step, the weights and the optimiser's state are all that a run needs to go on exactly as it would have.

    Args:
        run: Run directory.
        step: Optimiser steps done.
        model: State dict of the method, backbone included.
        optimiser: State dict of the optimiser.
        fingerprint: What must agree when resuming, as JSON values.
        keep: Checkpoints to keep.

    Raises:
        InputError: The disk is full or the folder can't be written; older checkpoints are untouched.
    """
    final = run / f"step_{step:06d}"
    with atomic_folder(final, AGAIN, (SafetensorError,), sync=True) as part:
        save_file({k: v.contiguous().cpu() for k, v in model.items()}, part / "model.safetensors")
        # By way of memory: PyTorch's writer of files does not say why it failed.
        torch.save(optimiser, buffer := io.BytesIO())
        (part / "optimiser.pt").write_bytes(buffer.getbuffer())
        hashes = {p.name: sha256(p) for p in sorted(part.iterdir())}
        (part / "checkpoint.json").write_text(json.dumps({"step": step, "sha256": hashes, **fingerprint}, indent=1))
    # A later one is damaged, or the run would have gone on from it; it must not crowd out those that are whole.
    known = checkpoints(run)
    newest = known.index(final) + 1
    for old in known[: max(0, newest - keep)] + known[newest:]:
        shutil.rmtree(old, ignore_errors=True)
    return final


def load_checkpoint(run: Path, say: Callable[[str], None] | None = None) -> Checkpoint | None:
    """The newest intact checkpoint of a run; None when there is none.

    A truncated or altered checkpoint is passed over in favour of the one before.

    Args:
        run: Run directory.
        say: Given a line on every checkpoint that is passed over.
    """
    for folder in reversed(checkpoints(run)):
        try:
            record = json.loads((folder / "checkpoint.json").read_text())
            for name, value in record["sha256"].items():
                if sha256(folder / name) != value:
                    raise ValueError(f"{name} is not what was written")
            model = load_file(folder / "model.safetensors")
            optimiser = torch.load(folder / "optimiser.pt", weights_only=True, map_location="cpu")
            return Checkpoint(folder, record["step"], model, optimiser, record)
        except Exception as error:
            # Whatever is wrong with a damaged file, an older one is the answer.
            if say:
                say(f"{folder}: damaged ({' '.join(str(error).split())}); going back to the checkpoint before")
    return None


def checkpoints(run: Path) -> list[Path]:
    """Checkpoint folders, oldest first."""
    if not run.is_dir():
        return []
    return sorted((p for p in run.iterdir() if STEP.fullmatch(p.name)), key=lambda p: int(p.name[5:]))
