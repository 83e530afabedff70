"""One three-band image file -> (H, W, 3) uint8, or one sentence about why not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import rasterio
from PIL import Image, UnidentifiedImageError
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioError

from sslhsi.errors import InputError, reason_of

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp")
_TIFF = (".tif", ".tiff")
_DEEP = ("I", "F")  # Pillow's modes of more than eight bits begin so
_CLEAR = ("RGBA", "LA", "PA", "La", "RGBa")


def read_image(path: Path, bands: Sequence[int] | None = None, white: float | None = None) -> np.ndarray:
    """Read an image.

    Grey and palette images become three equal or looked-up bands; an alpha channel that hides nothing is dropped.

    Args:
        path: JPEG, PNG, TIFF, BMP or WebP.
        bands: Numbers, from 1, of red, green and blue, for files of more than three bands.
        white: The value that is white, for files of more than eight bits.

    Returns:
        (H, W, 3) uint8.

    Raises:
        InputError: The file is gone, damaged or cut off; or bands or white are needed.
    """
    try:
        if path.suffix.lower() in _TIFF:
            return _bands(path, bands, white)
        with Image.open(path) as image:
            deep = image.mode.startswith(_DEEP) or ";16" in str(image.tile)
            if deep or bands is not None:
                image.load()  # a file that is cut off is noticed here
                return _bands(path, bands, white)
            veiled = image.mode in _CLEAR or "transparency" in image.info
            if veiled and np.asarray(image.convert("RGBA").getchannel("A")).min() < 255:
                raise InputError(f"{path}: is transparent in places; flatten it onto a background, as RGB")
            return np.asarray(image.convert("RGB"))
    except InputError:
        raise
    except (
        OSError,
        UnidentifiedImageError,
        SyntaxError,
        ValueError,
        RasterioError,
        Image.DecompressionBombError,
    ) as error:
        if not path.exists():
            raise InputError(f"{path}: there is no such file") from None
        reason = reason_of(error).replace(str(path), "").strip(" :'")
        raise InputError(f"{path}: damaged, cut off or no image ({reason}); fetch it again or remove it") from None


def _bands(path: Path, bands: Sequence[int] | None, white: float | None) -> np.ndarray:
    """Bands by number, of any depth."""
    with rasterio.open(path) as source:
        count, kind = source.count, source.dtypes[0]
        if bands is None and source.colorinterp[0] == ColorInterp.palette:
            table = source.colormap(1)
            return np.array([table[n][:3] for n in range(len(table))], dtype=np.uint8)[source.read(1)]
        clear = count in (2, 4) and source.colorinterp[-1] == ColorInterp.alpha
        if bands is not None:
            if max(bands) > count:
                raise InputError(f"{path}: has {count} bands, and bands asks for number {max(bands)}")
            chosen = list(bands)
        elif count - clear in (1, 3):
            if clear and (source.read(count) < np.iinfo(kind).max).any():
                raise InputError(f"{path}: is transparent in places; flatten it onto a background, as RGB")
            chosen = [1, 2, 3] if count >= 3 else [1, 1, 1]
        else:
            raise InputError(f"{path}: has {count} bands; say which are red, green and blue, as in bands: [3, 2, 1]")
        values = source.read(chosen)
    if values.dtype != np.uint8:
        if white is None:
            raise InputError(
                f"{path}: holds {kind} values; give the one that is white, as in white: 10000 (white: 65535 takes "
                "the whole range of 16 bits)"
            )
        scaled = np.nan_to_num(values.astype(np.float64) * 255 / white, nan=0.0, posinf=255, neginf=0)
        values = np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)
    return np.ascontiguousarray(values.transpose(1, 2, 0))
