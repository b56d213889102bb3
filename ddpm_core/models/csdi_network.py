"""The network of csdi.py. Hidden states are [B, K, W, C]: columns, time steps, channels last."""

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from ddpm_core.errors import DataError
from ddpm_core.models.layers import zero_init
from ddpm_core.models.s4d import S4D
from ddpm_core.models.time_label import TimeLabelNetwork
from ddpm_core.models.told import ASKED, CALENDAR, STATIC, UNKNOWN
from ddpm_core.spec import DataSpec

if TYPE_CHECKING:
    from ddpm_core.models.csdi import CSDIConfig

_OF_STEPS, _OF_COLUMNS = (3, 0, 1, 4, 2, 5), (3, 0, 2, 4, 1, 5)
"""[B, K, W, 3, heads, d] with the axis that attention is over next to last."""


def waves(steps: int, channels: int) -> Tensor:
    """Sines and cosines of each time step, from four steps a period to twice the window. [W, C]"""
    ends = math.log(math.pi / 2), math.log(math.pi / steps)
    angles = torch.arange(steps)[:, None] * torch.linspace(*ends, channels // 2).exp()
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def attended_over_time(qkv: Tensor, heads: int, nearness: Tensor) -> Tensor:
    """Attention among the time steps of each column. [B, K, W, 3C], what is added to the scores [heads, W, W] ->
    [B, K, W, C]"""
    batch, columns, steps, width = qkv.shape
    q, k, v = qkv.view(batch, columns, steps, 3, heads, -1).permute(_OF_STEPS).flatten(1, 2).unbind(0)
    y = F.scaled_dot_product_attention(q, k, v, attn_mask=nearness.to(q.dtype))  # [B K, heads, W, d]
    return y.transpose(1, 2).reshape(batch, columns, steps, width // 3)


def attended_over_columns(qkv: Tensor, heads: int) -> Tensor:
    """Attention among the columns of each time step. [B, K, W, 3C] -> [B, K, W, C]"""
    batch, columns, steps, width = qkv.shape
    q, k, v = qkv.view(batch, columns, steps, 3, heads, -1).permute(_OF_COLUMNS).flatten(1, 2).unbind(0)
    y = F.scaled_dot_product_attention(q, k, v)  # [B W, heads, K, d]
    y = y.view(batch, steps, heads, columns, -1).permute(0, 3, 1, 2, 4)
    return y.reshape(batch, columns, steps, width // 3)


class Nearness(nn.Module):
    """What attention over time adds to a score by how far one step lies behind another, learned. -> [heads, W, W]

    At first half of the heads look at the step before and half at the one after, and the score falls with the distance
    from there: by 1 a step in the first two heads, by half of that in the next two, and so on (after Press et al. 2022,
    ALiBi). Without it a network has to find out which steps are neighbours, which takes most of its training.
    """

    apart: Tensor
    quickness = 8.0  # weights are kept divided by it, so that they learn so much faster

    def __init__(self, heads: int, steps: int) -> None:
        super().__init__()
        behind, head = torch.arange(1 - steps, steps), torch.arange(heads)[:, None]
        away = (behind - torch.where(head % 2 == 0, 1, -1)).abs()
        score = -away * 0.5 ** (head // 2)
        self.of_distance = nn.Parameter((score / self.quickness).flatten())  # one axis: no matrix to an optimiser
        apart = torch.arange(steps)[:, None] - torch.arange(steps) + steps - 1
        self.register_buffer("apart", apart, persistent=False)
        self.heads = heads

    def forward(self) -> Tensor:
        return self.quickness * self.of_distance.view(self.heads, -1)[:, self.apart]


class AttentionLayer(nn.Module):
    """A transformer layer along one axis: attention, then two linear maps; each after a norm, with its input added.

    Over `steps` time steps, or over the columns where there are none.
    """

    def __init__(self, channels: int, heads: int, dropout: float, steps: int | None) -> None:
        super().__init__()
        self.heads = heads
        self.nearness = None if steps is None else Nearness(heads, steps)
        self.norm, self.qkv, self.out = nn.LayerNorm(channels), nn.Linear(channels, 3 * channels), _linear(channels)
        self.forward_norm = nn.LayerNorm(channels)
        self.first, self.second = nn.Linear(channels, channels), _linear(channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, h: Tensor) -> Tensor:
        qkv = self.qkv(self.norm(h))
        if self.nearness is None:
            attended = attended_over_columns(qkv, self.heads)
        else:
            attended = attended_over_time(qkv, self.heads, self.nearness())
        h = h + self.dropout(self.out(attended))
        y: Tensor = h + self.dropout(self.second(F.gelu(self.first(self.forward_norm(h)))))
        return y


class S4DLayer(nn.Module):
    """Norm, S4D over time, GELU, linear, gate; added to the input."""

    def __init__(self, channels: int, states: int, steps: int, dropout: float) -> None:
        super().__init__()
        self.norm, self.s4d = nn.LayerNorm(channels), S4D(channels, states, steps)
        self.out, self.dropout = nn.Linear(channels, 2 * channels), nn.Dropout(dropout)

    def forward(self, h: Tensor) -> Tensor:
        y: Tensor = h + self.dropout(F.glu(self.out(F.gelu(self.s4d(self.norm(h))))))
        return y


class GatedLayer(nn.Module):
    """Time layer, column layer, then a gate that the side information opens: `side` [B, K, W, 2C] is added before it.

    -> (the input of the next layer, what the answer takes from this one)
    """

    def __init__(self, config: "CSDIConfig", columns: int, steps: int) -> None:
        super().__init__()
        channels, heads, dropout = config.channels, config.heads, config.dropout
        self.embed = _linear(channels)
        self.time: nn.Module
        if config.time_layer == "s4d":
            self.time = S4DLayer(channels, config.states, steps, dropout)
        else:
            self.time = AttentionLayer(channels, heads, dropout, steps)
        several = columns > 1
        self.columns = AttentionLayer(channels, heads, dropout, None) if several else nn.Identity()
        self.middle, self.out = nn.Linear(channels, 2 * channels), nn.Linear(channels, 2 * channels)

    def forward(self, h: Tensor, side: Tensor, embedding: Tensor) -> tuple[Tensor, Tensor]:
        y = h + self.embed(embedding)[:, None, None, :]
        y = self.columns(self.time(y))
        gate, signal = (self.middle(y) + side).chunk(2, dim=3)
        residual, skip = self.out(gate.sigmoid() * signal.tanh()).chunk(2, dim=3)
        return (h + residual) * math.sqrt(0.5), skip


class CSDI(TimeLabelNetwork):
    """`net(x_t, t, observed, told, calendar, static, label)`: x_t [B, K, W], t float32 [B] -> [B, K, W], or [B, 2K, W].

    It sees `observed` where `told` is GIVEN and x_t where it is ASKED, and no other values. The output is float32 and,
    before any training, zero. With a learned variance the second K channels give the variance.
    """

    def __init__(self, config: "CSDIConfig", spec: DataSpec, learned_variance: bool) -> None:
        channels = config.channels
        super().__init__(channels, channels, len(spec.classes))
        self.shape, self.outputs = spec.shape, 2 if learned_variance else 1
        columns, steps = spec.shape
        features = spec.conditions[CALENDAR].shape[0] if CALENDAR in spec.conditions else 0
        self.step = nn.Parameter(waves(steps, channels))
        self.column = nn.Parameter(torch.randn(columns, 1, channels))
        self.calendar = nn.Linear(features, channels) if features else None
        of_series = spec.conditions[STATIC].shape[0] if STATIC in spec.conditions else 0
        self.static = nn.Linear(of_series, channels) if of_series else None
        self.stem = nn.Linear(4, channels)
        self.told = nn.Linear(2, channels)
        self.side = nn.Linear(channels, 2 * channels * config.layers, bias=False)
        self.layers = nn.ModuleList(GatedLayer(config, columns, steps) for _ in range(config.layers))
        self.last, self.out = _linear(channels), nn.Linear(channels, self.outputs)
        for module in self.modules():  # torch's own start lets a value fade on the way through gates and skips
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=module.in_features**-0.5)
        zero_init(self.out)

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        observed: Tensor,
        told: Tensor,
        calendar: Tensor | None = None,
        static: Tensor | None = None,
        label: Tensor | None = None,
    ) -> Tensor:
        if tuple(x.shape[1:]) != self.shape:
            raise DataError(f"this network takes windows of shape {self.shape}, got {tuple(x.shape[1:])}")
        given = told > 0
        asked = (told <= ASKED) & (told > (ASKED + UNKNOWN) / 2)
        which = torch.stack([given, asked], dim=3).to(x.dtype)
        # By choice and not by a product: 0 times NaN is NaN.
        values = torch.stack([torch.where(given, observed, 0.0), torch.where(asked, x, 0.0)], dim=3)
        side = self.told(which) + self.step + self.column
        if self.calendar is not None:
            side = side + self.calendar(_given(CALENDAR, calendar).transpose(1, 2))[:, None]
        if self.static is not None:
            side = side + self.static(_given(STATIC, static))[:, None, None]
        h = self.stem(torch.cat([values, which], dim=3)) + side
        embedding, total = self.embed(t, label), torch.zeros_like(h)
        for layer, opens in zip(self.layers, self.side(side).chunk(len(self.layers), dim=3), strict=True):
            h, skip = layer(h, opens, embedding)
            total = total + skip
        total = total * len(self.layers) ** -0.5
        y: Tensor = self.out(F.silu(self.last(total))).float()  # [B, K, W, outputs]
        return y.permute(0, 3, 1, 2).reshape(-1, self.outputs * self.shape[0], self.shape[1])


def _given(name: str, value: Tensor | None) -> Tensor:
    if value is None:
        raise DataError(f"this network was built with `{name}`, got none")
    return value


def _linear(channels: int) -> nn.Linear:
    return nn.Linear(channels, channels)
