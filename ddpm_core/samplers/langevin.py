"""Langevin dynamics by fixed steps: annealed (Song & Ermon 2019) and as a corrector (Song et al. 2021, algorithm 3).

A Langevin step of size d at level t is x <- x + d score + sqrt(2 d) z. Here d = step_size g_t^2, so that one number
serves every level: it is the share of x's noise that a step renews.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from ddpm_core.checks import Checks, at_least_1, open_fraction
from ddpm_core.diffusion.plan import PlanBuilder, SamplingPlan
from ddpm_core.diffusion.schedule import Schedule
from ddpm_core.diffusion.variance import Variance
from ddpm_core.samplers.base import SHARED_CHECKS, Sampler, add_ancestral, steps_of

_CHECKS: Checks = {**SHARED_CHECKS, "corrections": at_least_1, "step_size": open_fraction}


@dataclass(frozen=True)
class Langevin(Sampler):
    """For NCSN as it was: annealed Langevin. No order; `corrections` evaluations a step.

    `corrections` steps at each level, then on to the next; the last level ends in x0_hat. By convention there are many
    of them, as it moves by nothing else.

    >>> named("langevin", steps=100, base=None).plan(schedule, "fixed_small")
    """

    kind: Literal["langevin"]
    corrections: int
    step_size: float
    order: ClassVar[None] = None
    conventional: ClassVar = {"corrections": 20, "step_size": 0.1}
    __checks__: ClassVar[Checks] = _CHECKS

    def over(self, levels: Sequence[int], schedule: Schedule, variance: Variance) -> SamplingPlan:
        rows = PlanBuilder(schedule, self.kind, self.bound)
        for t, s in steps_of(levels):
            shrink = float(schedule.root_alpha_between(t, s)) if s > 0 and schedule.a[t] > 0 else 1.0
            for correction in range(self.corrections):
                leaves = s > 0 and correction == self.corrections - 1
                add_langevin(rows, t, s if leaves else t, self.step_size, shrink if leaves else 1.0)
            if s == 0:
                rows.add(t, 0, c_D=1.0)
        return rows.finish()


@dataclass(frozen=True)
class PredictorCorrector(Sampler):
    """For a score model whose errors should be worn off. No order; 1 + `corrections` evaluations a step.

    An ancestral step, then `corrections` Langevin steps at the level where it landed: by convention a gentle one.

    >>> named("predictor_corrector", steps=100, base=None).plan(schedule, "fixed_small")
    """

    kind: Literal["predictor_corrector"]
    corrections: int
    step_size: float
    order: ClassVar[None] = None
    conventional: ClassVar = {"corrections": 1, "step_size": 0.05}
    __checks__: ClassVar[Checks] = _CHECKS

    def over(self, levels: Sequence[int], schedule: Schedule, variance: Variance) -> SamplingPlan:
        rows = PlanBuilder(schedule, self.kind, self.bound)
        for t, s in steps_of(levels):
            add_ancestral(rows, t, s, variance)
            for _ in range(self.corrections if s > 0 else 0):
                add_langevin(rows, s, s, self.step_size)
        return rows.finish()


def add_langevin(rows: PlanBuilder, t: int, s: int, step_size: float, scale: float = 1.0) -> None:
    """One step at level t; `scale` carries x over to the level s that comes next (1 under VE)."""
    # x <- x + d score + sqrt(2 d) z,  score = (a D - x) / g^2,  d = step_size g^2              (algorithm 3)
    a, g = float(rows.schedule.a[t]), float(rows.schedule.g[t])
    rows.add(t, s, c_x=scale * (1 - step_size), c_D=scale * step_size * a, c_z=scale * (2 * step_size) ** 0.5 * g)
