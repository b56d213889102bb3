"""The variance of a reverse step from t to s < t: fixed small, fixed large, learned, or the analytic optimum."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from ddpm_core.diffusion.schedule import Floats, Schedule
from ddpm_core.errors import ParamsError

VarianceName = Literal["fixed_small", "fixed_large", "learned"]


@dataclass(frozen=True, eq=False)
class OptimalVariance:
    """Bao et al. 2022 (Analytic-DPM): the mean per dimension of Var[x_0 | x_t] at levels 0..T, from a trained network.

    The best variance of any step t -> s is then beta_tilde_{t|s} + c^2 Var[x_0 | x_t], c the weight of x_0 in mu_tilde.
    """

    x0_variance: Floats  # [T + 1]

    def of(self, schedule: Schedule) -> Floats:
        """The table, which must be one of this schedule's levels."""
        if len(self.x0_variance) != schedule.T + 1:
            raise ParamsError(
                f"optimal variance: needs a value for each of the levels 0..{schedule.T}, got {len(self.x0_variance)}"
            )
        return self.x0_variance


Variance = VarianceName | OptimalVariance


def is_learned(variance: Variance) -> bool:
    return isinstance(variance, str) and variance == "learned"


def step_variance(schedule: Schedule, variance: Variance, s: Any, t: Any) -> Any:
    """sigma^2 of a sampler's step from t to s; for `learned` see `log_variances_between`."""
    if isinstance(variance, OptimalVariance):
        of_x_0 = schedule.posterior_mean_between(s, t)[1]
        return schedule.beta_tilde_between(s, t) + of_x_0**2 * variance.of(schedule)[t]
    if variance == "fixed_large":
        return schedule.beta_between(s, t)
    if variance == "fixed_small":
        return schedule.beta_tilde_between(s, t)
    known = ", ".join(name for name in get_args(VarianceName) if name != "learned")
    raise ParamsError(f"variance: a step has a fixed variance only under one of {known}, got {variance!r}")


def first_log_variance(schedule: Schedule) -> float:
    """ln sigma^2 of p_theta(x_0 | x_1) under a fixed variance, small or large: finite, so that L_0 is.

    Under VP that of beta_tilde_2 stands in for beta_tilde_1 = 0, as in Ho et al.'s code. Elsewhere it is that of
    beta_1 = g_1^2: under VE beta_tilde_2 falls to 0 as levels come closer (docs/maths.md: the first step).
    """
    large, small = schedule.log_variances_between(0, 1)
    return small if schedule.process == "vp" else large


def likelihood_log_variance(schedule: Schedule, variance: VarianceName) -> Floats:
    """ln sigma^2 of p_theta(x_{t-1} | x_t) for t = 1..T (index 0 is unused and 0), as the bound uses it."""
    t = np.arange(2, schedule.T + 1)
    later: Floats = np.log(step_variance(schedule, variance, t - 1, t))
    return np.concatenate([[0.0, first_log_variance(schedule)], later])
