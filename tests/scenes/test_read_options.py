"""The same reading options in Python, in recipes and on the command line, and messages whose way out exists."""

from __future__ import annotations

import argparse
import ast
import json
import re
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import yaml

from sslhsi.cli import build_parser, main
from sslhsi.errors import InputError
from sslhsi.read_options import DESCRIPTIONS, ReadOptions
from sslhsi.recipe import SceneSource
from sslhsi.recipe_file import read_settings
from sslhsi.scenes.read import read_labels, read_scene
from sslhsi.scenes.scene import Scene
from sslhsi.scenes.sources import expand, open_source

RNG = np.random.default_rng(0)
CUBE = RNG.integers(1, 100, (5, 7, 11)).astype(np.int16)
MAP = RNG.integers(0, 4, (5, 7)).astype(np.uint8)
SCENE_COMMANDS = [
    ["data", "inspect"],
    ["eval", "knn"],
    ["eval", "label-efficiency"],
    ["map"],
    ["compare"],
    ["export"],
]
ROOT = Path(__file__).parents[2]


def flags(words: list[str]) -> set[str]:
    """The options of a command, as --help lists them."""
    parser: argparse.ArgumentParser = build_parser()
    for word in words:
        actions = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
        parser = actions[0].choices[word]
    return {flag for action in parser._actions for flag in action.option_strings}


def by_python(path: Path, options: dict) -> Scene:
    return read_scene(path, **options)


def by_recipe(path: Path, options: dict) -> Scene:
    recipe = path.parent / "scene.yaml"
    recipe.write_text(yaml.safe_dump({"path": str(path), **options}))
    return open_source(expand([read_settings(recipe, SceneSource)])[0], 0)


def written(value) -> str:
    if value is False:
        return "none"
    if isinstance(value, list):
        return ",".join(map(str, value)) or "none"
    return str(value)


def by_command(path: Path, options: dict) -> list[str]:
    """The command line that says the same."""
    words = [word for key, value in options.items() for word in (f"--{key.replace('_', '-')}", written(value))]
    return ["data", "inspect", str(path), "--no-png", "--json", *words]


@pytest.mark.parametrize("command", SCENE_COMMANDS, ids=" ".join)
def test_every_command_that_opens_a_scene_takes_every_option(command):
    assert {f"--{key.replace('_', '-')}" for key in ReadOptions.model_fields if key not in DESCRIPTIONS} <= flags(
        command
    )
    assert "--drop-bad-bands" in flags(command)


def test_recipes_take_every_option():
    assert set(ReadOptions.model_fields) <= set(SceneSource.model_fields)
    assert all(field.description for field in ReadOptions.model_fields.values())


def messages() -> list[tuple[str, str]]:
    """(file, text) of every message of the readers and of what prepares their scenes."""
    texts = []
    for file in [*(ROOT / "sslhsi/scenes").glob("*.py"), *(ROOT / "sslhsi/corpus").glob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text())):
            called = getattr(getattr(node, "func", None), "id", None) or getattr(
                getattr(node, "func", None), "attr", ""
            )
            if isinstance(node, ast.Call) and called in ("InputError", "note"):
                parts = [n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
                texts.append((file.name, " ".join(parts)))
    return texts


def test_options_that_messages_name_exist():
    named = {
        (file, key)
        for file, text in messages()
        for key in re.findall(r"(?<![\w./-])([a-z_]+)(?==)|\b(?:add|give|pass|set) ([a-z]+_[a-z]+)\b", text)
        for key in key
        if key
    }
    assert {key for _, key in named} >= {
        "cube",
        "labels",
        "labels_key",
        "shape",
        "order",
        "drop_bands",
        "wavelengths",
    }
    unknown = {(file, key) for file, key in named if key not in SceneSource.model_fields}
    assert not unknown


def two_cubes(folder: Path) -> Path:
    scipy.io.savemat(folder / "a.mat", {"one": CUBE, "two": CUBE + 1})
    return folder / "a.mat"


def two_maps(folder: Path) -> Path:
    scipy.io.savemat(folder / "a.mat", {"x": CUBE, "gt": MAP, "train": MAP})
    return folder / "a.mat"


def two_maps_beside(folder: Path) -> Path:
    np.savez(folder / "gt.npz", all=MAP, train=MAP)
    np.save(folder / "a.npy", CUBE)
    return folder / "a.npy"


def flat(folder: Path) -> Path:
    np.save(folder / "a.npy", CUBE.reshape(35, 11).T)
    return folder / "a.npy"


def dead_band(folder: Path) -> Path:
    cube = CUBE.astype(np.float32)
    cube[..., 3] = np.nan
    np.save(folder / "a.npy", cube)
    return folder / "a.npy"


def bands_first(folder: Path) -> Path:
    np.save(folder / "a.npy", RNG.integers(1, 100, (40, 24, 30)).astype(np.int16))
    return folder / "a.npy"


def header(extra: str):
    def write(folder: Path) -> Path:
        (folder / "a.raw").write_bytes(CUBE.transpose(2, 0, 1).tobytes())
        (folder / "a.hdr").write_text(
            "ENVI\nsamples = 7\nlines = 5\nbands = 11\ndata type = 2\ninterleave = bsq\nbyte order = 0\n" + extra
        )
        return folder / "a.hdr"

    return write


# What is read, with what at first, what the message names, and what then helps.
WAYS_OUT = {
    "several cubes": (two_cubes, {}, "cube", {"cube": "two"}),
    "several label maps": (two_maps, {}, "labels", {"labels": "gt"}),
    "no label map at all": (two_maps, {}, 'labels="none"', {"labels": "none"}),
    "no label map, in YAML's words": (two_maps, {}, 'labels="none"', {"labels": False}),
    "several maps in the labels' file": (two_maps_beside, {"labels": "gt.npz"}, "labels_key", {"labels_key": "all"}),
    "a matrix of pixels": (flat, {}, "shape", {"shape": [5, 7]}),
    "a dead band": (dead_band, {}, "drop_bands", {"drop_bands": "bad"}),
    "a dead band by number": (dead_band, {}, "drop_bands", {"drop_bands": [3, 4]}),
    "bands first, it seems": (bands_first, {}, "layout", {"layout": "bhw"}),
    "bands last all the same": (bands_first, {}, "layout", {"layout": "hwb"}),
    "a count of bands helps": (bands_first, {}, "wavelengths=", {"wavelengths": np.linspace(400, 900, 40).tolist()}),
    "a wrong scale factor": (header("reflectance scale factor = 0\n"), {}, "scale=", {"scale": "none"}),
    "gains of other bands": (header("data gain values = {1, 2}\n"), {}, "scale=", {"scale": 10000.0}),
    "wrongly counted wavelengths": (
        header("wavelength = {400, 500}\n"),
        {},
        "wavelengths=",
        {"wavelengths": list(range(400, 950, 50))},
    ),
    "wrongly counted bad bands": (header("bbl = {1, 0}\n"), {}, "drop_bands=", {"drop_bands": []}),
    "every band dropped": (flat, {"shape": [5, 7], "drop_bands": list(range(11))}, "drop_bands", {"drop_bands": []}),
}


@pytest.mark.parametrize("case", WAYS_OUT)
def test_the_way_out_works_everywhere(case, tmp_path, monkeypatch, capsys):
    write, options, named, more = WAYS_OUT[case]
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path)
    for read in (by_python, by_recipe):
        with pytest.raises(InputError, match=named):
            read(path, options)
    assert main(by_command(path, options)) == 2
    # On the command line the message names the option as it is typed there.
    flag = "--" + named.replace("_", "-").replace('="', " ").strip('="')
    error = capsys.readouterr().err
    assert flag in error
    assert not re.search(rf"(?<![\w./-])({'|'.join(ReadOptions.model_fields)})=", error)
    scenes = [by_python(path, options | more), by_recipe(path, options | more)]
    assert main(by_command(path, options | more)) == 0
    (described,) = json.loads(capsys.readouterr().out)
    for scene in scenes:
        np.testing.assert_array_equal(scene.cube, scenes[0].cube)
        assert (scene.labels is None) == (scenes[0].labels is None)
        assert [scene.height, scene.width, scene.bands] == [described[key] for key in ("height", "width", "bands")]


