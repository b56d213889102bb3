"""The variational bound of a trained network, term by term (Ho et al. 2020): L_T + sum of all L_{t-1} + L_0.

Everything is in nats per dimension until `bits_per_dim`. The sum over t, not the mean, is the likelihood's bound.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ddpm_core.diffusion.arrays import Denoise, times
from ddpm_core.diffusion.parameterisation import Parameterisation
from ddpm_core.diffusion.schedule import Schedule
from ddpm_core.diffusion.stratified import Drawn
from ddpm_core.diffusion.variance import OptimalVariance, Variance, first_log_variance, is_learned, step_variance
from ddpm_core.errors import ParamsError
from ddpm_core.likelihood.terms import kl_normal, negative_log_bin, negative_log_normal

NoiseAt = Callable[[int], Tensor]
"""level -> unit noise like x0."""


@dataclass(frozen=True)
class Bound:
    """The terms of the bound for each datum, at all levels, or at drawn ones that each stand for several."""

    prior: Tensor  # [B], L_T
    terms: Tensor  # [len(levels), B], L_{t-1}, or L_0 where t = 1
    levels: tuple[int, ...]
    T: int
    stands_for: tuple[int, ...] | None = None  # the number of levels that each one counts for; None: itself alone

    def bits_per_dim(self) -> Tensor:
        """[B]. L_T and the sum of the terms, each as often as its level stands for others."""
        if self.stands_for is None and sorted(self.levels) != list(range(1, self.T + 1)):
            raise ParamsError(
                f"bits a dimension: the bound is a sum over all levels, but these are {len(self.levels)} of {self.T} "
                "levels and nothing says for how many each stands; draw them with drawn_levels(T, count, rng), or take "
                "levels=None"
            )
        counts = self.terms.new_tensor(self.stands_for or (1,) * self.T)
        total = self.prior + (counts[:, None] * self.terms).sum(0)
        return total / math.log(2)


def bound(
    parameterisation: Parameterisation,
    variance: Variance,
    denoise: Denoise,
    x0: Tensor,
    noise: NoiseAt,
    *,
    data_range: tuple[float, float] | None,
    data_levels: int | None,
    levels: Sequence[int] | Drawn | None = None,
    clip: Callable[[Tensor], Tensor] | None = None,
) -> Bound:
    """The bound of data x0 [B, C, ...] at `levels` (None: all of 1..T), with one draw of x_t per level.

    Of `drawn_levels` the bits are an unbiased estimate; of any other subset there are terms alone. For data without
    levels L_0 is a density. `clip` maps x0_hat as the sampler does.
    """
    schedule = parameterisation.schedule
    chosen, stands_for = _chosen(schedule.T, levels)
    _check(x0, data_range)
    terms = [_term(parameterisation, variance, denoise, x0, noise(t), t, data_range, data_levels, clip) for t in chosen]
    return Bound(prior_term(schedule, x0), torch.stack(terms), chosen, schedule.T, stands_for)


def _chosen(T: int, levels: Sequence[int] | Drawn | None) -> tuple[tuple[int, ...], tuple[int, ...] | None]:
    """The levels, rising, and for how many each stands where that is known."""
    stands_for: tuple[int, ...] | None = None
    if isinstance(levels, Drawn):
        chosen, stands_for = tuple(levels.levels.tolist()), tuple(levels.stands_for.tolist())
        if len(chosen) != len(stands_for) or sum(stands_for) != T:
            raise ParamsError(
                f"levels of the bound: those drawn must stand for the schedule's {T} together; "
                f"got {len(chosen)} levels for {sum(stands_for)}"
            )
    else:
        chosen = tuple(range(1, T + 1)) if levels is None else tuple(sorted(levels))
    if not chosen or min(chosen) < 1 or max(chosen) > T:
        raise ParamsError(f"levels of the bound: must lie in 1..{T}, at least one, got {list(chosen)[:5]}")
    return chosen, stands_for


def _check(x0: Tensor, data_range: tuple[float, float] | None) -> None:
    if not x0.is_floating_point() or x0.ndim < 2 or not len(x0):
        raise ParamsError(f"x0: must be floating point [B, C, ...], got {x0.dtype} of shape {tuple(x0.shape)}")
    low, high = float(x0.min()), float(x0.max())
    least, most = data_range or (-math.inf, math.inf)
    reach = 1e-3 * (most - least) if data_range else 0.0
    if not (least - reach <= low <= high <= most + reach and math.isfinite(low) and math.isfinite(high)):
        raise ParamsError(f"x0: must be finite and in the range {data_range}, got {low:g} to {high:g}; encode the data")


def first_step(
    parameterisation: Parameterisation,
    variance: Variance,
    denoise: Denoise,
    x0: Tensor,
    eps: Tensor,
    *,
    data_range: tuple[float, float] | None,
    data_levels: int | None,
    clip: Callable[[Tensor], Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """A draw x_1 of q(x_1 | x_0), and ln p(x_0 | x_1) - ln q(x_1 | x_0) in nats per datum, [B].

    ln p(x_1) plus this is in the mean over eps at most ln p(x_0): with the ODE's density of x_1, a bound of that of x_0
    or of the probability of its level.
    """
    schedule = parameterisation.schedule
    _check(x0, data_range)
    dims = x0[0].numel()
    nats = _term(parameterisation, variance, denoise, x0, eps, 1, data_range, data_levels, clip)
    log_q = -0.5 * ((eps**2).reshape(len(x0), -1).sum(1) + dims * math.log(2 * math.pi * float(schedule.g[1]) ** 2))
    return float(schedule.a[1]) * x0 + float(schedule.g[1]) * eps, -dims * nats - log_q


def prior_term(schedule: Schedule, x0: Tensor) -> Tensor:
    """L_T = KL(q(x_T | x_0) || N(0, start^2)) per datum: constant in theta, not in x_0."""
    log_var = _like(2 * math.log(float(schedule.g[-1])), x0)
    log_prior = _like(2 * math.log(schedule.start_scale), x0)
    return _per_datum(kl_normal(log_var, log_prior, (float(schedule.a[-1]) * x0) ** 2))


def _term(
    parameterisation: Parameterisation,
    variance: Variance,
    denoise: Denoise,
    x0: Tensor,
    eps: Tensor,
    t: int,
    data_range: tuple[float, float] | None,
    data_levels: int | None,
    clip: Callable[[Tensor], Tensor] | None,
) -> Tensor:
    schedule = parameterisation.schedule
    if eps.shape != x0.shape:
        raise ParamsError(f"noise: must be of the data's shape {tuple(x0.shape)}, got {tuple(eps.shape)}")
    x_t = float(schedule.a[t]) * x0 + float(schedule.g[t]) * eps
    D, v = _ask(parameterisation, denoise, x_t, t)
    if is_learned(variance) and v.shape != x0.shape:
        raise ParamsError("variance learned: the network must give 2 C channels, but it gives C")
    D = D if clip is None else clip(D)
    log_var = _log_variance(schedule, variance, v, t, x0)
    if t == 1:
        if data_range is None or data_levels is None:
            return _per_datum(negative_log_normal(x0, D, log_var))
        return _per_datum(negative_log_bin(x0, D, log_var, data_range, data_levels))
    of_x0 = float(schedule.posterior_mean_between(t - 1, t)[1])
    log_tilde = _like(math.log(float(schedule.beta_tilde[t])), x0)
    return _per_datum(kl_normal(log_tilde, log_var, (of_x0 * (x0 - D)) ** 2))


def _ask(parameterisation: Parameterisation, denoise: Denoise, x_t: Tensor, t: int) -> tuple[Tensor, Tensor]:
    """x0_hat and the variance channels of the output (empty if there are none)."""
    A, B, c_in = (float(column[t]) for column in parameterisation.table())
    out = denoise(c_in * x_t, times(x_t, float(parameterisation.schedule.time[t])))
    channels = x_t.shape[1]
    if out.shape[1] not in (channels, 2 * channels) or (out.shape[0], *out.shape[2:]) != (len(x_t), *x_t.shape[2:]):
        raise ParamsError(f"denoise: must return the shape {tuple(x_t.shape)}, or 2 C channels, got {tuple(out.shape)}")
    return A * x_t + B * out[:, :channels], out[:, channels:]


def _log_variance(schedule: Schedule, variance: Variance, v: Tensor, t: int, x0: Tensor) -> Tensor:
    if is_learned(variance):
        large, small = schedule.log_variances_between(t - 1, t)
        f = (v + 1) * 0.5
        return f * large + (1 - f) * small
    if t == 1 and not isinstance(variance, OptimalVariance):
        return _like(first_log_variance(schedule), x0)
    return _like(math.log(float(step_variance(schedule, variance, t - 1, t))), x0)


def estimate_x0_variance(
    parameterisation: Parameterisation, denoise: Denoise, x0: Tensor, noise: NoiseAt, levels: Sequence[int]
) -> OptimalVariance:
    """Bao et al. 2022: the mean squared error of x0_hat at `levels`, interpolated linearly in its logarithm.

    For the exact denoiser that is E Var[x_0 | x_t] per dimension; a network's error adds to it, as it should.
    """
    schedule, chosen = parameterisation.schedule, sorted(set(levels))
    schedule.must_hold(chosen, 1)
    errors = []
    for t in chosen:
        x_t = float(schedule.a[t]) * x0 + float(schedule.g[t]) * noise(t)
        D, _ = _ask(parameterisation, denoise, x_t, t)
        errors.append(float(((x0 - D) ** 2).double().mean()))
    logarithms = np.log(np.maximum(errors, 1e-30))
    # Interpolated over the logarithm of the noise, in which small levels are as far apart as large ones.
    place = np.log(schedule.g[1:])
    table = np.exp(np.interp(place, place[np.array(chosen) - 1], logarithms))
    return OptimalVariance(np.append(0.0, table))


def _like(value: float, x: Tensor) -> Tensor:
    return torch.full_like(x, value)


def _per_datum(nats: Tensor) -> Tensor:
    return nats.reshape(nats.shape[0], -1).mean(1)
