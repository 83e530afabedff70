"""Code in the documentation runs: blocks behind ``<!-- run -->``, page by page, on small settings."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from sslhsi.cli import build_parser, main
from sslhsi.recipe import load_recipe

ROOT = Path(__file__).parents[1]
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md"]
BLOCK = re.compile(r"^(?:<!-- (run|file: \S+) -->\n)?```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What takes minutes in earnest.
SMALL = {
    "pretrain": ["training.steps=3", "training.batch_size=16", "evaluation.seeds=1", "evaluation.schemes=[random]"],
}


def blocks(page: Path) -> list[tuple[str, str, str]]:
    """(mark, language, code) of every fenced block."""
    return [(mark, language, code) for mark, language, code in BLOCK.findall(page.read_text())]


@pytest.mark.slow
@pytest.mark.parametrize("page", [p for p in PAGES if any(b[0] for b in blocks(p))], ids=lambda p: p.name)
def test_marked_code_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shared: dict = {}
    for mark, language, code in blocks(page):
        if mark.startswith("file: "):
            Path(mark.removeprefix("file: ")).write_text(code)
        elif mark and language == "python":
            exec(compile(code, f"{page.name}: {code.splitlines()[0]}", "exec"), shared)
        elif mark and language == "bash":
            for line in code.splitlines():
                program, command, *words = shlex.split(line, comments=True)
                assert program == "sslhsi"
                assert main([command, *words, *SMALL.get(command, [])]) == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_command_line_parses(page):
    """Indented or fenced, run or not: no page names an option that isn't there."""
    lines = re.findall(r"^    (sslhsi .*)$", page.read_text(), re.MULTILINE)
    lines += [line for _, language, code in blocks(page) if language == "bash" for line in code.splitlines()]
    for line in lines:
        if not line.startswith("sslhsi "):
            continue
        build_parser().parse_args(shlex.split(line, comments=True)[1:])


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_recipes_on_the_pages_are_valid(page, tmp_path):
    for _, language, code in blocks(page):
        if language == "yaml" and code.startswith("name:"):
            (tmp_path / "recipe.yaml").write_text(code)
            load_recipe(tmp_path / "recipe.yaml")


def test_links_and_pictures_exist():
    made = {"images/random-splits.svg", "images/leak.svg", "reference/recipe.md"}
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", page.read_text()):
            assert target in made or (page.parent / target).exists(), f"{page.name}: {target}"
