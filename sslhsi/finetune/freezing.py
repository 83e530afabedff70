"""Which layers of a network train: named freezing policies, and patterns of layer names."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from sslhsi.errors import InputError

# Layers that train besides the classifier, Dense_3.
HYBRIDSN: dict[str, tuple[str, ...]] = {
    "original": ("conv3d_1", "conv3d_2", "conv3d_3", "conv2d_1", "dense_1", "dense_2"),
    "Network_1": (),
    "Network_2": (),
    "Network_3": ("dense_2",),
    "Network_4": ("dense_1", "dense_2"),
    "Network_5": ("conv2d_1", "dense_1", "dense_2"),
    "Network_6": ("conv2d_1",),
    "Network_7": ("conv3d_3", "conv2d_1", "dense_1", "dense_2"),
}
POLICIES = ("none", "all", *HYBRIDSN)
# The policy that puts another dense layer before the classifier.
WITH_ADDED_DENSE = "Network_1"


def freeze(model: nn.Module, policy: str | Sequence[str] = "none") -> dict[str, Any]:
    """Let some layers train and hold the others, in place. The classifier always trains.

    Policies for any network: ``none`` trains everything, ``all`` the classifier alone (a linear probe), and
    a list names the layers to hold: each item is a layer with all that is inside it (``stages.0``) or a
    pattern (``stages.[01]``, ``*.entry``) of layer or parameter names.

    Policies for HybridSN, those of a study that trains it on Indian Pines and fine-tunes it on Urban, with
    the trainable parameters at 15 components, window 25 and 4 classes: ``original`` all layers (4,844,148);
    ``Network_1`` Dense_3 and a dense layer 128 -> 128 that is added before it (17,028); ``Network_2`` Dense_3
    (516); ``Network_3`` Dense_3 and Dense_2 (33,412); ``Network_4`` all dense layers (4,768,644);
    ``Network_5`` those and Conv2d_1 (4,824,004); ``Network_6`` Dense_3 and Conv2d_1 (55,876); ``Network_7``
    the dense layers, Conv2d_1 and Conv3d_3 (4,837,860).

    Args:
        model: A network on timm's contract, with a classifier or without.
        policy: A name, or a list of layers and patterns.

    Returns:
        A record fit for JSON: ``policy``, ``frozen`` (layers, or single parameters), ``frozen_norms`` (those
        with running statistics, which :func:`training_mode` keeps as they are), ``trainable_parameters`` and
        ``parameters``.

    Raises:
        InputError: The policy is unknown, belongs to another network, or a pattern fits no layer.
    """
    holds = _predicate(model, policy)
    classifier = model.get_classifier() if model.num_classes else None  # type: ignore[operator]
    if policy == WITH_ADDED_DENSE and model.num_classes:
        model.head = make_head(int(model.num_features), int(model.num_classes), policy)  # type: ignore[arg-type]
        model.head.to(next(model.parameters()).device)
        classifier = model.head
    spared = set() if classifier is None else set(classifier.modules())
    frozen: list[str] = []
    norms: list[str] = []
    for name, layer in model.named_modules():
        parameters = {f"{name}.{key}" if name else key: p for key, p in layer.named_parameters(recurse=False)}
        held = [key for key in parameters if layer not in spared and holds(key)]
        for key, parameter in parameters.items():
            parameter.requires_grad_(key not in held)
        whole = layer not in spared and (holds(name) or (bool(parameters) and len(held) == len(parameters)))
        frozen += [name] if held and name and len(held) == len(parameters) else held
        if whole and getattr(layer, "running_mean", None) is not None:
            norms.append(name)
    return {
        "policy": policy if isinstance(policy, str) else list(policy),
        "frozen": frozen,
        "frozen_norms": norms,
        "trainable_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "parameters": sum(p.numel() for p in model.parameters()),
    }


def training_mode(model: nn.Module, record: dict[str, Any]) -> None:
    """Training mode, but for frozen batch norms: they go on using their running statistics, and keep them."""
    model.train()
    for name in record["frozen_norms"]:
        model.get_submodule(name).eval()


def make_head(num_features: int, num_classes: int, policy: str | Sequence[str] = "none") -> nn.Module:
    """The classifier that a policy trains: one dense layer, under ``Network_1`` two with a ReLU between.

    The last one starts at zero.
    """
    last = nn.Linear(num_features, num_classes)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    if policy != WITH_ADDED_DENSE:
        return last
    return nn.Sequential(nn.Linear(num_features, num_features), nn.ReLU(), last)


def _predicate(model: nn.Module, policy: str | Sequence[str]) -> Callable[[str], bool]:
    """Whether a layer or parameter of some name is held."""
    if isinstance(policy, str):
        known_policy(policy)
        if policy in ("none", "all"):
            return lambda name: policy == "all"
        if getattr(model, "name", "") != "hybridsn":
            raise InputError(
                f"freezing policy {policy!r} names layers of hybridsn, and this is "
                f"{getattr(model, 'name', type(model).__name__)}; use 'none', 'all' or a list of its layers"
            )
        held = set(HYBRIDSN["original"]) - set(HYBRIDSN[policy])
        return lambda name: name.split(".")[0] in held
    names = [name for name, _ in (*model.named_modules(), *model.named_parameters()) if name]
    for pattern in policy:
        if not any(_fits(pattern, name) for name in names):
            near = difflib.get_close_matches(pattern, names, n=3, cutoff=0.5) or names[:3]
            raise InputError(f"freezing policy: no layer is called {pattern!r}; near are {', '.join(near)}")
    return lambda name: any(_fits(pattern, name) for pattern in policy)


def known_policy(policy: str | Sequence[str]) -> str | Sequence[str]:
    """The policy itself.

    Raises:
        InputError: No policy bears that name.
    """
    if isinstance(policy, str) and policy not in POLICIES:
        near = difflib.get_close_matches(policy, POLICIES, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(POLICIES)}"
        raise InputError(f"unknown freezing policy {policy!r}; {hint} A list names layers to hold")
    return policy


def _fits(pattern: str, name: str) -> bool:
    return fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*")
