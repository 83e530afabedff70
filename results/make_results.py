"""Measure every table under results/ anew: `make results`.

Pretrains on the real scenes under SSLHSI_DATA, evaluates pretrained, random-weights and raw-spectra
features on identical splits, and writes one CSV per part, results/README.md and the comparison page
results/label_efficiency.html. What is measured is skipped, so that an interrupted run goes on where it
stopped; --fresh measures again. Parts may run side by side, each in a separate process.

    python results/make_results.py [--fresh | --page | --window-means] [part ...]
"""

from __future__ import annotations

import argparse
import copy
import functools
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import label_series

from sslhsi.corpus.corpus import Corpus, PreparedScene
from sslhsi.corpus.prepare import prepare
from sslhsi.encoder.encoder import Encoder
from sslhsi.encoder.load import load_backbone
from sslhsi.errors import InputError
from sslhsi.evaluation.labelled_scene import labelled_pixels
from sslhsi.evaluation.labelled_windows import labelled_windows
from sslhsi.evaluation.network import INITIALISATIONS, Network, beside
from sslhsi.evaluation.pretraining_scenes import pretraining_words
from sslhsi.evaluation.rows import read_result_rows
from sslhsi.evaluation.runner import Labelled, evaluate
from sslhsi.evaluation.window_means import window_means
from sslhsi.pretrain import pretrain
from sslhsi.recipe import Recipe, load_recipe
from sslhsi.scenes.scene import Scene
from sslhsi.scenes.sources import corpus_sources, open_source

HERE = Path(__file__).resolve().parent
RECIPES = HERE.parent / "recipes"
RUNS = Path("runs/results")
SEEDS = 5
# With one to five samples per class the draw decides more than the method does: 30 draws tell methods apart.
FEW_SEEDS = 30
WINDOW_PROBES = dict.fromkeys(("k-NN", "linear"), SEEDS)
LABELLED = {
    "indian_pines_8bit": [5, 10, 15, 30],
    "salinas_a": [1, 3, 5],
    "samson": [1, 3, 5],
    "muufl": [1, 3, 5],
}
# The pixel recipe without random features, with which label series and transfer were measured.
PLAIN = ("backbone.options.random=0", "method.options.temperature=0.1")
# The pixel recipe as it stands, and for broad fields of one crop: full noise whitening, and look-alikes alone
# instead of the centre pixel itself.
VARIANTS: dict[str, tuple[str, ...]] = {
    "pixel": (),
    "field": (
        "corpus.bands.noise_whitening=1.0", "corpus.bands.quietest_share=1.0", "backbone.options.radii=[1,6]",
        "views.offset=0.2", "views.neighbours.share=1.0", "training.lr=0.002", *PLAIN,
    ),
}  # fmt: skip
# Whole scenes of a type that are left out together; abu-airport-2 and abu-urban-5 overlap.
FOLDS = (
    ("abu-airport-1", "abu-beach-1", "abu-urban-1"),
    ("abu-airport-2", "abu-beach-2", "abu-urban-5"),
    ("abu-airport-3", "abu-beach-3", "abu-urban-3", "abu-urban-4"),
)


def trained(recipe: str, run: str, *overrides: str, seeds: int = 1) -> list[Recipe]:
    """A recipe's runs, one for each seed, made where they aren't there."""
    runs = []
    for seed in range(seeds):
        words = [f"output={RUNS / run}{f'-seed-{seed}' if seed else ''}", "evaluation.tasks=[]", f"seed={seed}"]
        loaded = load_recipe(RECIPES / f"{recipe}.yaml", [*words, *overrides])
        finished = (loaded.run_dir / "report.html").is_file()
        if finished and (loaded.run_dir / "recipe.yaml").read_text() != loaded.dump():
            raise InputError(f"{loaded.run_dir}: made by another recipe; run again with --fresh")
        if not finished:
            pretrain(loaded)
        runs.append(loaded)
    return runs


