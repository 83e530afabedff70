"""Domain-adaptive pretraining on cubes: a published backbone is shown the target's pixels, without labels.

The second round sees the whole target scene, its test pixels, too, but no label (column
``pretraining_saw_pixels``): it is what can be done with a new scene before anybody has labelled it. The projection
stays that of the given backbone.
"""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sslhsi.corpus.prepare import neutralise
from sslhsi.corpus.reader import PatchReader
from sslhsi.corpus.sampler import DomainSampler
from sslhsi.encoder.encoder import Encoder, untrained
from sslhsi.evaluation.labelled_scene import LabelledScene
from sslhsi.evaluation.network import INITIALISATIONS
from sslhsi.evaluation.pretraining_scenes import pretraining_of
from sslhsi.finetune.finetune import fine_tune_pixels
from sslhsi.finetune.samples import Reader, Remembered
from sslhsi.probes.fit import fit_probe
from sslhsi.scenes.scene import Scene
from sslhsi.splits.split import split
from sslhsi.studies.adaptation.contrast import contrast
from sslhsi.studies.adaptation.initialisations import PROBE, READOUTS, Initialisation, initialisations
from sslhsi.studies.adaptation.settings import SceneRound, SceneStudy, SceneTarget, Settings
from sslhsi.studies.jobs import Job, Made, run_jobs
from sslhsi.studies.rows import cost_columns, epoch_entries, macs_of_step, tested_columns
from sslhsi.studies.self_supervised import opened
from sslhsi.studies.study import open_scenes
from sslhsi.studies.table import Table
from sslhsi.studies.weights_cache import cache_key, cached
from sslhsi.views import make_views

# Parts of a round whose mean loss goes into the history: a scene has fewer windows than most rounds have samples.
NOTED = 20


def run(settings: Settings, study: SceneStudy, table: Table, show: bool) -> None:
    """Measure what the table lacks, as :mod:`sslhsi.studies.adaptation.study` says."""
    scenes = open_scenes([target.scene for target in study.targets])
    benches = [SceneBench(settings, study, *both) for both in zip(study.targets, scenes, strict=True)]
    run_jobs("adaptation: row", [job for bench in benches for job in _jobs(bench)], table, show)


@dataclass
class SceneBench:
    """A target with its backbone at every stage; what is computed for a row is kept for the others."""

    settings: Settings
    study: SceneStudy
    target: SceneTarget
    scene: Scene
    features: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.encoder, self.backbone_digest = opened(self.target.weights)
        self.pretraining, self.pretraining_saw, _ = pretraining_of(self.target.weights, self.scene.source)
        self.labelled = LabelledScene(self.scene, (), self.encoder.window)

    @cached_property
    def reader(self) -> Reader:
        plain = self.encoder.reader(self.scene.cube, self.scene.wavelengths, mask=self.scene.mask)
        return Remembered(self.encoder.backbone, plain, self.encoder.windows(self.labelled.pixels))

    def encoder_of(self, init: Initialisation, seed: int) -> tuple[str, Encoder, dict[str, Any]]:
        """A key that stands for the network that a seed is judged with, the network, and how it was adapted."""
        draw = seed % self.settings.draws
        if init.by is None:
            if init.given:
                return "given", self.encoder, {}
            return f"random-{seed % INITIALISATIONS}", untrained(self.encoder, seed % INITIALISATIONS), {}
        how = self.study.contrast
        what = {
            "from": self.backbone_digest,
            "given": init.given,
            "scene": self.labelled.digest,
            "how": how.model_dump(mode="json"),
            "draw": draw,
        }
        key = cache_key(what)
        adapted = copy.deepcopy(self.encoder) if init.given else untrained(self.encoder, draw)

        def train() -> tuple[dict[str, Tensor], dict[str, Any]]:
            began = time.perf_counter()
            history = adapt(adapted, self.scene, how, draw)
            seconds = round(time.perf_counter() - began, 3)
            return adapted.backbone.state_dict(), {"history": history, "seconds": seconds}

        weights, known = cached(self.settings.folder / "pretrained" / f"second-{key}.safetensors", train)
        adapted.backbone.load_state_dict(weights)
        return key, adapted, known

    def encoded(self, key: str, encoder: Encoder) -> np.ndarray:
        """(n, D) features of the labelled pixels."""
        if key not in self.features:
            scene, pixels = self.scene, self.labelled.pixels
            self.features[key] = encoder.encode_pixels(scene.cube, pixels, scene.wavelengths, mask=scene.mask)
        return self.features[key]


