"""The network of mlp_config.py: residual blocks of two linear layers each."""

from math import prod
from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from ddpm_core.errors import DataError
from ddpm_core.models.layers import zero_init
from ddpm_core.models.time_label import TimeLabelNetwork

if TYPE_CHECKING:
    from ddpm_core.models.mlp_config import MLPConfig


class Block(nn.Module):
    """norm, linear, plus the embedding, SiLU, dropout, linear from zero; plus the input. [B, width] -> the same"""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm, self.embed = nn.LayerNorm(width), nn.Linear(width, width)
        self.first, self.second = nn.Linear(width, width), zero_init(nn.Linear(width, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, h: Tensor, embedding: Tensor) -> Tensor:
        inner = F.silu(self.first(self.norm(h)) + self.embed(embedding))
        y: Tensor = h + self.second(self.dropout(inner))
        return y


class MLP(TimeLabelNetwork):
    """`net(x_t, t, label)`: x_t [B, *shape], t float32 [B], label int64 [B] -> [B, *shape], or twice the channels.

    The output is float32 and, before any training, zero.
    """

    def __init__(self, config: "MLPConfig", shape: tuple[int, ...], classes: int, learned_variance: bool) -> None:
        width = config.width
        super().__init__(width, width, classes)
        self.shape, self.out_shape = shape, (shape[0] * (2 if learned_variance else 1), *shape[1:])
        self.stem = nn.Linear(prod(shape), width)
        self.blocks = nn.ModuleList(Block(width, config.dropout) for _ in range(config.blocks))
        self.norm, self.out = nn.LayerNorm(width), zero_init(nn.Linear(width, prod(self.out_shape)))

    def forward(self, x: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        if tuple(x.shape[1:]) != self.shape:
            raise DataError(f"this network takes data of shape {self.shape}, got {tuple(x.shape[1:])}")
        embedding = self.embed(t, label)
        h = self.stem(x.flatten(1))
        for block in self.blocks:
            h = block(h, embedding)
        y: Tensor = self.out(F.silu(self.norm(h))).float()
        return y.reshape(-1, *self.out_shape)
