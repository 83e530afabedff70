"""What a scene holds, in numbers, for people and for tables."""

from __future__ import annotations

from typing import Any

import numpy as np

from sslhsi.scenes.bad_bands import band_statistics
from sslhsi.scenes.scene import Scene
from sslhsi.scenes.spectra import Spectra


def describe(scene: Scene) -> dict[str, Any]:
    """Sum a scene up in plain Python values, ready for JSON.

    The cube is read once, in blocks of rows, so that memory stays bounded however large it is.

    Args:
        scene: Any scene.

    Returns:
        name, source, domain, sensor; height, width, bands, dtype, memory_mapped; ``wavelengths`` as
        (lowest, highest) nm or None; ``values`` as (lowest, highest) finite value of the foreground or
        None; ``bad_bands``, 0-based; ``nonfinite_bands``, those with some non-finite value;
        ``masked_share`` of the pixels, 0 to 1; ``classes``, a list of label, name and pixels;
        ``labelled`` pixels; ``crs`` as text or None; ``stand_in``; ``notes`` of the reader.
    """
    statistics = band_statistics(scene.cube, foreground=scene.mask)
    finite = np.isfinite(statistics.minimum) & np.isfinite(statistics.maximum)
    lowest = statistics.minimum[finite].min() if finite.any() else None
    highest = statistics.maximum[finite].max() if finite.any() else None
    wavelengths = scene.wavelengths
    crs = (scene.georeference or {}).get("crs")
    classes = []
    if scene.labels is not None:
        labels, counts = np.unique(scene.labels[scene.labels > 0], return_counts=True)
        classes = [
            {"label": int(label), "name": scene.class_name(int(label)), "pixels": int(count)}
            for label, count in zip(labels, counts, strict=True)
        ]
    return {
        "name": scene.name,
        "source": None if scene.source is None else str(scene.source),
        "domain": scene.domain,
        "sensor": scene.sensor,
        "height": scene.height,
        "width": scene.width,
        "bands": scene.bands,
        "dtype": scene.cube.dtype.name,
        "memory_mapped": _memory_mapped(scene.cube),
        "wavelengths": None if wavelengths is None else (float(wavelengths.min()), float(wavelengths.max())),
        "values": None if lowest is None or highest is None else (float(lowest), float(highest)),
        "bad_bands": np.flatnonzero(statistics.bad).tolist(),
        "nonfinite_bands": np.flatnonzero(statistics.nonfinite).tolist(),
        "masked_share": 0.0 if scene.mask is None else float(np.mean(~scene.mask)),
        "classes": classes,
        "labelled": sum(entry["pixels"] for entry in classes),
        "crs": None if crs is None else str(crs),
        "stand_in": scene.stand_in,
        "notes": list(scene.notes),
    }


def describe_spectra(spectra: Spectra) -> dict[str, Any]:
    """Sum up spectra without a place in plain Python values, as :func:`describe` does for scenes.

    Returns:
        name, source; ``spectra`` and ``bands``, how many; dtype; ``wavelengths`` and ``values`` as (lowest,
        highest) or None; ``classes``, a list of label, name and spectra; ``labelled`` spectra; ``notes``.
    """
    finite = np.isfinite(spectra.spectra)
    values = None
    if finite.any():
        values = float(np.min(spectra.spectra[finite])), float(np.max(spectra.spectra[finite]))
    classes = []
    if spectra.labels is not None:
        for label, count in zip(*np.unique(spectra.labels[spectra.labels >= 0], return_counts=True), strict=True):
            name = spectra.classes[label] if spectra.classes else f"class {label}"
            classes.append({"label": int(label), "name": name, "spectra": int(count)})
    centres = spectra.wavelengths
    return {
        "name": spectra.name,
        "source": None if spectra.source is None else str(spectra.source),
        "spectra": len(spectra),
        "bands": spectra.spectra.shape[1],
        "dtype": spectra.spectra.dtype.name,
        "wavelengths": None if centres is None else (float(centres.min()), float(centres.max())),
        "values": values,
        "classes": classes,
        "labelled": sum(entry["spectra"] for entry in classes),
        "notes": list(spectra.notes),
    }


def _memory_mapped(array: np.ndarray) -> bool:
    """True when an array or what it is a view of is a memory map."""
    base: Any = array
    while base is not None:
        if isinstance(base, np.memmap):
            return True
        base = getattr(base, "base", None)
    return False
