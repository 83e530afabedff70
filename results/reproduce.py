"""The papers' tables and figures beside ours: `make reproduce`.

Lists every table and figure of results/published.yaml with the command that measures it, sets the published
values beside what results/transfer/*.csv and results/*.csv hold (each file the rows.csv of an experiment), and says
which scenes' cubes are missing, how to get them and what stands in meanwhile. Writes results/reproduce.md and
prints a summary. Nothing is trained.

    python results/reproduce.py [--out FILE]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sslhsi.evaluation.summary import grouped, summarise
from sslhsi.files import read_rows, write_atomic
from sslhsi.report.tables import markdown

HERE = Path(__file__).resolve().parent
# Kinds of rows, none of which shares a column with another.
KINDS = {
    "real": "ours, the real scene",
    "8-bit real": "ours, 8-bit version",
    "stand-in": "ours, stand-in",
    "simulated": "ours, simulated",
    "another scene": "ours, another scene",
}
ABSENT = "not measured here"
# Columns that count something: printed whole.
COUNTS = ("train", "trainable", "parameters")
INTRO = """# The papers' tables and figures, beside ours

Made by `make reproduce` (`results/reproduce.py`) from `published.yaml`, where every published value has its source,
and from the rows of our experiments; nothing here is typed by hand. Ours are mean ± sample standard deviation over
seeds, with their number; the figure in brackets leads to the settings below the table: most were measured with a
shorter schedule, smaller windows or fewer bands than the paper's, and then say so. Our splits are as random as the
papers', so that test windows hold training pixels.

An 8-bit version of a scene is not the scene, a stand-in is made-up spectra on a real label map, and another scene is
another scene: each has a separate column, and none is comparable with what was published on the real cube.
"""
Row = Mapping[str, str]
Results = Mapping[str, Sequence[Row]]


@dataclass(frozen=True)
class Cell:
    """A published value and ours: by kind, the rows of one setting each; ``where`` says what makes them the same."""

    line: str
    column: str
    published: Any
    ours: Mapping[str, Sequence[Sequence[Row]]]
    value: str | None
    where: Mapping[str, Any]


def read_published(path: Path = HERE / "published.yaml") -> dict[str, Any]:
    """Papers, scenes and tables of the data file."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def read_results(folder: Path = HERE) -> Results:
    """Rows of all measured tables by target, each with the name of its ``file``."""
    rows = [
        {**row, "target": row.get("target") or row.get("scene", ""), "file": path.stem}
        for path in sorted([*folder.glob("*.csv"), *folder.glob("transfer/*.csv")])
        for row in read_rows(path)
        if "method" in row and "seed" in row
    ]
    return grouped(rows, lambda row: row["target"])


def cells(table: Mapping[str, Any], scenes: Mapping[str, Any], results: Results) -> Iterator[Cell]:
    """Every cell of a table with our rows of the same thing; of lines that the paper lacks, those we have."""
    columns = table["columns"]
    for line in [*table["lines"], *table.get("beside", ())]:
        printed = line.get("values", [None] * len(columns))
        for column, value in zip(columns, printed, strict=True):
            where = {**table.get("where", {}), **line["where"], **column.get("where", {})}
            scene = column.get("scene") or table["scene"]
            ours = _ours(results, where, scene, scenes) if column["value"] else {}
            if "values" in line or ours:
                yield Cell(line["label"], column["label"], value, ours, column["value"], where)


def matches(row: Row, where: Mapping[str, Any], scenes: Mapping[str, Any]) -> bool:
    """Whether a row is what ``where`` asks for; see the head of published.yaml."""
    for key, wanted in where.items():
        if key == "protocol":
            fits = row.get("settings", "").split(";")[0] == wanted
        elif key == "partners":
            fits = _partners(row.get("source", ""), wanted, scenes)
        else:
            fits = row.get(key, "") in [str(one) for one in (wanted if isinstance(wanted, list) else [wanted])]
        if not fits:
            return False
    return True


def _partners(source: str, wanted: list[str] | str, scenes: Mapping[str, Any]) -> bool:
    partners = source.split(" + ") if source else []
    if wanted == "all":
        return len(partners) >= 3
    names = [{name for kind in scenes[one]["ours"].values() for name in kind} for one in wanted]
    return len(partners) == len(names) and all(any(p in known for p in partners) for known in names)


def _ours(
    results: Results, where: Mapping[str, Any], scene: str, scenes: Mapping[str, Any]
) -> dict[str, list[list[Row]]]:
    ours = {}
    for kind, names in scenes[scene]["ours"].items():
        rows = [
            row
            for name in names
            for row in results.get(name, ())
            if (kind == "another scene" or row.get("kind", kind) == kind) and matches(row, where, scenes)
        ]
        if rows:
            ours[kind] = list(grouped(rows, _setting).values())
    return ours


def _setting(row: Row) -> tuple[str, ...]:
    """What rows of one mean have in common, beside the cell."""
    keys = ("file", "target", "network", "source", "split", "per_class", "window", "settings", "corpus", "backbone")
    return tuple(row.get(key) or "" for key in keys)


class Notes:
    """Numbered notes on how values were measured."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def mark(self, row: Row, where: Mapping[str, Any]) -> int:
        """The number of a row's note; what the cell says already is left out."""
        size = "" if "per_class" in where else row.get("per_class", "")
        parts = [
            f"`{row['file']}.csv`", row["target"], row.get("network", ""),
            f"with {row['source']}" if row.get("source") else "",
            f"{row.get('split', '')}, {size} per class" if size.isdigit() else row.get("split", ""),
            row.get("settings", ""),
        ]  # fmt: skip
        text = "; ".join(filter(None, parts))
        if text not in self.texts:
            self.texts.append(text)
        return self.texts.index(text) + 1


