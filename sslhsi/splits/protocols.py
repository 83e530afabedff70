"""Named protocols of the papers: how many pixels of each class train."""

from __future__ import annotations

import difflib
from typing import Any

import numpy as np

from sslhsi.errors import InputError

INDIAN_PINES_1765 = (30, 150, 150, 100, 150, 150, 20, 150, 15, 150, 150, 150, 150, 150, 50, 50)
"""Training pixels of classes 1 to 16: the random split of AINet on Indian Pines."""

SERIES = (5, 10, 15, 20, 25, 30)
"""Training pixels per class of the label-efficiency curves (multitask learning, HResNet and CCNN)."""

TRANSFER_SERIES = (15, 30)
"""Training pixels per class of the target scenes in AINet's data-fusion transfer study."""

PROTOCOLS: dict[str, dict[str, Any]] = {
    "indian_pines_1765": {"counts": INDIAN_PINES_1765},
    "pavia_university_1800": {"per_class": 200},
    "hybridsn_30_percent": {"fraction": 0.3},
    **{f"per_class_{n}": {"per_class": n} for n in sorted({1, 3, *SERIES, *TRANSFER_SERIES})},
}
"""Keyword arguments of :func:`sslhsi.splits.split.split` by protocol; scheme, window and seed are free."""

DASE_CLASSES = (2, 3, 5, 6, 8, 10, 11, 12, 14, 1, 4, 7, 9, 13, 15, 16)
"""Ground-truth class of each id 1 to 16 in the GRSS DASE training map of Indian Pines."""


def protocol(name: str) -> dict[str, Any]:
    """Arguments of a named protocol, to be passed on as ``split(labels, ..., **protocol(name))``.

    Raises:
        InputError: No protocol bears that name; the nearest one is given.
    """
    if name not in PROTOCOLS:
        nearest = difflib.get_close_matches(name, PROTOCOLS, n=1, cutoff=0)[0]
        raise InputError(f"protocol {name!r} is not known: did you mean {nearest!r}?")
    return dict(PROTOCOLS[name])


def dase_maps(train_map: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Training and test masks of the spatially disjoint Indian Pines split of the GRSS DASE site.

    The map numbers the classes in an order of its own (``DASE_CLASSES``). Pixels on which map and ground
    truth disagree are used by neither side; every other labelled pixel that the map leaves empty tests:
    5,528 and 4,711 pixels. The sides are disjoint by pixel, not by window: print the leak beside it.

    Args:
        train_map: (145, 145) or (1, 145, 145) ids 0 to 16, as the GeoTIFF holds them.
        labels: (145, 145) ground truth of Indian Pines, classes 1 to 16.

    Returns:
        Two (145, 145) boolean masks, for ``split(labels, "given", masks=...)``.

    Raises:
        InputError: The shapes differ or an id is out of range.
    """
    train_map = np.asarray(train_map)
    train_map = train_map[0] if train_map.ndim == 3 and train_map.shape[0] == 1 else train_map
    if train_map.shape != labels.shape:
        raise InputError(f"the training map is {train_map.shape}, the ground truth {labels.shape}")
    if train_map.min() < 0 or train_map.max() > len(DASE_CLASSES):
        raise InputError(f"the training map holds id {train_map.max()}: ids of the DASE map are 0 to 16")
    classes = np.array((0, *DASE_CLASSES))[train_map]
    return (labels > 0) & (classes == labels), (labels > 0) & (train_map == 0)
