"""Experiments: a table that grows row by row, is resumed, and never mixes recipes; and its page."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Literal

import counting_study
import pytest

from sslhsi.errors import InputError
from sslhsi.evaluation.rows import RENAMED
from sslhsi.studies.experiment import load_experiment, run_experiment
from sslhsi.studies.page import cost_table, plain_table, score_tables, write_experiment_page
from sslhsi.studies.registry import STUDIES, get_study
from sslhsi.studies.rows import StudyRow
from sslhsi.studies.table import Table

pytestmark = pytest.mark.slow


@pytest.fixture
def counting(monkeypatch):
    """A study that counts, registered as any other: its module by name."""
    monkeypatch.setitem(STUDIES, "counting", "counting_study")
    counting_study.measured.clear()
    return counting_study.measured


def write(tmp_path, text="experiment: counting\nname: c\nseeds: 2\n"):
    (tmp_path / "c.yaml").write_text(text)
    return load_experiment(tmp_path / "c.yaml", [f"output={tmp_path / 'out'}"])


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_is_whole(name):
    study = get_study(name)
    assert study.name == name
    columns = set(study.row.COLUMNS)
    assert {*study.row.KEY, "note", "git", "machine"} <= columns <= {field.name for field in fields(study.row)}
    assert not columns & RENAMED.keys()  # named as the columns of all other results
    assert study.charts([], []) == []
    assert study.settings.model_fields["experiment"].annotation == Literal[name]


def test_rows_are_measured_once_and_more_seeds_add_to_them(tmp_path, counting):
    settings = write(tmp_path)
    rows, history = run_experiment(settings)
    assert [row.oa for row in rows] == [50, 51]
    assert len(history) == 6
    again, same = run_experiment(settings)
    assert (again, same) == (rows, history)
    more, _ = run_experiment(settings.model_copy(update={"seeds": 3}))
    assert [row.oa for row in more] == [50, 51, 52]
    assert counting == [0, 1, 2]


def test_a_training_that_was_cut_short_is_done_again_and_its_old_losses_are_dropped(tmp_path, counting):
    settings = write(tmp_path)
    run_experiment(settings)
    # Killed between the last losses and the row.
    lines = (tmp_path / "out" / "rows.csv").read_bytes().splitlines(keepends=True)
    (tmp_path / "out" / "rows.csv").write_bytes(b"".join(lines[:-1]))
    with Table(tmp_path / "out", StudyRow) as table:
        assert {row.seed for row, _ in table.history} == {0}
    rows, history = run_experiment(settings)
    assert len(rows) == 2
    assert [(row.seed, e.epoch) for row, e in history] == [(s, e) for s in (0, 1) for e in (1, 2, 3)]
    assert counting == [0, 1, 1]


@pytest.mark.parametrize("name", ["recipe.yaml", "report.html"])
def test_files_that_no_experiment_wrote_stay(tmp_path, counting, name):
    settings = write(tmp_path)
    settings.folder.mkdir()
    (settings.folder / name).write_text("mine")
    with pytest.raises(InputError, match=f"{name}: is there already.*another output="):
        run_experiment(settings)
    assert (settings.folder / name).read_text() == "mine"
    assert counting == []


def test_a_folder_of_another_recipe_is_refused(tmp_path, counting):
    settings = write(tmp_path)
    run_experiment(settings)
    other = write(tmp_path, "experiment: counting\nname: c\nlast: 4\n")
    with pytest.raises(InputError, match="whose last differs; give another output"):
        run_experiment(other)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("experiment: guessing\nname: c\n", "experiment 'guessing' is not known; use freezing, fusion"),
        ("name: c\n", "the key 'experiment' is missing"),
        ("experiment: counting\nname: c\nlats: 3\n", "unknown key 'lats'; did you mean 'last'"),
        ("experiment: counting\nname: c\nseeds: 0\n", "seeds: .*greater than 0"),
        ("experiment: counting\nname: a/b\n", "name: "),
    ],
)
def test_bad_recipes_are_named(tmp_path, counting, text, message):
    with pytest.raises(InputError, match=message):
        write(tmp_path, text)


def test_tables_hold_means_over_seeds():
    rows = [
        StudyRow(method=m, source=s, per_class=n, seed=seed, oa=oa + seed, kind="real")
        for m, s, n, oa in (("a", "x", 15, 60), ("a", "x", 30, 80), ("b", "", 15, 70), ("b", "", 30, 75))
        for seed in (0, 2)
    ]
    (table,) = score_tables(rows)
    assert table.columns == ("15 per class", "30 per class")
    assert [(m, s, [str(c) for c in cells]) for m, s, cells in table.lines] == [
        ("a", "x", ["61.0 ± 1.4", "81.0 ± 1.4"]),
        ("b", "", ["71.0 ± 1.4", "76.0 ± 1.4"]),
    ]
    assert [[c.best for c in cells] for _, _, cells in table.lines] == [[False, True], [True, False]]
    assert cost_table(rows) is None
    assert plain_table(rows)["columns"] == ["method", "source", "per class", "seed", "oa"]


def test_the_page_keeps_kinds_apart(tmp_path, counting):
    settings = write(tmp_path)
    rows, history = run_experiment(settings)
    rows = [rows[0], replace(rows[1], kind="stand-in", target="<there>", method="m0")]
    page = write_experiment_page(settings, rows, history).read_text()
    assert page.index("Real scenes") < page.index("50.0") < page.index("Stand-ins") < page.index("51.0")
    assert "&lt;there&gt;" in page
    assert "5,000,000,000" in page


def test_the_page_names_no_folder_of_this_machine(tmp_path, counting, monkeypatch):
    monkeypatch.setenv("SSLHSI_DATA", str(tmp_path / "scenes"))
    settings = write(tmp_path)
    rows, history = run_experiment(settings)
    settings = settings.model_copy(update={"output": str(tmp_path / "scenes" / "out")})
    page = write_experiment_page(settings, rows, history, tmp_path / "page.html").read_text()
    assert "output: ${oc.env:SSLHSI_DATA}/out" in page
    assert str(tmp_path) not in page
