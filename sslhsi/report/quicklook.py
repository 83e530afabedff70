"""One PNG that shows what a scene looks like: image, labels, mask, spectra."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from sslhsi.report.pictures import class_colours, label_colours
from sslhsi.report.plots import save_png
from sslhsi.report.scene_pictures import class_picture, composite
from sslhsi.scenes.bad_bands import bad_bands
from sslhsi.scenes.scene import Scene

_LONGEST_SIDE = 1024  # pixels of the image shown; larger scenes are thinned
_PIXELS_PER_CLASS = 400
_MOST_SPECTRA = 16


def quicklook(scene: Scene, path: str | os.PathLike[str]) -> Path:
    """Draw a scene: colour composite with the mask, label map with legend, mean spectra with spread.

    Large scenes are thinned and spectra averaged over at most 400 pixels per class, drawn with a
    fixed seed, so that memory-mapped cubes stay on disk.

    Args:
        scene: Any scene.
        path: PNG to write, atomically; its folder is made if need be.

    Returns:
        The path.
    """
    step = max(1, -(-max(scene.height, scene.width) // _LONGEST_SIDE))
    title, bands, picture = composite(scene, step)
    mask = scene.foreground[::step, ::step]
    labelled = scene.labels is not None and bool((scene.labels > 0).any())
    figure = Figure(figsize=(14 if labelled else 10, 4.6), layout="constrained", dpi=100)
    axes = figure.subplots(1, 3 if labelled else 2, width_ratios=[1, 1, 1.3] if labelled else [1, 1.3])
    axes[0].imshow(picture, interpolation="nearest")
    masked = 1 - float(scene.foreground.mean())
    if masked > 0:
        veil = np.zeros((*mask.shape, 4))
        veil[~mask] = (1, 0, 1, 0.45)
        axes[0].imshow(veil, interpolation="nearest")
        axes[0].legend(
            handles=[Patch(facecolor=(1, 0, 1, 0.45), label=f"masked {masked:.1%}")],
            loc="lower right", fontsize="x-small",
        )  # fmt: skip
    axes[0].set_title(f"{title}: {_band_names(scene, bands)}", fontsize="small")
    ids: list[int] = []
    if labelled:
        assert scene.labels is not None
        ids = np.unique(scene.labels[scene.labels > 0]).tolist()
        _label_map(axes[1], scene, scene.labels[::step, ::step], ids)
    for axis in axes[:-1]:
        axis.set_xticks([])
        axis.set_yticks([])
    _spectra(axes[-1], scene, ids)
    figure.suptitle(
        f"{scene.name}{' (stand-in)' if scene.stand_in else ''}  |  {scene.height} x {scene.width} x {scene.bands} "
        f"{scene.cube.dtype.name}" + (f"  |  {scene.sensor}" if scene.sensor else "")
    )
    return save_png(figure, path)


def _band_names(scene: Scene, bands: Sequence[int]) -> str:
    if scene.wavelengths is None:
        return "numbers " + ", ".join(str(band) for band in bands)
    return ", ".join(f"{scene.wavelengths[band]:.0f}" for band in bands) + " nm"


def _label_map(axis: Axes, scene: Scene, labels: np.ndarray, ids: list[int]) -> None:
    assert scene.labels is not None
    colours = label_colours(scene.labels, scene.classes)
    axis.imshow(class_picture(labels, colours), interpolation="nearest")
    counts = {label: int(np.count_nonzero(scene.labels == label)) for label in ids}
    handles = [
        Patch(facecolor=colours[label - 1], label=f"{scene.class_name(label)} ({counts[label]:,})")
        for label in ids[:24]
    ]
    axis.legend(handles=handles, fontsize="xx-small", loc="upper center", bbox_to_anchor=(0.5, -0.02), ncols=3)
    axis.set_title(f"{len(ids)} classes, {sum(counts.values()):,} labelled pixels", fontsize="small")


def _spectra(axis: Axes, scene: Scene, ids: list[int]) -> None:
    usable, generator = ~bad_bands(scene), np.random.default_rng(0)
    positions = np.arange(scene.bands) if scene.wavelengths is None else scene.wavelengths
    order = np.argsort(positions, kind="stable")
    order = order[usable[order]] if usable.any() else order
    groups, colours = [scene.foreground], class_colours(1)
    if ids:
        assert scene.labels is not None
        groups = [(scene.labels == label) & scene.foreground for label in ids[:_MOST_SPECTRA]]
        colours = label_colours(scene.labels, scene.classes)[np.array(ids) - 1]
    x = positions[order].astype(np.float64)
    steps = np.diff(x)
    # A line across removed bands would show values that were never measured.
    gaps = np.flatnonzero(steps > 5 * np.median(steps)) + 1 if len(steps) else np.array([], dtype=int)
    for where, colour in zip(groups, colours, strict=False):
        rows, columns = np.nonzero(where)
        if not len(rows):
            continue
        if len(rows) > _PIXELS_PER_CLASS:
            drawn = np.sort(generator.choice(len(rows), _PIXELS_PER_CLASS, replace=False))
            rows, columns = rows[drawn], columns[drawn]
        values = np.asarray(scene.cube[rows, columns]).astype(np.float64)[:, order]
        values[~np.isfinite(values)] = np.nan
        mean, spread = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
        xs, means, low, high = (np.insert(v, gaps, np.nan) for v in (x, mean, mean - spread, mean + spread))
        axis.plot(xs, means, color=colour, linewidth=1)
        axis.fill_between(xs, low, high, color=colour, alpha=min(0.12, 0.6 / len(groups)), linewidth=0)
    axis.set_xlabel("band" if scene.wavelengths is None else "wavelength (nm)", fontsize="small")
    axis.set_title("mean spectrum and standard deviation" + (" per class" if ids else ""), fontsize="small")
    axis.tick_params(labelsize="x-small")
    axis.margins(x=0.01)
