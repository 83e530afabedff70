"""Distances between domains are those of the theory, held-out tiles are apart, and near sources come first."""

from __future__ import annotations

import csv
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from scipy.stats import norm
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import cross_val_predict
from small_scenes import untimed

from sslhsi.backbones.registry import create_backbone
from sslhsi.bands.projector import SpectralProjector
from sslhsi.encoder.encoder import Encoder
from sslhsi.encoder.save import save_backbone
from sslhsi.errors import InputError
from sslhsi.scenes.scene import Scene
from sslhsi.scenes.simulated.scenes import DOMAINS
from sslhsi.splits.tiles import apart, tile_folds
from sslhsi.studies.distance.a_distance import FEWEST, Samples, principal_axes, proxy_a_distance
from sslhsi.studies.distance.charts import charts
from sslhsi.studies.distance.pixels import Domain, draw, encode, project, sides, spectra_of
from sslhsi.studies.distance.study import averaged, nearest
from sslhsi.studies.experiment import load_experiment, run_experiment

pytestmark = pytest.mark.slow

RECIPE = "recipes/domain_distance.yaml"


def samples(x: np.ndarray, folds: int = 5) -> Samples:
    """Samples without places: folds by number."""
    fold = np.arange(len(x)) % folds
    return Samples(x, fold, fold[:, None] != np.arange(folds))


def gauss(n: int, mean: float, dimensions: int = 4, seed: int = 0) -> np.ndarray:
    x = np.random.default_rng(seed).standard_normal((n, dimensions))
    x[:, 0] += mean
    return x


@pytest.mark.parametrize("shift", [0.5, 1.0, 2.0])
def test_two_gaussians_are_as_far_as_the_bayes_error_says(shift):
    # The best linear rule errs on Phi(-shift/2) of each side.
    wanted = 2 * (1 - 2 * norm.cdf(-shift / 2))
    measured = proxy_a_distance(samples(gauss(3000, 0)), samples(gauss(3000, shift, seed=1)))
    assert measured.distance == pytest.approx(wanted, abs=0.06)
    assert abs(measured.distance - wanted) < 4 * measured.standard_error + 0.02
    assert measured.error_source == pytest.approx(norm.cdf(-shift / 2), abs=0.03)
    assert measured.raw == pytest.approx(2 * (1 - measured.error_source - measured.error_target), abs=1e-12)


def test_it_is_what_another_classifier_of_scikit_learn_finds():
    a, b = gauss(600, 0), gauss(600, 1.2, seed=3)
    y = np.repeat([0, 1], 600)
    wrong = cross_val_predict(LinearDiscriminantAnalysis(), np.vstack([a, b]), y, cv=5) != y
    assert proxy_a_distance(samples(a), samples(b)).distance == pytest.approx(2 * (1 - 2 * wrong.mean()), abs=0.05)


def test_one_domain_is_near_itself_even_in_more_dimensions_than_samples():
    x = gauss(240, 0, dimensions=150)
    halves = samples(x[::2]), samples(x[1::2])
    # A linear classifier parts the training samples without an error: distance 2, were they counted.
    assert np.linalg.matrix_rank(x) == 150
    measured = proxy_a_distance(*halves)
    assert measured.raw == pytest.approx(0, abs=4 * measured.standard_error)
    assert measured.distance < 0.5


def test_disjoint_domains_are_at_two_and_the_order_does_not_matter():
    a, b = samples(gauss(200, 0)), samples(gauss(200, 40, seed=1))
    assert proxy_a_distance(a, b).distance == 2
    c = samples(gauss(300, 0.8, seed=2))
    one, other = proxy_a_distance(a, c), proxy_a_distance(c, a)
    assert one.raw == pytest.approx(other.raw, abs=1e-12)
    assert (one.error_source, one.error_target) == pytest.approx((other.error_target, other.error_source))


def test_unequal_domains_count_alike():
    measured = proxy_a_distance(samples(gauss(4000, 0)), samples(gauss(250, 1, seed=1)))
    assert measured.train == 200
    assert measured.distance == pytest.approx(2 * (1 - 2 * norm.cdf(-0.5)), abs=0.2)


def test_below_chance_is_no_negative_distance():
    # Each fold's samples are the opposite of what the other fold teaches.
    x = np.concatenate([np.full((100, 1), 1.0), np.full((100, 1), -1.0)])
    fold = np.repeat([0, 1], 100)
    usable = fold[:, None] != np.arange(2)
    measured = proxy_a_distance(Samples(x, fold, usable), Samples(-x, fold, usable))
    assert (measured.distance, measured.raw) == (0, -2)


def test_too_few_samples_are_said_so():
    with pytest.raises(InputError, match=rf"{FEWEST} are needed"):
        proxy_a_distance(samples(gauss(FEWEST, 0)), samples(gauss(500, 0)))


