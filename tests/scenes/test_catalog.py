"""The catalogue against itself and against real label maps."""

import numpy as np
import pytest
import scipy.io

from sslhsi.errors import InputError
from sslhsi.scenes.catalog import get_entry, list_catalog

ENTRIES = {entry.name: entry for entry in list_catalog()}


def test_all_promised_scenes_are_there():
    promised = {"indian_pines", "pavia_university", "pavia_centre", "salinas", "salinas_a", "ksc", "botswana"}
    assert promised <= set(ENTRIES)
    assert len(ENTRIES) == len(list_catalog())


@pytest.mark.parametrize("entry", list_catalog(), ids=lambda entry: entry.name)
def test_entries_are_consistent(entry):
    if entry.removed_bands is None:
        assert entry.wavelengths() is None
    else:
        assert entry.sensor_bands - len(entry.removed_bands) == entry.bands
        wavelengths = entry.wavelengths()
        assert wavelengths.shape == (entry.bands,)
        assert (np.diff(wavelengths) > 0).all()
        assert wavelengths[0] >= entry.wavelength_range[0]
        assert wavelengths[-1] <= entry.wavelength_range[1]
    for file in (entry.cube, entry.labels):
        assert all(url.startswith(("http://", "https://")) for url in file.urls)
        assert all(url.rsplit("/", 1)[1] == file.name for url in file.urls)
        # A mirror that isn't the group's may only stand where a checksum guards it.
        assert file.checksum or all("ehu.e" in url for url in file.urls)


@pytest.mark.parametrize(
    ("name", "labelled"),
    [  # totals printed in the literature
        ("indian_pines", 10249),
        ("pavia_university", 42776),
        ("pavia_centre", 148152),
        ("salinas", 54129),
        ("salinas_a", 5348),
        ("ksc", 5211),
        ("botswana", 3248),
    ],
)
def test_labelled_pixels_add_up(name, labelled):
    assert sum(count for _, _, count in ENTRIES[name].classes) == labelled


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("indian_pines", "gt-only/Indian_pines_gt.mat"),
        ("pavia_university", "gt-only/PaviaU_gt.mat"),
        ("salinas", "gt-only/Salinas_gt.mat"),
        ("salinas_a", "salinas-a/SalinasA_gt.mat"),
    ],
)
def test_against_the_real_ground_truth(name, file, data):
    entry = ENTRIES[name]
    labels = scipy.io.loadmat(data / file)[entry.labels.variable]
    assert labels.shape == (entry.height, entry.width)
    counts = np.bincount(labels.ravel())
    counted = {int(label): int(counts[label]) for label in np.flatnonzero(counts) if label}
    assert counted == {label: count for label, _, count in entry.classes}
    assert len(entry.class_names) == labels.max()


def test_salinas_a_names_stand_at_their_labels():
    names = ENTRIES["salinas_a"].class_names
    assert names[0] == "Broccoli green weeds 1"
    assert names[9] == "Corn senesced green weeds"
    assert names[1] == "unused"


@pytest.mark.parametrize("name", ["Indian Pines", "indian-pines", "INDIAN_PINES"])
def test_names_are_forgiving(name):
    assert get_entry(name).name == "indian_pines"


def test_an_unknown_name_gets_the_nearest_one():
    with pytest.raises(InputError, match="'pavia_university'"):
        get_entry("pavia_univrsity")
    with pytest.raises(InputError, match="botswana"):
        get_entry("zzz")
