"""``sslhsi map``."""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sslhsi.commands.output import add_json, show
from sslhsi.commands.read_arguments import add_read_options, read_options
from sslhsi.errors import InputError
from sslhsi.files import check_replaceable, writing

if TYPE_CHECKING:
    import numpy as np

    from sslhsi.encoder.encoder import Encoder
    from sslhsi.scenes.scene import Scene
    from sslhsi.splits.split import Split

PROBES = {"linear": "linear", "knn": "k-NN", "svm": "SVM"}
# Format -> suffix of its file.
FORMATS = {"png": ".png", "npy": ".npy", "envi": ".img", "geotiff": ".tif"}


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "map",
        help="a class for every pixel of a scene, or its features in false colour",
        description="With labels: fit a classifier on the frozen features of labelled pixels and classify every\n"
        "pixel of the scene. Without: write the features of every pixel, and a picture of their three first\n"
        "principal components. A map shows where classes lie; accuracy is measured by sslhsi eval.",
        epilog="examples:\n"
        "  sslhsi map runs/mine field.mat --labels field_gt.mat --out maps/\n"
        "  sslhsi map runs/mine field.tif --labels gt.tif --per-class 20 --format png,geotiff\n"
        "  sslhsi map published/mine field.hdr --format png,envi              # no labels: features\n"
        "writes PREFIX_classes.* and PREFIX_features.*; ENVI and GeoTIFF keep the scene's georeference.",
    )
    parser.add_argument("backbone", metavar="BACKBONE", help="a backbone's folder, a run, or a hub id")
    parser.add_argument("scene", metavar="SCENE", help="in any supported format")
    parser.add_argument("--per-class", type=int, metavar="N", help="train on N pixels per class (default: all)")
    parser.add_argument("--classifier", choices=(*PROBES, "none"), help="none: features only (default: linear)")
    parser.add_argument("--out", metavar="PREFIX", help="FOLDER/ or FOLDER/NAME (default: ./SCENE)")
    parser.add_argument("--format", default="png,npy", help=f"of {', '.join(FORMATS)} (default: png,npy)")
    parser.add_argument("--features", action="store_true", help="write the features beside the classes")
    parser.add_argument("--foreground", action="store_true", help="leave pixels without data unclassified")
    parser.add_argument("--seed", type=int, default=0, help="of the training pixels (default: 0)")
    add_json(parser)
    add_read_options(parser)
    parser.set_defaults(run=map_scene)


def map_scene(options: argparse.Namespace) -> int:
    """Write features and a class map of a scene."""
    from sslhsi.scenes.read import read_scene

    formats = _formats(options.format)
    scene = read_scene(options.scene, **read_options(options))
    classifier = options.classifier or ("none" if scene.labels is None else "linear")
    if options.per_class is not None and classifier == "none":
        raise InputError("--per-class needs labels to draw from; give --labels FILE")
    encoder = _encoder(options.backbone, scene)
    prefix = _prefix(options.out, scene.name)
    kinds = {"features": options.features or classifier == "none", "classes": classifier != "none"}
    _check_targets(prefix, [kind for kind, written in kinds.items() if written], formats)
    summary: dict[str, Any] = {
        "scene": scene.name,
        "shape": list(scene.cube.shape[:2]),
        "features": encoder.num_features,
    }
    began = time.perf_counter()
    if classifier == "none":
        with _strips(encoder, scene) as strips:
            files = _write_features(prefix, formats, strips, scene, encoder.num_features)
        summary |= _work(encoder, began)
    else:
        classes, drawn, files = _classify(options, encoder, scene, classifier, prefix, formats)
        summary |= _work(encoder, began)
        summary |= _accuracy(drawn, scene, classes, classifier)
        files = _write_classes(prefix, formats, classes, scene, summary) + files
    summary["georeference"] = _coordinates(scene)
    summary["files"] = [str(file) for file in files]
    return show(options, summary, _lines(summary))


