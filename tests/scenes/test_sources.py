"""From what a recipe names to files: pairs, patterns, and ground that two scenes share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from spectral.io import envi

from sslhsi.errors import InputError
from sslhsi.recipe import Corpus, SceneSource
from sslhsi.scenes.sources import corpus_sources, expand, open_source


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Two ENVI images as header and data, named in two ways, and a .npy beside them."""
    cube = np.random.default_rng(0).random((4, 5, 6)).astype(np.float32)
    for name, ext in (("a.hdr", ".dat"), ("b.img.hdr", ""), ("c.hdr", "")):
        envi.save_image(str(tmp_path / name), cube, ext=ext)
    np.save(tmp_path / "d.npy", cube)
    return tmp_path


@pytest.mark.parametrize("pattern", ["*", "?.*", "[abcd]*"])
def test_an_envi_pair_is_one_scene(pairs, pattern):
    found = expand([SceneSource(path=str(pairs / pattern))])
    assert [s.name for s in found] == ["a", "b", "c", "d"]
    assert all(open_source(s, 0).cube.shape == (4, 5, 6) for s in found)


def test_a_pattern_that_names_the_data_alone(pairs):
    (source,) = expand([SceneSource(path=str(pairs / "*.dat"))])
    assert Path(str(source.path)).name == "a.dat"


def corpus(*held: bool, **more) -> Corpus:
    scenes = [SceneSource(simulated="paper", index=n, site="here", holdout=h) for n, h in enumerate(held)]
    return Corpus(scenes=scenes, **more)


def test_shared_ground_is_held_out_whole_or_not_at_all():
    assert len(corpus_sources(corpus(True, True))) == 2
    assert len(corpus_sources(corpus(False, False))) == 2
    with pytest.raises(InputError, match=r"'paper-1' and 'paper-0' show the same ground .site 'here'."):
        corpus_sources(corpus(False, True))
    assert len(corpus_sources(corpus(False, True, leave_out=["paper-0"]))) == 1
