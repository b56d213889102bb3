"""A residual multilayer perceptron, for data of a few numbers: points, rows of a table, latents."""

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, ClassVar, Literal

from ddpm_core.checks import Checks, at_least_1
from ddpm_core.errors import DataError
from ddpm_core.models.base import NetworkConfig, check_label_alone
from ddpm_core.spec import DataSpec

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class MLPConfig(NetworkConfig):
    """Residual blocks of two linear layers each, to which the embedding of time and label is added.

    It takes data of any shape and sees them as one vector. Cost: about 2 blocks width^2 multiplications a datum.
    """

    kind: Literal["mlp"]
    width: int
    blocks: int
    dropout: float

    __checks__: ClassVar[Checks] = {
        "width": (lambda v: v >= 4 and v % 2 == 0, "an even number of at least 4"),
        "blocks": at_least_1,
        "dropout": (lambda v: 0 <= v < 1, "at least 0 and below 1"),
    }

    def check(self, spec: DataSpec) -> None:
        """Data of any shape, with a label or no condition."""
        check_label_alone(spec, self.kind)

    def build(self, spec: DataSpec, learned_variance: bool) -> "nn.Module":
        self.check(spec)
        return _mlp(self, spec.shape, len(spec.classes), learned_variance)


def _mlp(config: MLPConfig, shape: tuple[int, ...], classes: int, learned_variance: bool) -> "nn.Module":
    from torch import nn
    from torch.nn import functional as F  # noqa: N812

    from ddpm_core.models.layers import zero_init
    from ddpm_core.models.time_label import TimeLabelNetwork

    width, out_shape = config.width, (shape[0] * (2 if learned_variance else 1), *shape[1:])

    class Block(nn.Module):
        """norm, linear, plus the embedding, SiLU, dropout, linear from zero; plus the input. [B, width] -> the same"""

        def __init__(self) -> None:
            super().__init__()
            self.norm, self.embed = nn.LayerNorm(width), nn.Linear(width, width)
            self.first, self.second = nn.Linear(width, width), zero_init(nn.Linear(width, width))
            self.dropout = nn.Dropout(config.dropout)

        def forward(self, h: "Tensor", embedding: "Tensor") -> "Tensor":
            inner = F.silu(self.first(self.norm(h)) + self.embed(embedding))
            y: Tensor = h + self.second(self.dropout(inner))
            return y

    class MLP(TimeLabelNetwork):
        """`net(x_t, t, label)`: x_t [B, *shape], t float32 [B], label int64 [B] -> [B, *shape], or twice the channels.

        The output is float32 and, before any training, zero.
        """

        def __init__(self) -> None:
            super().__init__(width, width, classes)
            self.stem = nn.Linear(prod(shape), width)
            self.blocks = nn.ModuleList(Block() for _ in range(config.blocks))
            self.norm, self.out = nn.LayerNorm(width), zero_init(nn.Linear(width, prod(out_shape)))

        def forward(self, x: "Tensor", t: "Tensor", label: "Tensor | None" = None) -> "Tensor":
            if tuple(x.shape[1:]) != shape:
                raise DataError(f"this network takes data of shape {shape}, got {tuple(x.shape[1:])}")
            embedding = self.embed(t, label)
            h = self.stem(x.flatten(1))
            for block in self.blocks:
                h = block(h, embedding)
            y: Tensor = self.out(F.silu(self.norm(h))).float()
            return y.reshape(-1, *out_shape)

    return MLP()
