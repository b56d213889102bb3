"""S4D (Gu et al. 2022): a linear state space model of each channel, run over a sequence as one matrix product.

    s' = A s + B u,   y = 2 Re(C s),   A = -decay + i frequency (diagonal), B = 1

Held constant between the steps of a time grid dt (zero-order hold), it is the recurrence s_l = exp(dt A) s_{l-1} +
(exp(dt A) - 1) / A u_l, whose answer to a unit pulse is the kernel k[l] = 2 Re(C (exp(dt A) - 1) / A exp(dt A)^l). All
of it is in real numbers, so that it exports.
"""

import math

import torch
from torch import Tensor, nn


class S4D(nn.Module):
    """Both directions: y_w = skip u_w + sum_{v <= w} past[w - v] u_v + sum_{v > w} future[v - w - 1] u_v.

    The parameters start as S4D-Lin, with decay 1/2 and frequency pi n. The matrix of each channel is [W, W], which on a
    CPU is faster than Fourier transforms for up to 168 steps, the longest measured (`benchmarks/RESULTS.md`).
    """

    lag: Tensor

    def __init__(self, channels: int, states: int, steps: int) -> None:
        super().__init__()
        self.steps = steps
        # The slowest channel sees the whole window, the fastest a few steps.
        low, high = math.log(1 / max(steps, 10)), math.log(0.5)
        self.log_dt = nn.Parameter(torch.rand(channels, 1) * (high - low) + low)
        self.log_decay = nn.Parameter(torch.full((channels, states), math.log(0.5)))
        self.frequency = nn.Parameter(math.pi * torch.arange(states, dtype=torch.float32).repeat(channels, 1))
        # Real and imaginary parts of C, for the past and for the future.
        self.readout = nn.Parameter(torch.randn(2, 2, channels, states) * math.sqrt(0.5 / states))
        self.skip = nn.Parameter(torch.ones(channels))
        place = torch.arange(steps)
        self.register_buffer("lag", place[:, None] - place[None, :] + steps - 1, persistent=False)

    def kernels(self) -> tuple[Tensor, Tensor]:
        """Of past and future: [channels, W] each."""
        dt = self.log_dt.exp()
        decay, frequency = self.log_decay.exp(), self.frequency
        a, b = -dt * decay, dt * frequency  # exp(dt A) = exp(a) (cos b + i sin b)
        # (exp(dt A) - 1) / A, with exp(a) cos b - 1 as a sum that is exact for a small dt
        real = torch.expm1(a) * b.cos() - 2 * (b / 2).sin() ** 2
        imaginary = a.exp() * b.sin()
        size = decay**2 + frequency**2
        held = (imaginary * frequency - real * decay) / size, -(imaginary * decay + real * frequency) / size
        place = torch.arange(self.steps, dtype=a.dtype, device=a.device)
        fall, angle = (a[..., None] * place).exp(), b[..., None] * place
        waves = torch.stack([fall * angle.cos(), fall * angle.sin()])  # [2, channels, states, W]
        both = []
        for c_real, c_imaginary in self.readout:
            g_real = c_real * held[0] - c_imaginary * held[1]
            g_imaginary = c_real * held[1] + c_imaginary * held[0]
            both.append(2 * (g_real[..., None] * waves[0] - g_imaginary[..., None] * waves[1]).sum(1))
        return both[0], both[1]

    def matrix(self) -> Tensor:
        """y = matrix u for each channel. [channels, W, W]"""
        past, future = self.kernels()
        past = torch.cat([past[:, :1] + self.skip[:, None], past[:, 1:]], dim=1)
        by_lag = torch.cat([future[:, : self.steps - 1].flip(1), past], dim=1)  # lags 1 - W to W - 1
        return by_lag[:, self.lag]

    def forward(self, u: Tensor) -> Tensor:
        """[..., W, channels] -> the same"""
        rows = u.reshape(-1, self.steps, u.shape[-1]).permute(2, 1, 0)
        y = torch.bmm(self.matrix().to(rows.dtype), rows)
        return y.permute(2, 1, 0).reshape(u.shape)
