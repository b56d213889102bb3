"""The network of transformer_config.py: a transformer on patches, told time and label by adaptive layer norm."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from ddpm_core.errors import DataError
from ddpm_core.models.layers import Refine, attended, zero_init
from ddpm_core.models.time_label import TimeLabelNetwork, sinusoidal_embedding

if TYPE_CHECKING:
    from ddpm_core.models.transformer_config import TransformerConfig


def modulated(h: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Adaptive layer norm; [B, N, width] with a shift and a scale [B, 1, width]."""
    return F.layer_norm(h, h.shape[2:], eps=1e-6) * (1 + scale) + shift


class Block(nn.Module):
    """Attention, then two linear layers. Time and label shift and scale what enters each, and weigh its answer.

    The weights start at zero. [B, N, width] -> the same
    """

    def __init__(self, config: "TransformerConfig") -> None:
        super().__init__()
        width, self.heads = config.width, config.heads
        self.modulation = zero_init(nn.Linear(width, 6 * width))
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.first = nn.Linear(width, config.expansion * width)
        self.second = nn.Linear(config.expansion * width, width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, h: Tensor, embedding: Tensor) -> Tensor:
        shift, scale, weight, inner_shift, inner_scale, inner_weight = self.modulation(embedding).chunk(6, dim=2)
        a = attended(self.qkv(modulated(h, shift, scale)), self.heads)
        h = h + weight * self.dropout(self.out(a))
        inner = F.gelu(self.first(modulated(h, inner_shift, inner_scale)))
        y: Tensor = h + inner_weight * self.dropout(self.second(inner))
        return y


class Transformer(TimeLabelNetwork):
    """`net(x_t, t, label)`: x_t [B, *shape], t float32 [B], label int64 [B] -> [B, C, H, W], or 2C channels.

    Attributes are told by their names, as the label is. With a learned variance the second C channels give the
    variance. The output is float32 and, before any training, zero.
    """

    positions: Tensor

    def __init__(
        self,
        config: "TransformerConfig",
        shape: tuple[int, int, int],
        classes: int,
        learned_variance: bool,
        attributes: Mapping[str, int],
    ) -> None:
        width, patch = config.width, config.patch
        super().__init__(width, width, classes, attributes)
        self.shape, self.patch = shape, patch
        out_channels = shape[0] * (2 if learned_variance else 1)
        self.stem = nn.Linear(shape[0] * patch**2, width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.modulation = zero_init(nn.Linear(width, 2 * width))
        self.refine = _refine(config, (shape[0], out_channels)) if config.refine else None
        if self.refine is None:
            self.out = zero_init(nn.Linear(width, out_channels * patch**2))
        # Half of a position's numbers are sines of its row, half of its column. [N, width]
        rows, columns = shape[1] // patch, shape[2] // patch
        y = sinusoidal_embedding(torch.arange(rows), width // 2).repeat_interleave(columns, 0)
        x = sinusoidal_embedding(torch.arange(columns), width // 2).repeat(rows, 1)
        self.register_buffer("positions", torch.cat([y, x], 1), persistent=False)

    def forward(self, x: Tensor, t: Tensor, label: Tensor | None = None, **attributes: Tensor) -> Tensor:
        if tuple(x.shape[1:]) != self.shape:
            raise DataError(f"this network takes data of shape {self.shape}, got {tuple(x.shape[1:])}")
        told = self.embed(t, label, attributes)
        embedding = told[:, None]
        # [B, C, H, W] -> [B, N, C patch^2] -> [B, N, width]
        h = self.stem(F.pixel_unshuffle(x, self.patch).flatten(2).transpose(1, 2)) + self.positions
        for block in self.blocks:
            h = block(h, embedding)
        h = modulated(h, *self.modulation(embedding).chunk(2, dim=2))
        if self.refine is None:
            return F.pixel_shuffle(self._as_map(self.out(h).float()), self.patch)
        y: Tensor = self.refine(self._as_map(h), x, told)
        return y.float()

    def _as_map(self, h: Tensor) -> Tensor:
        """[B, N, C] -> [B, C, rows, columns]"""
        _, height, width = self.shape
        return h.transpose(1, 2).reshape(-1, h.shape[2], height // self.patch, width // self.patch)


def _refine(config: "TransformerConfig", shape: tuple[int, int]) -> Refine:
    return Refine(
        config.width, shape, config.width,
        patch=config.patch, channels=config.refine, groups=8, dropout=config.dropout, scale_shift=True,
    )  # fmt: skip
