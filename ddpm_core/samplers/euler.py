"""Euler's method on the probability-flow ODE in sigma = g / a (Karras et al. 2022, algorithm 1 without correction).

d(x/a)/d sigma = (x/a - D) / sigma: a step of it is DDIM's with eta = 0, so the two differ in name alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ddpm_core.diffusion.levels import Schedule
from ddpm_core.diffusion.plan import PlanBuilder, SamplingPlan
from ddpm_core.diffusion.variance import Variance
from ddpm_core.samplers.base import Sampler, add_ddim, steps_of


@dataclass(frozen=True)
class Euler(Sampler):
    kind: Literal["euler"]

    def over(self, levels: Sequence[int], schedule: Schedule, variance: Variance) -> SamplingPlan:
        rows = PlanBuilder(schedule, self.kind, self.bound)
        for t, s in steps_of(levels):
            add_ddim(rows, t, s)
        return rows.finish()
