"""How to sample from a bundle: a sampler's plan and guidance, the caller's choices or the bundle's own."""

from dataclasses import dataclass, replace

from ddpm_core.bundle.format import Bundle
from ddpm_core.bundle.student import Student
from ddpm_core.diffusion.guidance import calls
from ddpm_core.diffusion.plan import SamplingPlan
from ddpm_core.errors import ParamsError
from ddpm_core.samplers import SamplerConfig
from ddpm_core.samplers.config import GuidanceConfig, SampleConfig, named


@dataclass(frozen=True, eq=False)
class Recipe:
    """How to sample: the caller's choices, else the bundle's defaults."""

    sampler: SamplerConfig
    guidance: GuidanceConfig
    plan: SamplingPlan
    interval: tuple[float, float] | None
    """Where guidance acts, in the network's time; None is everywhere."""
    columns: int
    """How often the plan is run for a sample: once for each column where they are made one by one, otherwise once."""

    @classmethod
    def of(
        cls,
        bundle: Bundle,
        defaults: SampleConfig,
        sampler: SamplerConfig | str | None,
        steps: int | None,
        guidance: GuidanceConfig | float | None,
    ) -> "Recipe":
        """The recipe of these choices; None is the default, a text names a sampler by its kind.

        ParamsError where the choices are not possible.
        """
        default = defaults.sampler
        if isinstance(sampler, str):
            chosen = named(sampler, default.steps if steps is None else steps, default)
        else:
            chosen = default if sampler is None else sampler
            chosen = chosen if steps is None else chosen.with_steps(steps)
        plan = chosen.plan(bundle.schedule, bundle.variance)
        if bundle.schedule.one_level and (plan.evaluations != 1 or plan.needs_noise):
            raise ParamsError(
                f"sampler: must make its sample in one evaluation without further noise, as this model has no level "
                f"between data and noise, got {chosen.kind}; take ddim, or leave it out"
            )
        guided_by = _guidance(bundle, defaults.guidance, guidance)
        if bundle.student is not None:
            _refuse_unlike(bundle.student, chosen, chosen.levels(bundle.schedule), guided_by)
        return cls(chosen, guided_by, plan, guided_by.time_interval(bundle.schedule), bundle.columns)

    @property
    def rows(self) -> int:
        """The rows of the plan that a sample takes."""
        return len(self.plan) * self.columns

    def cost(self, n: int) -> int:
        """Network evaluations of single data; guidance doubles them where it acts."""
        times = self.plan.time[self.plan.asks]
        return n * self.columns * int(calls(times, self.guidance.weight, self.interval).sum())


def _guidance(bundle: Bundle, default: GuidanceConfig, asked: GuidanceConfig | float | None) -> GuidanceConfig:
    if asked is None:
        chosen = default
    elif isinstance(asked, GuidanceConfig):
        chosen = asked
    else:
        chosen = replace(default, weight=float(asked))
    if chosen.weight == 0 or (bundle.spec.null and not bundle.schedule.one_level):
        return chosen
    if asked is not None and bundle.schedule.one_level:
        raise ParamsError(
            f"guidance: must be 0 for a model that makes a sample in one evaluation, as there is no way from noise to "
            f"data to guide, got {chosen.weight:g}; leave it out"
        )
    if asked is not None:
        raise ParamsError(
            f"guidance: must be 0 for a model without labels, got {chosen.weight:g}; leave it out, or train one "
            "with labels"
        )
    return replace(chosen, weight=0.0)


def _refuse_unlike(student: Student, chosen: SamplerConfig, levels: list[int], guidance: GuidanceConfig) -> None:
    """What a student was not trained for is refused."""
    if guidance.weight:
        raise ParamsError(
            f"guidance: must be 0 for a student, as the guidance of its teacher ({student.guidance['weight']:g}) is in "
            f"its answers, got {guidance.weight:g}; leave it out"
        )
    own = student.sampler
    if own is not None and (chosen.kind, levels, chosen.bound) != (own["kind"], list(own["levels"]), own["bound"]):
        raise ParamsError(
            f"sampler, steps: must be {own['kind']} over the levels {list(own['levels'])} with bound {own['bound']}, "
            f"which alone this student was trained for, got {chosen.kind} over {levels} with bound {chosen.bound}; "
            "leave both out"
        )
