"""Templates of this folder -> text of a page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader

from sslhsi.report import tables

HERE = Path(__file__).parent


def render(template: str, content: Mapping[str, Any]) -> str:
    """A page of one of the templates beside this file; all content is escaped."""
    environment = Environment(
        loader=FileSystemLoader([HERE, HERE.parent / "studies"]), autoescape=True, trim_blocks=True
    )
    environment.filters |= {"percent": tables.percent, "probe": tables.probe_title}
    return environment.get_template(template).render(content)
