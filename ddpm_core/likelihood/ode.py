"""log p(x_0) by the probability-flow ODE (Song et al. 2021, section 4.3): x_0 to noise, with the change of volume.

The ODE is solved by Heun's method over the levels given, in y = x / (a S) with S^2 = sigma^2 + data_std^2, where
sigma = g / a. In y nothing grows or shrinks without bound at either end:

    dy / d ln(sigma) = (x / a - D) / S - y sigma^2 / S^2,    divergence = d - a tr(dD / dx) - d sigma^2 / S^2

What goes in is the sample at the lowest level, so the density is that of level 1, data blurred by g_1: x_0 in its
place leaves the step from 0 to 1 out. `bound.first_step` draws x_1 and gives what that step adds. Two network calls a
step; discrete data must be dequantised first, or come by `first_step`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from ddpm_core.diffusion.arrays import Denoise, times
from ddpm_core.diffusion.parameterisation import Parameterisation
from ddpm_core.diffusion.schedule import Schedule
from ddpm_core.diffusion.spacing import respaced, spaced_levels
from ddpm_core.errors import ParamsError


@dataclass(frozen=True)
class LogLikelihood:
    """In nats per datum, [B], with the standard error of Hutchinson's estimate: 0 if exact, NaN of a single probe."""

    log_p: Tensor
    standard_error: Tensor
    evaluations: int


def ode_levels(schedule: Schedule, steps: int) -> list[int]:
    """`steps` steps, as far as there are levels: even in ln(a / g), from the last level with signal to 1, then 0."""
    if steps < 1:
        raise ParamsError(f"steps of the ODE: must be at least 1, got {steps}")
    signal = respaced(schedule, np.flatnonzero(schedule.a > 0).tolist())
    return spaced_levels("log_snr", signal, min(steps + 1, signal.T))


def ode_log_likelihood(
    parameterisation: Parameterisation,
    denoise: Denoise,
    x0: Tensor,
    levels: Sequence[int],
    *,
    data_std: float,
    probes: Tensor | None,
) -> LogLikelihood:
    """`levels` fall, e.g. `ode_levels(schedule, 60)`; a trailing 0 and levels without signal are left out.

    `probes` [P, B, ...] of +-1 or unit noise estimates the divergence (Hutchinson); None computes it exactly, with one
    backward pass per dimension. `denoise` must be differentiable.
    """
    schedule = parameterisation.schedule
    _check(x0, data_std, probes)
    wrong = [level for level in levels if not 0 <= level <= schedule.T]
    if wrong:
        raise ParamsError(f"levels of the ODE: must lie in 0..{schedule.T}, got {wrong[:5]}")
    rising = sorted(level for level in levels if level > 0 and schedule.a[level] > 0)
    if len(rising) < 2:
        raise ParamsError(f"levels of the ODE: needs two or more above 0 with signal (a > 0), got {list(levels)[:5]}")
    dims = x0[0].numel()
    y = x0 / (float(schedule.a[rising[0]]) * _spread(parameterisation, rising[0], data_std))
    log_volume = x0.new_zeros((1 if probes is None else probes.shape[0], x0.shape[0]))
    slope = _slope(parameterisation, denoise, y, rising[0], data_std, probes)
    for t, s in pairwise(rising):
        h = float(schedule.lam[t] - schedule.lam[s])
        guess = _slope(parameterisation, denoise, y + h * slope[0], s, data_std, probes)
        y = y + h * 0.5 * (slope[0] + guess[0])
        log_volume = log_volume + h * 0.5 * (slope[1] + guess[1])
        slope = _slope(parameterisation, denoise, y, s, data_std, probes) if s != rising[-1] else guess
    x_T = y * float(schedule.a[rising[-1]]) * _spread(parameterisation, rising[-1], data_std)
    scale = _prior_std(schedule, rising[-1])
    log_prior = -0.5 * (x_T.reshape(len(x_T), -1) ** 2).sum(1) / scale**2 - dims * math.log(
        scale * math.sqrt(2 * math.pi)
    )
    stretch = dims * _log_stretch(parameterisation, rising, data_std)
    each = log_prior + log_volume + stretch
    if probes is None:
        error = torch.zeros_like(log_prior)
    else:
        error = each.std(0) / math.sqrt(len(each)) if len(each) > 1 else torch.full_like(log_prior, math.nan)
    return LogLikelihood(each.mean(0), error, 2 * (len(rising) - 1))


