"""The house stays in order: names that shadow nothing, imports that run one way."""

from __future__ import annotations

import ast
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "sslhsi"
# A module imports only from those before it in this list (and from its own folder).
ORDER = [
    "errors", "files", "ranks", "recipe_file", "read_options", "recipe", "scenes", "bands", "corpus", "views",
    "backbones", "methods", "training", "encoder", "splits", "probes", "finetune", "evaluation", "report",
    "publish", "studies", "pretrain", "commands", "cli",
]  # fmt: skip
FILES = sorted(PACKAGE.rglob("*.py"))


def test_no_module_hides_a_package():
    """`accelerate launch sslhsi/pretrain.py` puts sslhsi/ itself first on the path."""
    own = {p.stem if p.suffix == ".py" else p.name for p in PACKAGE.iterdir() if not p.name.startswith(("_", "."))}
    own.discard("py.typed")
    foreign = set(sys.stdlib_module_names) | set(packages_distributions())
    assert own & (foreign - {"sslhsi"}) == set()


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_run_one_way(path):
    place = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if place == "__init__":
        return
    for node in ast.walk(ast.parse(path.read_text())):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [a.name for a in node.names] if isinstance(node, ast.Import) else []
        for name in names:
            parts = name.split(".")
            if parts[0] == "sslhsi" and len(parts) > 1:
                assert ORDER.index(parts[1]) <= ORDER.index(place), f"{path.name} imports {name}"


def test_files_stay_small():
    long = {p.name: n for p in FILES if (n := len(p.read_text().splitlines())) > 350}
    assert not long
