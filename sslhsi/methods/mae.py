"""A masked autoencoder: a vision transformer that encodes visible patches alone, and a decoder for the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import torch
from pydantic import Field
from timm.layers import PatchEmbed
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from sslhsi.errors import InputError
from sslhsi.methods.base import Batch, Method, register_method
from sslhsi.methods.masking import hidden_parts
from sslhsi.methods.momentum import full_precision
from sslhsi.recipe import Views
from sslhsi.recipe_file import Section

HEADS = 4  # of the decoder's attention


def cut_patches(images: Tensor, height: int, width: int) -> Tensor:
    """(N, K, S, S) -> (N, patches, K x height x width) values, patches row by row."""
    n, channels = images.shape[:2]
    grid = images.unflatten(3, (-1, width)).unflatten(2, (-1, height))  # n, K, rows, height, columns, width
    return grid.permute(0, 2, 4, 1, 3, 5).reshape(n, -1, channels * height * width)


@register_method("mae")
class MaskedAutoencoder(Method):
    """He et al. 2022, arXiv:2111.06377, for the plain vision transformers of timm.

    Three quarters of the patches are left out, not replaced: the encoder sees the others alone, with class and
    register tokens. The decoder takes its outputs and a learned token in each gap, and predicts the values of
    the patches that were left out; the loss is their mean squared error. With ``normalise`` each patch's values are
    those less their mean, divided by their spread. The encoder is exported; it then sees all patches.
    """

    class Options(Section):
        """What is left out, and the decoder."""

        masked: Annotated[float, Field(gt=0, lt=1)] = Field(default=0.75, description="share of the patches left out")
        hidden: Annotated[int, Field(gt=0, multiple_of=HEADS)] = Field(
            default=128, description="width of the decoder"
        )
        depth: Annotated[int, Field(ge=1, le=8)] = Field(default=2, description="blocks of the decoder")
        normalise: bool = Field(default=True, description="whether each patch is brought to mean 0 and spread 1")

    def __init__(self, backbone: nn.Module, options: Options) -> None:
        super().__init__(backbone, options)
        net = _plain_transformer(backbone)
        patches = int(net.patch_embed.num_patches)
        self.patch_size: tuple[int, int] = net.patch_embed.patch_size
        self.prefix: int = net.num_prefix_tokens
        self.options = options
        self.embed = nn.Linear(net.embed_dim, options.hidden)
        self.mask_token = nn.Parameter(0.02 * torch.randn(options.hidden))
        self.place = nn.Parameter(0.02 * torch.randn(self.prefix + patches, options.hidden))
        self.decoder = nn.Sequential(
            *(Block(options.hidden, HEADS, qkv_bias=True) for _ in range(options.depth)), nn.LayerNorm(options.hidden)
        )
        values = net.patch_embed.proj.in_channels * self.patch_size[0] * self.patch_size[1]
        self.values = nn.Linear(options.hidden, values)

    def view_settings(self, views: Views) -> Sequence[Views]:
        """One view."""
        return (views,)

    def forward(self, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        (view,) = batch.views
        left_out = self.mask(batch)
        # Visible patches first, each group in its own order.
        order = left_out.to(torch.uint8).argsort(dim=1, stable=True)
        visible = order[:, : int(left_out.shape[1] - left_out[0].sum())]
        tokens = self.embed(self.encode(view, visible))
        (predicted,) = full_precision([self.decode(tokens, order)])
        target = cut_patches(view, *self.patch_size)
        if self.options.normalise:
            spread, mean = torch.var_mean(target, dim=2, keepdim=True)
            target = (target - mean) / (spread + 1e-6).sqrt()
        error = (predicted - target).square().mean(2)
        return error[left_out].mean(), {}

    def mask(self, batch: Batch) -> Tensor:
        """(n, patches) booleans, True for those that are left out; as many of each sample."""
        return hidden_parts(batch.uniform(len(self.place) - self.prefix), self.options.masked)

    def encode(self, view: Tensor, visible: Tensor) -> Tensor:
        """(N, K, S, S) and (N, v) numbers of patches -> (N, prefix + v, D): class, registers, then those."""
        net = _plain_transformer(self.backbone)
        tokens = net._pos_embed(net.patch_embed(view))
        patches = _rows(tokens[:, self.prefix :], visible)
        tokens = net.norm_pre(torch.cat([tokens[:, : self.prefix], patches], dim=1))
        # Where timm averages over the patches, its last normalisation follows; each token by itself here.
        return net.fc_norm(net.norm(net.blocks(tokens)))

    def decode(self, tokens: Tensor, order: Tensor) -> Tensor:
        """(N, prefix + v, C) embedded tokens, (N, patches) visible ones first -> (N, patches, K x height x width)."""
        gaps = order.shape[1] - (tokens.shape[1] - self.prefix)
        filled = torch.cat(
            [tokens[:, self.prefix :], self.mask_token.to(tokens.dtype).expand(len(tokens), gaps, -1)], dim=1
        )
        patches = _rows(filled, order.argsort(1))
        whole = torch.cat([tokens[:, : self.prefix], patches], dim=1)
        return self.values(self.decoder(whole + self.place)[:, self.prefix :])


def _rows(tokens: Tensor, numbers: Tensor) -> Tensor:
    """(N, L, C), (N, m) -> (N, m, C)."""
    return tokens.gather(1, numbers[:, :, None].expand(-1, -1, tokens.shape[2]))


def _plain_transformer(backbone: nn.Module) -> Any:
    """timm's model inside a backbone.

    Raises:
        InputError: It is no plain vision transformer, or it cuts the window into fewer than two patches.
    """
    net: Any = getattr(backbone, "net", backbone)
    plain = (
        type(net) is VisionTransformer
        and type(net.patch_embed) is PatchEmbed
        and not net.dynamic_img_size
        and net.pos_embed is not None
        and net.attn_pool is None
    )
    name = getattr(backbone, "name", type(backbone).__name__)
    if not plain:
        raise InputError(
            "method.name: mae encodes visible patches alone, which takes a plain vision transformer with position "
            "embeddings (backbone.name=timm/vit_tiny_patch16_224, timm/deit_tiny_patch16_224 and the like), not "
            f"{name}; method.name=masked works for any network"
        )
    if net.patch_embed.num_patches < 2:
        raise InputError(
            f"method.name: mae needs several patches, and {name} makes one of the whole window; set "
            "backbone.options.patch_size to a part of the window, such as 4"
        )
    return net
