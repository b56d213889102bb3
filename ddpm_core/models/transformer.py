"""A transformer on the patches of a picture, told time and label by adaptive layer norm."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import gcd
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ddpm_core.checks import Checks, at_least_1
from ddpm_core.errors import DataError, ParamsError
from ddpm_core.models.base import NetworkConfig, check_classes_alone
from ddpm_core.spec import DataSpec

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class TransformerConfig(NetworkConfig):
    """The diffusion transformer (DiT) of Peebles & Xie 2023, with adaLN-Zero, for pictures of any size.

    Cost: about 12 depth width^2 multiplications a patch, and 2 depth width more for every patch that it attends to.
    """

    kind: Literal["transformer"]
    patch: int
    width: int
    depth: int
    heads: int
    expansion: int
    dropout: float
    refine: int

    __checks__: ClassVar[Checks] = {
        "patch": at_least_1,
        "width": (lambda v: v >= 4 and v % 4 == 0, "a multiple of 4"),
        "depth": at_least_1,
        "heads": at_least_1,
        "expansion": at_least_1,
        "dropout": (lambda v: 0 <= v < 1, "at least 0 and below 1"),
        "refine": (lambda v: v >= 0, "0 or more"),
    }

    def faults(self) -> list[str]:
        if self.width % self.heads:
            return [f"heads: must divide width, got heads={self.heads}, width={self.width}"]
        return []

    @classmethod
    def read(cls, kept: Mapping[str, Any]) -> dict[str, Any]:
        """An older version had no `refine`, which is 0."""
        return {"refine": 0, **kept}

    def check(self, spec: DataSpec) -> None:
        """Requires pictures whose sides are multiples of `patch`, with classes or no condition."""
        check_classes_alone(spec, self.kind)
        if len(spec.shape) != 3:
            raise DataError(
                f"model.kind: transformer takes pictures of shape (channels, height, width), got {tuple(spec.shape)}"
            )
        common = gcd(*spec.shape[1:])
        if common % self.patch:
            allowed = ", ".join(str(side) for side in range(1, common + 1) if common % side == 0)
            raise ParamsError(
                f"model.patch: must divide both sides of pictures of {spec.shape[1]} x {spec.shape[2]}, "
                f"got {self.patch}; allowed: {allowed}"
            )

    def build(self, spec: DataSpec, learned_variance: bool) -> "nn.Module":
        self.check(spec)
        channels, height, width = spec.shape
        attributes = {name: len(each.classes) for name, each in spec.attributes.items()}
        return _transformer(self, (channels, height, width), len(spec.classes), learned_variance, attributes)


def _transformer(
    config: TransformerConfig,
    shape: tuple[int, int, int],
    classes: int,
    learned_variance: bool,
    attributes: Mapping[str, int],
) -> "nn.Module":
    import torch
    from torch import nn
    from torch.nn import functional as F  # noqa: N812

    from ddpm_core.models.layers import Refine, attended, zero_init
    from ddpm_core.models.time_label import TimeLabelNetwork, sinusoidal_embedding

    width, patch = config.width, config.patch
    out_channels = shape[0] * (2 if learned_variance else 1)
    rows, columns = shape[1] // patch, shape[2] // patch

    def modulated(h: "Tensor", shift: "Tensor", scale: "Tensor") -> "Tensor":
        """Adaptive layer norm; [B, N, width] with a shift and a scale [B, 1, width]."""
        return F.layer_norm(h, (width,), eps=1e-6) * (1 + scale) + shift

    def as_map(h: "Tensor") -> "Tensor":
        """[B, N, C] -> [B, C, rows, columns]"""
        return h.transpose(1, 2).reshape(-1, h.shape[2], rows, columns)

    class Block(nn.Module):
        """Attention, then two linear layers. Time and label shift and scale what enters each, and weigh its answer.

        The weights start at zero. [B, N, width] -> the same
        """

        def __init__(self) -> None:
            super().__init__()
            self.modulation = zero_init(nn.Linear(width, 6 * width))
            self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.first = nn.Linear(width, config.expansion * width)
            self.second = nn.Linear(config.expansion * width, width)
            self.dropout = nn.Dropout(config.dropout)

        def forward(self, h: "Tensor", embedding: "Tensor") -> "Tensor":
            shift, scale, weight, inner_shift, inner_scale, inner_weight = self.modulation(embedding).chunk(6, dim=2)
            a = attended(self.qkv(modulated(h, shift, scale)), config.heads)
            h = h + weight * self.dropout(self.out(a))
            inner = F.gelu(self.first(modulated(h, inner_shift, inner_scale)))
            y: Tensor = h + inner_weight * self.dropout(self.second(inner))
            return y

    class Transformer(TimeLabelNetwork):
        """`net(x_t, t, label)`: x_t [B, *shape], t float32 [B], label int64 [B] -> [B, C, H, W], or 2C channels.

        Attributes are told by their names, as the label is. With a learned variance the second C channels give the
        variance. The output is float32 and, before any training, zero.
        """

        positions: "Tensor"

        def __init__(self) -> None:
            super().__init__(width, width, classes, attributes)
            self.stem = nn.Linear(shape[0] * patch**2, width)
            self.blocks = nn.ModuleList(Block() for _ in range(config.depth))
            self.modulation = zero_init(nn.Linear(width, 2 * width))
            self.refine = self._refine() if config.refine else None
            if self.refine is None:
                self.out = zero_init(nn.Linear(width, out_channels * patch**2))
            # Half of a position's numbers are sines of its row, half of its column. [N, width]
            y = sinusoidal_embedding(torch.arange(rows), width // 2).repeat_interleave(columns, 0)
            x = sinusoidal_embedding(torch.arange(columns), width // 2).repeat(rows, 1)
            self.register_buffer("positions", torch.cat([y, x], 1), persistent=False)

        def _refine(self) -> Refine:
            return Refine(
                width, (shape[0], out_channels), width,
                patch=patch, channels=config.refine, groups=8, dropout=config.dropout, scale_shift=True,
            )  # fmt: skip

        def forward(self, x: "Tensor", t: "Tensor", label: "Tensor | None" = None, **attributes: "Tensor") -> "Tensor":
            if tuple(x.shape[1:]) != shape:
                raise DataError(f"this network takes data of shape {shape}, got {tuple(x.shape[1:])}")
            told = self.embed(t, label, attributes)
            embedding = told[:, None]
            # [B, C, H, W] -> [B, N, C patch^2] -> [B, N, width]
            h = self.stem(F.pixel_unshuffle(x, patch).flatten(2).transpose(1, 2)) + self.positions
            for block in self.blocks:
                h = block(h, embedding)
            h = modulated(h, *self.modulation(embedding).chunk(2, dim=2))
            if self.refine is None:
                return F.pixel_shuffle(as_map(self.out(h).float()), patch)
            y: Tensor = self.refine(as_map(h), x, told)
            return y.float()

    return Transformer()