def test_axes_weigh_domains_alike():
    rng = np.random.default_rng(0)
    big, small = rng.standard_normal((9000, 3)) * [5, 1, 1], rng.standard_normal((90, 3)) * [1, 12, 1]
    mean, axes = principal_axes([big, small], 1)
    assert abs(axes[1, 0]) > 0.99  # by pixels alone it would be the first
    np.testing.assert_allclose(mean, (big.mean(axis=0) + small.mean(axis=0)) / 2)
    np.testing.assert_array_equal(principal_axes([big, small], 0)[1], np.eye(3))


def test_held_out_tiles_are_apart_and_folds_cover_it():
    rng = np.random.default_rng(1)
    mask = rng.random((47, 61)) < 0.7
    fold, half = tile_folds(mask, 4, rng)
    assert ((fold >= 0) == mask).all()
    assert np.ptp(np.bincount(fold[mask])) < 0.25 * mask.sum() / 4
    for number in range(4):
        train, test = np.argwhere(apart(fold, number, 3)), np.argwhere(fold == number)
        assert len(train)
        assert cdist(train, test, "chebyshev").min() == 4
        assert set(half[fold == number]) == {0, 1}


@pytest.fixture(scope="module")
def cubes(tmp_path_factory):
    """Three scenes of one kind, the second in another unit; one of another kind; one too small."""
    folder = tmp_path_factory.mktemp("cubes")
    shapes = np.random.default_rng(5).random((2, 3, 12)) + 0.2
    for number, (name, kind, scale, side) in enumerate(
        [("field", 0, 1, 36), ("meadow", 0, 1000, 36), ("roofs", 1, 1, 36), ("speck", 0, 1, 5)]
    ):
        rng = np.random.default_rng(number)
        mixed = rng.dirichlet([1, 1, 1], size=(side, side)) @ shapes[kind]
        np.save(
            folder / f"{name}.npy", (scale * (mixed + 0.02 * rng.standard_normal(mixed.shape))).astype(np.float32)
        )
    return folder


def run(cubes, output, *overrides, names=("field", "meadow", "roofs")):
    scenes = ", ".join(f"{{path: '{cubes / name}.npy'}}" for name in names)
    settings = load_experiment(
        RECIPE,
        [f"output={output}", f"corpus.scenes=[{scenes}]", "seeds=2", "samples=300", "axes=[2,0]", "folds=3",
         "corpus.bands={grid: 12, components: 6, align: index}", *overrides],
    )  # fmt: skip
    rows, history = run_experiment(settings, show=False)
    return settings, rows, history


def distance(rows, axes, *names):
    return next(p.distance for k, p in averaged(rows).items() if k[2] == axes and set(k[3:]) == set(names))


def test_the_recipe_finds_the_near_source_and_goes_on_after_a_kill(cubes, tmp_path, monkeypatch):
    monkeypatch.setenv("SSLHSI_DATA", str(cubes))
    settings, rows, _ = run(cubes, tmp_path / "a")
    assert len(rows) == 2 * 2 * 6  # seeds, axes, pairs and diagonal
    assert distance(rows, "all", "field", "meadow") < 0.4
    assert distance(rows, "all", "field", "roofs") > 1.8
    assert distance(rows, "2", "roofs") < 0.4  # the diagonal
    listed = list(csv.DictReader((settings.folder / "nearest.csv").open(newline="")))
    assert [(r["source"], r["rank"]) for r in listed if r["target"] == "meadow" and r["axes"] == "all"] == [
        ("field", "1"), ("roofs", "2"),
    ]  # fmt: skip
    # Half the rows are lost; those that are there are not measured again.
    lines = (settings.folder / "rows.csv").read_text().splitlines(keepends=True)
    (settings.folder / "rows.csv").write_text("".join(lines[:10]))
    _, again, _ = run(cubes, tmp_path / "a")
    assert untimed(again) == untimed(rows)
    assert [r.seconds for r in again[:9]] == [r.seconds for r in rows[:9]]


def test_units_part_domains_unless_lengths_are_divided_by(cubes, tmp_path, monkeypatch):
    monkeypatch.setenv("SSLHSI_DATA", str(cubes))
    _, rows, _ = run(cubes, tmp_path / "a", "unit_length=false", "seeds=1", names=("field", "meadow"))
    assert distance(rows, "all", "field", "meadow") == 2


def test_scenes_that_are_too_small_leave_a_note(cubes, tmp_path, monkeypatch):
    monkeypatch.setenv("SSLHSI_DATA", str(cubes))
    _, rows, _ = run(cubes, tmp_path / "a", "seeds=1", "axes=[0]", names=("field", "speck"))
    notes = {row.note for row in rows if "speck" in (row.source, row.target)}
    assert notes == {"speck: too few pixels for 3 folds of tiles 2 pixels apart (spectra)"}
    assert all(row.distance is not None for row in rows if row.source == row.target == "field")
    assert len(charts(rows)) == 1  # a matrix, and no list


