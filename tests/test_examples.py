"""The examples in docstrings run, found by themselves."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

import sslhsi

ROOT = Path(__file__).parents[1]
MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in sorted((ROOT / "sslhsi").rglob("*.py"))
    if ">>> " in path.read_text()
]


@pytest.mark.parametrize("name", [name.removesuffix(".__init__") for name in MODULES])
def test_examples_print_what_they_say(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    failed, tried = doctest.testmod(import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert tried > 0
    assert failed == 0


@pytest.mark.parametrize("name", sorted(set(sslhsi.__all__) - {"InputError"}))
def test_whatever_sslhsi_exports_shows_its_use(name):
    assert ">>> " in getattr(sslhsi, name).__doc__
