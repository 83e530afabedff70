"""A row of results keeps its types over a CSV, and rows of earlier versions are read."""

import csv
from pathlib import Path

import pytest

from sslhsi.errors import InputError
from sslhsi.evaluation.rows import COLUMNS, KEY, ResultRow, read_result_rows
from sslhsi.files import write_rows

ROOT = Path(__file__).resolve().parents[2]
MEASURED = ResultRow(scene="moor", kind="real", protocol="DASE", split="given", per_class=5, seed=0, window=15,
                     method="pretrained", probe="linear", oa=90.125, leak=0.0, train=30, test=200)  # fmt: skip


def test_a_row_keeps_its_types_over_a_file(tmp_path: Path) -> None:
    rows = [MEASURED, ResultRow(scene="moor", per_class="all", method="raw spectra", probe="k-NN", note="too few")]
    write_rows(tmp_path / "rows.csv", [row.to_csv() for row in rows])
    with (tmp_path / "rows.csv").open(newline="") as stream:
        assert next(csv.reader(stream)) == list(COLUMNS)
    assert read_result_rows(tmp_path / "rows.csv") == rows
    assert read_result_rows(tmp_path / "none.csv") == []
    assert len({row.key for row in rows}) == 2
    assert set(KEY) < set(COLUMNS)


def test_rows_of_the_first_version_are_read() -> None:
    old = {"scene": "moor", "protocol": "DASE, 5 per class", "split": "given", "per_class": "5", "seed": "0",
           "saw_test_pixels": "no", "projector_saw_test_pixels": "statistics", "projector_scope": "all",
           "leak_touch": "0.5", "k": "20", "oa": "90.125", "method": "pretrained", "probe": "k-NN"}  # fmt: skip
    row = ResultRow.from_csv(old)
    assert (row.protocol, row.per_class, row.setting) == ("DASE", 5, "DASE, 5 per class")
    assert (row.pretraining_saw_pixels, row.projection_saw_pixels, row.projection_scope) == (
        "no",
        "statistics",
        "all",
    )
    assert row.leak_overlap == 0.5
    whole = ResultRow.from_csv({"protocol": "DASE, all", "per_class": "all"})
    assert (whole.protocol, whole.setting) == ("DASE", "DASE, all")


@pytest.mark.parametrize("path", sorted((ROOT / "results").glob("*.csv")), ids=lambda path: path.stem)
def test_every_measured_table_is_of_such_rows(path: Path) -> None:
    with path.open(newline="") as stream:
        texts = list(csv.DictReader(stream))
    assert texts
    assert not set(texts[0]) - {*COLUMNS, "k"}
    for text, row in zip(texts, read_result_rows(path), strict=True):
        again = row.to_csv()
        assert all(again[name] == value for name, value in text.items() if name not in ("k", "protocol", "leak"))
        # Version 0.1 wrote the samples per class behind the protocol's title.
        assert text.get("protocol", row.setting) in (row.protocol, row.setting)
        assert str(row.leak or 0.0) == (text.get("leak") or "0.0")


def test_what_is_no_table_of_results_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match=r"rows\.csv: no result rows"):
        read_result_rows(path)
    path.write_text("method,probe,oa\npretrained,linear,much\n")
    with pytest.raises(InputError, match=r"rows\.csv: column oa: 'much' is not a number"):
        read_result_rows(path)