def _encoder(backbone: str, scene: Scene) -> Encoder:
    import torch

    from sslhsi.encoder.load import load_backbone

    encoder = load_backbone(backbone)
    height, width = scene.cube.shape[:2]
    if encoder.config.border != "reflect" and min(height, width) < encoder.window:
        raise InputError(
            f"{scene.name}: the scene is {height}x{width}, smaller than the backbone's window of {encoder.window}"
        )
    return encoder.to("cuda" if torch.cuda.is_available() else "cpu")


@contextmanager
def _strips(encoder: Encoder, scene: Scene) -> Iterator[Iterator[tuple[slice, np.ndarray]]]:
    """Features of a scene, a strip of rows at a time, with a bar of progress."""
    from sslhsi.training.progress import progress

    with progress("pixels", scene.cube.shape[0] * scene.cube.shape[1]) as bar:
        yield encoder.strips(
            scene.cube, scene.wavelengths, mask=scene.mask, border="reflect", progress=lambda done, _: bar(done)
        )


def _classify(
    options: argparse.Namespace, encoder: Encoder, scene: Scene, classifier: str, prefix: Path, formats: list[str]
) -> tuple[np.ndarray, Split, list[Path]]:
    """Fit a classifier and give every pixel a class; features are written on the way where they are asked for."""
    import numpy as np

    from sslhsi.evaluation.scene_map import classified, fit_classifier, training_split
    from sslhsi.training.progress import progress

    drawn = training_split(scene, encoder.window, options.per_class, options.seed)
    with progress("training pixels", len(drawn.train)) as bar:
        predict = fit_classifier(
            encoder, scene, drawn.train, PROBES[classifier], seed=options.seed, progress=lambda done, _: bar(done)
        )
    classes = np.zeros(scene.cube.shape[:2], dtype=np.int64)
    files: list[Path] = []
    with _strips(encoder, scene) as strips:
        features = classified(strips, predict, classes)
        if options.features:
            files = _write_features(prefix, formats, features, scene, encoder.num_features)
        for _ in features:
            pass
    if options.foreground and scene.mask is not None:
        classes[~scene.mask] = 0
    return classes, drawn, files


def _formats(text: str) -> list[str]:
    asked = dict.fromkeys(word.strip() for word in text.split(",") if word.strip())
    if wrong := [word for word in asked or [text] if word not in FORMATS]:
        raise InputError(f"--format {wrong[0]}: use {', '.join(FORMATS)}, with commas between")
    return list(asked)


def _prefix(out: str | None, name: str) -> Path:
    """Where files go, without suffix; the folder is made, and tried, before anything long starts."""
    prefix = Path(name)
    if out:
        folder_given = out.endswith(("/", os.sep)) or Path(out).is_dir()
        prefix = Path(out) / name if folder_given else Path(out)
    with writing(prefix.parent, "give another --out"):
        prefix.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=prefix.parent):
            pass
    return prefix


def _check_targets(prefix: Path, kinds: list[str], formats: list[str]) -> None:
    """Before anything long starts: none of the files is somebody else's."""
    for suffix in [*(FORMATS[word] for word in formats), *([".hdr"] if "envi" in formats else [])]:
        for kind in kinds:
            check_replaceable(prefix.with_name(f"{prefix.name}_{kind}{suffix}"))


def _write_features(
    prefix: Path, formats: list[str], strips: Iterator[tuple[slice, np.ndarray]], scene: Scene, count: int
) -> list[Path]:
    """Features in every format; on disk first, so that memory does not grow with the scene."""
    import numpy as np

    from sslhsi.report.feature_picture import feature_picture
    from sslhsi.scenes.write_raster import write_raster

    shape = (*scene.cube.shape[:2], count)
    base = prefix.with_name(f"{prefix.name}_features")
    kept = "npy" in formats
    # Where .npy isn't asked for it is a stage on the way.
    stage = base.with_name(f"{base.name}.npy" if kept else f".{base.name}.{os.getpid()}.npy")
    written = write_raster(stage, strips, shape)
    try:
        features = np.load(stage, mmap_mode="r")
        names = [f"feature {number}" for number in range(1, count + 1)]
        files = []
        for word in formats:
            target = base.with_name(base.name + FORMATS[word])
            if word == "png":
                files.append(feature_picture(target, features, scene.mask))
            elif word == "npy":
                files += written
            else:
                parts = (slice(i, min(i + 64, shape[0])) for i in range(0, shape[0], 64))
                again = ((rows, features[rows]) for rows in parts)
                files += write_raster(target, again, shape, georeference=scene.georeference, names=names)
        return files
    finally:
        if not kept:
            stage.unlink(missing_ok=True)


