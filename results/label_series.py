"""Label-efficiency series: SVM, k-NN, linear probe and fine-tuning at 5 to 30 samples per class.

Pretrained networks are those of the pixel recipe without random features, pretrained on all scenes but the one
that they are evaluated on.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import rasterio
import scipy.io

from sslhsi.encoder.load import load_backbone
from sslhsi.evaluation.labelled_scene import LabelledScene, labelled_crowns, labelled_pixels, labelled_spectra
from sslhsi.evaluation.network import Network, beside
from sslhsi.evaluation.rows import read_result_rows
from sslhsi.report.comparison import write_comparison
from sslhsi.report.curves import write_curves
from sslhsi.report.examples import make_examples
from sslhsi.scenes.crowns import read_crowns
from sslhsi.scenes.read import read_labels
from sslhsi.scenes.scene import Scene
from sslhsi.scenes.simulated.stand_in import CALIBRATED, stand_in
from sslhsi.splits.protocols import SERIES, dase_maps

CHEAP, COSTLY = 10, 3
PROBES = {"k-NN": CHEAP, "linear": CHEAP, "SVM": CHEAP, "fine-tune": COSTLY}
Networks = Callable[[str | None], Path]


def data() -> Path:
    return Path(os.environ["SSLHSI_DATA"])


def backbones(networks: Networks, without: str | None) -> list[Network]:
    what = "all scenes of the pixel recipe" + (f" but {without}" if without else "")
    encoder = load_backbone(networks(without))
    return beside(encoder, pretraining=what, pretraining_saw_pixels="no", projection_saw_pixels="no")


def small_scenes(networks: Networks, scene: Callable[[str], Scene]) -> Iterable[tuple[LabelledScene, dict[str, int]]]:
    for name in ("salinas_a", "samson", "muufl"):
        yield labelled_pixels(scene(name), backbones(networks, name)), PROBES


def indian_pines(networks: Networks, scene: Callable[[str], Scene]) -> Iterable[tuple[LabelledScene, dict[str, int]]]:
    """Random, blocks, and the DASE map."""
    name = "indian_pines_8bit"
    pines = scene(name)
    assert pines.labels is not None
    yield labelled_pixels(pines, backbones(networks, name), masks={"DASE": dase(pines.labels)}), PROBES


def dase(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Training and test pixels of the GRSS DASE map of Indian Pines."""
    with rasterio.open(data() / "indian-pines" / "indianpines_ts.tif") as file:
        return dase_maps(file.read(1), labels)


def crowns(networks: Networks, _: Callable[[str], Scene]) -> Iterable[tuple[LabelledScene, dict[str, int]]]:
    """15 trees of one site: earlier years train, later years test. No scene of that site is pretrained on."""
    crops = read_crowns(data() / "neon-deeptree" / "osbs_crops")
    yield labelled_crowns(crops, backbones(networks, None), name="NEON crowns"), PROBES


def ksc(*_: object) -> Iterable[tuple[LabelledScene, dict[str, int]]]:
    """Spectra without positions: spectral methods only."""
    table = scipy.io.loadmat(data() / "ksc" / "testKSC1.mat")["testKSC1"]
    labels = table[:, -1].astype(np.int64)
    spectra = labelled_spectra("KSC spectra", table[:, :-1].astype(np.float32), labels, SERIES)
    yield spectra, {probe: CHEAP for probe in ("k-NN", "linear", "SVM")}


STAND_INS = {
    "labels_stand_in_pavia": ("pavia_university", "PaviaU_gt.mat"),
    "labels_stand_in_salinas": ("salinas", "Salinas_gt.mat"),
}


def stand_in_of(name: str, file: str) -> Callable[..., Iterable[tuple[LabelledScene, dict[str, int]]]]:
    def targets(networks: Networks, _: Callable[[str], Scene]) -> Iterable[tuple[LabelledScene, dict[str, int]]]:
        scene = stand_in(read_labels(data() / "gt-only" / file), **CALIBRATED[name])
        beside_it = backbones(networks, None)
        # An SVM on features of 50,000 pixels costs more than all else here; on spectra it is the published method.
        yield labelled_pixels(scene, schemes=("random",)), {"SVM": CHEAP}
        window = beside_it[0].encoder.window
        yield labelled_pixels(scene, schemes=("blocks",), window=window), {"SVM": CHEAP}
        rest = {probe: seeds for probe, seeds in PROBES.items() if probe != "SVM"}
        yield labelled_pixels(scene, beside_it), rest

    return targets


PARTS: dict[str, Callable[..., Iterable[tuple[LabelledScene, dict[str, int]]]]] = {
    "labels_small_scenes": small_scenes,
    "labels_indian_pines": indian_pines,
    "labels_crowns": crowns,
    "labels_ksc": ksc,
    **{part: stand_in_of(*about) for part, about in STAND_INS.items()},
}


def write_label_page(folder: Path, networks: Networks, scene: Callable[[str], Scene]) -> None:
    """label_efficiency.html and its curves, from the rows of all parts; pictures of Indian Pines."""
    rows = [row for part in PARTS for row in read_result_rows(folder / f"{part}.csv")]
    if not rows:
        return
    name = "indian_pines_8bit"
    scenes, examples = {}, {}
    if any(row.scene == name for row in rows):
        scenes[name] = scene(name)
        examples[name] = make_examples(scenes[name], backbones(networks, name), per_class=10)
    title = "Label efficiency: 5 to 30 samples per class"
    write_comparison(folder / "label_efficiency.html", rows, title=title, scenes=scenes, examples=examples)
    shutil.rmtree(folder / "curves", ignore_errors=True)
    write_curves(rows, folder / "curves")
