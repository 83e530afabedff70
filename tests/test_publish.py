"""Publishing a backbone and loading what was published, with and without sslhsi."""

from __future__ import annotations

import fcntl
import importlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import yaml
from hub_stand_in import TOKEN, hub
from huggingface_hub import constants as hub_constants
from safetensors.torch import load_file, save_file

import sslhsi
from sslhsi.backbones.registry import create_backbone
from sslhsi.bands.projection import PROJECTIONS, Projection, register_projection
from sslhsi.bands.projector import SpectralProjector
from sslhsi.cli import main
from sslhsi.encoder.load import load_backbone
from sslhsi.encoder.save import save_backbone
from sslhsi.errors import InputError
from sslhsi.files import read_rows, write_rows
from sslhsi.publish import publish
from sslhsi.recipe import Recipe
from sslhsi.scenes.scene import Scene

pytestmark = pytest.mark.slow

WAVELENGTHS = np.linspace(400, 1000, 40)
CUBE = np.random.default_rng(0).random((20, 18, 40)).cumsum(axis=2).astype(np.float32)
NETWORKS = {
    "test_resnet": ("test_resnet", {"small_window": False}, 16),
    "test_vit": ("test_vit", {}, 32),
    "small": ("test_resnet", {}, 16),
    "pixelnet": ("pixelnet", {"width": 6, "mixed": 4, "radii": [0, 1]}, 5),
}


def make_run(folder: Path, network: str, rows: bool = True, **settings) -> Path:
    """What a finished run leaves, with random weights."""
    name, options, window = NETWORKS[network]
    scenes = [{"simulated": "paper"}, {"path": "/home/ada/cubes/field|1.hdr", "name": "field", "sensor": "camera A"}]
    recipe = Recipe.model_validate({
        "name": "fields", "corpus": {"scenes": scenes, "bands": {"components": 6, "grid": 24}},
        "backbone": {"name": name, "options": options}, "training": {"steps": 3}, "evaluation": {"tasks": []},
    })  # fmt: skip
    projector = SpectralProjector(grid=24, components=6, **settings).fit([Scene("a", CUBE, WAVELENGTHS)])
    torch.manual_seed(0)
    backbone = create_backbone(name, 6, window, **options).eval()
    config = {
        "architecture": name, "options": options, "window": window, "border": "reflect", "recipe": "fields",
        "corpus": "abcd",
    }  # fmt: skip
    folder.mkdir(parents=True)
    save_backbone(folder / "backbone", backbone, projector, config)
    (folder / "recipe.yaml").write_text(recipe.dump())
    sources = {
        "paper-0": {"source": "simulated:paper:0", "hash": "aa11", "shape": [20, 18, 40]},
        "field": {"source": "/home/ada/cubes/field|1.hdr", "hash": "bb22", "shape": [30, 30, 40]},
    }
    provenance = {
        "time": "2026-01-02T03:04:05+00:00", "sslhsi": "0.1.0", "git": None, "command": ["/home/ada/run.py"],
        "python": "3.11", "packages": {"torch": "2"}, "machine": {"cpu": "x"}, "processes": 1, "steps": 3,
        "corpus": {"key": "abcd", "scenes": sources},
    }  # fmt: skip
    (folder / "provenance.json").write_text(json.dumps(provenance))
    (folder / "report.html").write_text("<html>")
    write_rows(folder / "results.csv", score_rows("abcd") if rows else [])
    return folder


