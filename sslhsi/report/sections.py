"""The parts of the report that are drawn, each from the run's data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn

from sslhsi.corpus.corpus import Corpus
from sslhsi.corpus.reader import PatchReader
from sslhsi.encoder.features import features
from sslhsi.errors import InputError
from sslhsi.evaluation.monitor import COLUMNS as MONITORED
from sslhsi.evaluation.monitor import collapse
from sslhsi.files import read_rows
from sslhsi.probes.knn import knn_predict
from sslhsi.probes.metrics import assess
from sslhsi.recipe import Recipe
from sslhsi.report import plots
from sslhsi.report.chart import Chart, figure_chart, picture_chart
from sslhsi.report.embedding import principal, tsne
from sslhsi.report.pictures import shown_channels, thumbnail
from sslhsi.report.tables import number
from sslhsi.report.view_sheet import DRAWS, view_sheet

# Windows of either kind that are embedded for the scatter and the confusion matrix.
MOST_WINDOWS = 600
MOST_PIXELS = 300  # of each domain, in the scatter of components
MOST_SCENES = 60  # thumbnails


@dataclass
class Page:
    """What the template is given; a part that can't be drawn leaves a sentence in ``missing``."""

    run_dir: Path
    missing: list[str] = field(default_factory=list)

    def part(self, name: str, make: Callable[[], Any], empty: Any) -> Any:
        """``make()``, or ``empty`` and a sentence: no plot is worth the loss of a finished run's report."""
        try:
            return make()
        except Exception as error:
            reason = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
            self.missing.append(f"{name}: {reason}")
            return empty

    def chart(self, figure: Figure, name: str, alt: str, caption: str = "") -> Chart:
        """Write a figure to plots/NAME.png and take it into the page as SVG."""
        plots.save_png(figure, self.run_dir / "plots" / f"{name}.png")
        return figure_chart(figure, alt, caption)


def collapsed(page: Page) -> str:
    """Where metrics.csv says that the features collapsed, in one sentence; else nothing."""
    return collapse(row for row in read_rows(page.run_dir / "metrics.csv") if number(row.get("step")) is not None)


def curves(page: Page) -> list[Chart]:
    """Loss, learning rate, what the monitor saw, and throughput: those that metrics.csv holds."""
    rows = [row for row in read_rows(page.run_dir / "metrics.csv") if number(row.get("step")) is not None]
    if not rows:
        return []
    step = [float(row["step"]) for row in rows]
    charts = []
    for key, title, y_label in (
        ("loss", "Loss", "contrastive loss"),
        ("lr", "Learning rate", "learning rate"),
        ("knn", "k-NN monitor on held-out pixels", "domains recognised (%)"),
        ("knn_class", "k-NN monitor on held-out labels", "classes recognised (%)"),
        ("rank", "Effective rank of the features", "effective rank"),
        ("spread", "Spread of the features", "spread"),
        ("patches_per_second", "Throughput", "patches per second"),
    ):
        values = [number(row.get(key)) for row in rows]
        known = [value for value in values if value is not None]
        if known:
            watched = key in MONITORED
            # What is measured now and then holds until it is measured again; a loss that is missing leaves a gap.
            pairs = [(x, y) for x, y in zip(step, values, strict=True) if y is not None or not watched]
            x, y = zip(*((x, np.nan if y is None else y) for x, y in pairs), strict=True)
            alt = f"{title} over {step[-1]:,.0f} steps, from {known[0]:.4g} to {known[-1]:.4g}"
            figure = plots.curve(x, y, title, y_label, stairs=watched, zero=key in ("lr", "patches_per_second"))
            charts.append(page.chart(figure, key, alt))
    return charts


def variance(page: Page, corpus: Corpus) -> list[Chart]:
    """Variance explained by the components; nothing where there is no PCA."""
    ratio = corpus.projector.ratio
    if not corpus.projector.learned or not len(ratio):
        return []
    shares = f"{100 * ratio.sum():.1f} % of the variance, the first alone {100 * ratio[0]:.1f} %"
    whole = f"{len(ratio)} components hold {shares}"
    return [page.chart(plots.explained_variance(ratio), "explained_variance", whole, whole + ".")]