def beside_untrained(runs: Sequence[Recipe], corpus: Corpus) -> list[Network]:
    """The networks of some runs of one corpus, and as many untrained ones as splits take in turn."""
    first, *others = encoders(runs)
    words = pretraining_words(runs[0], len(corpus.scenes))
    fitted = "no" if runs[0].corpus.bands.scope == "train" else "yes"
    return beside(first, pretraining=words, pretraining_saw_pixels="no", projection_saw_pixels=fitted, others=others)


def encoders(runs: Sequence[Recipe]) -> list[Encoder]:
    return [load_backbone(run.run_dir / "backbone") for run in runs]


def pixels(
    names: tuple[str, ...], variant: str = "pixel", pretrained: bool = True
) -> Iterator[tuple[Labelled, dict[str, int]]]:
    """Labelled pixels of real scenes: pretrained on all, on the scene alone, and on all but it.

    First what needs no network, behind the projection that knows nothing of the scene; alone, where nothing is to
    be pretrained.
    """
    for name in names:
        scene = pixel_scene(name)
        masks = {"DASE": label_series.dase(scene.labels)} if name == "indian_pines_8bit" else {}
        sizes = LABELLED[name]
        probes = dict.fromkeys(("k-NN", "linear"), FEW_SEEDS if max(sizes) <= 5 else SEEDS)
        honest = (f"corpus.leave_out=[{name}]", *VARIANTS[variant])
        recipe = load_recipe(RECIPES / "simclr_real_scenes_pixel.yaml", honest)
        corpus = prepare(recipe)
        means = window_means(corpus.projector, corpus.key, projection_saw_pixels="no")
        window = recipe.corpus.patches.window
        yield labelled_pixels(scene, means, masks=masks, per_class=sizes, window=window), probes
        if not pretrained:
            continue
        # The recipe's honest condition is pretrained as often as there are untrained networks beside it.
        most = INITIALISATIONS if variant == "pixel" else 1
        for condition, override, run, seeds in (
            ("all but the scene", f"corpus.leave_out=[{name}]", f"{variant}-without-{name}", most),
            ("all scenes", "corpus.leave_out=[]", f"{variant}-all", 1),
            ("the scene alone", f"corpus.only=[{name}]", f"{variant}-only-{name}", 1),
        ):
            runs = trained("simclr_real_scenes_pixel", run, override, *VARIANTS[variant], seeds=seeds)
            first, *others = encoders(runs)
            overlap = "no" if condition == "all but the scene" else "yes"
            networks = beside(
                first,
                pretraining=condition,
                pretraining_saw_pixels=overlap,
                projection_saw_pixels=overlap,
                others=others,
            )
            if overlap == "yes":
                # The baseline is measured once, where nothing but the others' projection has seen the scene.
                networks = networks[:1]
            yield labelled_pixels(scene, networks, masks=masks, per_class=sizes), probes


def without(name: str | None) -> Path:
    """Folder of the plain variant's backbone, pretrained on all scenes, or on all but one."""
    run = f"plain-without-{name}" if name else "plain-all"
    (only,) = trained("simclr_real_scenes_pixel", run, f"corpus.leave_out=[{name or ''}]", *PLAIN)
    return only.run_dir / "backbone"


def pixel_scene(name: str) -> Scene:
    sources = corpus_sources(load_recipe(RECIPES / "simclr_real_scenes_pixel.yaml").corpus)
    return open_source(next(s for s in sources if s.name == name), 0)


def types() -> Iterator[tuple[Labelled, dict[str, int]]]:
    """Airport, beach or urban: windows of whole scenes that are part neither of pretraining nor of probe training."""
    for number, fold in enumerate(FOLDS):
        held = [f"corpus.scenes.{i}.holdout=true" for i in scene_numbers("simclr_real_scenes", fold)]
        words = ("corpus.patches.holdout=0", *held)
        runs = trained("simclr_real_scenes", f"types-{number}", *words, seeds=INITIALISATIONS)
        wanted, corpus = runs[0].evaluation, prepare(runs[0])
        networks = beside_untrained(runs, corpus)
        abu = copy.copy(corpus)
        abu.scenes = [s for s in corpus.scenes if s.name.startswith("abu-")]
        windows = functools.partial(
            labelled_windows, abu, runs[0].corpus.patches, networks, class_of=scene_type, task="scene type",
            split="whole scenes out",
        )  # fmt: skip
        name = f"fold {number + 1}: without {', '.join(fold)}"
        yield windows(per_class=wanted.per_class, limit=wanted.max_patches, name=name), WINDOW_PROBES
        # A claim about types rests on scenes: each left-out one by itself, all windows training.
        for scene in fold:
            yield windows(per_class=(), tested=scene, name=scene), WINDOW_PROBES


