"""What a scene holds, in numbers, for people and for tables."""

from __future__ import annotations

from collections.abc import Callable
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
    extremes = np.concatenate((statistics.minimum, statistics.maximum))
    crs = (scene.georeference or {}).get("crs")
    classes = _counted(scene.labels, 1, scene.class_name, "pixels")
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
        "wavelengths": _range(scene.wavelengths),
        "values": _range(extremes),
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
    names = spectra.classes
    classes = _counted(spectra.labels, 0, lambda label: names[label] if names else f"class {label}", "spectra")
    return {
        "name": spectra.name,
        "source": None if spectra.source is None else str(spectra.source),
        "spectra": len(spectra),
        "bands": spectra.spectra.shape[1],
        "dtype": spectra.spectra.dtype.name,
        "wavelengths": _range(spectra.wavelengths),
        "values": _range(spectra.spectra),
        "classes": classes,
        "labelled": sum(entry["spectra"] for entry in classes),
        "notes": list(spectra.notes),
    }


def _range(values: np.ndarray | None) -> tuple[float, float] | None:
    """Lowest and highest finite value; None without any."""
    finite = np.empty(0) if values is None else values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if finite.size else None


def _counted(labels: np.ndarray | None, least: int, name: Callable[[int], str], what: str) -> list[dict[str, Any]]:
    """How many pixels or spectra bear each label from the least one on."""
    if labels is None:
        return []
    listed = zip(*np.unique(labels[labels >= least], return_counts=True), strict=True)
    return [{"label": int(label), "name": name(int(label)), what: int(count)} for label, count in listed]


def _memory_mapped(array: np.ndarray) -> bool:
    """True when an array or what it is a view of is a memory map."""
    base: Any = array
    while base is not None:
        if isinstance(base, np.memmap):
            return True
        base = getattr(base, "base", None)
    return False
