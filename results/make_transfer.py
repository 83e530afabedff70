"""Experiments of labelled transfer as far as two CPU cores take them: results/transfer/.

Every part is a recipe with the overrides below: shorter schedules, smaller windows, fewer seeds (its comments may
suggest longer ones). For each, transfer/PART.csv holds the rows, transfer/PART.html the page with all settings. An
interrupted part goes on after its last row.
The self-supervised backbones beside them are those of the pixel recipe without random features, pretrained on other
scenes than the target (make_results.py trains them where they aren't there).

    python results/make_transfer.py [part ...]
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

from make_results import RECIPES, without

from sslhsi.errors import InputError
from sslhsi.studies.experiment import load_experiment, run_experiment
from sslhsi.studies.page import write_experiment_page

HERE = Path(__file__).resolve().parent / "transfer"
# part: recipe, the scene that its self-supervised backbone has not seen, overrides
PARTS: dict[str, tuple[str, str | None, tuple[str, ...]]] = {
    "freezing": (
        "freezing", "salinas_a",
        ("seeds=3", "window=15", "pretraining.epochs=40", "pretraining.batch_size=64", "training.batch_size=64",
         "training.lr=0.003", "protocols=[per_class_5]", "schemes=[random,blocks]"),
    ),
    "hybridsn_indian_pines": (
        "hybridsn_indian_pines", "indian_pines_8bit", ("seeds=1", "window=13", "training.epochs=20"),
    ),
    "ainet_indian_pines": (
        "ainet_indian_pines", "indian_pines_8bit",
        ("seeds=2", "window=7", "bands.grid=48", "training.epochs=30", "training.slow_epochs=6"),
    ),
    "fusion": (
        "fusion", "indian_pines_8bit",
        ("seeds=1", "window=7", "bands.grid=48", "sources.0.train_per_class=50", "sources.1.train_per_class=50",
         "training.epochs=15", "training.slow_epochs=3"),
    ),
    "multitask_indian_pines": (
        "multitask_indian_pines", "indian_pines_8bit",
        ("seeds=2", "per_class=[5,15]", "schedule.epochs=20", "schedule.settling_epochs=6"),
    ),
    "multitask_four": (
        "multitask_four", None,
        ("seeds=1", "per_class=[10]", "methods=[single,shared,separate]", "schedule.epochs=12",
         "schedule.settling_epochs=4", "schedule.votes=1"),
    ),
    "domain_distance": ("domain_distance", None, ()),
    "domain_distance_features": (
        "domain_distance", None, ("axes=[3,10]", "seeds=1"),
    ),
    "adaptation_images": (
        "adaptation_images", None,
        ("images.network.name=test_byobnet", "images.resize=72", "images.crop=64",
         "images.contrast.views.neighbours.radius=4",
         "images.first.images=60", "images.first.side=72", "images.first_training.epochs=12",
         "images.first_training.drops=[]", "images.first_training.batch_size=50", "images.first_training.warmup=1",
         "images.domain.images=60", "images.domain.side=72", "images.contrast.epochs=16",
         "images.contrast.batch_size=120", "images.labels.epochs=12", "images.labels.drops=[]",
         "images.labels.batch_size=50", "images.labels.warmup=1", "images.targets.0.images=40",
         "images.targets.0.side=72", "images.targets.1.images=40", "images.targets.1.side=72", "tuning.epochs=15",
         "tuning.drops=[]", "tuning.batch_size=25", "tuning.warmup=1"),
    ),
    "adaptation_cubes": ("adaptation_cubes", None, ("draws=1", "seeds=3", "cubes.per_class=[5,30]")),
}  # fmt: skip
# Keys that name a backbone, and the scene that it has not seen; None: it has seen all.
STARTS: dict[str, dict[str, str | None]] = {
    "domain_distance_features": {"backbone": None},
    "adaptation_cubes": {
        f"cubes.targets.{i}.weights": name
        for i, name in enumerate(("indian_pines_8bit", "salinas_a", "samson", "muufl"))
    },
}


def make(part: str) -> Path:
    """Measure what a part lacks; returns its page."""
    recipe, unseen, overrides = PARTS[part]
    more = [f"output=runs/transfer/{part}"]
    if unseen:
        more.append(f"self_supervised={without(unseen)}")
    more += [f"{key}={without(scene)}" for key, scene in STARTS.get(part, {}).items()]
    settings = load_experiment(RECIPES / f"{recipe}.yaml", [*overrides, *more])
    rows, history = run_experiment(settings)
    HERE.mkdir(exist_ok=True)
    shutil.copyfile(settings.folder / "rows.csv", HERE / f"{part}.csv")
    return write_experiment_page(settings, rows, history, HERE / f"{part}.html")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="part", help=", ".join(PARTS))
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"unknown part {unknown.pop()!r}; known are {', '.join(PARTS)}")
    if not os.environ.get("SSLHSI_DATA"):
        print("error: SSLHSI_DATA must name the folder of the real scenes (README: Real scenes)", file=sys.stderr)
        return 2
    try:
        for part in options.parts or PARTS:
            print(make(part))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