def scene_type(scene: PreparedScene) -> str:
    return scene.name.split("-")[1]


def scene_numbers(recipe: str, names: tuple[str, ...]) -> list[int]:
    known = [s.name for s in corpus_sources(load_recipe(RECIPES / f"{recipe}.yaml").corpus)]
    return [known.index(name) for name in names]


def domains() -> Iterator[tuple[Labelled, dict[str, int]]]:
    """Domains of held-out windows: the simulated laboratory corpus, and the real scenes."""
    for recipe in ("simclr_multidomain", "simclr_real_scenes"):
        # One pretraining: another seed holds other pixels out.
        runs = trained(recipe, f"domains-{recipe}")
        wanted, corpus = runs[0].evaluation, prepare(runs[0])
        networks, patches = beside_untrained(runs, corpus), runs[0].corpus.patches
        name = "simulated laboratory corpus" if recipe == "simclr_multidomain" else "real scenes"
        sizes, limit = wanted.per_class, wanted.max_patches
        yield labelled_windows(corpus, patches, networks, per_class=sizes, limit=limit, name=name), WINDOW_PROBES


PIXELS: dict[str, Callable[..., Iterable[tuple[Labelled, dict[str, int]]]]] = {
    "indian_pines": functools.partial(pixels, ("indian_pines_8bit",)),
    "indian_pines_field": functools.partial(pixels, ("indian_pines_8bit",), "field"),
    "small_scenes": functools.partial(pixels, ("salinas_a", "samson", "muufl")),
}
PARTS: dict[str, Callable[[], Iterable[tuple[Labelled, dict[str, int]]]]] = {
    "domains": domains,
    "types": types,
    **PIXELS,
    **{part: functools.partial(make, without, pixel_scene) for part, make in label_series.PARTS.items()},
}
# Tables of windows have other columns and are measured at one go.
WHOLE = ("domains", "types")


def measure(part: str) -> None:
    """Write results/PART.csv, or what is missing in it."""
    path = HERE / f"{part}.csv"
    if part in WHOLE and path.is_file():
        return
    target = path.with_suffix(".part.csv") if part in WHOLE else path
    for labelled, probes in PARTS[part]():
        evaluate([labelled], target, probes=probes)
    if part in WHOLE:
        os.replace(target, path)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = list(PARTS)
    parser.add_argument("parts", nargs="*", metavar="part", help=", ".join(known))
    parser.add_argument("--fresh", action="store_true", help="pretrain and measure again")
    parser.add_argument("--page", action="store_true", help="only write README.md anew from the rows that are there")
    parser.add_argument(
        "--window-means", action="store_true", help=f"only these, of {', '.join(PIXELS)}: no pretraining"
    )
    options = parser.parse_args()
    if unknown := set(options.parts) - set(known):
        parser.error(f"unknown part {unknown.pop()!r}; known are {', '.join(known)}")
    if not os.environ.get("SSLHSI_DATA"):
        print("error: SSLHSI_DATA must name the folder of the real scenes (README: Real scenes)", file=sys.stderr)
        return 2
    if options.fresh:
        shutil.rmtree(RUNS, ignore_errors=True)
    try:
        for part in () if options.page else options.parts or known:
            if options.fresh:
                (HERE / f"{part}.csv").unlink(missing_ok=True)
            if not options.window_means:
                measure(part)
            elif part in PIXELS:
                for labelled, probes in PIXELS[part](pretrained=False):
                    evaluate([labelled], HERE / f"{part}.csv", probes=probes)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    from page import write_page

    write_page(HERE, {part: read_result_rows(HERE / f"{part}.csv") for part in known})
    if not (options.page or options.window_means):
        label_series.write_label_page(HERE, without, pixel_scene)
    return 0


if __name__ == "__main__":
    sys.exit(main())
