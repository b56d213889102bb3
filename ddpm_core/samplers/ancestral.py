"""Ho et al. 2020, algorithm 2, over any subset of levels: a sample of each reverse step in turn."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from ddpm_core.diffusion.plan import PlanBuilder, SamplingPlan
from ddpm_core.diffusion.schedule import Schedule
from ddpm_core.diffusion.variance import Variance
from ddpm_core.samplers.base import Sampler, add_ancestral, steps_of


@dataclass(frozen=True)
class Ancestral(Sampler):
    """For many steps, a learned or an optimal variance, and resampled inpainting. Order 1, one evaluation a step.

    >>> Ancestral(steps=250, spacing="trailing", bound="clip", kind="ancestral").plan(schedule, "fixed_small")
    """

    kind: Literal["ancestral"]
    order: ClassVar[int] = 1

    def over(self, levels: Sequence[int], schedule: Schedule, variance: Variance) -> SamplingPlan:
        rows = PlanBuilder(schedule, self.kind, self.bound)
        for t, s in steps_of(levels):
            add_ancestral(rows, t, s, variance)
        return rows.finish()
