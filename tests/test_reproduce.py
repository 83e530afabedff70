"""Published values hang together, every command is one that runs, and ours never stand in another kind's column."""

from __future__ import annotations

import csv
import importlib
import re
import shlex
import sys
from pathlib import Path

import pytest

from sslhsi.evaluation.calibration import PUBLISHED_SVM
from sslhsi.scenes.catalog import get_entry
from sslhsi.studies.experiment import load_experiment
from sslhsi.studies.rows import StudyRow

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "results"))
reproduce = importlib.import_module("reproduce")
PARTS = importlib.import_module("make_transfer").PARTS
DATA = reproduce.read_published()
TABLES = {table["id"]: table for table in DATA["tables"]}

# Values that each table prints.
COUNTS = {
    "ainet_1": 30, "ainet_2": 30, "ainet_3": 30, "ainet_figure_6": 0, "ainet_figure_7": 0, "hybridsn": 3,
    "fine_tuning_4": 24, "fine_tuning_5": 16, "multitask_1": 72, "multitask_2": 72, "multitask_3": 72,
    "multitask_4": 35, "multitask_5": 0, "multitask_figure_2": 6, "deck": 3, "scene_classification": 2,
}  # fmt: skip


def value(table, line, column):
    place = [c["label"] for c in table["columns"]].index(column)
    printed = next(one["values"][place] for one in table["lines"] if one["label"] == line)
    return printed[0] if isinstance(printed, list) else printed


def test_every_table_holds_what_its_paper_prints():
    counts = {t["id"]: sum(v is not None for line in t["lines"] for v in line["values"]) for t in DATA["tables"]}
    assert counts == COUNTS
    for table in DATA["tables"]:
        assert table["source"]["paper"] in DATA["papers"]
        assert all(len(line["values"]) == len(table["columns"]) for line in table["lines"])
        labels = [line["label"] for line in table["lines"]]
        assert len(set(labels)) == len(labels)


def test_what_the_papers_say_of_their_values_holds():
    checked = 0
    for table in DATA["tables"]:
        for check in table.get("checks", ()):
            difference = value(table, *check["more"]) - value(table, *check["less"])
            assert difference == pytest.approx(check["difference"], abs=1e-9), check["says"]
            checked += 1
    assert checked == 7
    # "Results cotrained with Salinas Valley were the best in all settings", of HResNet on Indian Pines.
    lines = [line for line in TABLES["multitask_3"]["lines"] if line["label"].startswith("HResNet")]
    for column in range(6):
        best = max(lines, key=lambda line: line["values"][column][0])
        assert best["label"].endswith("SA")


def test_scores_are_scores():
    for table in DATA["tables"]:
        for line in table["lines"]:
            by = dict(zip([c["label"] for c in table["columns"]], line["values"], strict=True))
            if "kappa" in by and table["id"] != "fine_tuning_5":
                assert by["kappa"] < by["OA"]  # chance agreement is above 0
            for column, printed in zip(table["columns"], line["values"], strict=True):
                if column["value"] in ("oa", "aa", "kappa", "f1_macro") and printed is not None:
                    assert 0 < (printed[0] if isinstance(printed, list) else printed) <= 100
                if isinstance(printed, list):
                    assert 0 < printed[1] < 10
    ratios = {line["label"]: line["values"] for line in TABLES["fine_tuning_5"]["lines"]}
    wrong = [
        name
        for name, (count, ratio) in ratios.items()
        if abs(100 * count / 4844148 - float(ratio.strip("%"))) > 0.006
    ]
    assert wrong == ["Network_2"]  # as its entry says


def test_the_stand_ins_are_held_against_the_same_values():
    for table, scene in (("multitask_1", "pavia_university"), ("multitask_4", "salinas")):
        svm = next(line for line in TABLES[table]["lines"] if line["label"] == "SVM")
        assert tuple(mean for mean, _ in svm["values"]) == PUBLISHED_SVM[scene]


def test_scenes_to_download_are_in_the_catalogue():
    named = {t.get("scene") for t in DATA["tables"]} | {c.get("scene") for t in DATA["tables"] for c in t["columns"]}
    assert named - {None} <= set(DATA["scenes"])
    for key, scene in DATA["scenes"].items():
        assert bool(scene["get"]) != bool(scene.get("download"))
        if scene["get"]:
            assert scene["get"] == f"sslhsi data get {get_entry(key).name}"
            entry = get_entry(key)
            for command in (c["line"] for t in DATA["tables"] for c in t["commands"]):
                for file in re.findall(rf"scenes/{key}/([\w.]+)", command):
                    assert file in (entry.cube.name, entry.labels.name)


LINES = sorted({c["line"] for t in DATA["tables"] for c in t["commands"]})


@pytest.mark.parametrize("line", LINES, ids=lambda line: line[:60])
def test_every_command_is_one_that_this_repository_has(line, monkeypatch):
    monkeypatch.setenv("SSLHSI_DATA", "scenes")
    words = shlex.split(line)
    if words[:2] == ["sslhsi", "experiment"]:
        settings = load_experiment(ROOT / words[2], words[3:])
        assert settings.seeds > 0
    elif words[:2] == ["python", "results/make_transfer.py"]:
        assert words[2] in PARTS
    elif words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    else:
        assert words == ["sslhsi", "map", "--help"]


@pytest.mark.parametrize("part", PARTS)
def test_every_measured_part_is_a_recipe(part, monkeypatch):
    monkeypatch.setenv("SSLHSI_DATA", "scenes")
    recipe, _, overrides = PARTS[part]
    settings = load_experiment(ROOT / "recipes" / f"{recipe}.yaml", overrides)
    assert settings.seeds > 0


