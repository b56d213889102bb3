"""TimeGrad: a recurrent encoder of what is known, and a denoiser of the next step of all series."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from ddpm_core.errors import DataError
from ddpm_core.models.layers import zero_init
from ddpm_core.models.time_label import sinusoidal_embedding
from ddpm_core.spec import DataSpec

if TYPE_CHECKING:
    from ddpm_core.models.timegrad_config import TimeGradConfig
    from ddpm_core.objectives.batch import Known


_WEIGHTS = ("weight_ih_l0", "bias_ih_l0", "weight_hh_l0", "bias_hh_l0")  # of a layer, as torch names them


class TimeGrad(nn.Module):
    """`net(x_t, t, history, seen, calendar, static, label, known)`: x_t [B, K, H], t [B] -> [B, K, H] or [B, 2K, H].

    For training it is told the data themselves, `known`; the answer at a step depends on those before it alone. To
    sample, the two parts are called in turn, as `ddpm_core.procedure.Rollout` says.
    """

    teacher_forced = True

    def __init__(self, config: "TimeGradConfig", spec: DataSpec, learned_variance: bool) -> None:
        super().__init__()
        self.procedure = config.procedure(spec)
        self.encoder = Encoder(config, spec)
        self.denoiser = Denoiser(config, spec.channels, learned_variance)

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        *,
        history: Tensor,
        seen: Tensor,
        calendar: Tensor | None = None,
        static: Tensor | None = None,
        label: Tensor | None = None,
        known: "Known | None" = None,
    ) -> Tensor:
        if known is None:
            raise DataError(
                "timegrad answers for a whole horizon only where the data are known, as in training; to sample, use "
                "its procedure (`ddpm_core.tensors.sampling.sample`)"
            )
        there = torch.ones_like(known.x0) if known.mask is None else (known.mask > 0).to(known.x0.dtype)
        hidden = self.encoder.over(known.x0, there, history, seen, calendar, static, label)  # [B, H, cells]
        batch, series, horizon = x.shape
        columns = x.swapaxes(1, 2).reshape(batch * horizon, series)
        out: Tensor = self.denoiser.head(columns, t.repeat_interleave(horizon), hidden.flatten(0, 1))
        return out.float().reshape(batch, horizon, -1).swapaxes(1, 2)


class Encoder(nn.Module):
    """A GRU or LSTM over the values at some lags, which of them there are, the calendar, the static features, and the
    label's embedding.

    Step p of history and horizon together, from 0, is encoded from the values before it.
    """

    lags: Tensor

    def __init__(self, config: "TimeGradConfig", spec: DataSpec) -> None:
        super().__init__()
        self.config, self.past = config, spec.conditions["history"].shape[-1]
        self.register_buffer("lags", torch.tensor(config.lags), persistent=False)
        classes = len(spec.classes)
        embedding = min(50, (classes + 1) // 2)
        self.label = nn.Embedding(classes + 1, embedding) if classes else None
        features = sum(spec.conditions[name].shape[0] for name in ("calendar", "static") if name in spec.conditions)
        inputs = 2 * spec.channels * len(config.lags) + features + (embedding if classes else 0)
        kind: Any = nn.GRU if config.cell == "gru" else nn.LSTM
        sizes = [inputs] + [config.cells] * (config.layers - 1)
        self.rnn = nn.ModuleList(kind(size, config.cells, batch_first=True) for size in sizes)
        # Between layers. The dropout of cuDNN's layers reads from the GPU after each seed, which no recording can hold.
        self.dropout = nn.Dropout(config.dropout if config.layers > 1 else 0.0)

    def over(
        self,
        x: Tensor,
        there: Tensor,
        history: Tensor,
        seen: Tensor,
        calendar: Tensor | None,
        static: Tensor | None,
        label: Tensor | None,
    ) -> Tensor:
        """The hidden values before each step of the horizon, [B, H, cells], where the data x [B, K, H] are known."""
        values, flags = _timeline(x, there, history, seen)
        first, end = self.config.lags[-1], values.shape[2]
        at = [slice(first - lag, end - lag) for lag in self.config.lags]
        steps = [torch.stack([of[:, :, place] for place in at], dim=3).permute(0, 2, 1, 3) for of in (values, flags)]
        inputs = [each.flatten(2) for each in steps]  # [B, steps, K lags]
        if calendar is not None:
            inputs.append(calendar[:, :, first:].swapaxes(1, 2))
        if static is not None:
            inputs.append(static[:, None].expand(-1, end - first, -1))
        if self.label is not None:
            inputs.append(_embedded(self.label, label, x)[:, None].expand(-1, end - first, -1))
        out = torch.cat(inputs, dim=2).float()
        with torch.autocast(x.device.type, enabled=False):  # a CPU has no LSTM in bfloat16
            for number, layer in enumerate(self.rnn):
                out = layer(out if number == 0 else self.dropout(out))[0]
        return out[:, self.past - first :]

    def forward(
        self,
        x: Tensor,
        position: Tensor,
        *,
        state: Tensor,
        history: Tensor,
        seen: Tensor,
        calendar: Tensor | None = None,
        static: Tensor | None = None,
        label: Tensor | None = None,
    ) -> Tensor:
        """One step: the state [B, S] before a position of the horizon, negative in the history, to that at it."""
        values, flags = _timeline(x, torch.ones_like(x), history, seen)
        step = position.long()[:, None] + self.past  # [B, 1]
        at = (step - self.lags)[:, None].expand(-1, x.shape[1], -1)  # [B, K, lags]
        inputs = [values.gather(2, at).flatten(1), flags.gather(2, at).flatten(1)]
        if calendar is not None:
            inputs.append(calendar.gather(2, step[:, None].expand(-1, calendar.shape[1], -1)).flatten(1))
        if static is not None:
            inputs.append(static)
        if self.label is not None:
            inputs.append(_embedded(self.label, label, x))
        return self._stepped(torch.cat(inputs, dim=1), state)

    def _stepped(self, inputs: Tensor, state: Tensor) -> Tensor:
        """The recurrent layers on one step, by their weights: a state is each layer's h (and c, of an LSTM)."""
        parts = state.chunk(state.shape[1] // self.config.cells, dim=1)
        after: list[Tensor] = []
        for layer, rnn in enumerate(self.rnn):
            weights = [getattr(rnn, name) for name in _WEIGHTS]
            if self.config.cell == "gru":
                after.append(_gru(inputs, parts[layer], *weights))
                inputs = after[-1]
            else:
                after += _lstm(inputs, parts[2 * layer], parts[2 * layer + 1], *weights)
                inputs = after[-2]
        return torch.cat(after, dim=1)


def _timeline(x: Tensor, there: Tensor, history: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
    """Values and whether there are any, of history and horizon, [B, K, L + H]; a missing value's number is not read."""
    flags = torch.cat([(seen > 0).to(x.dtype), there], dim=2)
    values = torch.cat([history, x], dim=2)
    return torch.where(flags > 0, values, torch.zeros_like(values)), flags


def _gru(x: Tensor, h: Tensor, w_x: Tensor, b_x: Tensor, w_h: Tensor, b_h: Tensor) -> Tensor:
    """torch.nn.GRUCell, in operations that export to ONNX with their weights as they are."""
    x_r, x_z, x_n = F.linear(x, w_x, b_x).chunk(3, dim=1)
    h_r, h_z, h_n = F.linear(h, w_h, b_h).chunk(3, dim=1)
    r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
    n = torch.tanh(x_n + r * h_n)
    return (1 - z) * n + z * h


def _lstm(x: Tensor, h: Tensor, c: Tensor, w_x: Tensor, b_x: Tensor, w_h: Tensor, b_h: Tensor) -> tuple[Tensor, Tensor]:
    """torch.nn.LSTMCell, in the same way."""
    i, f, g, o = (F.linear(x, w_x, b_x) + F.linear(h, w_h, b_h)).chunk(4, dim=1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


class Denoiser(nn.Module):
    """One step of all series: x [B, K, 1], t [B], the encoder's state [B, S] -> [B, K, 1], or twice the channels."""

    def __init__(self, config: "TimeGradConfig", series: int, learned_variance: bool) -> None:
        super().__init__()
        times = 2 if learned_variance else 1
        self.head = MLPHead(config, series, times) if config.head == "mlp" else ConvHead(config, series, times)
        last = (config.layers - 1) * (2 if config.cell == "lstm" else 1) * config.cells
        self.hidden = slice(last, last + config.cells)  # h of the last layer

    def forward(self, x: Tensor, t: Tensor, *, state: Tensor) -> Tensor:
        out: Tensor = self.head(x[:, :, 0], t, state[:, self.hidden]).float()
        return out[:, :, None]


class MLPHead(nn.Module):
    """Residual blocks of two linear layers on all series together, told time and hidden values. [B, K] -> [B, c K]"""

    def __init__(self, config: "TimeGradConfig", series: int, times: int) -> None:
        super().__init__()
        width = config.width
        self.width = width
        self.time = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.told = nn.Linear(config.cells, width)
        self.stem = nn.Linear(series, width)
        self.blocks = nn.ModuleList(_MLPBlock(width, config.dropout) for _ in range(config.blocks))
        self.norm, self.out = nn.LayerNorm(width), zero_init(nn.Linear(width, times * series))

    def forward(self, x: Tensor, t: Tensor, hidden: Tensor) -> Tensor:
        embedding = F.silu(self.time(sinusoidal_embedding(t, self.width)) + self.told(hidden))
        h = self.stem(x)
        for block in self.blocks:
            h = block(h, embedding)
        y: Tensor = self.out(F.silu(self.norm(h)))
        return y


class _MLPBlock(nn.Module):
    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm, self.embed = nn.LayerNorm(width), nn.Linear(width, width)
        self.first, self.second = nn.Linear(width, width), zero_init(nn.Linear(width, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, h: Tensor, embedding: Tensor) -> Tensor:
        y: Tensor = h + self.second(self.dropout(F.silu(self.first(self.norm(h)) + self.embed(embedding))))
        return y


class ConvHead(nn.Module):
    """The paper's: gated convolutions over the series in a circle, with dilations 1, 2, 1, ... [B, K] -> [B, c K]"""

    def __init__(self, config: "TimeGradConfig", series: int, times: int) -> None:
        super().__init__()
        width = config.width
        self.width, self.scale = width, config.blocks**-0.5
        self.time = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.told = nn.Sequential(nn.Linear(config.cells, series), nn.SiLU(), nn.Linear(series, series))
        self.stem = nn.Conv1d(1, width, 1)
        self.blocks = nn.ModuleList(_ConvBlock(width, 1 + i % 2) for i in range(config.blocks))
        self.skip, self.out = nn.Conv1d(width, width, 1), zero_init(nn.Conv1d(width, times, 1))

    def forward(self, x: Tensor, t: Tensor, hidden: Tensor) -> Tensor:
        time, told = self.time(sinusoidal_embedding(t, self.width)), self.told(hidden)[:, None]
        h, total = F.silu(self.stem(x[:, None])), torch.zeros((), device=x.device)
        for block in self.blocks:
            h, skip = block(h, time, told)
            total = total + skip
        y: Tensor = self.out(F.silu(self.skip(total * self.scale)))  # [B, c, K]
        return y.flatten(1)


class _ConvBlock(nn.Module):
    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        self.embed, self.told = nn.Linear(width, width), nn.Conv1d(1, 2 * width, 1)
        self.conv, self.split = nn.Conv1d(width, 2 * width, 3, dilation=dilation), nn.Conv1d(width, 2 * width, 1)

    def forward(self, h: Tensor, time: Tensor, told: Tensor) -> tuple[Tensor, Tensor]:
        y = h + self.embed(time)[:, :, None]
        y = torch.cat([y[:, :, -self.dilation :], y, y[:, :, : self.dilation]], dim=2)  # a circle
        gate, value = (self.conv(y) + self.told(told)).chunk(2, dim=1)
        more, skip = self.split(torch.sigmoid(gate) * torch.tanh(value)).chunk(2, dim=1)
        return (h + more) * 2**-0.5, skip


def _embedded(table: nn.Embedding, label: Tensor | None, x: Tensor) -> Tensor:
    """[B, cells] of the labels; the last row of the table for "not told"."""
    if label is None:
        label = torch.full(x.shape[:1], table.num_embeddings - 1, dtype=torch.int64, device=x.device)
    found: Tensor = table(label)
    return found