def adapt(encoder: Encoder, scene: Scene, how: SceneRound, seed: int = 0) -> list[dict[str, Any]]:
    """Train an encoder's network in place by contrast, on the windows around a scene's foreground pixels.

    Args:
        encoder: The projection stays as it is.
        scene: Labels are not looked at.
        how: Steps, rates and views.
        seed: Of the windows' order, the views and the projection head.

    Returns:
        ``epoch`` (the round in ``NOTED`` parts, fewer of a short one), ``phase`` and ``loss``.

    Raises:
        InputError: The loss is not a finite number, or the camera doesn't fit the backbone.
    """
    projector, window, device = encoder.projector, encoder.window, encoder.device
    components = encoder.reader(scene.cube, scene.wavelengths, mask=scene.mask).scenes[0]
    neutralise(components, scene.foreground)
    reader = PatchReader([components], window, how.views.neighbours.radius, device)
    # As a prepared corpus has them: what noise is measured in, and the components of a spectrum of zeros.
    values = components[scene.foreground].astype(np.float32)
    spread = np.ones(values.shape[1]) if projector.noise_whitening else np.sqrt(np.square(values).mean(axis=0))
    raw = projector.scene_moments(scene.cube, scene.mask)
    _, offset = projector.affine(scene.wavelengths, scene.bands, raw, scene.name)
    zero = torch.tensor(offset / projector.scale, dtype=torch.float32, device=device)
    windows = encoder.windows(np.argwhere(scene.foreground))
    size = min(how.batch_size, len(windows))
    sampler = DomainSampler(np.zeros(len(windows), dtype=np.int64), size, seed)

    def views(step: int) -> list[Tensor]:
        return make_views(
            reader(windows[sampler.batch(step)]),
            [how.views, how.views],
            component_spread=torch.tensor(spread, dtype=torch.float32, device=device),
            zero_spectrum=zero.expand(size, -1),
            seed=seed,
            step=step,
        )

    history = contrast(encoder.backbone, views, how.steps, -(-how.steps // NOTED), how, seed)
    return [{"phase": "second round", **entry} for entry in history]


def _jobs(bench: SceneBench) -> list[Job]:
    study = bench.study
    return [
        _job(bench, scheme, per_class, seed, init, readout)
        for scheme, per_class, seed, init, readout in product(
            study.schemes, study.per_class, range(bench.settings.seeds), initialisations(["contrast"]), READOUTS
        )
    ]


def _job(bench: SceneBench, scheme: str, per_class: int, seed: int, init: Initialisation, readout: str) -> Job:
    settings, scene, encoder = bench.settings, bench.scene, bench.encoder
    sources = [bench.pretraining] * init.given + [f"{scene.name}, unlabelled"] * (init.by is not None)
    text = [f"window {encoder.window}"]
    text += [f"backbone {bench.backbone_digest}"] if init.given else []
    text += [f"second round: {bench.study.contrast}; {settings.draws} draws of it"] if init.by else []
    text.append("C chosen on training pixels" if readout == PROBE else str(settings.tuning))
    columns = {
        "experiment": settings.experiment,
        "method": init.method(readout),
        "network": encoder.name,
        "source": " -> ".join(sources),
        "target": scene.name,
        "kind": bench.labelled.kind,
        "data": bench.labelled.digest,
        "split": scheme,
        "per_class": per_class,
        "seed": seed,
        "settings": "; ".join(text),
    }

    def make() -> Made:
        drawn = split(bench.labelled.label_map, scheme, encoder.window, per_class=per_class, seed=seed)
        key, network, known = bench.encoder_of(init, seed)
        train, test = (bench.labelled.label_map[tuple(side.T)] for side in (drawn.train, drawn.test))
        history = list(known.get("history", []))
        began = time.perf_counter()
        row = {
            **columns,
            "pretraining_saw_pixels": "yes" if init.by else bench.pretraining_saw if init.given else "no",
            "round_seconds": known.get("seconds", ""),
            "parameters": sum(p.numel() for p in network.backbone.parameters()),
        }
        if readout == PROBE:
            x = bench.encoded(key, network)
            inner, outer = (x[bench.labelled.sample_map[tuple(side.T)]] for side in (drawn.train, drawn.test))
            predicted = fit_probe("linear", inner, train, seed=seed)(outer)
            row["trainable"] = (x.shape[1] + 1) * np.unique(train).size
        else:
            tuning = settings.tuning.tuning()
            predicted, tuned = fine_tune_pixels(network, scene, drawn, tuning, seed=seed, reader=bench.reader)
            row |= cost_columns(tuned, macs_of_step(tuned, encoder, len(train)))
            history += epoch_entries(tuned, "target")
        row |= {**tested_columns(drawn, test, predicted), "seconds": round(time.perf_counter() - began, 3)}
        return row, history

    return Job(columns, make)
