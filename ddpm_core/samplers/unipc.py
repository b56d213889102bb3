"""UniPC of second order (Zhao et al. 2023), B(h) = e^h - 1 (their B_2), predicting x0: UniP-2, then UniC-2.

UniP-2 is DPM-Solver++ 2M. Where the network is asked at the predicted x_t, UniC-2 makes the step to t anew with that
answer D_t, which costs no call, and the next step goes on from there. With B = expm1(-h), h and r of the step to t:

    x_t^c = g_t / g_u x_u^c - a_t B D_u - a_t B (rho_1 (D_w - D_u) / r + rho_2 (D_t - D_u))            (UniC-2)

from levels w > u > t. rho solves the paper's R rho = b, which says: the integral of the parabola through D_w, D_u and
D_t is exact, so B cancels. In the first corrected step there is no D_w, and rho_2 is 1/2. As x_t, predicted, has the
same x_u^c in it, x_t^c = x_t + (weights of UniC-2 less those of UniP-2) D: a row needs no x but its own.

The order is 3 (theorem 3.1: a corrector raises it by one). Steps from a level without signal and to level 0 are of
first order and are not corrected: lambda is infinite at one end.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from ddpm_core.diffusion.plan import PlanBuilder, SamplingPlan
from ddpm_core.diffusion.schedule import Floats, Schedule
from ddpm_core.diffusion.variance import Variance
from ddpm_core.samplers.base import Sampler, steps_of
from ddpm_core.samplers.dpmpp import parabola, second_order, step_weight


@dataclass(frozen=True)
class Unipc2(Sampler):
    """For few evaluations: the default. Order 3 (its predictor alone: 2), one evaluation a step.

    >>> Unipc2(steps=10, spacing="trailing", bound="clip", kind="unipc_2").plan(schedule, "fixed_small")
    """

    kind: Literal["unipc_2"]
    order: ClassVar[int] = 3

    def over(self, levels: Sequence[int], schedule: Schedule, variance: Variance) -> SamplingPlan:
        rows = PlanBuilder(schedule, self.kind, self.bound)
        steps = steps_of(levels)
        for number, (t, s) in enumerate(steps):
            past = [u for u, _ in reversed(steps[max(0, number - 2) : number]) if schedule.a[u] > 0]
            # x_s = sigma_s/sigma_t x_t^c - alpha_s (e^{-h} - 1) D_*,  x_t^c = x_t + (UniC-2 less UniP-2)
            c_x = float(schedule.g[s] / schedule.g[t])
            c_D, *past_D = (c_x * _correction(schedule, past, t) + _prediction(schedule, past, t, s)).tolist()
            rows.add(t, s, c_x=c_x, c_D=c_D, past_D=past_D)
        return rows.finish()


def _prediction(schedule: Schedule, past: list[int], t: int, s: int) -> Floats:
    """UniP: weights of D at t and at the levels before it, in the step from t to s."""
    if not past or s == 0:
        return np.array([step_weight(schedule, t, s)[1], 0.0, 0.0])
    return np.array([*second_order(schedule, past[0], t, s), 0.0])


def _correction(schedule: Schedule, past: list[int], t: int) -> Floats:
    """UniC less UniP: weights of D at t and at the levels before it, in the step that ended at t."""
    if not past:
        return np.zeros(3)
    u, a_t = past[0], float(schedule.a[t])
    h, k = step_weight(schedule, u, t)
    if len(past) == 1:
        return np.array([0.5 * k, -0.5 * k, 0.0])
    w = past[1]
    at_u, at_t, at_w = parabola(schedule, (u, t, w), h)
    p_u, p_w, _ = _prediction(schedule, [w], u, t)
    return np.array([a_t * at_t, a_t * at_u - p_u, a_t * at_w - p_w])