def score_rows(corpus: str, offset: float = 0.0) -> list[dict]:
    scores = {"pretrained": 80.0, "random weights": 70.0, "raw spectra": 90.0}
    return [
        {"task": "pixels", "scene": "field", "split": "blocks", "per_class": 5, "window": 5, "seed": seed,
         "corpus": corpus, "pretraining_saw_pixels": "no", "leak": 0.0, "method": method, "probe": "linear",
         "oa": oa + seed + offset, "aa": oa, "kappa": oa}
        for method, oa in scores.items() for seed in range(5)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    return {name: make_run(folder / name, name) for name in NETWORKS}


@pytest.fixture(scope="module")
def published(runs, tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("published")
    for name, run in runs.items():
        publish(run, folder / name, licence="cc-by-4.0")
    return {name: folder / name for name in runs}


def front_matter(card: str) -> dict:
    empty, front, _ = card.split("---\n", 2)
    assert not empty
    return yaml.safe_load(front)


def test_the_card_tells_what_the_run_measured(published):
    card = (published["test_resnet"] / "README.md").read_text()
    assert front_matter(card)["license"] == "cc-by-4.0"
    assert front_matter(card)["library_name"] == "timm"
    assert front_matter((published["pixelnet"] / "README.md").read_text())["library_name"] == "sslhsi"
    assert "# test_resnet.fields\n" in card
    # Mean of 80..84 with its interval beside both baselines, the best in bold although it is not ours.
    assert "| 82.0 [80.8, 83.2] | 72.0 [70.8, 73.2] | **92.0** [90.8, 93.2] |" in card
    assert "beat random weights by 10.0 points" in card
    assert "raw spectra by 10.0 points" in card
    assert "| paper-0 | simulated:paper:0 |" in card
    assert "| field | field\\|1.hdr | camera A |" in card
    assert "`bb22`" in card
    assert "A camera that covers 400 to 1000 nm" in card
    assert "1 of the scenes are simulated" in card


def test_nothing_of_the_machine_is_published(published):
    for folder in published.values():
        for path in folder.iterdir():
            assert b"/home/ada" not in path.read_bytes()
            assert str(folder).encode() not in path.read_bytes()
            # Nothing that is executed: no pickle, no code.
            assert path.suffix in (".json", ".safetensors", ".md", ".csv")


def test_config_is_what_timm_and_a_reader_expect(published):
    config = json.loads((published["test_resnet"] / "config.json").read_text())
    assert config["name"] == "test_resnet.fields"
    assert config["architecture"] == "test_resnet"
    assert (config["in_chans"], config["input_size"], config["num_classes"]) == (6, [6, 16, 16], 0)
    assert config["pretrained_cfg"]["tag"] == "fields"
    assert config["wavelengths"] == [400.0, 1000.0]
    assert config["num_features"] == timm.create_model("test_resnet", num_classes=0).num_features


@pytest.mark.parametrize("name", NETWORKS)
def test_published_features_are_the_runs(runs, published, name):
    given, loaded = load_backbone(runs[name]), sslhsi.load_backbone(published[name])
    wanted = given.encode(CUBE, WAVELENGTHS, stride=4)
    np.testing.assert_array_equal(loaded.encode(CUBE, WAVELENGTHS, stride=4), wanted)
    assert np.ptp(wanted) > 0


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "pixelnet"])
def test_timm_loads_the_folder(published, name):
    encoder = load_backbone(published[name])
    batch = torch.randn(2, 6, encoder.window, encoder.window)
    model = timm.create_model(f"local-dir:{published[name]}", pretrained=True).eval()
    with torch.no_grad():
        torch.testing.assert_close(model(batch), encoder.backbone(batch))
        # A classifier for fine-tuning on the same weights.
        tuned = timm.create_model(f"local-dir:{published[name]}", pretrained=True, num_classes=3).eval()
        assert tuned(batch).shape == (2, 3)
        torch.testing.assert_close(tuned.forward_head(tuned.forward_features(batch), pre_logits=True), model(batch))


def test_timm_refuses_what_it_would_build_wrongly(published):
    # Same tensor names and shapes, another stride: timm's model would load and give other features.
    assert "conv" in load_backbone(published["small"]).config.stem["small_window"]
    with pytest.raises(RuntimeError, match="Unknown model"):
        timm.create_model(f"local-dir:{published['small']}", pretrained=True)
    assert "timm can't build" in (published["small"] / "README.md").read_text()


