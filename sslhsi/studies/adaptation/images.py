"""Domain-adaptive pretraining on three-band scene images."""

from __future__ import annotations

import time
from itertools import product
from typing import Any

import numpy as np

from sslhsi.errors import InputError
from sslhsi.evaluation.measure import score_columns
from sslhsi.finetune.cost import step_macs
from sslhsi.finetune.finetune import fine_tune
from sslhsi.probes.linear import linear_probe
from sslhsi.probes.metrics import multilabel_scores
from sslhsi.studies.adaptation.image_bench import Bench, Set
from sslhsi.studies.adaptation.image_split import ImageSplit, split_images
from sslhsi.studies.adaptation.initialisations import PROBE, READOUTS, Initialisation, initialisations
from sslhsi.studies.adaptation.settings import ImageStudy, Settings
from sslhsi.studies.jobs import Job, Made, run_jobs
from sslhsi.studies.rows import cost_columns, epoch_entries
from sslhsi.studies.table import Table


def run(settings: Settings, study: ImageStudy, table: Table, show: bool) -> None:
    """Measure what the table lacks, as :mod:`sslhsi.studies.adaptation.study` says."""
    bench = Bench(settings, study)
    run_jobs("adaptation: row", [job for target in bench.targets for job in _jobs(bench, target)], table, show)


def _jobs(bench: Bench, target: Set) -> list[Job]:
    settings, study, images = bench.settings, bench.study, target.images
    few = [] if images.multilabel else study.per_class
    sizes: list[dict[str, Any]] = [{"per_class": n} for n in few] or [{"share": share} for share in study.shares]
    sizes = sizes or ([{}] if images.given is not None else [])
    if not sizes:
        raise InputError(
            f"{images.name}: say how many images train: images.shares{'' if images.multilabel else ' or per_class'}"
        )
    return [
        _job(bench, target, size, seed, init, readout)
        for size, seed, init, readout in product(
            sizes, range(settings.seeds), initialisations(list(study.rounds)), READOUTS
        )
    ]


def _job(bench: Bench, target: Set, size: dict[str, Any], seed: int, init: Initialisation, readout: str) -> Job:
    settings, study, images = bench.settings, bench.study, target.images
    sources = [bench.weights_name] * init.given + [bench.domain.images.name] * (init.by is not None)
    split = "random" if images.given is None else "given"
    if "share" in size:
        split += f", {100 * size['share']:g} % train"
    elif not size:
        split += ", all of the training list"
    columns = {
        "experiment": settings.experiment,
        "method": init.method(readout),
        "network": study.network.name,
        "source": " -> ".join(sources),
        "target": images.name,
        "kind": images.kind,
        "data": images.digest,
        "split": split,
        "per_class": size.get("per_class", ""),
        "seed": seed,
        "settings": _text(settings, study, init, readout),
    }

    def make() -> Made:
        return _measured(bench, target, split_images(images, **size, seed=seed), init, readout, columns)

    # An image that can't be read ends the experiment: every row would say so.
    return Job(columns, make, needed=True)


def _measured(
    bench: Bench, target: Set, drawn: ImageSplit, init: Initialisation, readout: str, columns: dict[str, Any]
) -> Made:
    images, seed = target.images, columns["seed"]
    key, weights, known = bench.weights(init, seed % bench.settings.draws, images.digests[drawn.test])
    network = bench.network(seed, weights)
    row = {
        **columns,
        "train": len(drawn.train),
        "test": len(drawn.test),
        "left_out": drawn.left_out,
        "short": drawn.short,
        "pretraining_saw_pixels": "unknown" if init.given and bench.first is None else "no",
        "round_seconds": known["seconds"] if init.by else "",
        "parameters": sum(p.numel() for p in network.parameters()),
        "note": "; ".join((*drawn.notes, *known["notes"])),
    }
    history = list(known["history"])
    truth = target.labels[drawn.test]
    began = time.perf_counter()
    if readout == PROBE:
        x = bench.encoded(key, network, target)
        scores = linear_probe_scores(x[drawn.train], target.labels[drawn.train], x[drawn.test], seed)
        row["trainable"] = (x.shape[1] + 1) * len(images.classes)
    else:
        tuning = bench.settings.tuning.tuning()
        reader = target.reader
        labels = target.labels[drawn.train]
        tuned = fine_tune(network, reader, reader.windows(drawn.train), labels, tuning, seed=seed)
        scores = tuned.predict(reader, reader.windows(drawn.test))
        batch = min(tuning.batch_size, len(drawn.train))
        side = bench.study.resize
        row |= cost_columns(tuned, step_macs(tuned.network, tuned.record, (3, side, side), batch))
        history += epoch_entries(tuned, "target")
    row["seconds"] = round(time.perf_counter() - began, 3)
    if images.multilabel:
        measured = multilabel_scores(truth, scores)
        named = {"f1_macro": "macro_f1", "f1_micro": "micro_f1", "map": "map"}
        row |= {column: round(measured[key], 3) for column, key in named.items()}
    else:
        row |= score_columns(truth, scores)
    return row, history


def linear_probe_scores(train_x: np.ndarray, train_y: np.ndarray, test_x: np.ndarray, seed: int) -> np.ndarray:
    """(m,) labels by a linear probe; for (n, L) zeros and ones (m, L) probabilities by a probe for each label."""
    if train_y.ndim == 1:
        return linear_probe(train_x, train_y, seed=seed).predict(test_x)
    probabilities = np.empty((len(test_x), train_y.shape[1]))
    for label, marks in enumerate(train_y.T.astype(np.int64)):
        if marks.min() == marks.max():  # nothing to tell apart
            probabilities[:, label] = marks[0]
        else:
            probabilities[:, label] = linear_probe(train_x, marks, seed=seed).predict_proba(test_x)[:, 1]
    return probabilities


def _text(settings: Settings, study: ImageStudy, init: Initialisation, readout: str) -> str:
    """All that changes a row beside the columns that name it."""
    parts = [f"{study.resize} pixels, crop {study.crop}"]
    parts += [f"{key} {value}" for key, value in study.network.options.items()]
    if init.given and study.first is not None:
        parts.append(f"first round by labels: {study.first_training}")
    if init.by:
        how = study.contrast if init.by == "contrast" else study.labels
        parts.append(f"second round by {init.by}: {how}")
    if init.given or init.by:
        parts.append(f"{settings.draws} draws of each round")
    parts.append("C chosen on training images" if readout == PROBE else str(settings.tuning))
    return "; ".join(parts)