@pytest.fixture(scope="module")
def scenes(cubes):
    return [Scene(name, np.load(cubes / f"{name}.npy")) for name in ("field", "meadow")]


def test_features_are_the_encoders_and_charts_say_what_was_measured(cubes, scenes, tmp_path, monkeypatch):
    monkeypatch.setenv("SSLHSI_DATA", str(cubes))
    projector = SpectralProjector(grid=12, components=4, align="index", standardize="scene").fit(scenes)
    torch.manual_seed(0)
    options = {"width": 8, "mixed": 6, "radii": [0, 1]}
    network = create_backbone("pixelnet", 4, 7, **options)
    config = {"architecture": "pixelnet", "window": 7, "options": options, "border": "reflect"}
    save_backbone(tmp_path / "backbone", network, projector, config)
    _, rows, history = run(cubes, tmp_path / "a", f"backbone={tmp_path / 'backbone'}", "seeds=1", "axes=[0]")
    features = [row for row in rows if row.method == "features"]
    assert {row.network for row in features} == {"pixelnet"}
    # No training window holds a held-out pixel.
    assert "3 pixels apart" in features[0].settings
    assert "2 pixels apart" in rows[0].settings
    domain = Domain("field", (scenes[0],))
    drawn = draw(domain, 50, 3, 3, 0)
    encoder = Encoder(network, projector, config)
    wanted = encoder.encode(scenes[0].cube)[tuple(drawn.pixels[0].T)]
    np.testing.assert_allclose(encode(encoder, domain, drawn), wanted, atol=1e-5)
    drawn_charts = charts(rows, history)
    assert len(drawn_charts) == 2 * 2  # methods, matrix and list
    order = [r["source"] for r in nearest(rows) if r["target"] == "field" and r["axes"] == "all"][:2]
    words = next(c.alt for c in drawn_charts if c.alt.startswith("Nearest sources on spectra, all axes"))
    assert re.search(rf"field: {order[0]} \d\.\d\d, {order[1]} \d", words)


def test_drawn_pixels_are_projected_as_whole_cubes_are(scenes):
    domain = Domain("both", tuple(scenes))
    drawn = draw(domain, 80, 3, 1, 4)
    projector = spectra_of([domain], {"grid": 9, "components": 3, "align": "index", "standardize": "scene"}, False)
    wanted = [projector.transform(s.cube)[tuple(p.T)] for s, p in zip(scenes, drawn.pixels, strict=True)]
    np.testing.assert_allclose(project(projector, domain, drawn, False), np.concatenate(wanted), rtol=1e-3, atol=1e-3)
    assert [len(p) for p in drawn.pixels] == [40, 40]
    one, other = sides(domain, domain, {"both": drawn}, {"both": np.arange(80.0)[:, None]})
    assert sorted([*one.x[:, 0], *other.x[:, 0]]) == list(range(80))  # two halves, each pixel in one


def test_the_recipes_line_for_the_simulated_corpus_is_a_recipe(monkeypatch):
    monkeypatch.setenv("SSLHSI_DATA", "nowhere")
    comment = re.search(r"#   (sslhsi experiment \S+ output=.*?)\nexperiment:", Path(RECIPE).read_text(), re.DOTALL)
    assert comment
    words = shlex.split(re.sub(r"\\?\n#", " ", comment[1]))
    settings = load_experiment(words[2], words[3:])
    assert sorted(s.simulated for s in settings.corpus.scenes) == sorted(DOMAINS)


BAD = {
    "corpus.scenes=[{simulated: paper, size: [40, 40]}]": "between two domains",
    "folds=1": "folds",
    "axes=[]": "axes",
    "samples=10": "samples",
    "axes=[-1]": "axes",
    "backbone=no/such/folder": "no/such/folder",
    "corpus.only=[paper]": "no scene is named 'paper'",
    "unit_lenght=true": "unit_length",
    "corpus.scenes=[{simulated: papier}, {simulated: paper}]": "papier",
}


@pytest.mark.parametrize(("override", "message"), BAD.items(), ids=list(BAD))
def test_bad_input_is_one_clear_sentence(override, message, tmp_path, cubes, monkeypatch):
    monkeypatch.setenv("SSLHSI_DATA", str(cubes))
    two = "corpus.scenes=[{simulated: paper, size: [40, 40]}, {simulated: sugar, size: [40, 40]}]"

    def launch():
        run_experiment(load_experiment(RECIPE, [f"output={tmp_path / 'a'}", two, override]), show=False)

    with pytest.raises(InputError, match=re.escape(message)) as error:
        launch()
    assert "\n" not in str(error.value)
