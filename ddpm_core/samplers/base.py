"""What all samplers share: the fields of a config, and the two rows that several of them use."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, ClassVar, Self

from ddpm_core.checks import Checks, Config, at_least_1
from ddpm_core.diffusion.plan import Bound, PlanBuilder, SamplingPlan
from ddpm_core.diffusion.schedule import Schedule
from ddpm_core.diffusion.spacing import Levels, Spacing, fault_of_levels, spaced_levels
from ddpm_core.diffusion.variance import OptimalVariance, Variance, is_learned, step_variance
from ddpm_core.errors import ParamsError

SHARED_CHECKS: Checks = {"steps": at_least_1}


@dataclass(frozen=True)
class Sampler(Config, ABC):
    """A sampler's config. `steps` counts levels visited; `SamplingPlan.evaluations` counts network calls.

    A new sampler is a subclass in a file of its own that declares its `kind`, its order and the conventional values of
    its own fields, and lays its rows in `over`; its name in `SamplerConfig` makes it a choice of params.yaml.
    """

    steps: int
    spacing: Spacing | Levels
    bound: Bound
    __checks__: ClassVar[Checks] = SHARED_CHECKS
    order: ClassVar[int | None]
    """K times the steps: an error K^order times smaller. None: more steps alone do not take the error to 0."""
    conventional: ClassVar[Mapping[str, Any]] = {}
    """Values of its own fields, for `named`, where nobody says otherwise."""

    def faults(self) -> list[str]:
        fault = None if isinstance(self.spacing, str) else fault_of_levels(self.spacing, self.steps)
        return [] if fault is None else [fault]

    def with_steps(self, steps: int) -> Self:
        """The same with so many steps; explicit levels hold for their own number, other numbers are trailing."""
        return replace(self, steps=steps, spacing=spacing_for(self, steps))

    def levels(self, schedule: Schedule) -> list[int]:
        """The levels that it visits, noisiest first, 0 last."""
        return spaced_levels(self.spacing, schedule, self.steps)

    def plan(self, schedule: Schedule, variance: Variance) -> SamplingPlan:
        """The rows from noise to clean data."""
        return self.over(self.levels(schedule), schedule, variance)

    @abstractmethod
    def over(self, levels: Sequence[int], schedule: Schedule, variance: Variance) -> SamplingPlan:
        """The rows through explicit falling levels, which need not reach from T to 0."""


def spacing_for(sampler: Sampler, steps: int) -> Spacing | Levels:
    """Its spacing; explicit levels only where they are of so many steps, else trailing."""
    return sampler.spacing if isinstance(sampler.spacing, str) or steps == sampler.steps else "trailing"


def steps_of(levels: Sequence[int]) -> list[tuple[int, int]]:
    """(t, s) for each step of falling levels."""
    pairs = list(pairwise(levels))
    if not pairs or any(s >= t for t, s in pairs) or levels[-1] < 0:
        raise ParamsError(f"levels must fall, at least one step, none below 0; got {list(levels)}")
    return pairs


def add_ancestral(rows: PlanBuilder, t: int, s: int, variance: Variance) -> None:
    """Ho et al. 2020, algorithm 2, for any s < t: the mean of q(x_s | x_t, x_0 = D), and noise unless s = 0."""
    # x_s = sqrt(alpha_{t|s}) g_s^2 / g_t^2 x_t + a_s beta_{t|s} / g_t^2 D + sigma z        (eq. 7 and algorithm 2)
    c_x, c_D = rows.schedule.posterior_mean_between(s, t)
    if s == 0:
        rows.add(t, s, c_x=float(c_x), c_D=float(c_D))
    elif is_learned(variance):
        rows.add(t, s, c_x=float(c_x), c_D=float(c_D), log_variances=rows.schedule.log_variances_between(s, t))
    else:
        sigma2 = float(step_variance(rows.schedule, variance, s, t))
        rows.add(t, s, c_x=float(c_x), c_D=float(c_D), c_z=sigma2**0.5)


def add_ddim(rows: PlanBuilder, t: int, s: int, eta: float = 0.0, variance: Variance | None = None) -> None:
    """Song et al. 2021 (DDIM), eq. 12, for any levels s != t; rising levels (inversion) with eta = 0.

    eta sets the variance. An `OptimalVariance` adds to it what x0_hat leaves out of x_0 (Bao et al. 2022, theorem 1);
    eta = 1 is then the ancestral step with that variance. Where eta = 0 or s = 0 there is no noise.
    """
    schedule = rows.schedule
    a_t, g_t, a_s, g_s = (float(v) for v in (schedule.a[t], schedule.g[t], schedule.a[s], schedule.g[s]))
    w = eta * float(schedule.beta_tilde_between(s, t)) ** 0.5 if eta > 0 else 0.0
    # x_s = a_s D + sqrt(g_s^2 - w^2) eps_hat + w z,  eps_hat = (x_t - a_t D) / g_t,  w = eta sqrt(beta_tilde)
    d = max(g_s**2 - w**2, 0.0) ** 0.5 / g_t
    c_D, c_z = a_s - d * a_t, w
    if eta > 0 and s > 0 and isinstance(variance, OptimalVariance):
        # sigma^2 = w^2 + (a_s - d a_t)^2 Var[x_0 | x_t]                                        (Bao et al., theorem 1)
        c_z = (w**2 + c_D**2 * float(variance.of(schedule)[t])) ** 0.5
    rows.add(t, s, c_x=d, c_D=c_D, c_z=c_z)
