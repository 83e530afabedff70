"""`sslhsi map`, end to end: classes and features where a GIS, ENVI and Python expect them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio
import torch
from matplotlib.image import imread
from rasterio.transform import Affine, from_origin
from spectral.io import envi

from sslhsi.backbones.registry import create_backbone
from sslhsi.bands.projector import SpectralProjector
from sslhsi.cli import main
from sslhsi.encoder.load import load_backbone
from sslhsi.encoder.save import save_backbone
from sslhsi.probes.linear import linear_probe
from sslhsi.report.pictures import class_palette
from sslhsi.scenes.scene import Scene

WAVELENGTHS = np.arange(400.0, 1000.0, 50.0)
PLACE = from_origin(542_160, 4_136_430, 2.0, 2.0)
NAMES = ["water", "bare soil", "forest"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three stripes of material as GeoTIFF, ENVI and .npy, some of their labels, and a backbone for each border."""
    folder = tmp_path_factory.mktemp("map")
    rng = np.random.default_rng(0)
    truth = np.repeat([1, 2, 3], [6, 5, 6])[:, None] * np.ones((1, 13), dtype=int)
    spectra = np.stack([np.exp(-(((WAVELENGTHS - c) / 150) ** 2)) for c in (450, 700, 900)])
    cube = (spectra[truth - 1] + 0.05 * rng.normal(size=(17, 13, 12))).astype(np.float32)
    labels = np.where(rng.random(truth.shape) < 0.4, truth, 0).astype(np.uint8)
    profile = {"driver": "GTiff", "height": 17, "width": 13, "count": 12, "dtype": "float32", "transform": PLACE}
    with rasterio.open(folder / "field.tif", "w", crs="EPSG:32617", **profile) as file:
        file.write(np.moveaxis(cube, 2, 0))
        for band, centre in enumerate(WAVELENGTHS, start=1):
            file.set_band_description(band, f"{centre:.2f} nm")
    places = {"map info": "{UTM, 1, 1, 542160, 4136430, 2, 2, 17, North, WGS-84}", "wavelength": WAVELENGTHS.tolist(),
              "wavelength units": "nm"}  # fmt: skip
    envi.save_image(str(folder / "plane.hdr"), cube, interleave="bil", metadata=places)
    np.save(folder / "cube.npy", cube)
    np.save(folder / "gt.npy", labels)
    np.save(folder / "truth.npy", truth)
    projector = SpectralProjector(grid=10, components=4).fit([Scene("a", cube, WAVELENGTHS)])
    options = {"width": 6, "mixed": 4, "radii": [0, 1]}
    torch.manual_seed(0)
    network = create_backbone("pixelnet", 4, 5, **options)
    for border in ("reflect", "inside"):
        config = {"architecture": "pixelnet", "options": options, "window": 5, "border": border, "recipe": "x"}
        save_backbone(folder / border, network, projector, config)
    return folder


def run(folder, out, scene="field.tif", *more: str, border="reflect") -> int:
    return main(["map", str(folder / border), str(folder / scene), "--out", str(out), *more])


def labelled(folder) -> list[str]:
    return ["--labels", str(folder / "gt.npy"), "--classes", ",".join(NAMES)]


def test_every_format_holds_the_predictions_of_the_pixels(folder, tmp_path, capsys):
    words = [*labelled(folder), "--format", "png,npy,envi,geotiff", "--json"]
    assert run(folder, tmp_path / "a", "field.tif", *words) == 0
    summary = json.loads(capsys.readouterr().out)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(f.rpartition("/")[2] for f in summary["files"])
    cube, labels = np.load(folder / "cube.npy"), np.load(folder / "gt.npy")
    encoder = load_backbone(folder / "reflect")
    at = np.argwhere(labels > 0)
    probe = linear_probe(encoder.encode_pixels(cube, at, WAVELENGTHS), labels[tuple(at.T)])
    everywhere = np.argwhere(np.ones(labels.shape, bool))
    expected = probe.predict(encoder.encode_pixels(cube, everywhere, WAVELENGTHS)).reshape(labels.shape)
    classes = np.load(tmp_path / "a_classes.npy")
    assert classes.dtype == np.uint8
    np.testing.assert_array_equal(classes, expected)
    assert (classes == np.load(folder / "truth.npy")).mean() > 0.95

    with rasterio.open(tmp_path / "a_classes.tif") as file:
        np.testing.assert_array_equal(file.read(1), expected)
        assert file.crs.to_epsg() == 32617
        assert file.transform == PLACE
        assert file.nodata == 0
        assert file.tags(1)["class_2"] == "bare soil"
        assert [file.colormap(1)[label][:3] for label in range(4)] == [
            tuple(c) for c in class_palette(len(NAMES)).tolist()
        ]
    image = envi.open(str(tmp_path / "a_classes.hdr"))
    np.testing.assert_array_equal(np.squeeze(image.open_memmap()), expected)
    assert image.metadata["file type"] == "ENVI Classification"
    assert image.metadata["class names"] == ["Unclassified", "water", "bare soil", "forest"]
    assert [int(c) for c in image.metadata["class lookup"]] == class_palette(len(NAMES)).ravel().tolist()
    with rasterio.open(tmp_path / "a_classes.img") as file:
        assert file.crs.to_epsg() == 32617
        assert file.transform == PLACE
    picture = imread(tmp_path / "a_classes.png")
    assert {tuple(c) for c in class_palette(len(NAMES))[1:]} <= {
        tuple(c) for c in np.round(255 * picture[..., :3]).reshape(-1, 3)
    }
    assert summary["unclassified"] == 0
    assert "oa" not in summary


