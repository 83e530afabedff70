"""Supervised pretraining on one scene after another, kept beside an experiment's rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sslhsi.finetune.settings import FineTuning
from sslhsi.splits.split import Split
from sslhsi.studies.grouping import PRETRAINING
from sslhsi.studies.jobs import Job, Made
from sslhsi.studies.rows import data_columns, epoch_entries, test_row
from sslhsi.studies.training_scene import TrainingScene
from sslhsi.studies.weights_cache import Weights, cache_key, cached


@dataclass(frozen=True)
class Pretraining:
    """Networks trained on chains of scenes: on the first, then on the second from the first one's weights.

    A network's weights, all but the classifier's, and its row are written to a file when it is trained, so that
    neither an interrupted experiment nor a chain that begins like another trains anything twice.

    Args:
        folder: Of the experiment; gets a ``pretrained`` folder.
        method: Columns ``experiment`` and ``settings``; ``settings`` must name all that the weights depend on
            beside the scenes.
        tuning: Position in the chain -> how to train there.
        draw: Scene and number of the pretraining -> pixels that train, and that show how well it went.
    """

    folder: Path
    method: Mapping[str, Any]
    tuning: Callable[[int], FineTuning]
    draw: Callable[[TrainingScene, int], Split]
    _known: dict[str, tuple[Weights, dict[str, Any]]] = field(default_factory=dict)

    def weights(self, chain: Sequence[TrainingScene], number: int) -> Weights:
        """Weights after a chain.

        Args:
            chain: Scenes in order.
            number: Which of several pretrainings: the seed of its weights, splits and order.
        """
        return self._made(chain, number)[0]

    def job(self, chain: Sequence[TrainingScene], number: int) -> Job:
        """The row that says how well the last scene of a chain was learned, on pixels that didn't train."""

        def make() -> Made:
            known = self._made(chain, number)[1]
            return known["row"], known["history"]

        return Job(self._columns(chain, number), make, needed=True)

    def _columns(self, chain: Sequence[TrainingScene], number: int) -> dict[str, Any]:
        return {
            **self.method,
            "method": PRETRAINING,
            "network": chain[-1].network.name,
            **data_columns(chain[-1], chain[:-1]),
            "split": "random",
            "per_class": "",
            "seed": number,
        }

    def _made(self, chain: Sequence[TrainingScene], number: int) -> tuple[Weights, dict[str, Any]]:
        columns = self._columns(chain, number)
        key = cache_key(columns)
        if key not in self._known:
            path = self.folder / "pretrained" / f"{key}.safetensors"
            self._known[key] = cached(path, lambda: self._train(chain, number, columns))
        return self._known[key]

    def _train(
        self, chain: Sequence[TrainingScene], number: int, columns: dict[str, Any]
    ) -> tuple[Weights, dict[str, Any]]:
        before, scene = chain[:-1], chain[-1]
        weights = self.weights(before, number) if before else None
        drawn = self.draw(scene, number)
        tuned = scene.train(drawn, self.tuning(len(before)), number, weights)
        row = test_row(scene, drawn, tuned, columns)
        history = epoch_entries(tuned, f"source {len(chain)}")
        return tuned.network.backbone.state_dict(), {"row": row, "history": history}
