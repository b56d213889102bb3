"""DPM-Solver++ 3M (Lu et al. 2022, eq. 9 with k = 3): x0_hat along the step is the parabola through the last three.

    x_s = g_s / g_t x_t + a_s integral over v = 0..1 of h e^(h (v - 1)) x0_hat(lam_t + h v) dv         (eq. 8)

The first step is of first order and the second of second, for lack of a past. On the way to level 0 the last step is of
first order, as lambda is infinite there, and the last but one of second: lambda rises ever faster towards clean data,
so that a parabola would be carried farthest beyond what it was drawn through.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from ddpm_core.diffusion.plan import PlanBuilder, SamplingPlan
from ddpm_core.diffusion.schedule import Schedule
from ddpm_core.diffusion.variance import Variance
from ddpm_core.samplers.base import Sampler, steps_of
from ddpm_core.samplers.dpmpp import add_first_order, add_second_order, parabola, step_weight


@dataclass(frozen=True)
class Dpmpp3m(Sampler):
    """For many even steps, and for comparing with others' 3M. Order 3, one evaluation a step.

    >>> Dpmpp3m(steps=30, spacing="log_snr", bound="clip", kind="dpmpp_3m").plan(schedule, "fixed_small")
    """

    kind: Literal["dpmpp_3m"]
    order: ClassVar[int] = 3

    def over(self, levels: Sequence[int], schedule: Schedule, variance: Variance) -> SamplingPlan:
        rows = PlanBuilder(schedule, self.kind, self.bound)
        steps = steps_of(levels)
        for number, (t, s) in enumerate(steps):
            past = [u for u, _ in reversed(steps[max(0, number - 2) : number]) if schedule.a[u] > 0]
            left = len(steps) - number if levels[-1] == 0 else 3
            order = min(1 + len(past), left)
            if order == 1:
                add_first_order(rows, t, s)
            elif order == 2:
                add_second_order(rows, past[0], t, s)
            else:
                _add_third_order(rows, past[1], past[0], t, s)
        return rows.finish()


def _add_third_order(rows: PlanBuilder, first: int, before: int, t: int, s: int) -> None:
    schedule = rows.schedule
    # x_s = sigma_s/sigma_t x_t + alpha_s (w D + w_before D_before + w_first D_first)            (eq. 9, k = 3)
    h, _ = step_weight(schedule, t, s)
    w, w_before, w_first = parabola(schedule, (t, before, first), h)
    a, c_x = float(schedule.a[s]), float(schedule.g[s] / schedule.g[t])
    rows.add(t, s, c_x=c_x, c_D=a * w, past_D=(a * w_before, a * w_first))
