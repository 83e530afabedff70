"""Methods by name.

To add a method, put a file into this folder with a subclass of :class:`~sslhsi.methods.base.Method` under
``@register_method("its_name")``. Every file of the folder is imported here, so there is no list to keep.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any

from torch import nn

import sslhsi.methods
from sslhsi.errors import InputError
from sslhsi.methods.base import METHODS, Method
from sslhsi.recipe_file import Section, validated

for _file in pkgutil.iter_modules(sslhsi.methods.__path__):
    if _file.name != "registry":
        importlib.import_module(f"sslhsi.methods.{_file.name}")


def list_methods() -> list[str]:
    """Names of the self-supervised methods.

    Examples:
        >>> "simclr" in list_methods()
        True
    """
    return sorted(METHODS)


def method_class(name: str) -> type[Method]:
    """A method by name.

    Raises:
        InputError: There is none of that name; the nearest one is given.
    """
    if name not in METHODS:
        near = difflib.get_close_matches(name, METHODS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"it may be {', '.join(list_methods())}"
        raise InputError(f"method.name: unknown method {name!r}; {hint}")
    return METHODS[name]


def method_options(name: str, options: Mapping[str, Any]) -> Section:
    """The options of a method, checked, with its defaults.

    Raises:
        InputError: There is no such method or option (the nearest one is given), or a value won't do.

    Examples:
        >>> method_options("simclr", {"temperature": 0.5}).temperature
        0.5
    """
    return validated(dict(options), "", method_class(name).Options, section="method.options")


def create_method(name: str, backbone: nn.Module, options: Mapping[str, Any] | None = None) -> Method:
    """Build a method around a backbone, which it trains in place.

    Args:
        name: One of :func:`list_methods`.
        backbone: (N, K, S, S) -> (N, ``num_features``).
        options: The method's own; defaults for those that are not given.

    Raises:
        InputError: There is no such method or option (the nearest one is given), or a value won't do.
    """
    return method_class(name)(backbone, method_options(name, options or {}))
