"""Which trainings a recipe of multitask learning asks for, and what each scene brings to them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from sslhsi.errors import InputError
from sslhsi.evaluation.labelled_scene import LabelledScene
from sslhsi.scenes.sources import expand
from sslhsi.splits.split import Split, split
from sslhsi.studies.multitask.bands import (
    by_wavelength,
    camera_of,
    chosen,
    known_scene,
    published_bands,
    scale_of,
)
from sslhsi.studies.multitask.network import WINDOWS
from sslhsi.studies.multitask.settings import BY_RULE, METHODS, Settings
from sslhsi.studies.rows import StudyRow
from sslhsi.studies.study import open_scenes


@dataclass(frozen=True)
class Layout:
    """Scenes that train together, and what each of them brings.

    Args:
        method: Key of ``METHODS``.
        scenes: Numbers of the scenes, in order.
        bands: The bands in words.
        matrices: (B, L) float64 of each scene, from its values, not yet scaled, to the network's bands.
        targets: Places in ``scenes`` of those whose rows the training fills.
    """

    method: str
    scenes: tuple[int, ...]
    bands: str
    matrices: tuple[np.ndarray, ...]
    targets: tuple[int, ...]


@dataclass(frozen=True)
class Training:
    """One training of a layout."""

    layout: Layout
    network: str
    scheme: str
    per_class: int
    seed: int


class Plan:
    """The recipe's scenes with what is known of each, and the trainings.

    Raises:
        InputError: Scenes, names or bands don't fit together.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.scenes = open_scenes(settings.scenes)
        self.names = [scene.name for scene in self.scenes]
        self.labelled = [LabelledScene(scene, (), 0) for scene in self.scenes]
        self.digests = [one.digest for one in self.labelled]
        groups = settings.together or [self.names]
        self.groups = [tuple(self._number("together", name) for name in group) for group in groups]
        self.targets = [self._number("targets", name) for name in settings.targets or self.names]
        if any(method != "single" for method in settings.methods):
            if len(self.scenes) < 2:
                raise InputError(
                    "scenes: a joint training needs two scenes or more; add one, or set methods=[single]"
                )
            self.groups = [group for group in self.groups if set(group) & set(self.targets)]
            if not self.groups:
                raise InputError("together: no joint training holds any of the targets; name one that does")
            self._check_apart()
        for name in settings.catalogue:
            self._number("catalogue", name)
        self.entries = [known_scene(scene, settings.catalogue) for scene in self.scenes]
        self.scales = [scale_of(scene) for scene in self.scenes]
        self.layouts = [layout for method in settings.methods for layout in self._layouts(method)]

    def trainings(self) -> Iterator[Training]:
        """All of them, seed by seed, so that an interrupted table has every method."""
        asked = self.settings
        for seed, network, scheme, n, layout in product(
            range(asked.seeds), asked.networks, asked.schemes, asked.per_class, self.layouts
        ):
            yield Training(layout, network, scheme, n, seed)

    def draw(self, scene: int, scheme: str, per_class: int, seed: int, window: int) -> Split:
        """The split of a scene, the same for all methods."""
        return split(self.labelled[scene].label_map, scheme, window, per_class=per_class, seed=seed)

    def target_row(self, target: int, scheme: str, per_class: int, seed: int) -> StudyRow:
        """What names target and split."""
        return StudyRow(
            experiment="multitask",
            target=self.names[target],
            kind=self.labelled[target].kind,
            data=self.digests[target],
            split=scheme,
            per_class=per_class,
            seed=seed,
        )

    def row(self, training: Training, place: int) -> StudyRow:
        """What is known beforehand of a training's row; ``source``: the scenes beside the target."""
        layout = training.layout
        target = layout.scenes[place]
        others = [i for i in layout.scenes if i != target]
        return replace(
            self.target_row(target, training.scheme, training.per_class, training.seed),
            method=METHODS[layout.method],
            network=training.network,
            source=" + ".join(self.names[i] for i in others),
            data="-".join(self.digests[i] for i in (target, *others)),
            settings=f"window {WINDOWS[training.network]}; {layout.bands}; cube divided by its maximum; "
            f"mirrored, 4 copies; {self.settings.schedule}",
        )

    def _number(self, key: str, name: str) -> int:
        if name not in self.names:
            raise InputError(f"{key}: no scene is named {name!r}; the scenes are {', '.join(self.names)}")
        return self.names.index(name)

    def _check_apart(self) -> None:
        """A partner that shows the target's site would train on its test pixels."""
        sites = [source.site for source in expand(self.settings.scenes)]
        for group in self.groups:
            for k, i in enumerate(group):
                for j in group[:k]:
                    if self.digests[i] == self.digests[j] or (sites[i] and sites[i] == sites[j]):
                        raise InputError(
                            f"together: {self.names[j]} and {self.names[i]} show the same site, so that one would "
                            "train on test pixels of the other; put them into different joint trainings"
                        )

    def _camera(self, number: int) -> str:
        return camera_of(self.scenes[number], self.entries[number])

    def _layouts(self, method: str) -> Iterator[Layout]:
        groups = [(i,) for i in self.targets] if method == "single" else self.groups
        for group in groups:
            targets = tuple(k for k, i in enumerate(group) if i in self.targets)
            if method == "single" and not set(self.settings.methods) & set(BY_RULE):
                yield Layout(method, group, "all bands", (np.eye(self.scenes[group[0]].bands),), targets)
            elif method == "shared_wavelength":
                matrices = by_wavelength([self.scenes[i] for i in group], [self.entries[i] for i in group])
                bands = f"resampled to {matrices[0].shape[1]} common wavelengths"
                yield Layout(method, group, bands, tuple(matrices), targets)
            else:
                # The rule gives targets of either camera other bands, so each has a separate training.
                for camera in dict.fromkeys(self._camera(group[k]) for k in targets):
                    mine = tuple(k for k in targets if self._camera(group[k]) == camera)
                    words, matrices = self._by_rule(group, camera, method == "inverse")
                    yield Layout(method, group, words, tuple(matrices), mine)

    def _by_rule(self, group: Sequence[int], target: str, inverse: bool) -> tuple[str, list[np.ndarray]]:
        matrices = []
        for number in group:
            scene = self.scenes[number]
            numbers = published_bands(target, self._camera(number), scene.bands, scene.name)
            matrices.append(chosen(numbers, scene.bands))
        words = f"{matrices[0].shape[1]} bands as published for {target}"
        if inverse:
            matrices[1] = matrices[1][:, ::-1]
            words += f", those of {self.names[group[1]]} in reverse order"
        return words, matrices
