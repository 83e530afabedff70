"""The studies by name: another one is a folder, and a line here."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from sslhsi.errors import InputError

if TYPE_CHECKING:  # so that the command line lists the studies without loading PyTorch
    from sslhsi.studies.study import Study

# The package that offers it as STUDY; imported when it is asked for.
STUDIES = {
    "freezing": "sslhsi.studies.freezing",
    "fusion": "sslhsi.studies.fusion",
    "multitask": "sslhsi.studies.multitask",
    "distance": "sslhsi.studies.distance",
    "adaptation": "sslhsi.studies.adaptation",
}


def get_study(name: str) -> Study:
    """A study by its name.

    Raises:
        InputError: There is none of that name.

    Examples:
        >>> get_study("freezing").title
        'Freezing policies'
    """
    if name not in STUDIES:
        raise InputError(f"experiment {name!r} is not known; use {', '.join(STUDIES)}")
    return importlib.import_module(STUDIES[name]).STUDY
