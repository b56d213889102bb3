"""Karras et al. 2022, algorithm 1: predict by Euler, correct by the trapezium; the step to level 0 is Euler's alone.

K steps ask the network 2 K - 1 times. A step over which sigma falls more than LONGEST-fold, as the first one of a
cosine schedule does, is Euler's alone too: the correction weighs x0_hat by half that ratio, and five such steps gave a
variance of 1349 in place of 0.25 on the Gaussian oracle. EDM's own levels stay far below it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from ddpm_core.diffusion.plan import PlanBuilder, SamplingPlan
from ddpm_core.diffusion.schedule import Schedule
from ddpm_core.diffusion.variance import Variance
from ddpm_core.samplers.base import Sampler, add_ddim, steps_of

LONGEST = 10.0


@dataclass(frozen=True)
class Heun(Sampler):
    """For EDM schedules, and to check `dpmpp_2m` by another method. Order 2, two evaluations a step.

    >>> Heun(steps=18, spacing="karras", bound="clip", kind="heun").plan(schedule, "fixed_small")
    """

    kind: Literal["heun"]
    order: ClassVar[int] = 2

    def over(self, levels: Sequence[int], schedule: Schedule, variance: Variance) -> SamplingPlan:
        rows = PlanBuilder(schedule, self.kind, self.bound)
        for t, s in steps_of(levels):
            add_heun(rows, t, s)
        return rows.finish()


def add_heun(rows: PlanBuilder, t: int, s: int) -> None:
    """The prediction, and the correction where there is one."""
    add_ddim(rows, t, s)
    if s > 0 and rows.schedule.sigma[t] <= LONGEST * rows.schedule.sigma[s]:
        _correct(rows, t, s)


def _correct(rows: PlanBuilder, t: int, s: int) -> None:
    """The network is asked at the predicted x_s; x and D at t are those of the row before."""
    # x_s/a_s = x_t/a_t + (sigma_s - sigma_t) (d/2 + d'/2),  d = (x_t/a_t - D_t) / sigma_t,  d' the same at s
    a_t, a_s = float(rows.schedule.a[t]), float(rows.schedule.a[s])
    sigma_t, sigma_s = float(rows.schedule.sigma[t]), float(rows.schedule.sigma[s])
    h = (sigma_s - sigma_t) / 2
    past_x, past_D = a_s / a_t * (1 + h / sigma_t), -a_s * h / sigma_t
    rows.add(s, s, c_x=h / sigma_s, past_x=(past_x,), c_D=-a_s * h / sigma_s, past_D=(past_D,))
