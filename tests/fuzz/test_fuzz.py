"""A few hundred malformed inputs of `fuzz.py`, always the same; `make fuzz` tries more than ten thousand."""

from __future__ import annotations

import pytest
from fuzz import fuzz, valid_files

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def kinds(tmp_path_factory) -> list[str]:
    return list(valid_files(tmp_path_factory.mktemp("kinds")))


def test_malformed_files_and_recipes_end_in_one_sentence(kinds, tmp_path):
    said: list[str] = []
    assert fuzz(tmp_path, kinds, 30, 1, said.append) == 0, "\n".join(said)
