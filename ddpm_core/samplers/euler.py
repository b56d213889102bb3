"""Euler's method on the probability-flow ODE in sigma = g / a (Karras et al. 2022, algorithm 1 without correction).

d(x/a)/d sigma = (x/a - D) / sigma: a step of it is DDIM's with eta = 0, so the two differ in name alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from ddpm_core.diffusion.plan import PlanBuilder, SamplingPlan
from ddpm_core.diffusion.schedule import Schedule
from ddpm_core.diffusion.variance import Variance
from ddpm_core.samplers.base import Sampler, add_ddim, steps_of


@dataclass(frozen=True)
class Euler(Sampler):
    """For those who come from EDM: the rows of DDIM with eta = 0. Order 1, one evaluation a step.

    >>> Euler(steps=50, spacing="karras", bound="clip", kind="euler").plan(schedule, "fixed_small")
    """

    kind: Literal["euler"]
    order: ClassVar[int] = 1

    def over(self, levels: Sequence[int], schedule: Schedule, variance: Variance) -> SamplingPlan:
        rows = PlanBuilder(schedule, self.kind, self.bound)
        for t, s in steps_of(levels):
            # x_s/a_s = x_t/a_t + (sigma_s - sigma_t) d,  d = (x_t/a_t - D) / sigma_t             (algorithm 1)
            add_ddim(rows, t, s)
        return rows.finish()
