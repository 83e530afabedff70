"""One split of a scene with what methods make of it, to be drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sslhsi.errors import InputError
from sslhsi.evaluation.labelled_scene import LabelledScene
from sslhsi.evaluation.network import RAW, Method, Network, widest
from sslhsi.probes.fit import fit_probe
from sslhsi.report.tables import probe_title
from sslhsi.scenes.scene import Scene
from sslhsi.splits.split import Split, split


@dataclass(frozen=True)
class Example:
    """One split of a scene with what methods make of it.

    Args:
        split: Training and test pixels.
        predictions: Method -> (H, W) labels, 0 where nothing was classified; all test pixels must be.
        features: Method -> (n, D) features of the training pixels followed by the test pixels.
        per_class: Training pixels per class, for the title.
        notes: What a reader should know about the methods.
    """

    split: Split
    predictions: Mapping[str, np.ndarray] = field(default_factory=dict)
    features: Mapping[str, np.ndarray] = field(default_factory=dict)
    per_class: int | None = None
    notes: Sequence[str] = ()

    @property
    def title(self) -> str:
        """What the split is."""
        amount = f", {self.per_class} per class" if self.per_class else ""
        return f"{self.split.scheme}{amount}, window {self.split.window}, seed {self.split.seed}"


def make_examples(scene: Scene, methods: Sequence[Method], *, per_class: int) -> list[Example]:
    """Classify the labelled pixels of a scene by linear probes once under ``blocks`` and once under ``random``.

    Args:
        scene: With labels.
        methods: Of which backbones are set beside the raw spectra.
        per_class: Training pixels per class.

    Returns:
        An example per scheme; a scheme that the scene is too small for is left out.

    Raises:
        InputError: No scheme suits the scene, or a backbone does not fit its camera.
    """
    window = widest(methods)
    networks = [method for method in methods if isinstance(method, Network)]
    labelled = LabelledScene(scene, (), window, networks)
    features = {network.method: labelled.features(network) for network in networks}
    features[RAW] = labelled.features(None)
    pixels, labels = labelled.pixels, labelled.labels
    notes = [
        f"{n.method}: {n.pretraining}; saw the test pixels: {n.pretraining_saw_pixels}"
        for n in networks
        if n.pretraining != "none"
    ]
    examples, reason = [], ""
    for scheme in ("blocks", "random"):
        try:
            drawn = split(labelled.label_map, scheme, window=window, per_class=per_class, seed=0)
        except InputError as error:
            reason = str(error)
            continue
        train, test, _ = labelled.sides(drawn)
        predictions = {}
        for name, x in features.items():
            whole = np.zeros_like(labelled.label_map)
            whole[tuple(pixels.T)] = fit_probe("linear", x[train], labels[train], seed=0)(x)
            predictions[f"{name} under {probe_title('linear')}"] = whole
        both = np.concatenate([train, test])
        examples.append(
            Example(drawn, predictions, {name: x[both] for name, x in features.items()}, per_class, notes)
        )
    if not examples:
        raise InputError(f"{scene.name}: no split for {per_class} pixels per class at window {window}: {reason}")
    return examples
