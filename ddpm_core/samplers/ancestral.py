"""Ho et al. 2020, algorithm 2, over any subset of levels: a sample of each reverse step in turn."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ddpm_core.diffusion.levels import Schedule
from ddpm_core.diffusion.plan import PlanBuilder, SamplingPlan
from ddpm_core.diffusion.variance import Variance
from ddpm_core.samplers.base import Sampler, add_ancestral, steps_of


@dataclass(frozen=True)
class Ancestral(Sampler):
    kind: Literal["ancestral"]

    def over(self, levels: Sequence[int], schedule: Schedule, variance: Variance) -> SamplingPlan:
        rows = PlanBuilder(schedule, self.kind, self.bound)
        for t, s in steps_of(levels):
            add_ancestral(rows, t, s, variance)
        return rows.finish()
