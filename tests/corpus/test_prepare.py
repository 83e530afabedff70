"""Prepared corpora: what is stored, when it is made anew, and that reading it equals cutting windows by hand."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from sslhsi.bands.projector import SpectralProjector
from sslhsi.corpus.corpus import Corpus
from sslhsi.corpus.prepare import prepare
from sslhsi.corpus.reader import PatchReader
from sslhsi.errors import InputError
from sslhsi.recipe import Recipe
from sslhsi.scenes.identity import data_hash
from sslhsi.scenes.read import read_scene
from sslhsi.scenes.scene import Scene


@pytest.fixture
def make(tmp_path):
    """``make(**bands)``: a recipe over two cubes of 10 and 14 bands."""
    for n, bands in enumerate((10, 14)):
        np.save(tmp_path / f"scene{n}.npy", np.random.default_rng(n).random((30, 24, bands)).cumsum(axis=2))

    def recipe(**bands) -> Recipe:
        scenes = [{"path": str(tmp_path / f"scene{n}.npy"), "background": "none"} for n in range(2)]
        corpus = {
            "scenes": scenes,
            "cache": str(tmp_path / "cache"),
            "bands": {"grid": 12, "components": 5, "align": "index", **bands},
            "patches": {"window": 8, "stride": 3, "holdout": 0.3},
        }
        text = {"name": "t", "corpus": corpus, "backbone": {"name": "x"}, "training": {"steps": 1}}
        return Recipe.model_validate_json(json.dumps(text))

    return recipe


@pytest.mark.parametrize(
    "bands", [{}, {"standardize": "scene", "noise_whitening": 1.0}, {"scope": "train"}, {"components": None}]
)
def test_stored_components_are_the_projectors(make, tmp_path, bands):
    corpus = prepare(make(**bands))
    scenes = [Scene(f"scene{n}", np.load(tmp_path / f"scene{n}.npy")) for n in range(2)]
    settings = {"grid": 12, "components": 5, "align": "index", **bands}
    train = [~np.asarray(s.held) for s in corpus.scenes]
    projector = SpectralProjector(**settings).fit(scenes, train)
    for stored, scene in zip(corpus.scenes, scenes, strict=True):
        expected = projector.transform(scene.cube, scaled=True)
        np.testing.assert_allclose(stored.components, expected, rtol=2e-3, atol=2e-3)
        zero = projector.transform(
            np.zeros((1, 1, scene.bands)), moments=projector.scene_moments(scene.cube), scaled=True
        )
        np.testing.assert_allclose(stored.record.zero_spectrum, zero[0, 0], rtol=1e-3, atol=1e-3)


def test_seeds_share_a_corpus_unless_ground_is_held_out(make):
    def key(seed: int, holdout: float) -> str:
        recipe = make()
        patches = recipe.corpus.patches.model_copy(update={"holdout": holdout})
        corpus = recipe.corpus.model_copy(update={"patches": patches})
        return prepare(recipe.model_copy(update={"seed": seed, "corpus": corpus})).key

    assert key(0, 0.3) != key(1, 0.3)
    assert key(0, 0.0) == key(1, 0.0)


def test_cubes_too_large_to_hold_are_read_twice(make, monkeypatch):
    monkeypatch.setattr("sslhsi.corpus.prepare.HOLD_BYTES", -1)
    twice = [np.array(a) for a in prepare(make()).arrays]
    monkeypatch.undo()
    once = make()
    other = once.model_copy(update={"corpus": once.corpus.model_copy(update={"cache": once.corpus.cache + "2"})})
    for a, b in zip(twice, prepare(other).arrays, strict=True):
        np.testing.assert_array_equal(a, b)


def test_prepared_once_and_anew_when_anything_changes(make, tmp_path):
    first = prepare(make())
    stamp = (first.folder / "manifest.json").stat().st_mtime_ns
    assert prepare(make()).folder == first.folder
    assert (first.folder / "manifest.json").stat().st_mtime_ns == stamp
    assert prepare(make(components=4)).folder != first.folder
    cube = np.load(tmp_path / "scene0.npy")
    cube[0, 0, 0] += 1
    np.save(tmp_path / "scene0.npy", cube)
    assert prepare(make()).folder != first.folder


def test_training_windows_never_touch_held_out_ground(make):
    recipe = make()
    corpus = prepare(recipe)
    patches = recipe.corpus.patches
    for scene, row, column in corpus.windows(patches):
        assert not corpus.scenes[scene].held[row : row + 8, column : column + 8].any()
    held = corpus.windows(patches, held=True)
    assert len(held)
    for scene, row, column in held:
        assert corpus.scenes[scene].held[row : row + 8, column : column + 8].all()


@pytest.mark.parametrize("resident", [True, False])
@pytest.mark.parametrize("margin", [0, 5])
def test_patches_equal_windows_of_a_reflected_scene(make, resident, margin):
    corpus = prepare(make())
    windows = np.array([[0, 0, 0], [1, 22, 16], [0, -4, 10], [1, 11, -4], [1, 25, 19]])
    result = PatchReader(corpus.arrays, 8, margin, resident=resident)(windows)
    assert result.dtype == torch.float32
    for patch, (scene, row, column) in zip(result, windows, strict=True):
        pad = np.pad(np.asarray(corpus.arrays[scene]), ((20, 20), (20, 20), (0, 0)), mode="reflect")
        r, c = row - margin + 20, column - margin + 20
        expected = pad[r : r + 8 + 2 * margin, c : c + 8 + 2 * margin].transpose(2, 0, 1)
        np.testing.assert_array_equal(patch, expected.astype(np.float32))


class Killed(BaseException):
    """Stands for whatever ends a program without asking it."""


class Log(list):
    """What a preparation reports; raises :class:`Killed` once it has reported ``last``."""

    def __init__(self, last: str = "") -> None:
        self.last = last

    def __call__(self, what: str, done: int, total: int) -> None:
        self.append(what)
        if what == self.last:
            raise Killed


@pytest.mark.parametrize("last", ["read scene0", "read scene1", "wrote scene0", "wrote scene1"])
def test_a_killed_preparation_goes_on_with_the_next_scene(make, last):
    """The corpus is the same, and nothing that had been finished is done again."""
    whole = prepare(make())
    arrays = [np.array(a) for a in whole.arrays]
    manifest = (whole.folder / "manifest.json").read_text()
    shutil.rmtree(whole.folder)
    before, after = Log(last), Log()
    with pytest.raises(Killed):
        prepare(make(), progress=before)
    again = prepare(make(), progress=after)
    for a, b in zip(arrays, again.arrays, strict=True):
        np.testing.assert_array_equal(a, b)
    assert (again.folder / "manifest.json").read_text() == manifest
    steps = ["read scene0", "read scene1", "wrote scene0", "wrote scene1"]
    done = {"read": "scene{} had been read", "wrote": "scene{} had been written"}
    assert after == [done[s.split()[0]].format(s[-1]) if s in before else s for s in steps]
    assert sorted(p.name for p in again.folder.parent.iterdir()) == [again.folder.name]
    left = {p.name.split(".", 1)[1] for p in again.folder.iterdir()}
    assert left == {"components.npy", "mask.npy", "held.npy", "json", "safetensors"}


def test_a_damaged_record_of_a_killed_preparation_is_made_anew(make):
    with pytest.raises(Killed):
        prepare(make(), progress=Log("wrote scene0"))
    (part,) = (Path(make().corpus.cache)).glob(".*.part")
    for name in ("0000.measured.npz", "0000.record.json"):
        (part / name).write_bytes((part / name).read_bytes()[:200])
    log = Log()
    assert len(prepare(make(), progress=log).scenes) == 2
    assert log == ["read scene0", "scene1 had been read", "wrote scene0", "wrote scene1"]


def test_a_labelled_scene_is_judged_without_its_file(make, tmp_path):
    """Labels, class names, wavelengths and the raw spectra of labelled pixels are kept as the file has them."""
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 3, (30, 24))
    np.save(tmp_path / "labels.npy", labels)
    recipe = make(align="wavelength")
    centres = [np.linspace(400, 900, n).tolist() for n in (10, 14)]
    scenes = [
        source.model_copy(update={"wavelengths": w, "labels": str(tmp_path / "labels.npy") if w[1] > 450 else None})
        for source, w in zip(recipe.corpus.scenes, centres, strict=True)
    ]
    recipe = recipe.model_copy(update={"corpus": recipe.corpus.model_copy(update={"scenes": scenes})})
    first, second = prepare(recipe).scenes
    cube = np.load(tmp_path / "scene0.npy")
    scene = read_scene(tmp_path / "scene0.npy", labels=str(tmp_path / "labels.npy"))
    np.testing.assert_array_equal(first.labels, labels)
    np.testing.assert_array_equal(first.spectra, cube[labels > 0])
    assert first.spectra.dtype == cube.dtype
    np.testing.assert_array_equal(first.wavelengths, centres[0])
    assert (first.record.kind, first.record.data) == ("real", data_hash(scene.cube, scene.labels))
    assert (second.labels, second.spectra, second.record.data) == (None, None, "")


def test_a_corpus_of_another_version_is_left_where_it_is(make):
    corpus = prepare(make())
    older = corpus.folder.with_name(corpus.key)
    shutil.copytree(corpus.folder, older)
    manifest = older / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"format": 3', '"format": 2'))
    with pytest.raises(InputError, match="prepared by another version; run sslhsi prepare RECIPE again"):
        Corpus(older)
    shutil.rmtree(corpus.folder)
    assert prepare(make()).folder == corpus.folder


def test_two_runs_that_prepare_at_once_don_t_share_a_folder(tmp_path):
    from sslhsi.corpus.unfinished import claim_folder

    first, lock = claim_folder(tmp_path, "key")
    second, other = claim_folder(tmp_path, "key")
    assert first != second
    lock.close()
    other.close()
    third, lock = claim_folder(tmp_path, "key")
    assert third == first
    lock.close()


def test_a_damaged_corpus_is_named(make):
    corpus = prepare(make())
    (corpus.folder / "0000.components.npy").write_bytes(b"x" * 40)
    with pytest.raises(InputError, match=r"0000\.components\.npy: damaged"):
        Corpus(corpus.folder)
    (corpus.folder / "manifest.json").write_text('{"format": 3, "key": 7}')
    with pytest.raises(InputError, match="key is damaged"):
        Corpus(corpus.folder)
    with pytest.raises(InputError, match="no prepared corpus here"):
        Corpus(corpus.folder / "nothing")
