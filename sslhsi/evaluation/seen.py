"""Whether a run saw a scene: told from the run's own recipe, by the contents of the files."""

from __future__ import annotations

from pathlib import Path

from sslhsi.errors import InputError
from sslhsi.files import sha256
from sslhsi.recipe import load_run_recipe
from sslhsi.scenes.sources import companions, corpus_sources


def seen(backbone: str | Path, scene: Path | None) -> tuple[str, str, str]:
    """What a backbone was pretrained on, and whether a scene's file was part of it.

    Files are compared by content, whatever their names. The same ground in another file (another version,
    a crop) is not noticed.

    Args:
        backbone: A run directory, the backbone/ folder in it, or anything else.
        scene: File that holds the scene's cube.

    Returns:
        What pretraining saw, in words; whether it saw the scene; whether its projection was fitted on the
        scene: ``yes``, ``no`` or ``unknown``, as where there is no recipe.yaml beside the backbone or
        one of the corpus's files is gone.
    """
    folder = Path(backbone)
    run = next((place for place in (folder, folder.parent) if (place / "recipe.yaml").is_file()), None)
    if run is None or not folder.is_dir():
        return "unknown", "unknown", "unknown"
    try:
        recipe = load_run_recipe(run)
        sources = corpus_sources(recipe.corpus)
    except InputError:
        return "unknown", "unknown", "unknown"
    words = f"{recipe.name}: {len(sources)} scene{'s' if len(sources) > 1 else ''}"
    if scene is None or not scene.is_file():
        return words, "unknown", "unknown"
    own = sha256(scene)
    for source in sources:
        if source.path is None:
            continue
        files = [path for path in companions(Path(source.path)) if path.stat().st_size == scene.stat().st_size]
        if any(sha256(path) == own for path in files):
            fitted = "no" if source.holdout and recipe.corpus.bands.scope == "train" else "yes"
            return words, "no" if source.holdout else "yes", fitted
    return words, "no", "no"
