"""Karras et al. 2022, algorithm 2: each step first goes back up by fresh noise, then down by Heun's step from there.

Noise wears off what earlier steps got wrong, as the ancestral sampler's does, at the second order of Heun. A plan lands
on levels, so the noise goes to the level nearest to sigma (1 + gamma), and is exactly as much as lies between the two;
from the last level there is nowhere to go.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from ddpm_core.checks import Checks, not_negative, positive
from ddpm_core.diffusion.plan import PlanBuilder, SamplingPlan
from ddpm_core.diffusion.schedule import Schedule
from ddpm_core.diffusion.variance import Variance
from ddpm_core.samplers.base import SHARED_CHECKS, Sampler, steps_of
from ddpm_core.samplers.heun import add_heun

LARGEST = 2**0.5 - 1
"""Of gamma: a step never adds more noise than there is."""


@dataclass(frozen=True)
class HeunChurn(Sampler):
    """For EDM schedules and evaluations to spare. Order 2, two evaluations a step.

    `churn` is S_churn, shared out among the steps whose sigma lies in `churn_sigmas`; `churn_noise` is S_noise. Their
    conventional values are EDM's for CIFAR-10 (table 5).

    >>> named("heun_churn", steps=18, base=None).plan(schedule, "fixed_small")
    """

    kind: Literal["heun_churn"]
    churn: float
    churn_sigmas: tuple[float, float] | None
    churn_noise: float
    order: ClassVar[int] = 2
    conventional: ClassVar = {"churn": 30.0, "churn_sigmas": (0.01, 1.0), "churn_noise": 1.007}
    __checks__: ClassVar[Checks] = {
        **SHARED_CHECKS,
        "churn": not_negative,
        "churn_sigmas": (
            lambda v: v is None or 0 <= v[0] < v[1],
            "null, or two rising numbers, 0 or more: the sigmas between which noise is added",
        ),
        "churn_noise": positive,
    }

    def over(self, levels: Sequence[int], schedule: Schedule, variance: Variance) -> SamplingPlan:
        rows = PlanBuilder(schedule, self.kind, self.bound)
        steps = steps_of(levels)
        gamma = min(self.churn / len(steps), LARGEST)
        for t, s in steps:
            add_heun(rows, self._add_noise(rows, t, gamma), s)
        return rows.finish()

    def _add_noise(self, rows: PlanBuilder, t: int, gamma: float) -> int:
        """A row up from t, where there is a level to go to; the level where x is then."""
        schedule = rows.schedule
        sigma = float(schedule.sigma[t])
        low, high = self.churn_sigmas or (0.0, float("inf"))
        if schedule.a[t] == 0 or not low <= sigma <= high:
            return t
        above = schedule.sigma[t : schedule.T + 1]
        up = t + int(np.abs(above[np.isfinite(above)] - sigma * (1 + gamma)).argmin())
        if up > t:
            # x_hat = x + sqrt(sigma_hat^2 - sigma^2) S_noise z,  of x/a                          (algorithm 2)
            added = float(schedule.sigma[up]) ** 2 - sigma**2
            c_z = float(schedule.a[up]) * added**0.5 * self.churn_noise
            rows.add(t, up, c_x=float(schedule.a[up] / schedule.a[t]), c_z=c_z)
        return up
