"""Song et al. 2021 (DDIM): eta = 0 draws no noise, eta = 1 is the ancestral sampler with beta_tilde, row by row."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from ddpm_core.checks import Checks, fraction
from ddpm_core.diffusion.plan import PlanBuilder, SamplingPlan
from ddpm_core.diffusion.schedule import Schedule
from ddpm_core.diffusion.variance import Variance
from ddpm_core.samplers.base import SHARED_CHECKS, Sampler, add_ddim, steps_of


@dataclass(frozen=True)
class Ddim(Sampler):
    """For inverting data, interpolating seeds, and comparing with papers. Order 1, one evaluation a step.

    eta sets the variance, whatever the model's own is; an `OptimalVariance` is added where eta > 0.

    >>> Ddim(steps=50, spacing="trailing", bound="clip", kind="ddim", eta=0.0).plan(schedule, "fixed_small")
    """

    kind: Literal["ddim"]
    eta: float
    order: ClassVar[int] = 1
    conventional: ClassVar = {"eta": 0.0}
    __checks__: ClassVar[Checks] = {**SHARED_CHECKS, "eta": fraction}

    def over(self, levels: Sequence[int], schedule: Schedule, variance: Variance) -> SamplingPlan:
        rows = PlanBuilder(schedule, self.kind, self.bound)
        for t, s in steps_of(levels):
            add_ddim(rows, t, s, self.eta, variance)
        return rows.finish()
