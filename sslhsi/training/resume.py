"""Whether a run goes on from a checkpoint, and from which."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from torch import Tensor

from sslhsi.errors import InputError
from sslhsi.recipe import Recipe
from sslhsi.training.checkpoint import checkpoints, load_checkpoint


def shaping_facts(recipe: Recipe, corpus: str, steps: int, start: dict[str, Any]) -> dict[str, Any]:
    """What a checkpoint must share with the run that takes it up: everything that shapes the weights.

    Args:
        recipe: The recipe.
        corpus: Key of the prepared corpus.
        steps: Optimiser steps of the whole run.
        start: Record of :func:`~sslhsi.training.start.create_start`.
    """
    exclude: Any = dict.fromkeys(("name", "output", "evaluation", "corpus", "training"), True)
    # Not where the first weights lie, but what they are.
    same = recipe.model_dump_json(exclude={**exclude, "backbone": {"weights"}}) + str(steps)
    shaping = {"batch_size", "optimizer", "lr", "weight_decay", "momentum", "warmup", "clip"}
    same += recipe.training.model_dump_json(include=shaping) + recipe.corpus.patches.model_dump_json()
    return {
        "recipe": hashlib.sha256(same.encode()).hexdigest()[:16],
        "corpus": corpus,
        "precision": start["setting"]["precision"],
        "initialisation": start.get("weights", {}).get("sha256"),
    }


def checkpoint_to_resume(
    recipe: Recipe,
    facts: dict[str, Any],
    say: Callable[[str], None] | None = None,
    gather: Callable[[Any], list[Any]] | None = None,
) -> tuple[int, dict[str, Tensor], dict[str, Any]] | None:
    """Step, model and optimiser state of the newest intact checkpoint; None to start anew.

    Args:
        recipe: The recipe.
        facts: As :func:`shaping_facts` gives them.
        say: Told of every damaged checkpoint.
        gather: Collects one object from every process; None for one process.

    Raises:
        InputError: It was written with another recipe, corpus, precision or initialisation, the recipe
            forbids to resume, or the processes don't find the same one.
    """
    if recipe.training.resume == "auto":
        found = load_checkpoint(recipe.run_dir, facts, say)
        steps = sorted(set(gather(found[0] if found else 0))) if gather else []
        if len(steps) > 1:
            raise InputError(
                f"{recipe.run_dir}: some processes find the checkpoint of step {steps[-1]}, others that of step "
                f"{steps[0]}; put output= on a file system that all machines share"
            )
        return found
    if checkpoints(recipe.run_dir):
        raise InputError(
            f"{recipe.run_dir}: holds checkpoints, and training.resume is never; move the folder away or give "
            "another output="
        )
    return None