def _write_classes(
    prefix: Path, formats: list[str], classes: np.ndarray, scene: Scene, summary: dict[str, Any]
) -> list[Path]:
    from sslhsi.report.class_map import class_map
    from sslhsi.report.pictures import class_palette
    from sslhsi.scenes.write_raster import write_labels

    assert scene.labels is not None
    names = [scene.class_name(label) for label in range(1, max(int(scene.labels.max()), len(scene.classes)) + 1)]
    files = []
    for word in formats:
        target = prefix.with_name(f"{prefix.name}_classes{FORMATS[word]}")
        if word == "png":
            notes = [_trained(summary), *_scored(summary)]
            files.append(class_map(target, classes, names, title=scene.name, notes=notes))
        else:
            files += write_labels(target, classes, names, class_palette(len(names)), scene.georeference)
    return files


def _accuracy(drawn: Split, scene: Scene, classes: np.ndarray, classifier: str) -> dict[str, Any]:
    """What the map was trained on, and its scores on the other labelled pixels."""
    import numpy as np

    from sslhsi.evaluation.scene_map import held_out_scores

    assert scene.labels is not None
    left_out = drawn.report.get("left_out", {})
    return {
        "classifier": classifier,
        "trained": len(drawn.train),
        "labelled": int(np.count_nonzero(scene.labels)),
        "left_out": {scene.class_name(label): why for label, why in left_out.items()},
        "unclassified": int(np.count_nonzero(classes == 0)),
        **held_out_scores(classes, scene.labels, drawn),
    }


def _work(encoder: Encoder, began: float) -> dict[str, Any]:
    """How long the map took, and what its windows shared."""
    sharing = f"window by window: {encoder.name} pads, and so sees the edges of its window"
    if getattr(encoder.backbone, "whole_image_gain", 0.0):
        sharing = "shared between neighbouring windows"
    return {"seconds": round(time.perf_counter() - began, 2), "sharing": sharing}


def _coordinates(scene: Scene) -> str | None:
    if not scene.georeference:
        return None
    crs = scene.georeference.get("crs")
    return str(crs) if crs else "a transform without a coordinate system"


def _trained(summary: dict[str, Any]) -> str:
    from sslhsi.report.tables import probe_title

    title = probe_title(PROBES[summary["classifier"]])
    return f"{title} on frozen features, trained on {summary['trained']:,} of {summary['labelled']:,} labelled pixels"


def _scored(summary: dict[str, Any]) -> list[str]:
    if "oa" not in summary:
        return ["every labelled pixel trained it: an illustration, not a measurement"]
    tested, leak = f"{summary['tested']:,}", f"{100 * summary['leak']:.0f} %"
    return [
        f"OA {summary['oa']:.1f} % on the other {tested}, {leak} of whose windows hold a training pixel: an "
        "illustration, not a measurement"
    ]


def _lines(summary: dict[str, Any]) -> Iterator[str]:
    height, width = summary["shape"]
    yield (
        f"{summary['scene']}: {height}x{width} pixels, {summary['features']} features, {summary['seconds']:.1f} s, "
        f"{summary['sharing']}"
    )
    if "classifier" in summary:
        yield f"  {_trained(summary)}"
        for name, why in summary["left_out"].items():
            yield f"  left out: {name} ({why})"
        if summary["unclassified"]:
            yield f"  {summary['unclassified']:,} pixels have no class: no finite features, or background"
        yield from (f"  {line}" for line in _scored(summary))
    if summary["georeference"] is None:
        yield "  the scene has no georeference: written without"
    yield from (f"  {file}" for file in summary["files"])
