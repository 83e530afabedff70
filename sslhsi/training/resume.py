"""Whether a run goes on from a checkpoint, and from which."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from sslhsi.corpus.corpus import Corpus
from sslhsi.errors import InputError
from sslhsi.methods.registry import method_options
from sslhsi.ranks import Gather
from sslhsi.recipe import Recipe
from sslhsi.training.checkpoint import Checkpoint, checkpoints, load_checkpoint

# Of the fingerprint; version 0.1 wrote none.
FORMAT = 2
# Keys of the section training that shape the weights, in the order in which version 0.1 hashed them.
SHAPING = ("batch_size", "optimizer", "lr", "weight_decay", "momentum", "warmup", "clip")


def fingerprint(recipe: Recipe, corpus: str, steps: int, record: Mapping[str, Any], world: int) -> dict[str, Any]:
    """What a checkpoint must share with the run that takes it up: everything that shapes the weights.

    Args:
        recipe: The recipe.
        corpus: Key of the prepared corpus.
        steps: Optimiser steps of the whole run.
        record: Of :func:`~sslhsi.training.initialisation.initialise`.
        world: Processes. Without synchronised batch normalisation several train otherwise than one.
    """
    shaping = {
        "seed": recipe.seed,
        "views": recipe.views.model_dump(),
        # Not where the first weights lie, but what they are: initialisation, below.
        "backbone": recipe.backbone.model_dump(exclude={"weights"}),
        "method": {"name": recipe.method.name, "options": _options(recipe)},
        "training": {key: getattr(recipe.training, key) for key in SHAPING},
        "patches": recipe.corpus.patches.model_dump(),
        "steps": steps,
    }
    return {
        "format": FORMAT,
        "recipe": _hash(to_json(shaping)),
        "corpus": corpus,
        "precision": record["setting"]["precision"],
        "initialisation": record.get("weights", {}).get("sha256"),
        "sync_batchnorm": world == 1 or recipe.training.sync_batchnorm,
    }


def recipe_hash_0_1(recipe: Recipe, steps: int) -> str:
    """The recipe's hash in checkpoints of version 0.1: that of JSON with the keys of then, in their order."""
    views: dict[str, Any] = {}
    for key, value in recipe.views.model_dump().items():
        if key == "neighbours":
            views |= {"shift": value["radius"], "alike": value["candidates"], "alike_share": value["share"]}
        else:
            views[key] = value
    options = _options(recipe)
    objective = {key: options.get(key) for key in ("temperature", "hidden", "output", "layers", "chunk")}
    shaping = {
        "seed": recipe.seed,
        "views": views,
        "backbone": recipe.backbone.model_dump(exclude={"weights"}),
        # There was no other method.
        "objective": {"name": "ntxent" if recipe.method.name == "simclr" else recipe.method.name, **objective},
    }
    training = {key: getattr(recipe.training, key) for key in SHAPING}
    return _hash(to_json(shaping) + str(steps).encode() + to_json(training) + to_json(recipe.corpus.patches))


def resume_from(
    recipe: Recipe,
    mark: Mapping[str, Any],
    corpus: Corpus,
    steps: int,
    say: Callable[[str], None],
    gather: Gather | None = None,
) -> Checkpoint | None:
    """The newest intact checkpoint of a run; None to start anew.

    Args:
        recipe: The recipe.
        mark: The run's :func:`fingerprint`.
        corpus: The prepared corpus.
        steps: Optimiser steps of the whole run.
        say: Given a line on every damaged checkpoint, and on one of version 0.1.
        gather: Collects one object from every process; None for one process.

    Raises:
        InputError: It was written with another recipe, corpus, precision, initialisation or way of batch
            normalisation, the recipe forbids to resume, or the processes don't see the same one.
    """
    if recipe.training.resume == "never":
        if checkpoints(recipe.run_dir):
            raise InputError(
                f"{recipe.run_dir}: holds checkpoints, and training.resume is never; move the folder away or give "
                "another output="
            )
        return None
    checkpoint = load_checkpoint(recipe.run_dir, say)
    reached = sorted(set(gather(checkpoint.step if checkpoint else 0))) if gather else []
    if len(reached) > 1:
        raise InputError(
            f"{recipe.run_dir}: some processes see the checkpoint of step {reached[-1]}, others that of step "
            f"{reached[0]}; put output= on a file system that all machines share"
        )
    if checkpoint is None:
        return None
    wanted = dict(mark)
    if "format" not in checkpoint.record:
        wanted = {key: mark[key] for key in ("precision", "initialisation")}
        wanted["recipe"] = recipe_hash_0_1(recipe, steps)
        if checkpoint.record.get("corpus") != corpus.key:
            _compare_scenes(recipe.run_dir, corpus, checkpoint, say)
    for key, value in wanted.items():
        if checkpoint.record.get(key) != value:
            raise _another(checkpoint, key)
    return checkpoint


def _compare_scenes(run: Path, corpus: Corpus, checkpoint: Checkpoint, say: Callable[[str], None]) -> None:
    """Whether a run of version 0.1 had these scenes, of these shapes.

    The names of corpora with simulated scenes depend on the simulator's code, which has moved since; files are
    told apart by their contents as ever.
    """
    try:
        scenes = json.loads((run / "provenance.json").read_text(encoding="utf-8"))["corpus"]["scenes"]
        before = [(name, tuple(scene["shape"]), scene["source"], scene["hash"]) for name, scene in scenes.items()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise InputError(
            f"{run}: provenance.json, which says what the checkpoints were trained on, can't be read; restore it or "
            "give another output="
        ) from None
    now = [(scene.name, tuple(scene.shape), scene.source, scene.hash) for scene in corpus.manifest.scenes]
    made_up = [source.startswith(("simulated:", "stand-in:")) for _, _, source, _ in now]
    if [scene[:2] for scene in before] != [scene[:2] for scene in now] or any(
        old[3] != new[3] for old, new, simulated in zip(before, now, made_up, strict=True) if not simulated
    ):
        raise _another(checkpoint, "corpus")
    say(
        f"{checkpoint.folder}: written by version 0.1, whose simulator had another hash; names and shapes of all "
        f"{len(now)} scenes are the same, what the {sum(made_up)} simulated ones hold was not compared"
    )


def _another(checkpoint: Checkpoint, key: str) -> InputError:
    return InputError(
        f"{checkpoint.folder}: written with another {key}; give another output=, or training.resume=never "
        "after moving the folder away"
    )


def _options(recipe: Recipe) -> dict[str, Any]:
    return method_options(recipe.method.name, recipe.method.options).model_dump()


def _hash(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()[:16]