def printed(value: Any) -> str:
    """A published value as the paper prints it."""
    if value is None:
        return "–"
    if isinstance(value, list):
        return f"{value[0]:.2f} ± {value[1]:.2f}"
    if isinstance(value, float):
        return f"{value:.2f}"
    return f"{value:,}" if isinstance(value, int) and value > 9999 else str(value)


def measured(cell: Cell, kind: str, notes: Notes) -> str:
    """Ours of one kind in a cell: a mean for each setting."""
    texts = []
    assert cell.value
    for rows in cell.ours.get(kind, ()):
        scored = [row for row in rows if row.get(cell.value)]
        if not scored:
            texts.append(f"no figure: {rows[0].get('note', '')}")
            continue
        over = summarise([float(row[cell.value]) for row in scored])
        digits = ".0f" if cell.value in COUNTS else ".2f"
        mean = f"{over.mean:{digits}}" + (f" ± {over.std:.2f}" if over.std else "")
        seeds = len({row["seed"] for row in scored})
        texts.append(f"{mean} ({seeds} seed{'' if seeds == 1 else 's'}) [{notes.mark(rows[0], cell.where)}]")
    return "<br>".join(texts) or ABSENT


def missing(table: Mapping[str, Any], scenes: Mapping[str, Any], results: Results) -> list[str]:
    """Keys of a table's scenes of which there is no row on the real cube."""
    named = [table.get("scene"), *(column.get("scene") for column in table["columns"])]
    return [
        s for s in dict.fromkeys(filter(None, named)) if not set(results) & set(scenes[s]["ours"].get("real", ()))
    ]


def section(table: Mapping[str, Any], data: Mapping[str, Any], results: Results) -> list[str]:
    """A table's part of the page, line by line."""
    source = table["source"]
    paper = data["papers"][source["paper"]]
    runs, number = source["runs"], source["number"]
    lines = [
        f"## {table['title']}", "",
        f"{number[0].upper()}{number[1:]} of {paper['authors']}, *{paper['title']}*, {paper['where']}. "
        + (f"Runs per value: {runs}." if isinstance(runs, int) else "The number of runs is not stated."), "",
    ]  # fmt: skip
    for command in table["commands"]:
        lines += [f"- {command['what']}: `{command['line']}`"]
    for key in missing(table, data["scenes"], results):
        scene = data["scenes"][key]
        get = f"to get them: `{scene['get']}`" if scene["get"] else scene["download"]
        lines += [f"- {scene['title']}: nothing measured on the real data; {get}. Meanwhile: {scene['meanwhile']}."]
    here = list(cells(table, data["scenes"], results))
    kinds = [kind for kind in KINDS if any(kind in cell.ours for cell in here)]
    notes = Notes()
    if kinds:
        heads = ["", "", "published", *(KINDS[kind] for kind in kinds)]
        body = [
            [cell.line, cell.column, printed(cell.published)]
            + [measured(cell, kind, notes) if cell.value else "" for kind in kinds]
            for cell in here
        ]
    else:
        lines += ["", f"{ABSENT[0].upper()}{ABSENT[1:]}. Published:"]
        heads = ["", *(column["label"] for column in table["columns"])]
        body = [[line["label"], *map(printed, line["values"])] for line in table["lines"]]
    lines += ["", *markdown(heads, body)]
    lines += [""]
    lines += [f"{number}. {text}" for number, text in enumerate(notes.texts, 1)]
    lines += [""] if notes.texts else []
    if doubts := table.get("doubtful"):
        lines += ["To be read with care:", "", *(f"- {doubt}" for doubt in doubts), ""]
    return lines


def summary(data: Mapping[str, Any], results: Results) -> list[list[str]]:
    """A line per table: what it is, published values, cells of ours by kind, missing cubes."""
    lines = []
    for table in data["tables"]:
        here = list(cells(table, data["scenes"], results))
        published = sum(cell.published is not None for cell in here)
        counts = {kind: sum(kind in cell.ours for cell in here) for kind in KINDS}
        ours = ", ".join(f"{n} {kind}" for kind, n in counts.items() if n) or ABSENT
        cubes = ", ".join(data["scenes"][key]["title"] for key in missing(table, data["scenes"], results)) or "–"
        number = f"{table['source']['paper']}, {table['source']['number']}"
        lines.append([number, table["title"], str(published), ours, cubes])
    return lines


def write_page(data: Mapping[str, Any], results: Results, target: Path) -> None:
    """Write the page, whole or not at all."""
    heads = ["paper", "table", "published values", "cells of ours", "real data missing"]
    lines = [INTRO, *markdown(heads, summary(data, results)), ""]
    for table in data["tables"]:
        lines += section(table, data, results)
    write_atomic(target, "\n".join(lines).rstrip() + "\n")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE / "reproduce.md", help="the page")
    options = parser.parse_args(argv)
    data, results = read_published(), read_results()
    write_page(data, results, options.out)
    for table, (number, title, published, ours, cubes) in zip(data["tables"], summary(data, results), strict=True):
        print(f"{number}: {title}\n    {published} published; ours: {ours}; real data missing: {cubes}")
        print(f"    {table['commands'][0]['line']}")
    print(options.out)


if __name__ == "__main__":
    main()
