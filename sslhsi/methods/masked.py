"""Masked modelling for any network: components and patches of a window are hidden and predicted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from sslhsi.errors import InputError
from sslhsi.methods.base import Batch, Method, register_method
from sslhsi.methods.masking import hidden_parts
from sslhsi.methods.momentum import full_precision
from sslhsi.recipe import Positive, Views
from sslhsi.recipe_file import Section

HiddenShare = Annotated[float, Field(ge=0, lt=1)]


class Decoder(nn.Module):
    """(N, F) features -> (N, K, S, S) values: one hidden layer, to which each pixel adds a vector of its place."""

    def __init__(self, features: int, hidden: int, channels: int, window: int) -> None:
        super().__init__()
        self.features, self.window = nn.Linear(features, hidden), window
        self.place = nn.Parameter(0.02 * torch.randn(window * window, hidden))
        self.values = nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, F) -> (N, K, S, S)."""
        pixels = self.values(F.gelu(self.features(x)[:, None] + self.place))
        return pixels.transpose(1, 2).unflatten(2, (self.window, self.window))


@register_method("masked")
class Masked(Method):
    """After SimMIM (Xie et al. 2022, arXiv:2111.09886): hide, predict the raw values, mean absolute error.

    There is one view. Square patches of it are hidden in all components, and some components in all pixels; what is
    hidden becomes a learned value per component, so that any network takes the input. A light decoder predicts
    the view from the backbone's pooled features, the very ones that are exported; the error counts where
    something was hidden, averaged sample by sample. Components count as their spread does: whiten them
    (``bands.whiten``) where the first one holds nearly all the variance.
    """

    class Options(Section):
        """What is hidden, and the decoder."""

        patches: HiddenShare = Field(default=0.5, description="share of the patches that are hidden")
        components: HiddenShare = Field(default=0.25, description="share of the components that are hidden")
        patch_size: Positive = Field(default=4, description="side of a patch in pixels")
        hidden: Positive = Field(default=256, description="width of the decoder")

        @model_validator(mode="after")
        def something_hidden(self) -> Self:
            if not self.patches and not self.components:
                raise ValueError("patches and components are both 0; hide a share of one of them")
            return self

    def __init__(self, backbone: nn.Module, options: Options) -> None:
        super().__init__(backbone, options)
        channels, window, features = (
            int(getattr(backbone, key, 0)) for key in ("in_chans", "window", "num_features")
        )
        if not channels or not window:
            raise InputError("method.name: masked needs a network with in_chans and window, as create_backbone makes")
        if options.patches and options.patch_size >= window:
            raise InputError(
                f"method.options.patch_size: one patch of {options.patch_size} pixels covers the window of {window}; "
                "give a smaller one, or method.options.patches=0"
            )
        if options.components and channels < 2:
            raise InputError("method.options.components: there is but one; set method.options.components=0")
        self.options = options
        self.mask_value = nn.Parameter(torch.zeros(channels))
        self.decoder = Decoder(features, options.hidden, channels, window)

    def view_settings(self, views: Views) -> Sequence[Views]:
        """One view."""
        return (views,)

    def forward(self, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        (view,) = batch.views
        hidden = self.mask(batch)
        features = self.backbone(torch.where(hidden, self.mask_value[:, None, None].to(view.dtype), view))
        (predicted,) = full_precision([self.decoder(features)])
        error = ((predicted - view).abs() * hidden).flatten(1).sum(1)
        return (error / hidden.flatten(1).sum(1)).mean(), {}

    def mask(self, batch: Batch) -> Tensor:
        """(n, K, S, S) booleans, True where a value is hidden."""
        n, channels, height, width = batch.views[0].shape
        size = self.options.patch_size
        rows, columns = -(-height // size), -(-width // size)
        numbers = batch.uniform(channels + rows * columns)
        components = hidden_parts(numbers[:, :channels], self.options.components)
        patches = hidden_parts(numbers[:, channels:], self.options.patches).view(n, rows, columns)
        pixels = patches.repeat_interleave(size, 1).repeat_interleave(size, 2)[:, :height, :width]
        return components[:, :, None, None] | pixels[:, None]
