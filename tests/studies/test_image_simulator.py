"""Simulated scene images: the same everywhere, labelled by what was drawn, and of another look."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from sslhsi.errors import InputError
from sslhsi.studies.adaptation.image_canvas import LABELS, LOOKS
from sslhsi.studies.adaptation.image_simulator import KINDS, simulate_image

# What must be in sight, by kind, whatever the draw.
ALWAYS = {
    "airfield": {"pavement", "planes"}, "beach": {"water", "sand"}, "farmland": {"crops"}, "forest": {"trees"},
    "harbour": {"water", "boats", "pavement"}, "housing": {"buildings", "grass"}, "lake": {"water"},
    "parking": {"cars", "pavement"}, "river": {"water"}, "storage": {"tanks"}, "junction": {"pavement"},
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_shows_what_its_labels_say(kind):
    for look in LOOKS:
        image, visible = simulate_image(kind, 1, look=look, side=64)
        assert image.shape == (64, 64, 3)
        assert image.dtype == np.uint8
        assert visible.shape == (len(LABELS),)
        names = {name for name, there in zip(LABELS, visible, strict=True) if there}
        assert names >= ALWAYS.get(kind, set()), (look, names)
        assert not names & {"sand", "planes", "tanks", "boats"} or kind in (
            "beach", "airfield", "storage", "harbour", "lake",
        )  # fmt: skip


@pytest.mark.slow
def test_the_same_image_in_another_process():
    code = (
        "import hashlib; from sslhsi.studies.adaptation.image_simulator import simulate_image as s; "
        "print(hashlib.sha256(s('harbour', 3, look='satellite', seed=2, side=40)[0].tobytes()).hexdigest())"
    )
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    image, _ = simulate_image("harbour", 3, look="satellite", seed=2, side=40)
    assert there == hashlib.sha256(image.tobytes()).hexdigest()
    for other in ({"index": 4}, {"seed": 3}, {"look": "survey"}, {"kind": "lake"}):
        changed = {"kind": "harbour", "index": 3, "look": "satellite", "seed": 2} | other
        assert (simulate_image(**changed, side=40)[0] != image).mean() > 0.5


def test_the_second_look_is_warmer():
    warmth = {
        look: np.array(
            [np.subtract(*simulate_image(kind, 0, look=look, side=32)[0].mean((0, 1))[[0, 2]]) for kind in KINDS]
        )
        for look in LOOKS
    }
    difference = warmth["satellite"] - warmth["survey"]
    assert difference.mean() > 2 * difference.std(ddof=1) / np.sqrt(difference.size)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"kind": "moon"}, "airfield"),
        ({"look": "infrared"}, "survey"),
        ({"side": 8}, "16"),
        ({"index": -1}, "from 0 on"),
    ],
)
def test_what_makes_no_sense_is_told(wrong, words):
    with pytest.raises(InputError, match=words):
        simulate_image(**({"kind": "lake", "index": 0} | wrong))
