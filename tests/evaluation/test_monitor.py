"""What is watched in training: against formulas, and on a run whose features do collapse."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import entropy

from sslhsi.evaluation.monitor import collapse, effective_rank, spread
from sslhsi.files import read_rows
from sslhsi.pretrain import main


@pytest.mark.parametrize("shape", [(40, 6), (6, 40)])
def test_effective_rank_is_e_to_the_entropy_of_the_singular_values(shape):
    x = np.random.default_rng(0).normal(size=shape) * np.geomspace(1, 0.01, shape[1])
    values = np.sqrt(np.maximum(np.linalg.eigvalsh(x @ x.T if shape[0] < shape[1] else x.T @ x), 0))
    assert effective_rank(x) == pytest.approx(np.exp(entropy(values)))
    assert effective_rank(7 * x) == pytest.approx(effective_rank(x))


def test_effective_rank_of_features_on_a_line_is_one():
    assert effective_rank(np.outer(np.arange(9.0), [1, 2, 3])) == pytest.approx(1)
    assert effective_rank(np.zeros((9, 3))) == 1
    assert np.isnan(effective_rank(np.array([[1.0, np.nan]])))


def test_spread_is_that_of_directions():
    x = np.random.default_rng(0).normal(size=(50, 5)) + 1
    directions = x / np.linalg.norm(x, axis=1)[:, None]
    assert spread(x) == pytest.approx(np.sqrt(directions.var(axis=0).sum()))
    assert spread(x * np.arange(1, 51)[:, None]) == pytest.approx(spread(x))
    assert spread(np.zeros((9, 3))) == 0


@pytest.mark.parametrize(
    ("rank", "wide", "named"), [(4.0, 0.5, None), (3.1, 0.21, None), (2.9, 0.5, 30), (8.0, 0.19, 30)]
)
def test_a_collapse_is_a_fall_below_a_quarter_of_the_start(rank, wide, named):
    rows = [
        {"step": "0", "rank": "9.0", "spread": "0.8"},
        {"step": "10", "rank": "", "spread": "", "loss": "3"},
        {"step": "20", "rank": "12", "spread": "0.7"},
        {"step": "30", "rank": str(rank), "spread": str(wide)},
        {"step": "40", "rank": "1", "spread": "0"},
    ]
    assert f"by step {named or 40}:" in collapse(rows)
    assert bool(collapse(rows[:-1])) == bool(named)
    assert collapse([{"step": "10", "loss": "3"}]) == ""


RECIPE = """
name: watched
corpus:
  scenes:
    - {path: FOLDER/a.npy, background: none, labels: FOLDER/gt.npy}
    - {path: FOLDER/b.npy, background: none}
  bands: {grid: 16, components: 13, align: index}
  patches: {window: 9, stride: 3, holdout: 0.5, border: reflect}
backbone: {name: hybridsn}
training: {steps: 12, batch_size: 8, log_every: 2, checkpoint_every: 6, precision: fp32, warmup: 0.0}
evaluation: {tasks: [], k: 5}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory, one_thread, without_pictures):
    folder = tmp_path_factory.mktemp("watched")
    rng = np.random.default_rng(0)
    classes = np.tile([[1, 2], [2, 1]], (4, 2)).repeat(6, 0).repeat(6, 1)
    spectra = 1 + rng.random((3, 16))
    for name in "ab":
        cube = spectra[classes] * (1.5 if name == "b" else 1) + 0.05 * rng.normal(size=(48, 24, 16))
        np.save(folder / f"{name}.npy", cube.astype(np.float32))
    np.save(folder / "gt.npy", classes.astype(np.uint8))
    (folder / "recipe.yaml").write_text(RECIPE.replace("FOLDER", str(folder)))
    return folder


def run(folder, name: str, *words: str) -> list[dict[str, str]]:
    given = [f"output={folder / name}", f"corpus.cache={folder / 'corpora'}"]
    assert main([str(folder / "recipe.yaml"), *given, *words]) == 0
    return read_rows(folder / name / "metrics.csv")


@pytest.mark.slow
def test_a_run_is_watched_from_its_start(folder, capfd):
    rows = run(folder, "healthy", "training.lr=1e-4")
    watched = [row for row in rows if row["rank"]]
    assert int(watched[0]["step"]) == 0
    assert not watched[0]["loss"]
    assert int(watched[-1]["step"]) == 12
    assert len(watched) > 1
    for row in watched:
        assert 1 <= float(row["rank"]) <= 128
        assert 0 < float(row["spread"]) <= 1
        assert 0 <= float(row["knn"]) <= 100
        assert 0 <= float(row["knn_class"]) <= 100
    # Two materials and two levels are told apart by any network.
    assert float(watched[0]["knn_class"]) > 60
    assert "collapsed" not in capfd.readouterr().err
    assert "collapsed" not in (folder / "healthy" / "report.html").read_text()


@pytest.mark.slow
def test_a_collapse_is_named_once_with_its_step(folder, capfd):
    """A learning rate that kills the last layer's units; a run that goes on does not name it again."""
    rows = run(folder, "collapsed", "training.lr=0.1", "training.clip=0")
    sentence = collapse(rows)
    assert sentence.startswith("the features had collapsed by step ")
    assert capfd.readouterr().err.count(f"warning: {sentence}") == 1
    assert sentence in (folder / "collapsed" / "report.html").read_text()
    (folder / "collapsed" / "report.html").unlink()
    run(folder, "collapsed", "training.lr=0.1", "training.clip=0")
    assert "collapsed by" not in capfd.readouterr().err