SAID = {
    "mask": ({"mask": "mask.npy"}, lambda s: s.mask.sum() == 3),
    "layout": ({"layout": "wbh"}, lambda s: s.cube.shape == (11, 5, 7)),
    "classes": ({"labels": "gt.npy", "classes": ["soil", "leaf"]}, lambda s: s.class_name(2) == "leaf"),
    "nodata": ({"nodata": -9999.0}, lambda s: s.mask.sum() == 34),
    "wavelengths": ({"wavelengths": np.linspace(400, 900, 11).tolist()}, lambda s: s.wavelengths[-1] == 900),
    "purity": ({"labels": "shares.npy", "purity": 0.9}, lambda s: (s.labels > 0).sum() == 2),
    "abundances": ({"abundances": "shares.npy"}, lambda s: s.labels.max() == 3),
}


@pytest.mark.parametrize("case", SAID)
def test_an_option_means_the_same_in_recipes(case, tmp_path, monkeypatch, capsys):
    options, holds = SAID[case]
    monkeypatch.chdir(tmp_path)
    cube = CUBE.copy()
    cube[0, 0] = -9999
    mask, shares = np.zeros((5, 7), bool), np.full((5, 7, 3), 1 / 3, np.float32)
    mask[2, 2:5], shares[0, :2], shares[4, 4] = True, [0.05, 0.0, 0.95], [0.3, 0.3, 0.4]
    for name, array in {"a": cube, "mask": mask, "gt": MAP, "shares": shares}.items():
        np.save(tmp_path / f"{name}.npy", array)
    for read in (by_python, by_recipe):
        assert holds(read(tmp_path / "a.npy", options))
    assert main(by_command(tmp_path / "a.npy", options)) == 0
    assert json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--shape", "5by7"),
        ("--drop-bands", "3-x"),
        ("--nodata", "null"),
        ("--purity", "much"),
        ("--wavelengths", "1,a"),
    ],
)
def test_a_value_that_is_not_written_so_is_refused_in_one_line(flag, value, tmp_path, capsys):
    np.save(tmp_path / "a.npy", CUBE)
    assert main(["data", "inspect", str(tmp_path / "a.npy"), "--no-png", flag, value]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {flag} {value}: write it as ")
    assert error.count("\n") == 1


def test_numpy_values_are_taken_as_python_has_them(tmp_path):
    np.save(tmp_path / "a.npy", CUBE)
    scene = read_scene(tmp_path / "a.npy", drop_bands=np.array([0, 1]), nodata=np.float32(-1), labels=False)
    assert scene.bands == 9
    np.save(tmp_path / "gt.npy", MAP.ravel())
    np.testing.assert_array_equal(read_labels(tmp_path / "gt.npy", labels_key="gt", shape=np.array([5, 7])), MAP)


def test_the_page_on_cameras_lists_every_option_as_help_does():
    page = (ROOT / "docs" / "own-camera.md").read_text()
    for key, field in ReadOptions.model_fields.items():
        flag = "" if key in DESCRIPTIONS else f"`--{key.replace('_', '-')}`"
        assert f"| `{key}` | {flag} | {field.description} |" in page
