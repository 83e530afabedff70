"""From what a recipe names to files: pairs, patterns, and places that two scenes share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from spectral.io import envi

from sslhsi.errors import InputError
from sslhsi.recipe import Corpus, SceneSource
from sslhsi.scenes.identity import kind_of
from sslhsi.scenes.sources import corpus_sources, expand, open_source, source_hash


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
    expanded = expand([SceneSource(path=str(pairs / pattern))])
    assert [s.name for s in expanded] == ["a", "b", "c", "d"]
    assert all(open_source(s, 0).cube.shape == (4, 5, 6) for s in expanded)


def test_a_pattern_that_names_the_data_alone(pairs):
    (source,) = expand([SceneSource(path=str(pairs / "*.dat"))])
    assert Path(str(source.path)).name == "a.dat"


def corpus(*held: bool, **more) -> Corpus:
    scenes = [SceneSource(simulated="paper", index=n, site="here", holdout=h) for n, h in enumerate(held)]
    return Corpus(scenes=scenes, **more)


def test_shared_ground_is_held_out_whole_or_not_at_all():
    assert len(corpus_sources(corpus(True, True))) == 2
    assert len(corpus_sources(corpus(False, False))) == 2
    with pytest.raises(InputError, match=r"'paper-1' and 'paper-0' show the same place .site 'here'."):
        corpus_sources(corpus(False, True))
    assert len(corpus_sources(corpus(False, True, leave_out=["paper-0"]))) == 1


def test_a_stand_in_is_named_so_whatever_the_recipe_calls_it(tmp_path):
    labels = np.zeros((30, 24), np.int32)
    labels[3:12, 3:20], labels[15:28, 3:20] = 1, 2
    np.save(tmp_path / "map.npy", labels)
    sources = [
        SceneSource(stand_in="salinas", labels=str(tmp_path / "map.npy")),
        SceneSource(stand_in="salinas", labels=str(tmp_path / "map.npy"), name="mine"),
        SceneSource(stand_in="some place", labels=str(tmp_path / "map.npy")),
    ]
    expanded = expand(sources)
    assert [s.name for s in expanded] == ["stand-in: salinas", "stand-in: mine", "stand-in: some place"]
    assert expanded[0].origin == "stand-in:salinas"
    salinas, _, elsewhere = (open_source(s, 0) for s in expanded)
    assert salinas.cube.shape == (30, 24, 204)
    assert salinas.wavelengths is not None
    assert salinas.class_name(1) == "Broccoli green weeds 1"
    assert elsewhere.wavelengths is None
    for scene in (salinas, elsewhere):
        assert scene.stand_in
        assert kind_of(scene) == "stand-in"
        np.testing.assert_array_equal(scene.labels, labels)
    # Another map or seed is other data.
    np.save(tmp_path / "other.npy", labels[::-1])
    other = expanded[0].model_copy(update={"labels": str(tmp_path / "other.npy")})
    assert len({source_hash(expanded[0], 0), source_hash(expanded[0], 1), source_hash(other, 0)}) == 3
