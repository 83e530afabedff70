"""What adaptation compares: initialisations of a training, and the two ways to read each out."""

from __future__ import annotations

from dataclasses import dataclass

PROBE, TUNED = "linear probe", "fine-tuned"
READOUTS = (PROBE, TUNED)


@dataclass(frozen=True)
class Initialisation:
    """Weights that a training on the target starts from.

    Args:
        given: Whether they come from the given weights, or from random ones.
        by: The second round, ``contrast`` or ``labels``; None without.
    """

    given: bool
    by: str | None = None

    def method(self, readout: str) -> str:
        """As rows name it: ``adapted by contrast, linear probe``."""
        if self.by is None:
            name = "pretrained" if self.given else "random weights" if readout == PROBE else "from scratch"
        else:
            name = f"adapted by {self.by}" if self.given else f"in-domain {self.by} alone"
        return f"{name}, {readout}"


def initialisations(rounds: list[str]) -> list[Initialisation]:
    """From scratch, pretrained, and with each round from either."""
    return [Initialisation(given, by) for by in (None, *rounds) for given in (False, True)]
