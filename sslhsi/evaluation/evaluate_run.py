"""What a finished run is worth: its backbone beside the same network with random weights, on the run's corpus."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from torch import nn

from sslhsi.corpus.corpus import Corpus, PreparedScene
from sslhsi.encoder.encoder import Encoder
from sslhsi.errors import InputError
from sslhsi.evaluation.labelled_scene import LabelledScene, pixel_protocols
from sslhsi.evaluation.labelled_windows import labelled_windows
from sslhsi.evaluation.network import PRETRAINED, Method, Network
from sslhsi.evaluation.pretraining_scenes import Pretraining, pretraining_words, with_origin
from sslhsi.evaluation.rows import ResultRow
from sslhsi.evaluation.runner import Labelled, ProbeSettings, evaluate
from sslhsi.evaluation.window_means import window_means
from sslhsi.methods.registry import method_class
from sslhsi.recipe import Recipe

# Of a scene that can't be evaluated on.
READ = "pretraining read its labels; hold the scene out (holdout: true) to evaluate on it"


def evaluate_run(backbones: Mapping[str, nn.Module], corpus: Corpus, recipe: Recipe) -> list[ResultRow]:
    """All tasks that a recipe names, by k-NN and linear probe; the prepared corpus holds all that they need.

    Args:
        backbones: Method -> network, ``pretrained`` and ``random weights``.
        corpus: The run's.
        recipe: The run's.

    Raises:
        InputError: A network's features are not finite, as where training diverged.
    """
    patches, wanted = recipe.corpus.patches, recipe.evaluation
    config = {"window": patches.window}
    encoders = {method: Encoder(backbone, corpus.projector, config) for method, backbone in backbones.items()}
    labelled: list[Labelled] = []
    rows: list[ResultRow] = []
    if "domain" in wanted.tasks:
        networks = _networks(encoders, corpus, recipe)
        sizes = {"per_class": wanted.per_class, "limit": wanted.max_patches}
        try:
            labelled.append(labelled_windows(corpus, patches, networks, **sizes))  # type: ignore[arg-type]
        except InputError as error:
            rows.append(ResultRow(task="domain", scene="all scenes", note=str(error)))
    if "pixels" in wanted.tasks:
        for scene in corpus.scenes:
            if scene.labels is None:
                continue
            if method_class(recipe.method.name).uses_labels and not scene.record.held_out:
                rows.append(ResultRow(scene=scene.name, kind=scene.record.kind, note=READ))
                continue
            networks = _networks(encoders, corpus, recipe, scene)
            labels = np.asarray(scene.labels)
            protocols = pixel_protocols(labels, patches.window, wanted.per_class, wanted.schemes)
            labelled.append(LabelledScene(scene, protocols, patches.window, networks))
    probes = dict.fromkeys(("k-NN", "linear"), wanted.seeds)
    rows += evaluate(labelled, probes=probes, settings=ProbeSettings(k=wanted.k), show=False)
    # A split that can't be drawn is the scene's doing; features that no probe can be fitted on are the network's.
    if failed := next((row for row in rows if row.oa is None and row.train is not None), None):
        raise InputError(f"{failed.scene}, {failed.setting}, {failed.method}: {failed.note}")
    scope = recipe.corpus.bands.scope
    return [replace(row, corpus=corpus.key, projection_scope=scope, recipe=recipe.name) for row in rows]


def _networks(
    encoders: Mapping[str, Encoder], corpus: Corpus, recipe: Recipe, scene: PreparedScene | None = None
) -> list[Method]:
    """What is compared on a scene; on windows that were held out of the run's own training when None."""
    pretrained_on = scene is not None and not scene.record.held_out
    # What is held out of pretraining is held out of the projection under scope "train" alone.
    fitted = "yes" if pretrained_on or recipe.corpus.bands.scope != "train" else "no"
    known = Pretraining(pretraining_words(recipe, len(corpus.scenes)), "yes" if pretrained_on else "no", fitted)
    known = with_origin(recipe, Path(scene.record.source) if scene else None, known)
    networks = [
        Network(method, encoder, *known)
        if method == PRETRAINED
        else Network(method, encoder, "none", "no", known.projection_saw_pixels)
        for method, encoder in encoders.items()
    ]
    return [*networks, *window_means(corpus.projector, corpus.key, known.projection_saw_pixels)]