def test_no_file_of_others_is_overwritten(folder, tmp_path, capsys):
    labels = ["--labels", str(folder / "gt.npy")]
    for word, suffix in {"png": ".png", "envi": ".hdr", "geotiff": ".tif"}.items():
        more = [*labels, "--format", word]
        assert run(folder, tmp_path / word, "field.tif", *more, "--features") == 0
        assert run(folder, tmp_path / word, "field.tif", *more, "--features") == 0  # ours may be made anew
        for kind in ("classes", "features"):
            name = f"{word}_{kind}{suffix}"
            ours = (tmp_path / name).read_bytes()
            (tmp_path / name).write_bytes(b"somebody else's")
            assert run(folder, tmp_path / word, "field.tif", *more, "--features") == 2
            assert f"{word}_{kind}" in (error := capsys.readouterr().err)
            assert "was not made by sslhsi; move it away or choose another --out" in error
            assert (tmp_path / name).read_bytes() == b"somebody else's"
            (tmp_path / name).write_bytes(ours)
    assert run(folder, tmp_path / "a", "field.tif", *labels, "--format", "npy") == 0
    assert run(folder, tmp_path / "a", "field.tif", *labels, "--format", "npy") == 2
    assert "a .npy can't say who made it" in capsys.readouterr().err
    # Beside a picture that sslhsi drew it is known: the same line may be run again.
    for _ in range(2):
        assert run(folder, tmp_path / "again", "field.tif", *labels, "--format", "png,npy") == 0


def test_an_envi_scene_keeps_its_map_info(folder, tmp_path, capsys):
    words = [*labelled(folder), "--format", "envi,geotiff", "--classifier", "knn", "--features"]
    assert run(folder, f"{tmp_path}/", "plane.img", *words) == 0
    assert "no georeference" not in capsys.readouterr().out
    for name in ("plane_classes.img", "plane_classes.tif", "plane_features.img", "plane_features.tif"):
        with rasterio.open(tmp_path / name) as file:
            assert file.crs.to_epsg() == 32617
            assert file.transform == Affine(2, 0, 542160, 0, -2, 4136430)
    header = envi.read_envi_header(str(tmp_path / "plane_classes.hdr"))
    assert header["map info"][:7] == ["UTM", "1", "1", "542160", "4136430", "2", "2"]
    assert not list(tmp_path.glob("*.npy"))
    assert not list(tmp_path.glob(".*"))


def test_without_labels_features_are_written(folder, tmp_path, capsys):
    assert run(folder, tmp_path / "f", "field.tif", "--format", "png,npy,envi,geotiff", border="inside") == 0
    model = load_backbone(folder / "reflect")
    expected = model.encode(np.load(folder / "cube.npy"), WAVELENGTHS)
    np.testing.assert_allclose(np.load(tmp_path / "f_features.npy"), expected, atol=1e-6)
    image = envi.open(str(tmp_path / "f_features.hdr"))
    np.testing.assert_array_equal(np.asarray(image.open_memmap()), np.load(tmp_path / "f_features.npy"))
    with rasterio.open(tmp_path / "f_features.tif") as file:
        np.testing.assert_allclose(np.moveaxis(file.read(), 0, 2), expected, atol=1e-6)
        assert file.transform == PLACE
    picture = imread(tmp_path / "f_features.png")
    assert picture.shape[:2] == (17, 13)
    # Colours tell the stripes apart: more between them than within.
    rows = picture[..., :3].mean(axis=1)
    assert np.abs(rows[1] - rows[15]).max() > 3 * picture[:5, :, :3].std(axis=(0, 1)).mean()
    assert not (tmp_path / "f_classes.npy").exists()
    assert main(["map", str(folder / "reflect"), str(folder / "field.tif"), "--labels", str(folder / "gt.npy"),
                 "--classifier", "none", "--out", str(tmp_path / "n"), "--format", "npy"]) == 0  # fmt: skip
    assert sorted(p.name for p in tmp_path.glob("n_*")) == ["n_features.npy"]