def _check(x0: Tensor, data_std: float, probes: Tensor | None) -> None:
    if not x0.is_floating_point() or x0.ndim < 2:
        raise ParamsError(f"x0: must be floating point [B, ...], got {x0.dtype} of shape {tuple(x0.shape)}")
    if not len(x0) or not torch.isfinite(x0).all():
        raise ParamsError(f"x0: must be one datum or more, every value finite, got shape {tuple(x0.shape)}")
    if not 0 <= data_std < math.inf:
        raise ParamsError(f"data_std: must be finite and not negative, got {data_std}")
    if probes is not None and (not len(probes) or probes.shape[1:] != x0.shape):
        raise ParamsError(f"probes: must be one or more [P, *{tuple(x0.shape)}], got {tuple(probes.shape)}")


def _prior_std(schedule: Schedule, highest: int) -> float:
    """The deviation of the sample at the highest level, which sampling draws as x_T.

    Where level T has no signal x_T = eps, and at the last level with signal x = a D + g x_T: g, as a D is nearly 0.
    """
    return float(schedule.g[highest]) if schedule.a[-1] == 0 else schedule.start_scale


def _spread(parameterisation: Parameterisation, t: int, data_std: float) -> float:
    return math.hypot(float(parameterisation.schedule.sigma[t]), data_std)


def _log_stretch(parameterisation: Parameterisation, rising: Sequence[int], data_std: float) -> float:
    """ln of (dy / dx) at the lowest level over that at the highest, per dimension."""
    low, high = rising[0], rising[-1]
    a = parameterisation.schedule.a
    at_high = math.log(float(a[high]) * _spread(parameterisation, high, data_std))
    at_low = math.log(float(a[low]) * _spread(parameterisation, low, data_std))
    return at_high - at_low


def _slope(
    parameterisation: Parameterisation, denoise: Denoise, y: Tensor, t: int, data_std: float, probes: Tensor | None
) -> tuple[Tensor, Tensor]:
    """dy / d ln(sigma), and its divergence [P, B]."""
    schedule, spread = parameterisation.schedule, _spread(parameterisation, t, data_std)
    share = (float(schedule.sigma[t]) / spread) ** 2
    scale = float(schedule.a[t]) * spread
    A, B, c_in = (float(column[t]) for column in parameterisation.table())
    with torch.enable_grad():
        at = y.detach().requires_grad_(True)
        x = scale * at
        out = denoise(c_in * x, times(x, float(schedule.time[t])))
        if not out.requires_grad:
            raise ParamsError(
                "denoise: must be differentiable, as the change of volume needs gradients, but its output has none; "
                "remove torch.no_grad, and use `bind` or the network itself, not a runtime"
            )
        D = A * x + B * out[:, : x.shape[1]]
        slope = (spread * at - D) / spread - share * at
        divergence = _exact(slope, at) if probes is None else _hutchinson(slope, at, probes)
    return slope.detach(), divergence


def _exact(slope: Tensor, at: Tensor) -> Tensor:
    total = at.new_zeros(at.shape[0])
    flat = slope.reshape(len(slope), -1)
    for i in range(flat.shape[1]):
        gradient = torch.autograd.grad(flat[:, i].sum(), at, retain_graph=True)[0]
        total = total + gradient.reshape(len(at), -1)[:, i]
    return total[None].detach()


def _hutchinson(slope: Tensor, at: Tensor, probes: Tensor) -> Tensor:
    estimates = []
    for probe in probes:
        gradient = torch.autograd.grad((slope * probe).sum(), at, retain_graph=True)[0]
        estimates.append((gradient * probe).reshape(len(at), -1).sum(1))
    return torch.stack(estimates).detach()
