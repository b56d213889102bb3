"""What the U-Nets of residual blocks have in common, whatever their levels are made of."""

from typing import Protocol

import torch
from torch import Tensor, nn

from ddpm_core.models.layers import Attention, Resample, ResBlock
from ddpm_core.models.time_label import TimeLabelNetwork


class BlockConfig(Protocol):
    """What the configuration of such a network says of all of its residual blocks."""

    @property
    def norm_groups(self) -> int: ...
    @property
    def dropout(self) -> float: ...
    @property
    def scale_shift(self) -> bool: ...


class Stage(nn.Module):
    """One residual block with optional attention."""

    def __init__(self, block: ResBlock, attention: Attention | None) -> None:
        super().__init__()
        self.block = block
        self.attention = nn.Identity() if attention is None else attention

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        y: Tensor = self.attention(self.block(x, embedding))
        return y


class StageNetwork(TimeLabelNetwork):
    """A U-Net with the paths `down`, `middle` and `up`; each stage of `up` takes one skip connection."""

    config: BlockConfig
    embedding_width: int
    down: nn.ModuleList
    middle: nn.ModuleList
    up: nn.ModuleList

    def _block(self, in_channels: int, out_channels: int, resample: Resample = "none") -> ResBlock:
        return ResBlock(
            in_channels,
            out_channels,
            self.embedding_width,
            groups=self.config.norm_groups,
            dropout=self.config.dropout,
            scale_shift=self.config.scale_shift,
            resample=resample,
        )

    def _through(self, h: Tensor, embedding: Tensor) -> Tensor:
        """The three paths, from the stem's feature map to that of the last stage."""
        across = [h]
        for module in self.down:
            h = module(h, embedding)
            across.append(h)
        for module in self.middle:
            h = module(h, embedding)
        for module in self.up:
            if isinstance(module, Stage):
                h = torch.cat([h, across.pop()], dim=1)
            h = module(h, embedding)
        return h
