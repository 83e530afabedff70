"""Folders of captures as cameras leave them: which file is a scene, and which one a white or dark reference."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

WHITE, DARK = "white", "dark"
# WHITEREF_leaf (Specim), leaf_white, whiteReference (Headwall), white_ref.leaf ...; as a word of its own, so that
# whitefly.hdr and darkling.hdr stay scenes.
_WORD = r"(white|dark)[ _.-]?(?:ref(?:erence)?|panel|current|frame|cal(?:ibration)?)?"
_ROLE = re.compile(rf"^{_WORD}(?![a-z])[ _.-]*|[ _.-]*(?<![a-z]){_WORD}$", re.IGNORECASE)


def reference_role(name: str) -> tuple[str, str]:
    """Whether a file is a white or a dark reference by its name, and of which capture.

    Args:
        name: File name without its suffix.

    Returns:
        ``white``, ``dark`` or an empty text, and the name of the capture that it belongs to: empty where the name
        says no more, the name itself where it is no reference.

    Examples:
        >>> reference_role("WHITEREF_leaf"), reference_role("darkReference"), reference_role("whitefly")
        (('white', 'leaf'), ('dark', ''), ('', 'whitefly'))
    """
    match = _ROLE.search(name)
    if match is None:
        return "", name
    return (match[1] or match[2]).lower(), name[: match.start()] + name[match.end() :]


def references_of(capture: Path, beside: Iterable[Path]) -> dict[str, Path]:
    """The white and dark references of a capture among the files beside it.

    Those that bear the capture's name win; a reference without the name of any capture serves all of them.

    Args:
        capture: The capture's file.
        beside: Files that may be references.

    Returns:
        ``white`` and ``dark``, as far as there is exactly one of each.
    """
    named: dict[str, list[Path]] = {WHITE: [], DARK: []}
    common: dict[str, list[Path]] = {WHITE: [], DARK: []}
    for path in beside:
        role, owner = reference_role(path.stem) if not path.name.startswith(".") else ("", "")
        if role and owner.lower() == capture.stem.lower():
            named[role].append(path)
        elif role and not owner:
            common[role].append(path)
    chosen = {role: named[role] or common[role] for role in (WHITE, DARK)}
    return {role: paths[0] for role, paths in chosen.items() if len(paths) == 1}
