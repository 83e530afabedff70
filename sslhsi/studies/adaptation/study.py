"""Domain-adaptive pretraining: a second round of pretraining on in-domain data, between given weights and the target.

Risojevic and Stojnic, "Do we still need ImageNet pre-training in remote sensing scene classification?"
(arXiv:2111.03690): networks from scratch, pretrained, and pretrained with a second round on in-domain images
("domain-adaptive pre-training") are compared on a target by a linear probe on frozen features and by fine-tuning.
Settings of the paper: ResNet50; Adam, 5 warm-up epochs, rate x 0.2 at epochs 50, 70 and 90 of 100, batch 100; images
resized to 292, random crops of 256, flips, quarter turns; overall accuracy, on MLRSNet (several labels) F1.

Here the round is self-supervised (SimCLR) or supervised, and so may be the question: images in folders
(:mod:`sslhsi.studies.adaptation.images`), or hyperspectral cubes (:mod:`sslhsi.studies.adaptation.scenes`). Beside
the three, the second round alone, from random weights, tells whether the given weights matter. The head is replaced
at every step; the last epoch is always the result.
"""

from __future__ import annotations

from collections.abc import Sequence

from sslhsi.studies.adaptation.bench import Target
from sslhsi.studies.adaptation.images import image_targets
from sslhsi.studies.adaptation.scenes import scene_targets
from sslhsi.studies.adaptation.settings import Settings
from sslhsi.studies.table import Table, run_jobs


def run(settings: Settings, table: Table, show: bool) -> None:
    """Measure the rows that the table lacks; ``macs`` are multiply-adds per training step of a full batch.

    ``pretraining_saw_pixels`` says whether the tested pixels were part of any pretraining (never their labels).

    Raises:
        InputError: Data or weights can't be read or don't fit.
    """
    targets: Sequence[Target] = image_targets(settings) if settings.images else scene_targets(settings)
    run_jobs("adaptation: row", [job for target in targets for job in target.jobs()], table, show)
