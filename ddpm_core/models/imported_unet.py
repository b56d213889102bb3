"""The network of imported_unet_config.py: the parts of `unet`, with the eps, padding and time of another library."""

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from ddpm_core.errors import DataError
from ddpm_core.models.layers import Attention, Downsample, GroupNorm, Upsample, conv, zero_init
from ddpm_core.models.stages import Stage, StageNetwork

if TYPE_CHECKING:
    from ddpm_core.models.imported_unet_config import ImportedUNetConfig


def waves(t: Tensor, width: int, *, cosines_first: bool, frequency_shift: float) -> Tensor:
    """Sines and cosines with frequencies 10000^(-i / (width / 2 - shift)). [B] -> [B, width]"""
    half = width // 2
    steps = torch.arange(half, dtype=torch.float32, device=t.device)
    angles = t.float()[:, None] * torch.exp(steps * (-math.log(10000.0) / (half - frequency_shift)))[None, :]
    both = (angles.cos(), angles.sin()) if cosines_first else (angles.sin(), angles.cos())
    return torch.cat(both, dim=1)


class DownsampleAtEnd(nn.Module):
    """Halves the side by a convolution that is padded below and on the right only, as TensorFlow's SAME pads."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor, _embedding: Tensor) -> Tensor:
        y: Tensor = self.conv(F.pad(x, (0, 1, 0, 1)))
        return y


class ImportedUNet(StageNetwork):
    """`net(x_t, t, label)`: x_t [B, *shape], t float32 [B], label int64 [B] -> [B, C, H, W], or 2C channels.

    With a learned variance the second C channels give the variance. The output is float32 and zero before any training.
    """

    config: "ImportedUNetConfig"

    def __init__(
        self, config: "ImportedUNetConfig", shape: tuple[int, int, int], classes: int, learned_variance: bool
    ) -> None:
        super().__init__(config.widths[0], 4 * config.widths[0], classes)
        self.config, self.shape, self.embedding_width = config, shape, 4 * config.widths[0]
        self.stem = conv(shape[0], config.widths[0], 3)
        across = self._build_down()
        bottom, heads = config.widths[-1], config.heads[-1]
        attention = Attention(bottom, heads=heads, groups=config.middle_norm_groups or 1)
        if not config.middle_norm_groups:
            attention.norm = nn.Identity()  # type: ignore[assignment]
        self.middle = nn.ModuleList(
            [Stage(self._block(bottom, bottom), attention), Stage(self._block(bottom, bottom), None)]
        )
        self._build_up(across)
        self.norm = GroupNorm(config.norm_groups, config.widths[0])
        self.out = zero_init(conv(config.widths[0], shape[0] * (2 if learned_variance else 1), 3))
        for module in self.modules():
            if isinstance(module, GroupNorm):
                module.eps = config.norm_eps

    def _stage(self, level: int, in_channels: int) -> Stage:
        config, width = self.config, self.config.widths[level]
        attends = level in config.attention_levels
        attention = Attention(width, heads=config.heads[level], groups=config.norm_groups) if attends else None
        return Stage(self._block(in_channels, width), attention)

    def _halving(self, level: int, width: int) -> nn.Module:
        if level in self.config.resblock_levels:
            return self._block(width, width, "down")
        return DownsampleAtEnd(width) if self.config.padding == "end" else Downsample(width)

    def _build_down(self) -> list[int]:
        """The downward path, finest level first; returns the widths of its skip connections."""
        widths = [self.config.widths[0]]
        self.down = nn.ModuleList()
        for level, width in enumerate(self.config.widths):
            for _ in range(self.config.blocks):
                self.down.append(self._stage(level, widths[-1]))
                widths.append(width)
            if level < len(self.config.widths) - 1:
                self.down.append(self._halving(level, width))
                widths.append(width)
        return widths

    def _build_up(self, across: list[int]) -> None:
        """The upward path, coarsest level first; each stage takes one skip connection."""
        self.up = nn.ModuleList()
        current = self.config.widths[-1]
        for level, width in reversed([*enumerate(self.config.widths)]):
            for _ in range(self.config.blocks + 1):
                self.up.append(self._stage(level, current + across.pop()))
                current = width
            if level > 0:
                in_block = level in self.config.resblock_levels
                self.up.append(self._block(width, width, "up") if in_block else Upsample(width))

    def numbers(self, t: Tensor) -> Tensor:
        config = self.config
        return waves(
            (t - 1) * config.time_scale,
            self.sines,
            cosines_first=config.cosines_first,
            frequency_shift=config.frequency_shift,
        )

    def forward(self, x: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        if tuple(x.shape[1:]) != self.shape:
            raise DataError(f"this network takes data of shape {self.shape}, got {tuple(x.shape[1:])}")
        embedding = self.embed(t, label)
        h = self._through(self.stem(x), embedding)
        y: Tensor = self.out(F.silu(self.norm(h))).float()
        return y