def test_commands_that_write_into_one_folder_are_one_recipe(monkeypatch):
    """The second would be refused."""
    monkeypatch.setenv("SSLHSI_DATA", "scenes")
    folders = {}
    for words in map(shlex.split, LINES):
        if words[:2] == ["sslhsi", "experiment"]:
            settings = load_experiment(ROOT / words[2], words[3:])
            mine = settings.model_dump(exclude={"seeds", "output"})
            assert folders.setdefault(settings.folder, mine) == mine, settings.folder
    assert Path("runs/freezing") in folders


def write(folder, name, rows):
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, StudyRow.COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def multitask(target, kind, source, oa, seed, **more):
    return {
        "experiment": "multitask", "method": "multitask, shared first layer", "network": "hresnet", "source": source,
        "target": target, "kind": kind, "split": "random", "per_class": 5, "seed": seed, "oa": oa,
        "settings": "window 9; short", **more,
    }  # fmt: skip


def cell_of(folder, table, line, column):
    results = reproduce.read_results(folder)
    return next(
        cell
        for cell in reproduce.cells(TABLES[table], DATA["scenes"], results)
        if (cell.line, cell.column) == (line, column)
    )


def test_ours_stand_beside_the_published_value_by_kind(tmp_path):
    write(
        tmp_path / "transfer", "multitask_four",
        [
            multitask("indian_pines_8bit", "8-bit real", "salinas_a", 50, 0),
            multitask("indian_pines_8bit", "8-bit real", "salinas_a", 54, 1),
            multitask("indian_pines_8bit", "8-bit real", "stand-in: salinas", 40, 0),
            multitask("indian_pines_8bit", "8-bit real", "stand-in: pavia_university", 90, 0),
            multitask("indian_pines_8bit", "8-bit real", "salinas_a", 99, 0, split="blocks"),
            multitask("indian_pines_8bit", "8-bit real", "salinas_a", 99, 0, per_class=10),
            multitask("indian_pines_8bit", "stand-in", "salinas_a", 1, 0),
            multitask("indian_pines", "real", "salinas", 42, 0),
        ],
    )  # fmt: skip
    cell = cell_of(tmp_path, "multitask_3", "HResNet, with spectral knowledge, SA", "5 per class")
    assert cell.published == [42.44, 3.24]
    assert {kind: [[r["oa"] for r in rows] for rows in groups] for kind, groups in cell.ours.items()} == {
        "real": [["42"]],
        "8-bit real": [["50", "54"], ["40"]],  # another partner is another setting
    }
    notes = reproduce.Notes()
    assert reproduce.measured(cell, "8-bit real", notes) == "52.00 ± 2.83 (2 seeds) [1]<br>40.00 (1 seed) [2]"
    assert "with stand-in: salinas" in notes.texts[1]
    assert "window 9; short" in notes.texts[0]
    assert reproduce.measured(cell, "stand-in", notes) == "not measured here"
    assert not cell_of(tmp_path, "multitask_3", "HResNet, with spectral knowledge, ALL", "5 per class").ours


def test_three_partners_are_all_and_protocols_are_told_apart(tmp_path):
    three = "salinas_a + stand-in: pavia_university + stand-in: salinas"
    rows = [multitask("indian_pines_8bit", "8-bit real", three, 60, 0)]
    for protocol, oa in (("indian_pines_1765", 97), ("per_class_15", 80)):
        rows.append(
            {"experiment": "fusion", "method": "from scratch", "network": "ainet", "target": "indian_pines_8bit",
             "kind": "8-bit real", "split": "given counts" if oa == 97 else "random", "seed": 0, "train": 1765,
             "per_class": "" if oa == 97 else 15, "settings": f"{protocol}; window 7", "oa": oa}
        )  # fmt: skip
    write(tmp_path, "all", rows)
    assert cell_of(tmp_path, "multitask_3", "HResNet, with spectral knowledge, ALL", "5 per class").ours
    assert not cell_of(tmp_path, "multitask_3", "HResNet, with spectral knowledge, SA", "5 per class").ours
    cell = cell_of(tmp_path, "ainet_2", "AINet", "OA")
    assert [[r["oa"] for r in rows] for rows in cell.ours["8-bit real"]] == [["97"]]
    assert [r["oa"] for r in cell_of(tmp_path, "ainet_figure_6", "AINet", "Indian Pines").ours["8-bit real"][0]] == [
        "80"
    ]
    assert reproduce.measured(cell_of(tmp_path, "ainet_2", "AINet", "# train"), "8-bit real", reproduce.Notes()) == (
        "1765 (1 seed) [1]"
    )


def test_the_page_lists_every_table_and_says_what_is_missing(tmp_path):
    write(tmp_path, "some", [multitask("stand-in: salinas", "stand-in", "indian_pines_8bit", 71.5, 0)])
    results = reproduce.read_results(tmp_path)
    reproduce.write_page(DATA, results, tmp_path / "page.md")
    page = (tmp_path / "page.md").read_text()
    for table in DATA["tables"]:
        assert f"## {table['title']}" in page
        assert all(f"`{command['line']}`" in page for command in table["commands"])
    part = page[page.index("## Salinas Valley") :].split("\n## ")[0]
    assert "| published | ours, stand-in |" in part
    assert "| HResNet, with spectral knowledge, IN | 5 per class | 71.15 ± 2.75 | 71.50 (1 seed) [1] |" in part
    assert "| SVM | 5 per class | 76.21 ± 3.20 | not measured here |" in part
    assert "`sslhsi data get salinas`" in part
    assert "Not measured here." in page[page.index("## Pavia Centre") :].split("\n## ")[0]
    assert [line[3] for line in reproduce.summary(DATA, results)].count("not measured here") == len(TABLES) - 1
