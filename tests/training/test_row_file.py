"""A table that grows row by row holds whole rows only, whatever stopped the program."""

from __future__ import annotations

import csv
import os

import pytest

from sslhsi.errors import InputError
from sslhsi.training.row_file import RowFile

COLUMNS = ("scene", "oa", "note")


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_rows_come_back_as_they_were_written(tmp_path):
    path = tmp_path / "new folder" / "rows.csv"
    written = [
        {"scene": 'a "quoted", name', "oa": "91.5", "note": "two\nlines"},
        {"scene": "b", "oa": "", "note": "für"},
    ]
    with RowFile(path, COLUMNS) as table:
        for row in written:
            table.add(row)
    expected = [{**written[0], "note": "two lines"}, written[1]]
    assert rows_of(path) == expected
    with RowFile(path, COLUMNS) as table:
        assert table.rows == expected


@pytest.mark.parametrize("cut", [1, 2, 9])
def test_a_torn_last_line_is_cut_off_and_the_rest_goes_on(tmp_path, cut):
    path = tmp_path / "rows.csv"
    with RowFile(path, COLUMNS) as table:
        table.add({"scene": "a", "oa": 1})
        table.add({"scene": "b, with a comma", "oa": 2})
    path.write_bytes(path.read_bytes()[:-cut])
    with RowFile(path, COLUMNS) as table:
        assert [row["scene"] for row in table.rows] == ["a"]
        table.add({"scene": "c", "oa": 3})
    assert [row["scene"] for row in rows_of(path)] == ["a", "c"]


def test_a_torn_heading_is_written_anew(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes(b"scene,o")
    with RowFile(path, COLUMNS) as table:
        table.add({"scene": "a"})
    assert [row["scene"] for row in rows_of(path)] == ["a"]


def test_every_row_is_one_call_to_the_system(tmp_path, monkeypatch):
    path, write = tmp_path / "rows.csv", os.write
    states = []

    def killed_after(file, data):
        done = write(file, data)
        states.append(path.read_bytes())
        return done

    monkeypatch.setattr(os, "write", killed_after)
    with RowFile(path, COLUMNS) as table:
        for n in range(3):
            table.add({"scene": "s", "oa": n})
    # Whenever it is killed after a call, what lies on the disk are whole lines of three cells.
    assert len(states) == 4
    for state in states:
        assert state.endswith(b"\r\n")
        assert {line.count(b",") for line in state.splitlines()} == {2}


def test_a_full_disk_leaves_no_half_row(tmp_path, monkeypatch):
    path, write = tmp_path / "rows.csv", os.write
    with RowFile(path, COLUMNS) as table:
        table.add({"scene": "a", "oa": 1})
        monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:4]))
        with pytest.raises(InputError, match="disk is full"):
            table.add({"scene": "b", "oa": 2})
    assert [row["scene"] for row in rows_of(path)] == ["a"]


def test_one_writer_at_a_time(tmp_path):
    with RowFile(tmp_path / "rows.csv", COLUMNS), pytest.raises(InputError, match="another process"):
        RowFile(tmp_path / "rows.csv", COLUMNS)
    RowFile(tmp_path / "rows.csv", COLUMNS).close()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\r\n1,2\r\n", "another table"),
        ("scene,oa,note\r\n1,2\r\n3,4,5\r\n", "line 2"),
        ("\xff\xfe\r\n", "no table"),
    ],
)
def test_other_files_are_left_alone(tmp_path, text, message):
    path = tmp_path / "rows.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=message):
        RowFile(path, COLUMNS)
    assert path.read_bytes() == text.encode("latin-1")


def test_a_folder_is_no_table(tmp_path):
    with pytest.raises(InputError, match="can't be written"):
        RowFile(tmp_path, COLUMNS)


def test_without_a_path_the_rows_stay_in_memory():
    with RowFile(None, COLUMNS) as table:
        table.add({"oa": 1.5})
    assert table.rows == [{"scene": "", "oa": "1.5", "note": ""}]