def test_weights_load_without_sslhsi(published, monkeypatch):
    encoder = load_backbone(published["test_resnet"])
    monkeypatch.setitem(sys.modules, "sslhsi", None)
    with pytest.raises(ImportError):
        importlib.import_module("sslhsi")
    model = timm.create_model("test_resnet", in_chans=6, num_classes=0).eval()
    model.load_state_dict(load_file(published["test_resnet"] / "model.safetensors"))
    batch = torch.randn(2, 6, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(model(batch), encoder.backbone(batch))


def test_rgb_weights_are_not_fetched_again(tmp_path):
    """A backbone that began with RGB weights loads where there is no network, with its larger stem."""
    weights = tmp_path / "rgb.safetensors"
    save_file(timm.create_model("test_resnet").state_dict(), weights)
    options = {"pretrained": True, "stem": "tiled", "pretrained_cfg_overlay": {"file": str(weights)}}
    backbone = create_backbone("test_resnet", 6, 16, **options)
    projector = SpectralProjector(grid=24, components=6).fit([Scene("a", CUBE, WAVELENGTHS)])
    config = {"architecture": "test_resnet", "options": options, "window": 16, "border": "reflect", "recipe": "x"}
    save_backbone(tmp_path / "b", backbone, projector, config)
    weights.unlink()
    loaded = load_backbone(tmp_path / "b")
    for key, value in backbone.state_dict().items():
        torch.testing.assert_close(loaded.backbone.state_dict()[key], value)
    assert loaded.config.stem["weights"] == "rgb.safetensors"


def test_the_hub_end_to_end(runs, tmp_path, monkeypatch):
    """The real client against a stand-in of the hub: push, then load by id, revision and timm."""
    with hub() as server:
        # What the client takes from its environment when it is imported.
        address = f"{server.address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(hub_constants, "ENDPOINT", server.address)
        monkeypatch.setattr(hub_constants, "HUGGINGFACE_CO_URL_TEMPLATE", address)
        monkeypatch.setattr(hub_constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        result = publish(runs["test_resnet"], "hf:ada/test_resnet.v2", name="v2", private=True)
        assert result["target"] == f"{server.address}/ada/test_resnet.v2"
        assert server.private == {"ada/test_resnet.v2": True}
        assert sorted(server.repositories["ada/test_resnet.v2"]) == result["files"]
        assert b'load_backbone("ada/test_resnet.v2")' in server.repositories["ada/test_resnet.v2"]["README.md"]
        wanted = load_backbone(runs["test_resnet"]).encode(CUBE, WAVELENGTHS, stride=8)
        for revision in (None, "v1"):
            encoder = load_backbone("ada/test_resnet.v2", revision=revision)
            np.testing.assert_array_equal(encoder.encode(CUBE, WAVELENGTHS, stride=8), wanted)
        model = timm.create_model("hf-hub:ada/test_resnet.v2", pretrained=True)
        torch.testing.assert_close(dict(model.named_parameters()), dict(encoder.backbone.net.named_parameters()))

        with pytest.raises(InputError, match="revision 'nope'"):
            load_backbone("ada/test_resnet.v2", revision="nope")
        with pytest.raises(InputError, match="ada/nothing: neither a folder nor"):
            load_backbone("ada/nothing")
        with pytest.raises(InputError, match="is not empty"):
            publish(runs["test_resnet"], "hf:ada/test_resnet.v2")
        monkeypatch.setenv("HF_TOKEN", "no")
        with pytest.raises(InputError, match="log in"):
            publish(runs["test_resnet"], "hf:ada/other")
    # Without a network, what is in the cache still loads.
    monkeypatch.setattr(hub_constants, "HF_HUB_OFFLINE", True)
    assert load_backbone("hf:ada/test_resnet.v2").config.name == "test_resnet.v2"


def test_results_from_other_files(runs, tmp_path):
    """Baselines come with the scores, those of this corpus first; other corpora's pretrained rows do not."""
    run = make_run(tmp_path / "run", "pixelnet", rows=False)
    other = [row | {"corpus": "other"} for row in score_rows("other", offset=5.0)]
    mixed = [row for row in score_rows("abcd") if row["method"] != "raw spectra"] + other
    write_rows(tmp_path / "more.csv", mixed)
    assert publish(run, tmp_path / "out", results=[tmp_path / "more.csv"])["results"] == 10
    rows = read_rows(tmp_path / "out" / "results.csv")
    assert {(row["method"], row["corpus"]) for row in rows} == {("pretrained", "abcd"), ("random weights", "abcd")}
    # No baseline was measured beside it: those of the same splits elsewhere.
    mixed = [row for row in mixed if row["corpus"] == "other" or row["method"] == "pretrained"]
    write_rows(tmp_path / "more.csv", mixed)
    publish(run, tmp_path / "out2", results=[tmp_path / "more.csv"])
    assert {r["method"] for r in read_rows(tmp_path / "out2" / "results.csv")} == {
        "pretrained", "random weights", "raw spectra",
    }  # fmt: skip
    write_rows(tmp_path / "more.csv", other)
    with pytest.raises(InputError, match="no result of features pretrained on corpus abcd"):
        publish(run, tmp_path / "out3", results=[tmp_path / "more.csv"])
    assert not (tmp_path / "out3").exists()
    card = publish(run, tmp_path / "out4") and (tmp_path / "out4" / "README.md").read_text()
    assert "None were measured" in card


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{tmp}/nowhere", "{tmp}/out"], "recipe.yaml is missing"),
        (["{tmp}/unfinished", "{tmp}/out"], "not finished"),
        (["{tmp}/broken", "{tmp}/out"], "provenance.json can't be read"),
        (["{tmp}/busy", "{tmp}/out"], "still at work"),
        (["{run}", "{tmp}/full"], "is not an empty folder"),
        (["{run}", "{tmp}/full/file"], "is not an empty folder"),
        (["{run}", "{tmp}/full/file/out"], "can't be written"),
        (["{run}", "{tmp}/out", "--name", "r160_in1k"], "timm's own weights"),
        (["{run}", "{tmp}/out", "--name", "a b"], "use letters"),
        (["{run}", "{tmp}/out", "--licence", "My Own"], "identifier"),
        (["{run}", "{tmp}/out", "--results", "{tmp}/no.csv"], "no such file"),
        (["{run}", "hf:only-a-name"], "give hf:user/name"),
    ],
)
def test_what_can_not_be_published(runs, tmp_path, capsys, words, message):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    for name in ("unfinished", "broken", "busy"):
        run = tmp_path / name
        run.mkdir()
        (run / "recipe.yaml").write_text((runs["test_resnet"] / "recipe.yaml").read_text())
        if name != "unfinished":
            (run / "report.html").touch()
            (run / "backbone").symlink_to(runs["test_resnet"] / "backbone")
            (run / "provenance.json").write_text("{}")
    with (tmp_path / "busy" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        values = {"tmp": tmp_path, "run": runs["test_resnet"]}
        assert main(["publish", *(word.format(**values) for word in words)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".*.part*"))
    assert (tmp_path / "full" / "file").read_text() == "mine"


def test_an_empty_folder_will_do_and_json_says_what_is_there(runs, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    assert main(["publish", str(runs["pixelnet"]), str(tmp_path / "out"), "--name", "v3", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["name"] == "pixelnet.v3"
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == result["files"]


def test_a_folder_has_no_revision_and_must_hold_a_backbone(runs, published, tmp_path):
    with pytest.raises(InputError, match="no revision"):
        load_backbone(published["pixelnet"], revision="main")
    with pytest.raises(InputError, match="not a backbone"):
        load_backbone(tmp_path)
    with pytest.raises(InputError, match="neither a folder nor"):
        load_backbone(tmp_path / "no" / "such" / "folder")


def test_a_folder_can_not_make_the_loader_open_other_files(published, tmp_path):
    """Options of an unknown author: nothing that names files gets through to timm."""
    shutil.copytree(published["test_resnet"], tmp_path / "b")
    config = json.loads((tmp_path / "b" / "config.json").read_text())
    trap = tmp_path / "trap.pth"
    trap.write_bytes(b"not read")
    config["options"] |= {"checkpoint_path": str(trap), "pretrained_cfg_overlay": {"file": str(trap)}}
    config["options"]["pretrained"] = True
    (tmp_path / "b" / "config.json").write_text(json.dumps(config))
    wanted = load_backbone(published["test_resnet"]).encode(CUBE, WAVELENGTHS, stride=8)
    np.testing.assert_array_equal(load_backbone(tmp_path / "b").encode(CUBE, WAVELENGTHS, stride=8), wanted)


def test_a_backbone_behind_another_projection_is_published(tmp_path):
    @register_projection("means")
    class Means(Projection):
        """Averages over sixths of the bands."""

        channels = 6

        def affine(self, wavelengths, bands, moments=None, where="the cube"):
            return np.kron(np.eye(6), np.full((bands // 6, 1), 6 / bands)), np.zeros(6)

        def state(self):
            return {}

        def arrays(self):
            return {"none": np.zeros(1)}

        @classmethod
        def from_state(cls, state, arrays):
            return cls()

    try:
        make_run(tmp_path / "run", "pixelnet")
        encoder = load_backbone(tmp_path / "run")
        save_backbone(tmp_path / "run" / "backbone", encoder.backbone, Means(), encoder.config)
        publish(tmp_path / "run", tmp_path / "out")
        card = (tmp_path / "out" / "README.md").read_text()
        assert "6, by a projection of kind `means`" in card
        loaded = load_backbone(tmp_path / "out")
        assert loaded.encode(CUBE[:6, :6, :36]).shape == (6, 6, loaded.num_features)
    finally:
        del PROJECTIONS["means"]
