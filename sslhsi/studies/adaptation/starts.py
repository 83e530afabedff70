"""What adaptation compares: the starts of a training, and the two ways to judge each."""

from __future__ import annotations

from dataclasses import dataclass

PROBE, TUNED = "linear probe", "fine-tuned"
JUDGES = (PROBE, TUNED)


@dataclass(frozen=True)
class Start:
    """Weights that a training on the target starts from.

    Args:
        given: Whether they come from the given weights, or from random ones.
        by: The second round, ``contrast`` or ``labels``; None without.
    """

    given: bool
    by: str | None = None

    def method(self, judge: str) -> str:
        """As rows name it: ``adapted by contrast, linear probe``."""
        if self.by is None:
            name = "pretrained" if self.given else "random weights" if judge == PROBE else "from scratch"
        else:
            name = f"adapted by {self.by}" if self.given else f"in-domain {self.by} alone"
        return f"{name}, {judge}"


def starts(rounds: list[str]) -> list[Start]:
    """From scratch, pretrained, and with each round from either."""
    return [Start(given, by) for by in (None, *rounds) for given in (False, True)]
