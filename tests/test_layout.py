"""The house stays in order: imports that run one way, the field's words, tests that use public names."""

from __future__ import annotations

import ast
import re
import sys
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "sslhsi"
# A module imports only from those before it in this list (and from the same folder).
ORDER = [
    "errors", "files", "ranks", "recipe_file", "read_options", "recipe", "scenes", "bands", "corpus", "views",
    "backbones", "methods", "training", "encoder", "splits", "probes", "finetune", "evaluation", "report",
    "publish", "studies", "pretrain", "adapt", "commands", "cli",
]  # fmt: skip
FILES = sorted(PACKAGE.rglob("*.py"))
# Rooms of NumPy and scikit-learn, for use without anything else of the package.
ALONE = ("probes", "splits")
# Words that only this project understood; a local or an argument says what it holds.
PRIVATE_WORDS = {
    "found", "told", "seen", "ground", "judge", "unit", "black", "alike", "own", "facts", "quiet", "dense", "Start",
    "Shared", "saw", "denoise",
}  # fmt: skip


def name_of(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def imports(tree: ast.AST) -> set[str]:
    """Dotted names of the modules that a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names.add(node.module or "")
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


def rooms_used(path: Path) -> set[str]:
    return {name.split(".")[1] for name in imports(tree_of(path)) if name.startswith("sslhsi.")}


def test_no_module_hides_a_package():
    """`accelerate launch sslhsi/pretrain.py` puts sslhsi/ itself first on the path."""
    names = {p.stem if p.suffix == ".py" else p.name for p in PACKAGE.iterdir() if not p.name.startswith(("_", "."))}
    names.discard("py.typed")
    foreign = set(sys.stdlib_module_names) | set(packages_distributions())
    assert names & (foreign - {"sslhsi"}) == set()


@pytest.mark.parametrize("path", [p for p in FILES if room(p) != "__init__"], ids=name_of)
def test_imports_run_one_way(path):
    behind = {used for used in rooms_used(path) if ORDER.index(used) > ORDER.index(room(path))}
    assert not behind


def test_studies_are_a_wing_of_their_own():
    """Who pretrains, encodes or probes never walks through them."""
    users = {room(path) for path in FILES if "studies" in rooms_used(path)}
    assert users <= {"studies", "commands"}


@pytest.mark.parametrize("path", [p for p in FILES if room(p) in ALONE], ids=name_of)
def test_probes_and_splits_stand_alone(path):
    used = imports(tree_of(path))
    assert not {name for name in used if name.split(".")[0] in ("torch", "timm", "accelerate", "lightly")}
    assert rooms_used(path) <= {"errors", room(path)}


def identifiers(tree: ast.AST) -> set[str]:
    """Every name that the code itself chose: of variables, attributes, arguments, keywords, functions, classes."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            names.add(node.id)
        elif isinstance(node, ast.Attribute):
            names.add(node.attr)
        elif isinstance(node, ast.arg | ast.keyword):
            names.add(node.arg or "")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.ImportFrom | ast.Import):
            names |= {alias.asname or alias.name for alias in node.names}
    return names


def is_private_word(name: str) -> bool:
    return name.strip("_") in PRIVATE_WORDS


def private_words(path: Path) -> set[str]:
    """Those of a file and of its name; where files are read, ``unit`` is that of their wavelengths."""
    words = {name for name in {*identifiers(tree_of(path)), path.stem} if is_private_word(name)}
    return words - {"unit"} if room(path) in ("scenes", "read_options") else words


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_names_are_those_of_the_field(path):
    assert not private_words(path)


def private_uses(tree: ast.AST) -> list[str]:
    """What a test takes from behind the package's public names, by line.

    Imports of names that begin with an underscore, use of such an attribute of what was imported, and replacing
    what a module of the package holds: all but a limit written in capitals, which a small input can't reach.
    """
    taken: set[str] = set()
    uses: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "sslhsi":
            taken |= {alias.asname or alias.name for alias in node.names}
            uses += [f"{node.lineno}: imports {a.name}" for a in node.names if a.name.startswith("_")]
        elif isinstance(node, ast.Import):
            taken |= {a.asname or a.name.split(".")[0] for a in node.names if a.name.split(".")[0] == "sslhsi"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            if root(node) in taken:
                uses.append(f"{node.lineno}: uses {ast.unparse(node)}")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "setattr":
            target = node.args[0]
            if isinstance(target, ast.Constant) and str(target.value).startswith("sslhsi."):
                named = str(target.value)
            elif isinstance(target, ast.Name | ast.Attribute) and root(target) in taken and len(node.args) > 1:
                named = f"{ast.unparse(target)}.{ast.unparse(node.args[1]).strip(chr(39))}"
            else:
                continue
            last = named.split(".")[-1]
            if not last.isupper() or last.startswith("_"):
                uses.append(f"{node.lineno}: replaces {named}")
    return uses


def root(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


@pytest.mark.parametrize("path", sorted(TESTS.rglob("*.py")), ids=lambda p: str(p.relative_to(TESTS)))
def test_tests_use_public_names(path):
    uses = private_uses(tree_of(path))
    assert not uses


def test_no_function_is_exempt_from_the_rules():
    """Too long, too many branches or arguments: split it."""
    exempt = re.compile(r"#\s*noqa.*(C901|PLR09)")
    assert not [path.name for path in [*FILES, *TESTS.rglob("*.py")] if exempt.search(path.read_text())]