@pytest.mark.parametrize("classifier", ["linear", "knn", "svm"])
def test_pixels_that_trained_nothing_are_scored_and_the_leak_is_told(folder, tmp_path, capsys, classifier):
    words = [*labelled(folder), "--per-class", "5", "--classifier", classifier, "--format", "npy"]
    assert run(folder, tmp_path / "a", "cube.npy", *words, "--wavelengths", ",".join(map(str, WAVELENGTHS))) == 0
    text = capsys.readouterr().out
    labelled_pixels = int((np.load(folder / "gt.npy") > 0).sum())
    assert f"trained on 15 of {labelled_pixels} labelled pixels" in text
    assert f"on the other {labelled_pixels - 15}" in text
    assert "an illustration, not a measurement" in text
    assert "no georeference: written without" in text
    first = np.load(tmp_path / "a_classes.npy")
    assert (first == np.load(folder / "truth.npy")).mean() > 0.9
    assert run(folder, tmp_path / "b", "field.tif", *words) == 0
    np.testing.assert_array_equal(np.load(tmp_path / "b_classes.npy"), first)
    capsys.readouterr()
    assert run(folder, tmp_path / "c", "field.tif", *words, "--seed", "1", "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["trained"] == 15
    assert 0 < summary["leak"] <= 1
    assert summary["oa"] > 80


def test_pixels_without_data_have_no_class(folder, tmp_path, capsys):
    cube = np.load(folder / "cube.npy")
    cube[4, 5] = np.nan
    np.savez(tmp_path / "holes.npz", cube=cube, labels=np.load(folder / "gt.npy"), wavelengths=WAVELENGTHS)
    backbone, scene = str(folder / "reflect"), str(tmp_path / "holes.npz")
    assert main(["map", backbone, scene, "--out", str(tmp_path / "a"), "--features"]) == 0
    classes = np.load(tmp_path / "a_classes.npy")
    assert classes[4, 5] == 0
    assert (classes[8:] > 0).all()
    assert f"{(classes == 0).sum()} pixels have no class" in capsys.readouterr().out
    assert (tmp_path / "a_features.png").is_file()
    mask = np.ones((17, 13), bool)
    mask[:, 9:] = False
    np.savez(tmp_path / "masked.npz", cube=np.where(mask[..., None], np.load(folder / "cube.npy"), np.nan),
             labels=np.load(folder / "gt.npy"), wavelengths=WAVELENGTHS)  # fmt: skip
    assert main(["map", backbone, str(tmp_path / "masked.npz"), "--out", str(tmp_path / "b"), "--foreground"]) == 0
    assert (np.load(tmp_path / "b_classes.npy")[:, 9:] == 0).all()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--classifier", "linear"], "there are no labels to fit a classifier on"),
        (["--per-class", "5"], "--per-class needs labels"),
        (["--format", "jpeg"], "--format jpeg: use png, npy, envi, geotiff"),
        (["--wavelengths", ",".join(map(str, WAVELENGTHS / 2 + 100))], "never extrapolated"),
        (["--wavelengths", "400,x"], "numbers with commas between"),
    ],
)
def test_bad_input_is_one_sentence(folder, tmp_path, capsys, words, message):
    assert run(folder, tmp_path / "a", "cube.npy" if "--wavelengths" in words else "field.tif", *words) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert message in lines[0]
    assert not list(tmp_path.iterdir())


def test_a_folder_that_can_not_be_written_and_a_scene_smaller_than_a_window(folder, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    assert run(folder, tmp_path / "file" / "maps" / "a") == 2
    assert "can't be written" in capsys.readouterr().err
    np.save(tmp_path / "small.npy", np.load(folder / "cube.npy")[:4])
    given = ["--wavelengths", ",".join(map(str, WAVELENGTHS)), "--format", "npy", "--out", str(tmp_path / "s")]
    assert main(["map", str(folder / "inside"), str(tmp_path / "small.npy"), *given]) == 2
    assert "4x13, smaller than the backbone's window of 5" in capsys.readouterr().err
    assert main(["map", str(folder / "reflect"), str(tmp_path / "small.npy"), *given]) == 0
    assert np.load(tmp_path / "s_features.npy").shape[:2] == (4, 13)
