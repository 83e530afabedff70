"""The quick-look picture."""

import numpy as np
import pytest
from matplotlib.image import imread

from sslhsi.report.pictures import stretch
from sslhsi.report.quicklook import quicklook
from sslhsi.report.scene_pictures import choose_bands
from sslhsi.scenes.scene import Scene


@pytest.mark.parametrize(
    ("first", "last", "count", "expected"),
    [
        (400, 2500, 211, (650, 550, 450)),
        (520, 1000, 97, (860, 650, 550)),  # no blue: near infrared instead
        (900, 1700, 161, (1650, 1250, 1050)),
    ],
)
def test_bands_by_wavelength(first, last, count, expected):
    wavelengths = np.linspace(first, last, count)
    _, bands = choose_bands(wavelengths, np.ones(count, dtype=bool))
    np.testing.assert_allclose(wavelengths[list(bands)], expected, atol=(last - first) / count)


def test_bands_spread_when_wavelengths_are_unknown_or_of_no_use():
    usable = np.ones(101, dtype=bool)
    assert choose_bands(None, usable)[1] == (75, 50, 25)
    assert choose_bands(np.linspace(8000, 12000, 101), usable)[1] == (75, 50, 25)
    usable[50] = False
    assert 50 not in choose_bands(None, usable)[1]


def test_stretch_ignores_masked_pixels_and_nan():
    image = np.tile(np.linspace(0, 100, 101)[:, None, None], (1, 3, 3))
    mask = np.ones((101, 3), dtype=bool)
    image[0], mask[0], image[1, 0, 0] = 1e6, False, np.nan
    out = stretch(image, mask)
    assert out[1, 0, 0] == 0
    assert out[50, 0, 1] == pytest.approx(0.5, abs=0.01)
    assert out.min() == 0
    assert out.max() == 1


@pytest.mark.slow
@pytest.mark.parametrize("classes", [0, 3, 30])
@pytest.mark.parametrize("size", [(4, 4), (40, 60)])
def test_picture_of_any_scene(tmp_path, classes, size):
    generator = np.random.default_rng(0)
    cube = generator.random((*size, 12)).astype(np.float32)
    cube[0, 0], mask = np.nan, np.ones(size, dtype=bool)
    mask[0, 0] = False
    labels = generator.integers(0, classes + 1, size) if classes else None
    path = quicklook(Scene("toy", cube, labels=labels, mask=mask), tmp_path / "new" / "toy.png")
    picture = imread(path)
    assert picture.shape[0] > 300
    assert picture.shape[1] > 900
    assert picture[:, :, :3].std() > 0.05
    assert [file.name for file in path.parent.iterdir()] == ["toy.png"]


def test_mask_is_seen(tmp_path):
    cube = np.random.default_rng(0).random((20, 20, 12)).astype(np.float32)
    mask = np.ones((20, 20), dtype=bool)
    mask[:, 10:] = False

    def magenta(path):
        picture = imread(path)[:, :, :3]
        return np.mean((picture[..., 0] > 0.4) & (picture[..., 2] > 0.4) & (picture[..., 1] < 0.2))

    without = magenta(quicklook(Scene("toy", cube), tmp_path / "a.png"))
    assert magenta(quicklook(Scene("toy", cube, mask=mask), tmp_path / "b.png")) > without + 0.01
