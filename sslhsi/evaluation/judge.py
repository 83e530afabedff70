"""Backbones beside their baselines, on identical splits: rows of results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from torch import nn

from sslhsi.corpus.corpus import Corpus, PreparedScene
from sslhsi.corpus.reader import PatchReader
from sslhsi.encoder.encoder import Encoder
from sslhsi.encoder.features import features, mean_spectra
from sslhsi.errors import InputError
from sslhsi.evaluation.measure import Row, probe_rows, projection_saw, split_columns
from sslhsi.probes.knn import knn_predict
from sslhsi.recipe import Evaluation, Patches, Recipe
from sslhsi.scenes.scene import Scene
from sslhsi.scenes.sources import corpus_sources, open_source
from sslhsi.splits.split import Split, split


def judge_domains(
    backbones: Mapping[str, nn.Module | Sequence[nn.Module]],
    corpus: Corpus,
    reader: PatchReader,
    patches: Patches,
    evaluation: Evaluation,
    target: Callable[[PreparedScene], str] = lambda scene: scene.domain,
) -> list[Row]:
    """Tell the domains of held-out windows; training and test windows share no pixel.

    Windows lie side by side. The training windows are those pretraining could see, the test windows lie
    in ground that it could not. Where fewer than two domains have both, the one row is a note that says so.

    Several networks under one name (initialisations of a baseline) take turns from seed to seed, and each has
    a row of its own where all windows train and nothing else is left to chance.
    """
    train = corpus.windows(patches, stride=patches.window)
    test = corpus.windows(patches, held=True, stride=patches.window)
    names = sorted({target(s) for s in corpus.scenes})
    of_scene = np.array([names.index(target(s)) + 1 for s in corpus.scenes])
    both = np.intersect1d(of_scene[train[:, 0]], of_scene[test[:, 0]])
    if len(both) < 2:
        note = (
            f"fewer than two domains have a {patches.window}x{patches.window} window in held-out and in other ground"
        )
        return [{"task": "domain", "scene": "all scenes", "note": note}]
    rng = np.random.default_rng(0)
    limit = evaluation.max_patches
    train = train[np.sort(rng.permutation(len(train))[:limit])]
    test = test[np.isin(of_scene[test[:, 0]], both)]
    test = test[np.sort(rng.permutation(len(test))[:limit])]
    windows = np.concatenate([train, test])
    labels = of_scene[windows[:, 0]]
    networks = {name: [b] if isinstance(b, nn.Module) else b for name, b in backbones.items()}
    found = {name: [features(b, reader, windows) for b in some] for name, some in networks.items()}
    found["mean spectrum"] = [mean_spectra(reader, windows)]
    tests = np.arange(len(train), len(windows))
    rows = []
    for n in [*evaluation.per_class, None]:
        for seed in range(evaluation.seeds if n else max(map(len, found.values()))):
            chosen = _draw(labels[: len(train)], n, seed)
            methods = {name: some[seed % len(some)] for name, some in found.items() if n or seed < len(some)}
            common = {
                "task": "domain",
                "scene": "all scenes",
                "split": "held-out ground",
                "per_class": n or "all",
                "seed": seed,
            }
            saw = {"window": patches.window, "pretraining_saw_pixels": "no", "leak": 0.0}
            rows += [
                {**common, **saw, **row}
                for row in probe_rows(methods, labels, chosen, tests, k=evaluation.k, seed=seed)
            ]
    return rows


def _draw(labels: np.ndarray, per_class: int | None, seed: int) -> np.ndarray:
    if per_class is None:
        return np.arange(len(labels))
    rng = np.random.default_rng(seed)
    return np.sort(
        np.concatenate([rng.permutation(np.flatnonzero(labels == c))[:per_class] for c in np.unique(labels)])
    )


def judge_pixels(
    encoders: Mapping[str, Encoder],
    scene: Scene,
    splits: Mapping[str, Callable[[int], Split]],
    *,
    seeds: int,
    k: int,
    saw: bool,
    fitted: bool | None = None,
    raw: bool = True,
) -> list[Row]:
    """Classify the labelled pixels of one scene.

    Args:
        encoders: Name -> frozen backbone with its projection.
        scene: A labelled scene, as it came.
        splits: Name of a protocol (``random, 5 per class``) -> split of a seed.
        seeds: Splits per protocol.
        k: Neighbours.
        saw: Whether pretraining saw the scene's pixels.
        fitted: Whether the projection was fitted on them; None: if pretraining saw them.
        raw: Put the scene's own spectra beside the backbones.
    """
    assert scene.labels is not None
    fitted = saw if fitted is None else fitted
    pixels = np.argwhere(scene.labels > 0)
    place = np.full(scene.labels.shape, -1)
    place[tuple(pixels.T)] = np.arange(len(pixels))
    labels = scene.labels[tuple(pixels.T)]
    methods = {
        name: encoder.encode_pixels(scene.cube, pixels, scene.wavelengths, mask=scene.mask)
        for name, encoder in encoders.items()
    }
    if raw:
        methods["raw spectra"] = np.asarray(scene.cube)[tuple(pixels.T)].astype(np.float32)
    window = next(iter(encoders.values())).window
    rows: list[Row] = []
    for protocol, make in splits.items():
        before: Split | None = None
        for seed in range(seeds):
            common = {"task": "pixels", "scene": scene.name, "protocol": protocol, "seed": seed, "window": window}
            try:
                drawn = make(seed)
            except InputError as error:
                # A scene too small for spatial blocks is a finding about the scene, not the end of the run.
                rows.append({**common, "note": str(error)})
                continue
            if before and np.array_equal(before.train, drawn.train) and np.array_equal(before.test, drawn.test):
                break  # a split without chance is measured once
            before = drawn
            common |= {
                "split": drawn.scheme,
                "per_class": protocol.split(", ")[-1].removesuffix(" per class"),
                **split_columns(drawn),
            }
            train, test = place[tuple(drawn.train.T)], place[tuple(drawn.test.T)]
            for row in probe_rows(methods, labels, train, test, k=k, seed=seed):
                rows.append(
                    {**common, **_known(str(row["method"]), encoders, saw, saw if fitted is None else fitted), **row}
                )
    return rows


def _known(method: str, encoders: Mapping[str, Encoder], saw: bool, fitted: bool) -> Row:
    """What a method knows of the test pixels; of the networks only the one called pretrained was."""
    projected = projection_saw(encoders[method].projector, "yes" if fitted else "no") if method in encoders else "no"
    return {
        "pretraining_saw_pixels": "yes" if saw and method == "pretrained" else "no",
        "projection_saw_pixels": projected,
    }


def pixel_splits(labels: np.ndarray, evaluation: Evaluation, window: int) -> dict[str, Callable[[int], Split]]:
    """The protocols of a recipe for one label map."""

    def maker(scheme: str, n: int) -> Callable[[int], Split]:
        return lambda seed: split(labels, scheme, window=window, per_class=n, seed=seed)

    return {f"{s}, {n} per class": maker(s, n) for s in evaluation.schemes for n in evaluation.per_class}


def judge_run(backbones: Mapping[str, nn.Module], corpus: Corpus, recipe: Recipe) -> list[Row]:
    """All tasks that a recipe names."""
    patches, evaluation = recipe.corpus.patches, recipe.evaluation
    rows: list[Row] = []
    if "domain" in evaluation.tasks:
        device = next(next(iter(backbones.values())).parameters()).device
        reader = PatchReader(corpus.arrays, patches.window, device=device)
        rows += judge_domains(backbones, corpus, reader, patches, evaluation)
    if "pixels" in evaluation.tasks:
        config = {"window": patches.window}
        encoders = {name: Encoder(b, corpus.projector, config) for name, b in backbones.items()}
        held = {s.name: bool(s.held.all()) for s in corpus.scenes}
        for source in corpus_sources(recipe.corpus):
            scene = open_source(source, recipe.seed)
            if scene.labels is None:
                continue
            splits = pixel_splits(scene.labels, evaluation, patches.window)
            saw = not held[scene.name]
            # Ground that is held out of pretraining is held out of the projection under scope "train" alone.
            fitted = saw or recipe.corpus.bands.scope != "train"
            rows += judge_pixels(
                encoders, scene, splits, seeds=evaluation.seeds, k=evaluation.k, saw=saw, fitted=fitted
            )
    common = {"corpus": corpus.key, "projection_scope": recipe.corpus.bands.scope, "recipe": recipe.name}
    return [{**row, **common} for row in rows]


def monitor_accuracy(
    backbone: nn.Module, corpus: Corpus, reader: PatchReader, patches: Patches, k: int, limit: int = 1000
) -> float:
    """k-NN accuracy (percent) of telling the domains of held-out windows; NaN when nothing is held out."""
    bank = corpus.windows(patches, stride=patches.window)
    queries = corpus.windows(patches, held=True, stride=patches.window)
    if not len(queries):
        return float("nan")
    rng = np.random.default_rng(0)
    bank, queries = (w[np.sort(rng.permutation(len(w))[:limit])] for w in (bank, queries))
    x, y = (features(backbone, reader.without_margin, w) for w in (bank, queries))
    predicted = knn_predict(x, corpus.domain_numbers(bank), y, k=k)
    return 100.0 * float(np.mean(predicted == corpus.domain_numbers(queries)))
