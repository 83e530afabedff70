"""Pictures of one example split: where it lies, what each method makes of it, how its features lie."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import to_hex

from sslhsi.probes.metrics import assess
from sslhsi.report import plots
from sslhsi.report.chart import Chart, figure_chart, picture_chart
from sslhsi.report.embedding import class_scatter, principal, thinned, tsne
from sslhsi.report.examples import Example
from sslhsi.report.pictures import label_colours
from sslhsi.report.scene_pictures import ERRORS, SIDES, class_picture, composite, error_picture, split_picture
from sslhsi.scenes.scene import Scene
from sslhsi.splits.split import describe

# Legends of the pictures: colour, as CSS has it, and name.
SIDES_LEGEND = [(to_hex(colour), name) for name, colour in SIDES.items()]
ERRORS_LEGEND = [(to_hex(colour), name) for name, colour in ERRORS.items()]
MOST_PIXELS = 600  # in a scatter of features


def split_chart(scene: Scene, example: Example) -> Chart:
    """The split drawn on the scene."""
    split = example.split
    counts = f"{len(split.train):,} training, {len(split.test):,} test and {len(split.dropped):,} unused pixels"
    return picture_chart(split_picture(scene, split), f"{scene.name}, {example.title} split: {counts}")


def split_lines(scene: Scene, example: Example) -> list[str]:
    """The split, its leak, what it could not give, and the example's notes, as lines."""
    return [*describe(example.split, scene.classes), *example.notes]


def maps(scene: Scene, example: Example) -> list[Chart]:
    """Pairs: scene and ground truth, then for each method its class map and where that is wrong."""
    assert scene.labels is not None
    truth = scene.labels
    colours, known = label_colours(truth, scene.classes), np.unique(truth[truth > 0]).size
    what, _, picture = composite(scene)
    charts = [
        picture_chart(picture, f"{scene.name}: {what}", f"The scene ({what})"),
        picture_chart(class_picture(truth, colours), f"Ground truth: {known} classes", "Ground truth"),
    ]
    for name, predicted in example.predictions.items():
        at = tuple(example.split.test.T)
        oa = assess(truth[at], predicted[at]).oa
        errors = error_picture(truth, predicted, example.split.test, example.split.train)
        alt = f"{name}: {oa:.1f} % of the test pixels are right"
        charts.append(picture_chart(class_picture(predicted, colours), f"Class map of {alt}", name))
        charts.append(picture_chart(errors, f"Errors of {alt}", f"{name}: {oa:.1f} % right"))
    return charts


def confusions(scene: Scene, example: Example) -> list[Chart]:
    """Confusion matrix of each method on the test pixels."""
    assert scene.labels is not None
    charts = []
    for name, predicted in example.predictions.items():
        at = tuple(example.split.test.T)
        result = assess(scene.labels[at], predicted[at])
        names = [scene.class_name(label) for label in result.classes.tolist()]
        figure = plots.confusion(result.confusion, names, "% of each row")
        text = f"{name}: OA {result.oa:.1f}, AA {result.aa:.1f}, κ × 100 {result.kappa:.1f}"
        charts.append(figure_chart(figure, f"Confusion matrix. {text}", text))
    return charts


def embeddings(scene: Scene, example: Example) -> list[Chart]:
    """Features of training and test pixels in the plane: t-SNE, or components where there are too few."""
    assert scene.labels is not None
    split, charts = example.split, []
    colours = label_colours(scene.labels, scene.classes)
    labels = scene.labels[tuple(np.concatenate([split.train, split.test]).T)]
    chosen = thinned(len(split.train), len(split.test), MOST_PIXELS)
    train = chosen < len(split.train)
    for name, features in example.features.items():
        x, axis = features[chosen], "t-SNE"
        points = tsne(x)
        if points is None:
            points, axis = principal(x), "component"
        if points is not None:
            title = plots.short(name, 40)
            figure = class_scatter(points, labels[chosen], train, colours, title, axis)
            alt = f"Features of {name} by {axis}: {train.sum()} training and {(~train).sum()} test pixels"
            charts.append(figure_chart(figure, alt, f"{train.sum()} training and {(~train).sum()} test pixels."))
    return charts
