"""Every real scene reads with the shape and the label counts that its documentation gives."""

import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from sslhsi.errors import InputError
from sslhsi.scenes.inspect_scene import describe
from sslhsi.scenes.read import read_labels, read_scene

FOLDER = Path(os.environ.get("SSLHSI_DATA", "missing"))
pytestmark = pytest.mark.data


@cache
def raman_map():
    return read_scene(FOLDER / "raman-chondro/chondro.xz")  # a million lines of text: read once


# shape; class pixels; (first, last) wavelength; options
SALINAS_A = [391, 0, 0, 0, 0, 0, 0, 0, 0, 1343, 616, 1525, 674, 799]
SALINAS_A_GT = {"labels": "salinas-a/SalinasA_gt.mat"}
INDIAN_PINES_GT = {"labels": "indian-pines/Indian_pines_gt.mat"}
SCENES = {
    "salinas-a/SalinasA_corrected.mat": ((83, 86, 204), SALINAS_A, None, SALINAS_A_GT),
    "salinas-a/SalinasA.mat": ((83, 86, 224), SALINAS_A, None, SALINAS_A_GT),
    "indian-pines/IP_200_M.mat": ((145, 145, 200), 10249, None, INDIAN_PINES_GT),
    "aviris-crop/a_hsi_img_for_VI_demo.mat": ((90, 90, 224), None, (365.9, 2496.2), {}),
    "samson/Samson.mat": ((95, 95, 156), 9025, None, {}),
    "muufl-gulfport/muffle_dataset_130_90.mat": ((90, 90, 64), 8100, None, {}),
    "abu/abu-airport-1.mat": ((100, 100, 205), [144], None, {}),
    "abu/abu-airport-2.mat": ((100, 100, 205), [87], None, {}),
    "abu/abu-airport-3.mat": ((100, 100, 205), [170], None, {}),
    "abu/abu-beach-1.mat": ((150, 150, 188), [19], None, {}),
    "abu/abu-beach-2.mat": ((100, 100, 193), [202], None, {}),
    "abu/abu-beach-3.mat": ((100, 100, 188), [11], None, {}),
    "abu/abu-beach-4.mat": ((100, 100, 102), [68], None, {}),
    "abu/abu-urban-1.mat": ((100, 100, 204), [67], None, {}),
    "abu/abu-urban-3.mat": ((100, 100, 191), [52], None, {}),
    "abu/abu-urban-4.mat": ((100, 100, 205), [272], None, {}),
    "abu/abu-urban-5.mat": ((100, 100, 205), [232], None, {}),
    "abu/hydice.mat": ((80, 100, 162), [17], None, {}),
    "abu/sandiego.mat": ((100, 100, 189), [58], None, {}),
    "neon-deeptree/NEON_D01_HARV_DP3_726000_4699000_reflectance_crop.tif": ((40, 40, 426), None, None, {}),
    "neon-deeptree/example.tif": ((40, 40, 426), None, None, {}),
    "neon-deeptree/2018_HARV_6_726000_4699000_image_crop_hyperspectral_2018.tif": ((27, 10, 369), None, None, {}),
    "neon-idtrees/MLBS_4_hsi.tif": ((20, 20, 369), None, None, {}),
    "aviris-ng/ang20170323t202244_rdn_7000-7010": ((10, 10, 425), None, (376.86, 2500.54), {}),
    "aviris-ng/ang20170323t202244_rdn_7000-7010.hdr": ((10, 10, 425), None, (376.86, 2500.54), {}),
    "corn-kernel/corn-kernel-hyperspectral.hdr": ((31, 43, 580), None, (366.551, 1048.421), {}),
    "corn-kernel/corn-kernel-hyperspectral.raw": ((31, 43, 580), None, (366.551, 1048.421), {}),
    "ftir-microplastic/CA_tiny_map.zip": ((13, 16, 427), None, (1e7 / 4003.67, 1e7 / 717.42), {}),
    "raman-chondro/chondro.xz": ((25, 35, 1272), None, (1e7 / 1802.15, 1e7 / 601.622), {}),
}
LABELS = {
    "gt-only/Indian_pines_gt.mat": ((145, 145), 16, 10249),
    "gt-only/PaviaU_gt.mat": ((610, 340), 9, 42776),
    "gt-only/Salinas_gt.mat": ((512, 217), 16, 54129),
    "gt-only/KSC_gt.mat": ((512, 614), 13, 5211),
    "gt-only/WHU_Hi_HanChuan_gt.mat": ((1217, 303), 16, 257530),
    "gt-only/WHU_Hi_HongHu_gt.mat": ((940, 475), 22, 386693),
    "gt-only/WHU_Hi_LongKou_gt.mat": ((550, 400), 9, 204542),
    "indian-pines/Indian_pines_gt.mat": ((145, 145), 16, 10249),
    "salinas-a/SalinasA_gt.mat": ((83, 86), 6, 5348),
}
NO_SCENE = {
    "ksc/testKSC1.mat": "pass shape=",
    "indian-pines/indianpines_ts.tif": "labels=",
    "neon-deeptree/osbs_crops/annotations.csv": "4 columns",
    "neon-idtrees/MLBS_ground.csv": "4 columns",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENES)
