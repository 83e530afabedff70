"""Image sets: read as their makers lay them out; what can't be read is named in one sentence."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from PIL import Image
from pydantic import ValidationError
from torchvision.datasets import ImageFolder

from sslhsi.errors import InputError
from sslhsi.studies.adaptation.image_files import read_image
from sslhsi.studies.adaptation.image_sets import ImageSet, open_images
from sslhsi.studies.adaptation.image_views import ImageReader

RNG = np.random.default_rng(0)


def picture(height=20, width=20):
    return RNG.integers(0, 256, (height, width, 3)).astype(np.uint8)


def save(path, values, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path, **options)
    return path


def save_bands(path, values, **options):
    """(B, H, W) of any type."""
    count, height, width = values.shape
    with rasterio.open(
        path, "w", driver=options.pop("driver", "GTiff"), count=count, height=height, width=width,
        dtype=values.dtype, **options,
    ) as file:  # fmt: skip
        file.write(values)
    return path


@pytest.fixture
def classes(tmp_path):
    for name, count in (("beach", 3), ("airport", 4), ("forest", 2)):
        for n in range(count):
            save(tmp_path / "set" / name / f"{name}{n}.png", picture())
    (tmp_path / "set" / "beach" / "Thumbs.db").write_bytes(b"x")
    return tmp_path / "set"


def test_class_folders_are_those_of_torchvision(classes):
    images, theirs = open_images(ImageSet(folder=str(classes))), ImageFolder(str(classes))
    assert images.classes == tuple(theirs.classes)
    assert images.labels.tolist() == theirs.targets
    assert [str(classes / name) for name in images.names] == [path for path, _ in theirs.samples]
    for number in range(len(images)):
        np.testing.assert_array_equal(images.load(number), np.asarray(theirs[number][0]))


def test_a_folder_of_images_alone_has_no_labels(classes):
    images = open_images(ImageSet(folder=str(classes / "beach")))
    assert images.labels is None
    assert len(images) == 3


def test_tables_of_labels_in_one_file_or_one_per_folder(classes, tmp_path):
    rows = {"beach/beach0.png": "1,0,1", "airport/airport2.png": "0,1,0", "beach/beach2.png": "0,0,1"}
    one = tmp_path / "labels.csv"
    one.write_text("image,sea,runway,sand\n" + "".join(f"{k},{v}\n" for k, v in rows.items()))
    images = open_images(ImageSet(folder=str(classes), labels=str(one)))
    assert images.classes == ("sea", "runway", "sand")
    assert images.names == tuple(rows)
    assert images.labels.tolist() == [[1, 0, 1], [0, 1, 0], [0, 0, 1]]
    for place in ("airport", "beach"):
        mine = {k.split("/")[1]: v for k, v in rows.items() if k.startswith(place)}
        table = tmp_path / "Labels" / f"{place}.csv"
        table.parent.mkdir(exist_ok=True)
        table.write_text("image,sea,runway,sand\n" + "".join(f"{k},{v}\n" for k, v in mine.items()))
    several = open_images(ImageSet(folder=str(classes), labels=str(tmp_path / "Labels")))
    assert dict(zip(several.names, several.labels.tolist(), strict=True)) == dict(
        zip(images.names, images.labels.tolist(), strict=True)
    )


def test_every_common_kind_of_file_becomes_three_bands_of_eight_bits(tmp_path):
    rgb = picture()
    grey = rgb[..., 0]
    np.testing.assert_array_equal(read_image(save(tmp_path / "a.png", rgb)), rgb)
    np.testing.assert_array_equal(read_image(save(tmp_path / "a.tif", rgb)), rgb)
    np.testing.assert_array_equal(read_image(save(tmp_path / "g.png", grey)), np.stack([grey] * 3, -1))
    np.testing.assert_array_equal(read_image(save(tmp_path / "g.tif", grey)), np.stack([grey] * 3, -1))
    opaque = np.dstack([rgb, np.full((20, 20), 255, np.uint8)])
    np.testing.assert_array_equal(read_image(save(tmp_path / "opaque.png", opaque)), rgb)
    few = Image.fromarray(rgb).quantize(16)
    few.save(tmp_path / "palette.png")
    few.save(tmp_path / "palette.tif")
    for name in ("palette.png", "palette.tif"):
        np.testing.assert_array_equal(read_image(tmp_path / name), np.asarray(few.convert("RGB")))
    ink = Image.fromarray(rgb).convert("CMYK")
    ink.save(tmp_path / "ink.jpg")
    assert read_image(tmp_path / "ink.jpg").shape == (20, 20, 3)


def test_more_bands_and_more_bits_are_read_as_asked(tmp_path):
    deep = RNG.integers(0, 12000, (5, 20, 20)).astype(np.uint16)
    wanted = np.rint(np.minimum(deep[[3, 2, 1]] * 255.0 / 10000, 255)).astype(np.uint8).transpose(1, 2, 0)
    path = save_bands(tmp_path / "s2.tif", deep)
    np.testing.assert_array_equal(read_image(path, bands=[4, 3, 2], white=10000), wanted)
    path = save_bands(tmp_path / "deep.png", deep[:3], driver="PNG")
    wanted = np.rint(deep[:3] * 255.0 / 65535).astype(np.uint8).transpose(1, 2, 0)
    np.testing.assert_array_equal(read_image(path, white=65535), wanted)
    four = RNG.integers(0, 256, (4, 20, 20)).astype(np.uint8)
    path = save_bands(tmp_path / "four.tif", four, photometric="MINISBLACK")
    np.testing.assert_array_equal(read_image(path, bands=[3, 2, 1]), four[[2, 1, 0]].transpose(1, 2, 0))


def cut(path, share=0.6):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda t: cut(save(t / "x.jpg", picture(60, 60))), "cut off"),
        (lambda t: cut(save(t / "x.png", picture(60, 60))), "cut off"),
        (lambda t: cut(save(t / "x.tif", picture(60, 60))), "cut off"),
        (lambda t: cut(save(t / "x.jpg", picture()), 0), "no image"),
        (lambda t: t / "gone.png", "no such file"),
        (lambda t: t / "gone.tif", "no such file"),
        (lambda t: save(t / "x.png", np.dstack([picture(), picture()[..., 0]])), "transparent"),
        (
            lambda t: save_bands(t / "x.tif", np.ones((4, 9, 9), np.uint8), photometric="MINISBLACK"),
            r"4 bands.*bands: \[",
        ),
        (lambda t: save_bands(t / "x.tif", np.ones((3, 9, 9), np.uint16)), "uint16.*white: 10000"),
        (lambda t: save_bands(t / "x.png", np.ones((3, 9, 9), np.uint16), driver="PNG"), "uint16.*white: 10000"),
        (lambda t: save(t / "x.png", np.ones((9, 9), np.uint16)), "uint16.*white: 10000"),
    ],
)
def test_files_that_cannot_be_read_name_themselves_and_the_way_out(tmp_path, make, words):
    path = make(tmp_path)
    with pytest.raises(InputError, match=words) as raised:
        read_image(path)
    assert str(path) in str(raised.value)


def test_bands_beyond_the_file_are_named(tmp_path):
    path = save_bands(tmp_path / "x.tif", np.ones((3, 9, 9), np.uint8))
    with pytest.raises(InputError, match=r"3 bands.*number 4"):
        read_image(path, bands=[4, 2, 1])


def table(text):
    return lambda folder: (folder.parent / "t.csv").write_text(text)


@pytest.mark.parametrize(
    ("change", "source", "words"),
    [
        (lambda f: None, {"folder": "nowhere"}, "no such folder"),
        (lambda f: (f / "empty").mkdir(), {}, "empty.*no image"),
        (lambda f: save(f / "loose.png", picture()), {}, "loose.png lies beside"),
        (table("image,sea\nbeach/none.png,1\n"), {"labels": "t.csv"}, "line 2 names beach/none.png"),
        (table("image,sea\nbeach/beach0.png,2\n"), {"labels": "t.csv"}, "line 2.*0 or 1"),
        (table("image,sea\nbeach/beach0.png\n"), {"labels": "t.csv"}, "line 2.*0 or 1"),
        (table("image,sea\n"), {"labels": "t.csv"}, "heading"),
        (table("image,sea\nbeach/beach0.png,1\nbeach/beach0.png,1\n"), {"labels": "t.csv"}, "twice"),
        (lambda f: None, {"labels": "none.csv"}, "can't be read"),
        (table("beach/none.png\n"), {"train": "t.csv", "test": "t.csv"}, "names beach/none.png"),
        (table("beach/beach0.png\n"), {"train": "t.csv", "test": "t.csv"}, "is in both"),
        (table("\n"), {"train": "t.csv", "test": "t.csv"}, "empty"),
    ],
)
def test_sets_that_do_not_fit_are_refused(classes, change, source, words):
    change(classes)
    given = {key: str(classes.parent / value) for key, value in source.items()}
    with pytest.raises(InputError, match=words):
        open_images(ImageSet(**({"folder": str(classes)} | given)))


def test_keys_that_mean_nothing_together_are_refused():
    for given in (
        {}, {"folder": "a", "simulated": "survey"}, {"folder": "a", "images": 3},
        {"simulated": "survey", "labels": "x"}, {"folder": "a", "train": "x"}, {"folder": "a", "bands": [1, 2]},
    ):  # fmt: skip
        with pytest.raises(ValidationError):
            ImageSet(**given)


def test_simulated_sets_say_so_and_do_not_overlap():
    first = open_images(ImageSet(simulated="survey", images=2, side=16))
    other = open_images(ImageSet(simulated="survey", images=2, first=2, side=16, multilabel=True))
    assert first.kind == "simulated"
    assert first.name.startswith("simulated")
    assert other.labels.shape == (24, 12)
    assert not set(first.digests) & set(other.digests)


def test_the_reader_resizes_the_shorter_side_and_keeps_the_middle(tmp_path):
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = 200
    save(tmp_path / "x" / "a" / "wide.png", wide)
    save(tmp_path / "x" / "b" / "tall.png", wide.transpose(1, 0, 2))
    reader = ImageReader(open_images(ImageSet(folder=str(tmp_path / "x"))), 20)
    resized = reader(reader.windows(np.array([1, 0])))
    assert resized.shape == (2, 3, 20, 20)
    assert (resized == 200).all()
