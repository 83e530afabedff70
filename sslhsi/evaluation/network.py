"""A network that is evaluated, with what has to be said about it beside every score, and its untrained twin."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from sslhsi.encoder.encoder import Encoder, untrained
from sslhsi.errors import InputError
from sslhsi.evaluation.measure import projection_saw
from sslhsi.evaluation.window_means import WindowMeans, window_means

PRETRAINED, RANDOM, RAW, SCRATCH = "pretrained", "random weights", "raw spectra", "from scratch"
# Untrained networks that splits take in turn: one lucky initialisation must not stand for all.
INITIALISATIONS = 5


@dataclass(frozen=True)
class Network:
    """A backbone with what has to be said about it beside every score.

    Args:
        method: ``pretrained`` or ``random weights``.
        encoder: The backbone with its projection; left as it is.
        pretraining: What it was pretrained on, in words.
        pretraining_saw_pixels: Whether pretraining saw the scene's pixels: ``yes``, ``no`` or ``unknown``.
        projection_saw_pixels: Whether the projection was fitted on them: ``yes``, ``no`` or ``unknown``.
        others: The same pretraining from other seeds, which splits take in turn; of networks that are drawn anew
            the backbones beside which they stand.
        initialisations: How many untrained networks, drawn anew, splits take in turn; 0 takes encoder and others
            as they are.
    """

    method: str
    encoder: Encoder
    pretraining: str = "none"
    pretraining_saw_pixels: str = "no"
    projection_saw_pixels: str = "unknown"
    others: Sequence[Encoder] = ()
    initialisations: int = 0

    @cached_property
    def _taken(self) -> dict[int, Network]:
        return {}

    def of(self, seed: int) -> Network:
        """What the split of a seed is evaluated with: one of the ``count`` networks, in turn."""
        which = seed % self.count
        if which not in self._taken:
            encoders = (self.encoder, *self.others)
            encoder = encoders[which % len(encoders)]
            encoder = untrained(encoder, which) if self.initialisations else encoder
            self._taken[which] = replace(self, encoder=encoder, others=(), initialisations=0)
        return self._taken[which]

    @property
    def count(self) -> int:
        """Networks that splits take in turn."""
        return self.initialisations or 1 + len(self.others)

    @cached_property
    def digest(self) -> str:
        """Hash of weights, projection and window: another backbone is never taken for this one."""
        digest = hashlib.sha256(str(self.encoder.window).encode())
        for name, tensor in self.encoder.backbone.state_dict().items():
            digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
        digest.update(self.encoder.projector.content())
        return digest.hexdigest()[:12]

    @property
    def window(self) -> int:
        """Side in pixels of what it looks at."""
        return self.encoder.window

    @property
    def columns(self) -> dict[str, Any]:
        """What rows say of it."""
        projector = self.encoder.projector
        return {
            "method": self.method,
            "pretraining": self.pretraining,
            "pretraining_saw_pixels": self.pretraining_saw_pixels,
            "projection_saw_pixels": projection_saw(projector, self.projection_saw_pixels),
            "projection_scope": projector.scope,
            "corpus": self.encoder.config.corpus,
            "backbone": self.digest,
        }


Method = Network | WindowMeans


def widest(methods: Sequence[Method]) -> int:
    """Side of the largest window that a network looks at, which splits must allow for; 1 without networks."""
    return max((method.window for method in methods if isinstance(method, Network)), default=1)


def beside(
    encoder: Encoder,
    *,
    pretraining: str,
    pretraining_saw_pixels: str,
    projection_saw_pixels: str,
    others: Sequence[Encoder] = (),
) -> list[Method]:
    """A pretrained backbone, the same network with random weights, and window means.

    Arguments as for :class:`Network`.

    Several pretrainings stand beside as many untrained networks: given in the order of their seeds from 0 on, each
    stands beside the initialisation it began from.

    Raises:
        InputError: The others are another network, or look at other windows.
    """
    keys = ("architecture", "options", "window")
    for other in others:
        if odd := [key for key in keys if getattr(other.config, key) != getattr(encoder.config, key)]:
            first, second = (getattr(one.config, odd[0]) for one in (encoder, other))
            raise InputError(
                f"backbones that take turns must be one network, not of {odd[0]} {first!r} and {second!r}"
            )
    drawn = 1 + len(others) if others else INITIALISATIONS
    return [
        Network(PRETRAINED, encoder, pretraining, pretraining_saw_pixels, projection_saw_pixels, others),
        Network(RANDOM, untrained(encoder), "none", "no", projection_saw_pixels, others, drawn),
        *window_means(encoder.projector, encoder.config.corpus, projection_saw_pixels),
    ]
