"""Data whose exact denoiser is known, to test a sampler without training and without Monte Carlo.

For data N(m, s^2) the denoiser is affine in x_t, and every plan is affine in x, D and z: the sampler maps a Gaussian to
a Gaussian. `moments` reads its mean and variance off the real loop: an item without any noise gives the mean, an item
for each single unit of noise gives that noise's coefficient, and the variance is the sum of their squares.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ddpm_core.diffusion.arrays import Array, Denoise, at_levels, concat
from ddpm_core.diffusion.bounds import unclamped
from ddpm_core.diffusion.generate import generate
from ddpm_core.diffusion.parameterisation import Parameterisation
from ddpm_core.diffusion.plan import SamplingPlan
from ddpm_core.diffusion.schedule import Floats, Schedule
from ddpm_core.errors import ParamsError


@dataclass(frozen=True)
class GaussianOracle:
    """Data N(mean, variance) in every dimension, each independent of the others."""

    mean: float
    variance: float

    def marginal(self, schedule: Schedule, t: Any) -> tuple[Any, Any]:
        """Mean and variance of x_t."""
        return schedule.a[t] * self.mean, schedule.a[t] ** 2 * self.variance + schedule.g[t] ** 2

    def x0_hat(self, schedule: Schedule, x_t: Any, t: Any) -> Any:
        """E[x_0 | x_t] = m + s^2 a (x_t - a m) / (a^2 s^2 + g^2), at one level or at one for each datum [B]."""
        a, g = at_levels(schedule.a, t, x_t), at_levels(schedule.g, t, x_t)
        return self.mean + self.variance * a / (a**2 * self.variance + g**2) * (x_t - a * self.mean)

    def x0_variance(self, schedule: Schedule) -> Floats:
        """Var[x_0 | x_t] at every level: what the optimal variance of a reverse step needs."""
        a, g = schedule.a, schedule.g
        result: Floats = self.variance * g**2 / (a**2 * self.variance + g**2)
        return result

    def flow(self, schedule: Schedule, x_t: Any, t: int, s: int) -> Any:
        """The probability-flow ODE from level t to level s, solved exactly."""
        (mean_t, variance_t), (mean_s, variance_s) = self.marginal(schedule, t), self.marginal(schedule, s)
        return mean_s + (variance_s / variance_t) ** 0.5 * (x_t - mean_t)

    def network(self, parameterisation: Parameterisation, v: float | None = None) -> Denoise:
        """The exact network for a target; `v` is a constant for the variance channels, None = no such channels."""
        schedule = parameterisation.schedule
        A, B, c_in = parameterisation.table()
        level_of = {time: t for t, time in enumerate(schedule.time) if t > 0}

        def denoise(x_in: Array, time: Array) -> Array:
            one = len(time) > 0 and bool((time == time[0]).all())
            told = time[:1].tolist() if one else time.tolist()
            unknown = [value for value in told if np.float32(value) not in level_of]
            if unknown:
                raise ParamsError(f"time: must be that of a level of the schedule, 1..{schedule.T}, got {unknown[0]}")
            levels = [level_of[np.float32(value)] for value in told]
            t = levels[0] if one else np.array(levels, np.int64)
            x = x_in / at_levels(c_in, t, x_in)
            out = (self.x0_hat(schedule, x, t) - at_levels(A, t, x) * x) / at_levels(B, t, x)
            if v is None:
                return out
            both = concat([out.swapaxes(0, 1), (out * 0 + v).swapaxes(0, 1)])
            return both.swapaxes(0, 1)

        return denoise


def moments(
    plan: SamplingPlan, parameterisation: Parameterisation, denoise: Denoise, start: tuple[float, float] | None = None
) -> tuple[float, float]:
    """Mean and variance of a plan's samples from x_T ~ N(start) with an affine network, in float64, exact.

    `start` is (mean, variance), by default the plan's own (0, start_scale^2). Nothing is clamped, whatever the plan's
    bound.
    """
    mean, variance = start or (0.0, plan.start_scale**2)
    sources = 2 + (len(plan) if plan.needs_noise else 0)
    x_T = np.full((sources, 1), mean)
    x_T[1] += variance**0.5

    def noise(step: int) -> Array:
        z = np.zeros((sources, 1))
        z[step + 1] = 1
        return z

    x = generate(plan, parameterisation, denoise, x_T, noise, bound=unclamped)[:, 0]
    return float(x[0]), float(((x[1:] - x[0]) ** 2).sum())
