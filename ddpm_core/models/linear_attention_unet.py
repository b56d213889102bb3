"""The network of linear_attention_unet_config.py."""

from itertools import pairwise
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from ddpm_core.errors import DataError
from ddpm_core.models.imported_unet import waves
from ddpm_core.models.layers import conv, doubled, zero_init
from ddpm_core.models.time_label import TimeLabelNetwork

if TYPE_CHECKING:
    from ddpm_core.models.linear_attention_unet_config import LinearAttentionUNetConfig


class RMSNorm(nn.Module):
    """Each pixel's channels divided by their root mean square, times a learned scale."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = F.normalize(x, dim=1) * self.scale * x.shape[1] ** 0.5
        return y


class Block(nn.Module):
    """conv, norm, scale and shift by the embedding, SiLU, dropout; conv, norm, SiLU; plus the input."""

    def __init__(self, in_channels: int, out_channels: int, embedding: int, dropout: float) -> None:
        super().__init__()
        self.embed = nn.Linear(embedding, 2 * out_channels)
        self.conv1, self.norm1 = conv(in_channels, out_channels, 3), RMSNorm(out_channels)
        self.conv2, self.norm2 = conv(out_channels, out_channels, 3), RMSNorm(out_channels)
        self.dropout = nn.Dropout(dropout)
        self.skip = nn.Identity() if in_channels == out_channels else conv(in_channels, out_channels, 1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        scale, shift = self.embed(embedding)[:, :, None, None].chunk(2, dim=1)
        h = self.dropout(F.silu(self.norm1(self.conv1(x)) * (scale + 1) + shift))
        y: Tensor = F.silu(self.norm2(self.conv2(h))) + self.skip(x)
        return y


class MemoryAttention(nn.Module):
    """Attention over all pixels and some learned keys and values; plus the input.

    `full`: softmax(q k^T) v. Otherwise linear (Shen et al. 2021): softmax of q over its numbers, of k over the pixels.
    """

    def __init__(self, channels: int, heads: int, width: int, memory: int, *, full: bool) -> None:
        super().__init__()
        self.heads, self.full = heads, full
        self.norm = RMSNorm(channels)
        self.memory = nn.Parameter(torch.randn(2, heads, *((memory, width) if full else (width, memory))))
        self.qkv = nn.Conv2d(channels, 3 * heads * width, 1, bias=False)
        self.out = nn.Conv2d(heads * width, channels, 1)
        self.out_norm = nn.Identity() if full else RMSNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        _, _, height, width = x.shape
        # [B, 3 heads d, H, W] -> 3 x [B, heads, d, N]
        q, k, v = self.qkv(self.norm(x)).reshape(x.shape[0], 3, self.heads, -1, height * width).unbind(1)
        memory = self.memory.transpose(2, 3) if self.full else self.memory
        k, v = (torch.cat([m.expand(x.shape[0], -1, -1, -1), part], 3) for m, part in zip(memory, (k, v), strict=True))
        if self.full:
            q, k, v = (part.transpose(2, 3) for part in (q, k, v))
            h = F.scaled_dot_product_attention(q, k, v).transpose(2, 3)
        else:
            context = k.softmax(3) @ v.transpose(2, 3)  # [B, heads, d, d]
            h = context.transpose(2, 3) @ (q.softmax(2) * q.shape[2] ** -0.5)
        y: Tensor = x + self.out_norm(self.out(h.reshape(x.shape[0], -1, height, width)))
        return y


class Level(nn.Module):
    """Two blocks, attention, and the convolution to the next level: down after halving, up after doubling."""

    def __init__(self, first: Block, second: Block, attention: MemoryAttention, change: nn.Conv2d) -> None:
        super().__init__()
        self.first, self.second, self.attention, self.change = first, second, attention, change


class LinearAttentionUNet(TimeLabelNetwork):
    """`net(x_t, t, label)`: x_t [B, *shape], t float32 [B], label int64 [B] -> [B, C, H, W], or 2C channels.

    With a learned variance the second C channels give the variance. The output is float32 and zero before any training.
    """

    def __init__(
        self,
        config: "LinearAttentionUNetConfig",
        shape: tuple[int, int, int],
        classes: int,
        learned_variance: bool,
    ) -> None:
        embedding = 4 * config.channels
        super().__init__(config.channels, embedding, classes)
        self.time[1] = nn.GELU()
        self.config, self.shape = config, shape
        widths, last = config.widths, len(config.multipliers) - 1

        def block(in_channels: int, out_channels: int) -> Block:
            return Block(in_channels, out_channels, embedding, config.dropout)

        def attention(level: int, channels: int) -> MemoryAttention:
            full = level in config.full_attention_levels
            return MemoryAttention(channels, config.heads[level], config.head_width[level], config.memory, full=full)

        self.stem = conv(shape[0], config.stem, 7)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for level, (narrow, wide) in enumerate(pairwise(widths)):
            change = nn.Conv2d(4 * narrow, wide, 1) if level < last else conv(narrow, wide, 3)
            self.down.append(Level(block(narrow, narrow), block(narrow, narrow), attention(level, narrow), change))
        bottom = widths[-1]
        self.middle_first, self.middle_second = block(bottom, bottom), block(bottom, bottom)
        self.middle_attention = MemoryAttention(
            bottom, config.heads[-1], config.head_width[-1], config.memory, full=True
        )
        for level in reversed(range(last + 1)):
            narrow, wide = widths[level], widths[level + 1]
            first, second = block(wide + narrow, wide), block(wide + narrow, wide)
            self.up.append(Level(first, second, attention(level, wide), conv(wide, narrow, 3)))
        self.last = block(2 * config.stem, config.stem)
        self.out = zero_init(conv(config.stem, shape[0] * (2 if learned_variance else 1), 1))

    def numbers(self, t: Tensor) -> Tensor:
        return waves(t - 1, self.sines, cosines_first=False, frequency_shift=1.0)

    def forward(self, x: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        if tuple(x.shape[1:]) != self.shape:
            raise DataError(f"this network takes data of shape {self.shape}, got {tuple(x.shape[1:])}")
        embedding, last = self.embed(t, label), len(self.down) - 1
        stem = h = self.stem(x)
        across = []
        for level, down in enumerate(cast("list[Level]", self.down)):
            h = down.first(h, embedding)
            across.append(h)
            h = down.attention(down.second(h, embedding))
            across.append(h)
            h = down.change(F.pixel_unshuffle(h, 2) if level < last else h)
        h = self.middle_first(h, embedding)
        h = self.middle_second(self.middle_attention(h), embedding)
        for i, up in enumerate(cast("list[Level]", self.up)):
            h = up.first(torch.cat([h, across.pop()], 1), embedding)
            h = up.attention(up.second(torch.cat([h, across.pop()], 1), embedding))
            h = up.change(doubled(h) if i < last else h)
        y: Tensor = self.out(self.last(torch.cat([h, stem], 1), embedding)).float()
        return y
