"""Lu et al. 2022 (DPM-Solver++): exponential integrators in lambda = ln(a / g), of x0_hat; h = lam_s - lam_t.

The first step, the step to level 0 and one from a level without signal are of first order.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from ddpm_core.diffusion.plan import PlanBuilder, SamplingPlan
from ddpm_core.diffusion.schedule import Schedule
from ddpm_core.diffusion.variance import Variance
from ddpm_core.samplers.base import Sampler, steps_of


@dataclass(frozen=True)
class Dpmpp1(Sampler):
    """For checks: in exact arithmetic DDIM with eta = 0. Order 1 (eq. 9 without derivatives), one evaluation a step.

    >>> Dpmpp1(steps=20, spacing="trailing", bound="clip", kind="dpmpp_1").plan(schedule, "fixed_small")
    """

    kind: Literal["dpmpp_1"]
    order: ClassVar[int] = 1

    def over(self, levels: Sequence[int], schedule: Schedule, variance: Variance) -> SamplingPlan:
        rows = PlanBuilder(schedule, self.kind, self.bound)
        for t, s in steps_of(levels):
            add_first_order(rows, t, s)
        return rows.finish()


@dataclass(frozen=True)
class Dpmpp2m(Sampler):
    """For few evaluations, and for charts that agree with others'. Order 2, one evaluation a step (algorithm 2).

    >>> Dpmpp2m(steps=20, spacing="trailing", bound="clip", kind="dpmpp_2m").plan(schedule, "fixed_small")
    """

    kind: Literal["dpmpp_2m"]
    order: ClassVar[int] = 2

    def over(self, levels: Sequence[int], schedule: Schedule, variance: Variance) -> SamplingPlan:
        rows = PlanBuilder(schedule, self.kind, self.bound)
        before: int | None = None
        for t, s in steps_of(levels):
            if before is None or s == 0 or schedule.a[before] == 0:
                add_first_order(rows, t, s)
            else:
                add_second_order(rows, before, t, s)
            before = t
        return rows.finish()


@dataclass(frozen=True)
class Dpmpp2s(Sampler):
    """For strong guidance at small steps. Order 2, two evaluations a step, the second near its middle (algorithm 1).

    >>> Dpmpp2s(steps=10, spacing="trailing", bound="clip", kind="dpmpp_2s").plan(schedule, "fixed_small")
    """

    kind: Literal["dpmpp_2s"]
    order: ClassVar[int] = 2

    def over(self, levels: Sequence[int], schedule: Schedule, variance: Variance) -> SamplingPlan:
        rows = PlanBuilder(schedule, self.kind, self.bound)
        for t, s in steps_of(levels):
            middle = _middle(schedule, t, s)
            add_first_order(rows, t, s if middle is None else middle)
            if middle is not None:
                h, k = step_weight(schedule, t, s)
                r = float(schedule.lam[middle] - schedule.lam[t]) / h
                # x_s = sigma_s/sigma_t x_t - alpha_s (e^{-h} - 1) ((1 - 1/(2r)) D_t + 1/(2r) D_m)    (algorithm 1)
                c_x = float(schedule.g[s] / schedule.g[t])
                rows.add(middle, s, past_x=(c_x,), c_D=0.5 * k / r, past_D=(k * (1 - 0.5 / r),))
        return rows.finish()


def step_weight(schedule: Schedule, t: int, s: int) -> tuple[float, float]:
    """(h, k) with k = -a_s expm1(-h), the weight of a constant x0_hat; h may be infinite."""
    h = float(schedule.lam[s] - schedule.lam[t])
    return h, -float(schedule.a[s]) * math.expm1(-h)


def add_first_order(rows: PlanBuilder, t: int, s: int) -> None:
    """Of x0_hat alone, without derivatives."""
    # x_s = sigma_s/sigma_t x_t - alpha_s (e^{-h} - 1) D                                        (eq. 9, k = 1)
    rows.add(t, s, c_x=float(rows.schedule.g[s] / rows.schedule.g[t]), c_D=step_weight(rows.schedule, t, s)[1])


def add_second_order(rows: PlanBuilder, before: int, t: int, s: int) -> None:
    """Of x0_hat, and the one before."""
    # x_s = sigma_s/sigma_t x_t - alpha_s (e^{-h} - 1) ((1 + 1/(2r)) D - 1/(2r) D_before)        (algorithm 2)
    c_D, past_D = second_order(rows.schedule, before, t, s)
    rows.add(t, s, c_x=float(rows.schedule.g[s] / rows.schedule.g[t]), c_D=c_D, past_D=(past_D,))


def second_order(schedule: Schedule, before: int, t: int, s: int) -> tuple[float, float]:
    """The weights of x0_hat at t and at `before`."""
    h, k = step_weight(schedule, t, s)
    r = float(schedule.lam[t] - schedule.lam[before]) / h
    return k * (1 + 0.5 / r), -0.5 * k / r


def parabola(schedule: Schedule, levels: tuple[int, int, int], h: float) -> tuple[float, float, float]:
    """Weights of x0_hat at three levels, the first of them t: the integral of the parabola through them.

    It is eq. 8's over a step of h from the first level, without a_s.
    J_n, the integral of h e^(h (v - 1)) v^n over v = 0..1, is 1 - n J_(n-1) / h, by parts. Levels lie at v = 0, p, q.
    """
    p, q = (float(schedule.lam[level] - schedule.lam[levels[0]]) / h for level in levels[1:])
    J_0 = -math.expm1(-h)
    J_1 = 1 - J_0 / h
    J_2 = 1 - 2 * J_1 / h
    of_p, of_q = (J_2 - q * J_1) / (p * (p - q)), (J_2 - p * J_1) / (q * (q - p))
    return J_0 - of_p - of_q, of_p, of_q


def _middle(schedule: Schedule, t: int, s: int) -> int | None:
    """The level between t and s nearest to the middle in lambda; None where there is none or an end is infinite."""
    if s == 0 or schedule.a[t] == 0 or t - s < 2:
        return None
    wanted = (schedule.lam[t] + schedule.lam[s]) / 2
    # Rounded, so that of two levels equally near the lower is taken whatever the last bits say.
    return s + 1 + int(np.abs(schedule.lam[s + 1 : t] - wanted).round(9).argmin())