def test_scene(name):
    shape, counts, wavelengths, options = SCENES[name]
    given = {key: FOLDER / value for key, value in options.items()}
    scene = raman_map() if name.endswith(".xz") else read_scene(FOLDER / name, **given)
    assert scene.cube.shape == shape
    if counts is None:
        assert scene.labels is None
    else:
        assert scene.labels is not None
        pixels = np.bincount(scene.labels.ravel())[1:]
        assert (pixels.tolist() if isinstance(counts, list) else pixels.sum()) == counts
    if wavelengths is None:
        assert scene.wavelengths is None
    else:
        assert scene.wavelengths is not None
        np.testing.assert_allclose(scene.wavelengths[[0, -1]], wavelengths, rtol=1e-3)


@pytest.mark.parametrize("name", LABELS)
def test_label_map(name):
    shape, classes, pixels = LABELS[name]
    labels = read_labels(FOLDER / name)
    assert labels.shape == shape
    assert len(np.unique(labels[labels > 0])) == classes
    assert np.count_nonzero(labels) == pixels


@pytest.mark.parametrize("name", NO_SCENE)
def test_no_scene(name):
    with pytest.raises(InputError, match=NO_SCENE[name]):
        read_scene(FOLDER / name)


@pytest.mark.slow
def test_tree_crops():
    crops = sorted((FOLDER / "neon-deeptree/osbs_crops").glob("*.tif"))
    shapes = [read_scene(crop).cube.shape for crop in crops]
    assert len(shapes) == 53
    assert {bands for _, _, bands in shapes} == {369}
    assert min(min(shape[:2]) for shape in shapes) == 3
    assert max(max(shape[:2]) for shape in shapes) == 11


def test_every_file_is_covered():
    """Of the folders that are read here: a file that is added to one needs a line above."""
    tested = {*SCENES, *LABELS, *NO_SCENE}
    folders = {name.split("/")[0] for name in tested}
    files = {
        str(file.relative_to(FOLDER))
        for folder in folders
        for file in (FOLDER / folder).rglob("*")
        if file.is_file() and file.suffix != ".md"
    }
    assert {file for file in files if not file.endswith(".tif") or "osbs_crops" not in file} == tested


def test_disjoint_map_agrees_with_the_ground_truth_on_the_documented_pixels():
    renamed = np.array([0, 2, 3, 5, 6, 8, 10, 11, 12, 14, 1, 4, 7, 9, 13, 15, 16])
    truth = read_labels(FOLDER / "gt-only/Indian_pines_gt.mat")
    train = renamed[read_labels(FOLDER / "indian-pines/indianpines_ts.tif")]
    assert np.count_nonzero((truth == train) & (truth > 0)) == 5528


@pytest.mark.slow
def test_known_ranges_and_gaps():
    salinas = describe(read_scene(FOLDER / "salinas-a/SalinasA_corrected.mat"))
    assert (salinas["values"], salinas["dtype"]) == ((-9.0, 8373.0), "int16")
    crop = read_scene(FOLDER / "aviris-crop/a_hsi_img_for_VI_demo.mat")
    zero = (np.asarray(crop.cube) == 0).all(axis=(0, 1))
    assert zero.any()
    assert set(np.flatnonzero(zero)) <= set(describe(crop)["bad_bands"])
    raman = raman_map()
    assert np.isnan(raman.cube).sum() == 42
    np.testing.assert_array_equal(raman.mask, ~np.isnan(raman.cube).any(axis=2))


def test_samson_image_lies_as_its_abundances_do():
    """Water (class 3) reflects least in the near infrared only if cube and abundances share their axes."""
    scene = read_scene(FOLDER / "samson/Samson.mat")
    brightness = np.asarray(scene.cube)[:, :, 120:].mean(axis=2)
    inside = [brightness[scene.labels == label] for label in (1, 2, 3)]
    assert inside[2].mean() < 0.1 * min(inside[0].mean(), inside[1].mean())
    assert np.percentile(inside[2], 95) < np.percentile(inside[1], 5)