def components(page: Page, corpus: Corpus) -> list[Chart]:
    """Pixels of every domain in the plane of the first two components, or of two bands where there is no PCA."""
    if corpus.channels < 2:
        return []
    rng = np.random.default_rng(0)
    first, second = (0, 1) if corpus.projector.learned else shown_channels(corpus)[:2]
    points, domain = [], []
    for place, name in enumerate(corpus.domains):
        scenes = [scene for scene in corpus.scenes if scene.domain == name]
        for scene in scenes:
            pixels = np.flatnonzero(np.asarray(scene.mask))
            drawn = np.sort(rng.choice(pixels, min(len(pixels), max(1, MOST_PIXELS // len(scenes))), replace=False))
            where = np.unravel_index(drawn, scene.mask.shape)
            values = scene.components[where][:, [first, second]].astype(np.float32)
            points.append(values[np.isfinite(values).all(axis=1)])
            domain.append(np.full(len(points[-1]), place))
    what = "component" if corpus.projector.learned else "band"
    title = f"{what.capitalize()} {first + 1} against {second + 1}, pixels by domain"
    labels = (f"{what} {first + 1}", f"{what} {second + 1}")
    figure = plots.scatter(np.concatenate(points), np.concatenate(domain), corpus.domains, title, labels, size=5)
    alt = f"{title}: {sum(map(len, points)):,} foreground pixels of {len(corpus.domains)} domains"
    return [page.chart(figure, "components", alt)]


def embedding(page: Page, recipe: Recipe, corpus: Corpus, backbone: nn.Module) -> list[Chart]:
    """Features of held-out windows (of training windows where none are held out), and k-NN's confusions."""
    patches = recipe.corpus.patches
    device = next((p.device for p in backbone.parameters()), torch.device("cpu"))
    reader = PatchReader(corpus.arrays, patches.window, device=device)
    held = _some(corpus.windows(patches, held=True, stride=patches.window))
    trained = _some(corpus.windows(patches))
    shown = held if len(np.unique(corpus.domain_numbers(held))) > 1 else trained
    if not len(shown):
        return []
    x, domain = features(backbone, reader, shown), corpus.domain_numbers(shown)
    which = "held-out windows" if shown is held else "training windows"
    charts = []
    for name, title, axis, points in (
        ("embedding_pca", "Features, principal components", "component", principal(x)),
        ("embedding_tsne", "Features, t-SNE", "t-SNE", tsne(x)),
    ):
        if points is not None:
            figure = plots.scatter(points, domain, corpus.domains, title, (f"{axis} 1", f"{axis} 2"))
            alt = f"{title}: {len(x)} {which} of {len(np.unique(domain))} domains"
            charts.append(page.chart(figure, name, alt, f"{len(x)} {which}."))
    if shown is held and len(trained):
        predicted = knn_predict(
            features(backbone, reader, trained), corpus.domain_numbers(trained), x, k=recipe.evaluation.k
        )
        result = assess(domain, predicted)
        names = [corpus.domains[n] for n in result.classes]
        figure = plots.confusion(result.confusion, names, "Domains by k-NN, % of each row")
        text = (
            f"k-NN (k = {min(recipe.evaluation.k, len(trained))}) recognises the domain of {len(x)} held-out windows "
            f"by {len(trained)} training windows: {result.oa:.1f} % right"
        )
        charts.append(page.chart(figure, "confusion", f"Confusion matrix. {text}", f"{text}."))
    return charts


def _some(windows: np.ndarray) -> np.ndarray:
    order = np.random.default_rng(0).permutation(len(windows))
    return windows[np.sort(order[:MOST_WINDOWS])]


def scenes(page: Page, corpus: Corpus) -> list[dict[str, Any]]:
    """False colours of every scene and what is known of it."""
    channels = shown_channels(corpus)
    chosen = corpus.scenes[:MOST_SCENES]
    images = [thumbnail(scene, channels) for scene in chosen]
    names = [plots.short(scene.name, 20) for scene in chosen]
    width = 6
    grid = [images[i : i + width] for i in range(0, len(images), width)]
    titles = [names[i : i + width] for i in range(0, len(images), width)]
    plots.save_png(plots.contact_sheet(grid, titles), page.run_dir / "plots" / "scenes.png")
    pictures = []
    for scene, image in zip(chosen, images, strict=True):
        height, across, bands = scene.record.shape
        held = scene.record.held
        share = "held out whole" if held == 1 else f"{held:.0%} held out" if held else "nothing held out"
        text = f"{height} × {across} × {bands}; {scene.record.foreground:.0%} foreground; {share}"
        pictures.append(
            {
                "name": scene.name + (" (stand-in)" if scene.record.kind == "stand-in" else ""),
                "domain": scene.domain,
                "sensor": scene.record.sensor,
                "text": text,
                "image": picture_chart(image, f"False colours of {scene.name}: {text}"),
            }
        )
    return pictures


def views(page: Page, recipe: Recipe, corpus: Corpus) -> dict[str, Any]:
    """The view sheet, tile by tile."""
    sheet = view_sheet(corpus, recipe.corpus.patches, recipe.views)
    heads = [f"{name}\n{text}" for name, text in zip(sheet.columns, sheet.strengths, strict=True)]
    titles = [heads, *([] for _ in sheet.rows[1:])]
    plots.save_png(plots.contact_sheet(sheet.tiles, titles, sheet.rows), page.run_dir / "plots" / "views.png")
    lines = [
        (
            row,
            [
                picture_chart(tile, f"{row}: {name} {text}".strip())
                for tile, name, text in zip(tiles, sheet.columns, sheet.strengths, strict=True)
            ],
        )
        for row, tiles in zip(sheet.rows, sheet.tiles, strict=True)
    ]
    return {"heads": list(zip(sheet.columns, sheet.strengths, strict=True)), "lines": lines, "draws": DRAWS}
