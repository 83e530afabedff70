"""The view sheet: what every augmentation of a recipe does to patches, one at a time and all together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sslhsi.corpus.corpus import Corpus
from sslhsi.corpus.reader import PatchReader
from sslhsi.recipe import Neighbours, Patches, Views
from sslhsi.report.pictures import false_colour, limits, shown_channels
from sslhsi.views import make_views

# The keys of a recipe's views that set each augmentation, and what they are where it is off.
_OFF: dict[str, dict[str, Any]] = {
    "crop": {"crop": (1.0, 1.0)}, "flip, turn": {"flip": 0.0, "quarter_turns": False},
    "neighbours": {"neighbours": Neighbours()},
    **{key: {key: 0.0} for key in ("gain", "scaling", "offset", "noise", "dropout", "blur")},
}  # fmt: skip
AUGMENTATIONS = tuple(_OFF)
# Most augmentations work by chance; the strongest of so many draws shows how far they go.
DRAWS = 16


@dataclass(frozen=True)
class ViewSheet:
    """``tiles[row][column]`` are (S, S, 3) images in 0..1; ``off`` names the columns of strength 0."""

    rows: list[str]
    columns: list[str]
    strengths: list[str]
    tiles: list[list[np.ndarray]]
    off: frozenset[str]


def neutral(views: Views) -> Views:
    """A copy of the recipe's views with every augmentation off."""
    return views.model_copy(update={key: value for keys in _OFF.values() for key, value in keys.items()})


def only(views: Views, augmentation: str) -> Views:
    """A copy of the recipe's views with one of ``AUGMENTATIONS`` on."""
    return neutral(views).model_copy(update={key: getattr(views, key) for key in _OFF[augmentation]})


def strength(views: Views, augmentation: str) -> str:
    """An augmentation's strength as the recipe has it; ``off`` when it does nothing."""
    if only(views, augmentation) == neutral(views):
        return "off"
    (low, high), near = views.blur_sigma, views.neighbours
    turns = [f"p {views.flip:g}"] * (views.flip > 0) + ["any turn"] * views.quarter_turns
    centre = ", centred" if views.keep_centre else ""
    return {
        "crop": f"area {views.crop[0]:g}-{views.crop[1]:g}{centre}",
        "flip, turn": ", ".join(turns),
        "neighbours": f"up to {near.radius} px" + (f", {near.candidates} nearest" if near.candidates else ""),
        "gain": f"log sd {views.gain:g}",
        "scaling": f"sd {views.scaling:g}",
        "offset": f"sd {views.offset:g}",
        "noise": f"sd up to {views.noise:g}",
        "dropout": f"p {views.dropout:g}",
        "blur": f"p {views.blur:g}, σ {low:g}-{high:g}",
    }[augmentation]


def augmented(corpus: Corpus, windows: np.ndarray, size: int, views: Views, shown: tuple[int, ...]) -> Tensor:
    """Second views of patches: for each, of ``DRAWS`` draws the one that changes the shown channels most.

    Args:
        corpus: The corpus.
        windows: (n, 3) windows.
        size: Side of a patch.
        views: Strengths.
        shown: Channels whose change counts: dropout may well spare them in a draw.

    Returns:
        (n, K, size, size); the patch as it is where no draw changes it.
    """
    plain = PatchReader(corpus.arrays, size, resident=False)(windows)
    best, most = plain.clone(), torch.zeros(len(windows))
    for step in range(DRAWS if views != neutral(views) else 0):
        second = pair(corpus, windows, size, views, step)[1]
        change = (second - plain)[:, list(shown)].abs().mean(dim=(1, 2, 3))
        best[change > most] = second[change > most]
        most = torch.maximum(most, change)
    return best


def pair(corpus: Corpus, windows: np.ndarray, size: int, views: Views, step: int = 0) -> tuple[Tensor, Tensor]:
    """Both views of patches, (n, K, size, size) each, as training would make them."""
    reader = PatchReader(corpus.arrays, size, views.neighbours.radius, resident=False)
    spread, zero = torch.from_numpy(corpus.component_spread), torch.from_numpy(corpus.zero_spectrum(windows))
    first, second = make_views(
        reader(windows), [views, views], component_spread=spread, zero_spectrum=zero, seed=0, step=step
    )
    return first, second


def view_sheet(corpus: Corpus, patches: Patches, views: Views, rows: int = 6) -> ViewSheet:
    """Draw patches of several domains: as they are, two full views, and each augmentation by itself.

    Args:
        corpus: The corpus.
        patches: Window and stride.
        views: The recipe's augmentations.
        rows: Most patches, each of another domain; domains are taken at equal distances.

    Returns:
        The sheet. Each row is stretched by its original, so that changes of brightness show.

    Raises:
        InputError: A domain offers no window.
    """
    windows, shown = corpus.windows(patches), shown_channels(corpus)
    of_domain = corpus.domain_numbers(windows)
    present = np.unique(of_domain)
    picked = present[np.unique(np.linspace(0, len(present) - 1, min(rows, len(present))).round().astype(int))]
    rng = np.random.default_rng(0)
    chosen = windows[[int(rng.choice(np.flatnonzero(of_domain == d))) for d in picked]]
    size = patches.window
    full = pair(corpus, chosen, size, views)
    singles = [augmented(corpus, chosen, size, only(views, name), shown) for name in AUGMENTATIONS]
    original = PatchReader(corpus.arrays, size, resident=False)(chosen)
    stacks = [batch[:, list(shown)].permute(0, 2, 3, 1).numpy() for batch in (original, *full, *singles)]
    bounds = [limits(patch.reshape(-1, 3)) for patch in stacks[0]]
    strengths = [strength(views, name) for name in AUGMENTATIONS]
    return ViewSheet(
        [corpus.domains[d] for d in picked],
        ["original", "view 1", "view 2", *AUGMENTATIONS],
        ["", "all on", "all on", *strengths],
        [[false_colour(stack[i], bounds[i]) for stack in stacks] for i in range(len(chosen))],
        frozenset(name for name, text in zip(AUGMENTATIONS, strengths, strict=True) if text == "off"),
    )
