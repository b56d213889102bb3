"""The U-Net of Ho et al. 2020 (Appendix B) and Nichol & Dhariwal 2021, on patches of pixels."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from ddpm_core.errors import DataError, ParamsError
from ddpm_core.models.layers import Attention, Downsample, GroupNorm, Refine, Upsample, conv, zero_init
from ddpm_core.models.stages import Stage, StageNetwork

if TYPE_CHECKING:
    from ddpm_core.models.unet_config import UNetConfig


class UNet(StageNetwork):
    """`net(x_t, t, label)`: x_t [B, *shape], t float32 [B], label int64 [B] -> [B, C, H, W], or 2C channels.

    Attributes are told by their names, as the label is. With a learned variance the second C channels give the
    variance. The output is float32 and zero before any training.
    """

    config: "UNetConfig"

    def __init__(
        self,
        config: "UNetConfig",
        shape: tuple[int, int, int],
        classes: int,
        learned_variance: bool,
        attributes: Mapping[str, int] | None = None,
    ) -> None:
        config.check_shape(shape)
        super().__init__(config.channels, 4 * config.channels, classes, attributes)
        self.config, self.shape, self.embedding_width = config, shape, 4 * config.channels
        self.out_channels = shape[0] * (2 if learned_variance else 1)
        self.levels = len(config.multipliers)
        self.stem = conv(shape[0] * config.patch**2, config.channels, 3)
        widths = self._build_down()
        bottom = self._width(self.levels - 1)
        self.middle = nn.ModuleList(
            [Stage(self._block(bottom, bottom), self._attention(bottom)), Stage(self._block(bottom, bottom), None)]
        )
        self._build_up(widths)
        self.norm = GroupNorm(config.norm_groups, self._width(0))
        self.refine = self._refine(config.refine) if config.refine else None
        if self.refine is None:
            self.out = zero_init(conv(self._width(0), self.out_channels * config.patch**2, 3))

    def _refine(self, channels: int | Literal["auto"]) -> Refine:
        if channels == "auto":
            raise ParamsError(
                "model.refine: a network is built with a number of channels, got auto; resolve it with training "
                "pictures (UNetConfig.resolved), or give 0 or 16"
            )
        return Refine(
            self._width(0),
            (self.shape[0], self.out_channels),
            self.embedding_width,
            patch=self.config.patch,
            channels=channels,
            groups=self.config.norm_groups,
            dropout=self.config.dropout,
            scale_shift=self.config.scale_shift,
        )

    def _width(self, level: int) -> int:
        return self.config.channels * self.config.multipliers[level]

    def _attention(self, channels: int) -> Attention:
        return Attention(channels, heads=self.config.heads, groups=self.config.norm_groups)

    def _stage(self, level: int, in_channels: int) -> Stage:
        width = self._width(level)
        attention = self._attention(width) if level in self.config.attention_levels else None
        return Stage(self._block(in_channels, width), attention)

    def _resample(self, direction: Literal["down", "up"], width: int) -> nn.Module:
        if self.config.resblock_updown:
            return self._block(width, width, direction)
        return Downsample(width) if direction == "down" else Upsample(width)

    def _build_down(self) -> list[int]:
        """The downward path, finest level first; returns the widths of its skip connections."""
        widths = [self.config.channels]
        self.down = nn.ModuleList()
        for level in range(self.levels):
            width = self._width(level)
            for _ in range(self.config.blocks):
                self.down.append(self._stage(level, widths[-1]))
                widths.append(width)
            if level < self.levels - 1:
                self.down.append(self._resample("down", width))
                widths.append(width)
        return widths

    def _build_up(self, widths: list[int]) -> None:
        """The upward path, coarsest level first; each stage takes one skip connection."""
        self.up = nn.ModuleList()
        current = self._width(self.levels - 1)
        for level in reversed(range(self.levels)):
            width = self._width(level)
            for _ in range(self.config.blocks + 1):
                self.up.append(self._stage(level, current + widths.pop()))
                current = width
            if level > 0:
                self.up.append(self._resample("up", width))

    def forward(self, x: Tensor, t: Tensor, label: Tensor | None = None, **attributes: Tensor) -> Tensor:
        if tuple(x.shape[1:]) != self.shape:
            raise DataError(f"this network takes data of shape {self.shape}, got {tuple(x.shape[1:])}")
        embedding = self.embed(t, label, attributes)
        h = self._through(self.stem(F.pixel_unshuffle(x, self.config.patch)), embedding)
        h = F.silu(self.norm(h))
        if self.refine is not None:
            y: Tensor = self.refine(h, x, embedding)
            return y.float()
        return F.pixel_shuffle(self.out(h).float(), self.config.patch)
