"""An image of a page, with what it says in words."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from sslhsi.report import plots
from sslhsi.report.pictures import data_uri, png


@dataclass(frozen=True)
class Chart:
    """Address that holds an image, text for those who can't see it, line below it.

    A ``wide`` one scrolls on a narrow screen instead of becoming too small to read.
    """

    uri: str
    alt: str
    caption: str = ""
    wide: bool = False


def figure_chart(figure: Figure, alt: str, caption: str = "") -> Chart:
    """A figure as SVG that follows the page's light or dark theme."""
    return Chart(data_uri(plots.svg(figure), "image/svg+xml"), alt, caption, bool(figure.get_figwidth() > 6))


def dense_chart(figure: Figure, alt: str, caption: str = "") -> Chart:
    """A figure as PNG on white: of hundreds of cells with text, which take megabytes as SVG."""
    drawn, stream = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=100, facecolor="white")
    Image.open(drawn).convert("RGB").quantize(64).save(stream, format="png", optimize=True)
    return Chart(data_uri(stream.getvalue()), alt, caption, bool(figure.get_figwidth() > 6))


def picture_chart(image: np.ndarray, alt: str, caption: str = "") -> Chart:
    """(H, W, 3) in 0..1 as PNG, pixel by pixel."""
    return Chart(data_uri(png(image)), alt, caption)
