"""Whether pretraining saw a scene: read off the run's own recipe, by the contents of the files."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from sslhsi.errors import InputError
from sslhsi.files import sha256
from sslhsi.methods.registry import method_class
from sslhsi.recipe import Recipe, load_run_recipe
from sslhsi.scenes.sources import companions, corpus_sources


class Pretraining(NamedTuple):
    """What a backbone was pretrained on, in words, and whether that held a scene's pixels.

    ``pretraining_saw_pixels`` and ``projection_saw_pixels`` (whether the projection was fitted on them) are
    ``yes``, ``no`` or ``unknown``.
    """

    pretraining: str = "unknown"
    pretraining_saw_pixels: str = "unknown"
    projection_saw_pixels: str = "unknown"


def pretraining_of(backbone: str | Path, scene: Path | None) -> Pretraining:
    """What a backbone was pretrained on, and whether a scene's file was part of it.

    Files are compared by content, whatever their names. The same place in another file (another version,
    a crop) is not noticed.

    Args:
        backbone: A run directory, the backbone/ folder in it, or anything else.
        scene: File that holds the scene's cube.

    Returns:
        ``unknown`` in all where there is no recipe.yaml beside the backbone or one of the corpus's files is gone.
    """
    folder = Path(backbone)
    run = next((place for place in (folder, folder.parent) if (place / "recipe.yaml").is_file()), None)
    if run is None or not folder.is_dir():
        return Pretraining()
    try:
        recipe = load_run_recipe(run)
        sources = corpus_sources(recipe.corpus)
        words = pretraining_words(recipe, len(sources))
    except InputError:
        return Pretraining()
    if scene is None or not scene.is_file():
        return Pretraining(words)
    digest = sha256(scene)
    for source in sources:
        if source.path is None:
            continue
        files = [path for path in companions(Path(source.path)) if path.stat().st_size == scene.stat().st_size]
        if any(sha256(path) == digest for path in files):
            fitted = "no" if source.holdout and recipe.corpus.bands.scope == "train" else "yes"
            return with_origin(recipe, scene, Pretraining(words, "no" if source.holdout else "yes", fitted))
    return with_origin(recipe, scene, Pretraining(words, "no", "no"))


def with_origin(recipe: Recipe, scene: Path | None, run: Pretraining) -> Pretraining:
    """What a run says of a scene, and what the weights and the projection say that it began from.

    Args:
        recipe: The run's.
        scene: File that holds the scene's cube; None where it is not known.
        run: What is known of the run by itself.
    """
    weights, projection = recipe.backbone.weights, recipe.corpus.projection
    if weights is not None and run.pretraining_saw_pixels != "yes":
        run = run._replace(pretraining_saw_pixels=pretraining_of(weights, scene).pretraining_saw_pixels)
    if projection is not None:
        run = run._replace(projection_saw_pixels=pretraining_of(projection, scene).projection_saw_pixels)
    return run


def pretraining_words(recipe: Recipe, scenes: int) -> str:
    """As rows of results name a pretraining: recipe, number of scenes, whether it read labels, and where it began."""
    labels = ", with their labels" if method_class(recipe.method.name).uses_labels else ""
    words = f"{recipe.name}: {scenes} scene{'s' if scenes > 1 else ''}{labels}"
    if recipe.backbone.weights is None:
        return words
    given = Path(recipe.backbone.weights)
    return f"{words}, from {given.parent.name if given.name == 'backbone' else given.name}"
