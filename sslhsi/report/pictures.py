"""Components as colours, and arrays as images that a page can carry."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.image import imsave

from sslhsi.corpus.corpus import Corpus, PreparedScene

BACKGROUND = (0.55, 0.55, 0.57)
_HELD = (0.90, 0.62, 0.0)


def shown_channels(corpus: Corpus) -> tuple[int, int, int]:
    """Channels shown as red, green and blue: the first three components (the last is repeated where there are fewer).

    Where a corpus holds bands instead of components: from the long to the short end.
    """
    k = corpus.channels
    wanted = (0, 1, 2) if corpus.projector.learned else (3 * k // 4, k // 2, k // 4)
    red, green, blue = (min(n, k - 1) for n in wanted)
    return red, green, blue


def channels_text(corpus: Corpus) -> str:
    """What ``shown_channels`` are, for captions."""
    red, green, blue = shown_channels(corpus)
    kind = "components" if corpus.projector.learned else "bands"
    return f"{kind} {red + 1}, {green + 1} and {blue + 1} as red, green and blue"


def limits(values: np.ndarray) -> np.ndarray:
    """(2, 3) 2nd and 98th percentile of (n, 3) values; 0 and 1 where there are none."""
    values = values[np.isfinite(values).all(axis=1)]
    if not len(values):
        return np.tile([[0.0], [1.0]], (1, 3))
    return np.percentile(values.astype(np.float32), (2, 98), axis=0)


def false_colour(values: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """(H, W, 3) values -> 0..1 between bounds (2, 3)."""
    span = np.maximum(bounds[1] - bounds[0], 1e-12)
    return np.clip(np.nan_to_num((values.astype(np.float32) - bounds[0]) / span), 0, 1)


def stretch(image: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    """(H, W, 3) values -> 0..1 between their 2nd and 98th percentile over the mask (or where that is empty, all)."""
    chosen = image[mask] if mask is not None and mask.any() else image.reshape(-1, 3)
    return false_colour(image, limits(chosen))


def thumbnail(scene: PreparedScene, channels: tuple[int, int, int], side: int = 200) -> np.ndarray:
    """(h, w, 3) image of a prepared scene, no side above ``side``.

    Background is grey; what is held out is framed and tinted, a scene held out whole along its border.
    """
    step = max(1, -(-max(scene.mask.shape) // side))
    thin = (slice(None, None, step), slice(None, None, step))
    values = np.stack([np.asarray(scene.components[(*thin, c)]) for c in channels], axis=2)
    mask, held = np.asarray(scene.mask[thin]), np.asarray(scene.held[thin])
    image = stretch(values, mask)
    image[~mask] = BACKGROUND
    image[held] = 0.8 * image[held] + 0.2 * np.asarray(_HELD)
    width = max(1, max(held.shape) // 60)
    inner = held.copy()
    for axis in (0, 1):
        for shift in (-width, width):
            inner &= np.roll(held, shift, axis)
    # Rolling wraps round: the scene's border belongs to the frame.
    inner[:width], inner[-width:], inner[:, :width], inner[:, -width:] = False, False, False, False
    image[held & ~inner] = _HELD
    return image


def class_colours(count: int) -> np.ndarray:
    """(count, 4) colours of labels 1 to count: tab10 and tab20 as far as they go, then hues round the circle.

    Every picture of classes takes its colours from here, so that a class looks the same in all of them.
    """
    if count <= 10:
        return colormaps["tab10"](np.arange(count))
    return colormaps["tab20"](np.arange(count)) if count <= 20 else colormaps["hsv"](np.linspace(0, 0.95, count))


def class_palette(count: int) -> np.ndarray:
    """(count + 1, 3) colours in 0..255 of labels 0 (black, as ENVI has it), 1, 2, ..."""
    colours = np.round(255 * class_colours(count)[:, :3]).astype(int)
    return np.vstack([np.zeros((1, 3), dtype=int), colours])


def label_colours(labels: np.ndarray, classes: Sequence[str] = ()) -> np.ndarray:
    """(C, 4) colours of labels 1 to C, where C covers a scene's labels and its class names."""
    return class_colours(max(int(labels.max(initial=1)), len(classes), 1))


def png(image: np.ndarray) -> bytes:
    """(H, W, 3) in 0..1 -> PNG that says who made it."""
    stream = io.BytesIO()
    metadata = {"Software": "sslhsi"}
    imsave(stream, np.ascontiguousarray(np.clip(image, 0, 1)[..., :3]), format="png", metadata=metadata)
    return stream.getvalue()


def data_uri(content: bytes, kind: str = "image/png") -> str:
    """Bytes as an address that holds them."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
