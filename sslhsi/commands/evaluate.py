"""``sslhsi eval knn | linear | finetune | label-efficiency``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sslhsi.commands.output import add_json, show
from sslhsi.commands.read_arguments import add_read_options, read_options
from sslhsi.errors import InputError

if TYPE_CHECKING:
    from sslhsi.encoder.encoder import Encoder
    from sslhsi.evaluation.labelled_scene import LabelledScene
    from sslhsi.evaluation.network import Method
    from sslhsi.scenes.scene import Scene

COLUMNS_TEXT = """
columns:
  OA, AA, kappa   overall and average accuracy and Cohen's kappa (x 100) on the test pixels, mean over seeds
  +-, 95 %        standard deviation over seeds; bootstrap interval of the mean OA over seeds (of the OA over
                  test pixels where there are fewer than three seeds)
  leak            share of the test windows that contain a training pixel (overlap: that share any pixel with a
                  training window): high under random splits, 0 under blocks, which is the split to report
  saw the pixels  whether pretraining saw the test pixels (never their labels); after the slash whether the
                  spectral projection was fitted on them, or knows their statistics
All methods of a line's split train and test on the same pixels. "raw spectra" are the bands without any
network, "window means" averages of components over boxes of 1, 3, 7 and 13 pixels (standardised or noise-whitened,
whichever suits the training pixels), "random weights" is the same network untrained, "from scratch" that network
trained on the labels.
"""
EVALS: dict[str, dict[str, Any]] = {
    "knn": {
        "help": "k-NN on frozen features beside random weights, window means and raw spectra",
        "example": "sslhsi eval knn runs/mine/backbone field.mat --labels field_gt.mat --per-class 5 10 30",
        "probes": ("k-NN",),
    },
    "linear": {
        "help": "linear probe (logistic regression, C chosen on training pixels) on frozen features",
        "example": "sslhsi eval linear runs/mine field.hdr --labels field_gt.tif --scheme blocks --out rows.csv",
        "probes": ("linear",),
    },
    "finetune": {
        "help": "fine-tune the backbone, beside training from scratch and linear probes",
        "example": "sslhsi eval finetune runs/mine field.hdr --labels field_gt.tif --set epochs=30 --set policy=all",
        "probes": ("fine-tune", "linear"),
    },
    "label-efficiency": {
        "help": "all of them over the number of labels: a CSV that can be resumed, and its curves",
        "example": "sslhsi eval label-efficiency runs/mine a.mat b.mat --labels a_gt.mat b_gt.mat --out series.csv",
        "probes": ("k-NN", "linear", "SVM", "fine-tune"),
    },
}
WORDS = {"knn": "k-NN", "linear": "linear", "svm": "SVM", "finetune": "fine-tune"}


def add(commands: argparse._SubParsersAction) -> None:
    """Add the commands to the command line."""
    parser = commands.add_parser(
        "eval", help="evaluate a backbone beside its baselines on splits that say their leak"
    )
    names = parser.add_subparsers(title="evaluations", metavar="EVALUATION", required=True)
    for name, about in EVALS.items():
        _add(names, name, about)


def _add(names: argparse._SubParsersAction, name: str, about: dict[str, Any]) -> None:
    parser = names.add_parser(
        name,
        help=about["help"],
        description=f"{about['help'][0].upper()}{about['help'][1:]}.",
        epilog=f"example: {about['example']}\n{COLUMNS_TEXT}",
    )
    series = name == "label-efficiency"
    tunes = "fine-tune" in about["probes"]
    parser.add_argument(
        "backbone", metavar="BACKBONE", help="a run, its backbone/ folder, a hub id, or none: what needs no network"
    )
    parser.add_argument("scenes", nargs="+" if series else 1, metavar="SCENE", help="a labelled cube, any format")
    parser.add_argument(
        "--also", nargs="+", metavar="BACKBONE", default=[],
        help="the same pretraining from other seeds: splits take them in turn, as they take untrained networks",
    )  # fmt: skip
    parser.add_argument(
        "--scheme", nargs="+", choices=("random", "blocks"), default=["random", "blocks"], help="default: both"
    )
    parser.add_argument(
        "--per-class", nargs="+", type=int, metavar="N", default=[5, 10, 15, 20, 25, 30] if series else [5, 10],
        help=f"training pixels per class (default: {'5 10 15 20 25 30' if series else '5 10'})",
    )  # fmt: skip
    parser.add_argument(
        "--window", type=int, help="side of the windows that splits are made for (default: the network's)"
    )
    parser.add_argument("--seeds", type=int, default=10, help="splits per setting (default: 10)")
    if tunes:
        parser.add_argument("--tune-seeds", type=int, default=3, help="seeds of the fine-tuning (default: 3)")
        parser.add_argument(
            "--set", action="append", default=[], metavar="KEY=VALUE",
            help="a setting of the fine-tuning: epochs, lr_backbone, lr_head, policy, mirror ... (see FineTuning)",
        )  # fmt: skip
    if "linear" in about["probes"]:
        parser.add_argument(
            "--smooth", choices=("box", "likeness"),
            help="also a linear probe whose class probabilities are averaged over 9x9 pixels, plainly or by likeness",
        )  # fmt: skip
    if "k-NN" in about["probes"]:
        parser.add_argument("--k", type=int, default=20, help="neighbours, clamped to what there is (default: 20)")
        parser.add_argument("--vote", choices=("weighted", "plain"), default="weighted", help="default: weighted")
    if series:
        parser.add_argument("--probes", nargs="+", choices=WORDS, default=list(WORDS), help="default: all")
        parser.add_argument("--out", required=True, metavar="CSV", help="rows; the curves are drawn beside it")
    else:
        parser.add_argument("--out", metavar="CSV", help="append the rows to a table, and skip what it holds")
    add_json(parser)
    add_read_options(parser, per_scene=("labels",))
    parser.set_defaults(run=evaluate, probe_names=about["probes"], series=series)


def evaluate(options: argparse.Namespace) -> int:
    """Evaluate one backbone on one or more scenes, print a table and, of a series, draw the curves."""
    from sslhsi.evaluation.runner import TUNE, ProbeSettings
    from sslhsi.evaluation.runner import evaluate as measure
    from sslhsi.evaluation.smoothed import SMOOTHED
    from sslhsi.finetune.settings import FineTuning
    from sslhsi.recipe_file import settings_of
    from sslhsi.report.tables import score_lines

    for key in ("seeds", "tune_seeds", "k", "window"):
        if (value := getattr(options, key, None)) is not None and value < 1:
            raise InputError(f"--{key.replace('_', '-')} must be at least 1, not {value}")
    if least := [n for n in options.per_class if n < 1]:
        raise InputError(f"--per-class must be at least 1, not {least[0]}")
    names = [WORDS[word] for word in options.probes] if options.series else options.probe_names
    probes = {name: options.tune_seeds if name == TUNE else options.seeds for name in names}
    if (smooth := getattr(options, "smooth", None)) is not None:
        probes |= {name: options.seeds for name, likeness in SMOOTHED.items() if likeness == (smooth == "likeness")}
    chosen: dict[str, Any] = {"tuning": settings_of(FineTuning, options.set, "--set")} if TUNE in probes else {}
    if "k-NN" in probes:
        chosen |= {"k": options.k, "weighted": options.vote == "weighted"}
    rows = measure(_labelled(options), options.out, probes=probes, settings=ProbeSettings(**chosen))
    for note in dict.fromkeys(f"{row.setting}: {row.note}" for row in rows if row.note):
        print(f"note: {note}", file=sys.stderr)
    if all(row.oa is None for row in rows):
        raise InputError("nothing could be measured; the notes say why")
    show(options, [row.to_csv() for row in rows], score_lines(rows))
    if options.series:
        from sslhsi.report.curves import write_curves

        for path in write_curves(rows, Path(options.out).parent):
            print(f"curves: {path}", file=sys.stderr)
    return 0


def _labelled(options: argparse.Namespace) -> list[LabelledScene]:
    from sslhsi.evaluation.labelled_scene import labelled_pixels
    from sslhsi.evaluation.window_means import scene_projection, window_means
    from sslhsi.scenes.read import read_scene

    labels = options.labels or [None]
    if len(labels) not in (1, len(options.scenes)):
        raise InputError(f"--labels names {len(labels)} files for {len(options.scenes)} scenes: give one per scene")
    scenes = [
        read_scene(path, **read_options(options, labels=labels[n if len(labels) > 1 else 0]))
        for n, path in enumerate(options.scenes)
    ]
    if double := [s.name for n, s in enumerate(scenes) if s.name in [other.name for other in scenes[:n]]]:
        raise InputError(f"two scenes are named {double[0]!r}: rename a file")
    backbones, encoders = [options.backbone, *options.also], []
    if options.backbone != "none":
        from sslhsi.encoder.load import load_backbone

        encoders = [load_backbone(source) for source in backbones]
    elif options.also:
        raise InputError("--also: name the first of the backbones in place of none")
    schemes, sizes = list(dict.fromkeys(options.scheme)), sorted(set(options.per_class))
    return [
        labelled_pixels(
            scene,
            networks(backbones, encoders, scene)
            if encoders
            else window_means(scene_projection(scene), projection_saw_pixels="yes"),
            schemes=schemes,
            per_class=sizes,
            window=options.window,
        )
        for scene in scenes
    ]


def networks(backbones: list[str], encoders: list[Encoder], scene: Scene) -> list[Method]:
    """The backbones, which must be of one pretraining, beside their untrained twins."""
    from sslhsi.evaluation.network import beside
    from sslhsi.evaluation.pretraining_scenes import pretraining_of

    first, *others = [pretraining_of(source, scene.source) for source in backbones]
    for name, other in zip(backbones[1:], others, strict=True):
        if other != first:
            raise InputError(
                f"--also {name}: not the pretraining of {backbones[0]} from another seed: "
                f"{', '.join(other)} against {', '.join(first)} (what it was, whether it saw "
                f"{scene.name}, whether its projection did)"
            )
    return beside(encoders[0], **first._asdict(), others=encoders[1:])
