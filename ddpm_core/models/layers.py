"""The parts of a U-Net. Feature maps are [B, C, H, W], the embedding of time and label is [B, E]."""

import math
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

Resample = Literal["down", "up", "none"]
M = TypeVar("M", bound=nn.Module)


def sinusoidal_embedding(t: Tensor, width: int) -> Tensor:
    """Time to `width` sines and cosines, in float32 whatever autocast says. [B] -> [B, width]"""
    half = width // 2
    # Ho et al. 2020, after Vaswani et al. 2017: frequencies from 1 down to 1 / 10000, both ends included.
    steps = torch.arange(half, dtype=torch.float32, device=t.device)
    frequencies = torch.exp(steps * (-math.log(10000.0) / max(half - 1, 1)))
    angles = t.float()[:, None] * frequencies[None, :]
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def zero_init(module: M) -> M:
    """All parameters zero, so that a branch starts as nothing and a residual block as the identity."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


def conv(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, kernel, stride=stride, padding=kernel // 2)


class Downsample(nn.Module):
    """Half the side, by a convolution of stride 2."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = conv(channels, channels, 3, stride=2)

    def forward(self, x: Tensor, _embedding: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return y


class Upsample(nn.Module):
    """Twice the side, by the nearest neighbour and a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = conv(channels, channels, 3)

    def forward(self, x: Tensor, _embedding: Tensor) -> Tensor:
        y: Tensor = self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return y


def resampled(x: Tensor, resample: Resample) -> Tensor:
    if resample == "down":
        return F.avg_pool2d(x, 2)
    if resample == "up":
        return F.interpolate(x, scale_factor=2.0, mode="nearest")
    return x


class ResBlock(nn.Module):
    """norm, SiLU, (resample,) conv; then the embedding; norm, SiLU, dropout, conv from zero; plus the input."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        embedding: int,
        *,
        groups: int,
        dropout: float,
        scale_shift: bool,
        resample: Resample = "none",
    ) -> None:
        super().__init__()
        self.scale_shift = scale_shift
        self.resample: Resample = resample
        self.norm1 = nn.GroupNorm(groups, in_channels)
        self.conv1 = conv(in_channels, out_channels, 3)
        self.embed = nn.Linear(embedding, 2 * out_channels if scale_shift else out_channels)
        self.norm2 = nn.GroupNorm(groups, out_channels)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = zero_init(conv(out_channels, out_channels, 3))
        self.skip = nn.Identity() if in_channels == out_channels else conv(in_channels, out_channels, 1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        h = self.conv1(resampled(F.silu(self.norm1(x)), self.resample))
        e = self.embed(embedding)[:, :, None, None]  # the SiLU before it is done once, in UNet
        if self.scale_shift:
            # Nichol & Dhariwal 2021, section 3: AdaGN(h, e) = e_scale GroupNorm(h) + e_shift.
            scale, shift = e.chunk(2, dim=1)
            h = self.norm2(h) * (1 + scale) + shift
        else:
            h = self.norm2(h + e)
        y: Tensor = self.skip(resampled(x, self.resample)) + self.conv2(self.dropout(F.silu(h)))
        return y


class Attention(nn.Module):
    """Every pixel looks at every other; the output starts from zero."""

    def __init__(self, channels: int, *, heads: int, groups: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(groups, channels)
        self.qkv = conv(channels, 3 * channels, 1)
        self.out = zero_init(conv(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        _, channels, height, width = x.shape
        # [B, 3C, H, W] -> 3 x [B, heads, HW, C / heads]
        qkv = self.qkv(self.norm(x)).reshape(-1, 3, self.heads, channels // self.heads, height * width)
        # As it lies, on purpose: a contiguous copy brings in the fused kernel, which on a CPU was slower at 7 x 7
        # (forward and backward 36 ms against 13 ms).
        q, k, v = qkv.transpose(3, 4).unbind(1)
        h = F.scaled_dot_product_attention(q, k, v).transpose(2, 3).reshape(-1, channels, height, width)
        y: Tensor = x + self.out(h)
        return y
